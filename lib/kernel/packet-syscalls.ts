// The system calls that move packets without the event loop: read, writev, sendmmsg, recvmmsg, poll, on memory at a fixed
// address. As in syscalls.ts every function gives what the call gives, or -errno, and none throws.
//
// Addresses are numbers: memory of a Uint8Array of its own never moves, so an address taken once stays right for as long
// as the array lives. Keeping it alive, and staying inside of it, is the caller's duty.

import { libcFunction, result, SOL_SOCKET } from './syscalls.ts';

export const POLL_IN = 1;
/** struct pollfd: descriptor, events asked, events seen. */
export const POLLFD = { fd: 0, events: 4, revents: 6, length: 8 } as const;

/** SO_MEMINFO gives numbers of 32 bits (include/uapi/linux/sock_diag.h, SK_MEMINFO_*), of which this is the last. */
const SO_MEMINFO = 55;
const SK_MEMINFO_DROPS = 8;

const EVENTFD_FLAGS = 0o4000 | 0o2000000;

type Call<A extends readonly number[]> = (...args: A) => number;

const calls = {
  read: libcFunction('intptr_t read(int fd, uintptr_t bytes, size_t length)') as Call<[number, number, number]>,
  writev: libcFunction('intptr_t writev(int fd, uintptr_t vector, int count)') as Call<[number, number, number]>,
  sendmsg: libcFunction('intptr_t sendmsg(int fd, uintptr_t message, int flags)') as Call<[number, number, number]>,
  sendmmsg: libcFunction('int sendmmsg(int fd, uintptr_t messages, unsigned int count, int flags)') as Call<
    [number, number, number, number]
  >,
  recvmmsg: libcFunction(
    'int recvmmsg(int fd, uintptr_t messages, unsigned int count, int flags, uintptr_t timeout)',
  ) as Call<[number, number, number, number, number]>,
  recvmsg: libcFunction('intptr_t recvmsg(int fd, uintptr_t message, int flags)') as Call<[number, number, number]>,
  poll: libcFunction('int poll(uintptr_t entries, unsigned long count, int timeout)') as Call<[number, number, number]>,
  getsockopt: libcFunction<[number, number, number, Uint32Array, Uint32Array]>(
    'int getsockopt(int fd, int level, int option, void *value, void *length)',
  ),
  eventfd: libcFunction('int eventfd(unsigned int value, int flags)') as Call<[number, number]>,
};

const memcpy = libcFunction<[Uint8Array, Uint8Array, number]>(
  'uintptr_t memcpy(void *into, const void *from, size_t length)',
);

/** Where the array's memory is: memcpy(3) returns the address that it was given. */
export function addressOf(bytes: Uint8Array): number {
  return Number(memcpy(bytes, bytes, 0));
}

export function readAt(fd: number, address: number, length: number): number {
  return result(calls.read(fd, address, length));
}

/** `address` is that of `count` struct iovec. */
export function writeVectorAt(fd: number, address: number, count: number): number {
  return result(calls.writev(fd, address, count));
}

/** `address` is that of a struct msghdr, or of a struct mmsghdr, which begins with one. */
export function sendMessageAt(fd: number, address: number, flags: number): number {
  return result(calls.sendmsg(fd, address, flags));
}

/** `address` is that of `count` struct mmsghdr; how many were sent. An error is told only where it is that of the first. */
export function sendMessagesAt(fd: number, address: number, count: number, flags: number): number {
  return result(calls.sendmmsg(fd, address, count, flags));
}

/** `address` is that of a struct msghdr, which is filled in; the length of the message. */
export function receiveMessageAt(fd: number, address: number, flags: number): number {
  return result(calls.recvmsg(fd, address, flags));
}

/** `address` is that of `count` struct mmsghdr, of which so many as it returns are filled in. */
export function receiveMessagesAt(fd: number, address: number, count: number, flags: number): number {
  return result(calls.recvmmsg(fd, address, count, flags, 0));
}

/** Waits until one of `count` struct pollfd has something, at most `timeoutMs`; how many have. */
export function pollAt(address: number, count: number, timeoutMs: number): number {
  return result(calls.poll(address, count, timeoutMs));
}

/**
 * How many datagrams the kernel dropped at this socket, modulo 2^32: the queue was full, the checksum wrong, a filter said so.
 * -errno where it does not tell (before Linux 4.12).
 */
export function droppedAtSocket(fd: number): number {
  const values = new Uint32Array(SK_MEMINFO_DROPS + 1);
  const code = result(calls.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, Uint32Array.of(values.byteLength)));
  return code < 0 ? code : (values[SK_MEMINFO_DROPS] as number);
}

/** A descriptor by which one thread wakes another that polls: eight bytes written make it readable. */
export function openEvent(): number {
  return result(calls.eventfd(0, EVENTFD_FLAGS));
}
