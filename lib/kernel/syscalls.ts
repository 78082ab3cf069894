// System calls, as typed functions: the only importer of koffi. No policy, no state, no text: callers know what they ask.
//
// Every function returns what the call returns, or the negated error number (-errno) where it failed; none throws.
// Buffers belong to the caller and are only used during the call. A call blocks the thread that makes it: give
// MSG.dontWait, or wait with `watchReadable`. Symbols come from the running process, so glibc and musl both serve.

import { endianness } from 'node:os';
import koffi from 'koffi';

export const AF_NETLINK = 16;
export const SOCK = { raw: 3, nonBlock: 0o4000, closeOnExec: 0o2000000 } as const;
export const MSG = { trunc: 0x20, dontWait: 0x40 } as const;

export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
/** SO_SNDBUF beyond net.core.wmem_max; needs CAP_NET_ADMIN. */
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUF = 8;
/** SO_RCVBUF beyond net.core.rmem_max; needs CAP_NET_ADMIN. */
export const SO_RCVBUFFORCE = 33;

/** struct sock_filter and struct sock_fprog of include/uapi/linux/filter.h. */
const SOCK_FILTER_LENGTH = 8;
const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;

/** Operations of flock(2). */
export const LOCK = { exclusive: 2, nonBlock: 4 } as const;

/** Flags of unshare(2) and setns(2). */
export const CLONE_NEWNET = 0x40000000;

type FilterProgram = { readonly len: number; readonly filter: Uint8Array };

/** The same call on a thread of its own; the callback comes from the event loop. */
type AsyncCall = { async(...args: [number, number, (error: unknown, value: number) => void]): void };

type IntFunction<Arguments extends readonly unknown[]> = (...args: Arguments) => number;

const libc = koffi.load(null);
const SOCK_FPROG = koffi.struct('gingham_sock_fprog', { len: 'uint16_t', filter: 'void *' });
// koffi knows no ssize_t; intptr_t has the same width.
const calls = {
  socket: libc.func('int socket(int domain, int type, int protocol)') as IntFunction<[number, number, number]>,
  bind: libc.func('int bind(int fd, const void *address, uint32_t length)') as IntFunction<
    [number, Uint8Array, number]
  >,
  getsockname: libc.func('int getsockname(int fd, void *address, void *length)') as IntFunction<
    [number, Uint8Array, Uint8Array]
  >,
  setsockopt: libc.func(
    'int setsockopt(int fd, int level, int option, const void *value, uint32_t length)',
  ) as IntFunction<[number, number, number, Uint8Array, number]>,
  attachFilter: libc.func(
    'int setsockopt(int fd, int level, int option, const gingham_sock_fprog *value, uint32_t length)',
  ) as IntFunction<[number, number, number, FilterProgram, number]>,
  send: libc.func('intptr_t send(int fd, const void *bytes, size_t length, int flags)') as IntFunction<
    [number, Uint8Array, number, number]
  >,
  recv: libc.func('intptr_t recv(int fd, void *bytes, size_t length, int flags)') as IntFunction<
    [number, Uint8Array, number, number]
  >,
  close: libc.func('int close(int fd)') as IntFunction<[number]>,
  unshare: libc.func('int unshare(int flags)') as IntFunction<[number]>,
  setns: libc.func('int setns(int fd, int type)') as IntFunction<[number, number]>,
  flock: libc.func('int flock(int fd, int operation)') as IntFunction<[number, number]> & AsyncCall,
};

/** A file descriptor. Closes on exec only where SOCK.closeOnExec is in `type`. */
export function socket(domain: number, type: number, protocol: number): number {
  return result(calls.socket(domain, type, protocol));
}

/** `address` is the whole `struct sockaddr_*`, its family included. */
export function bind(fd: number, address: Uint8Array): number {
  return result(calls.bind(fd, address, address.length));
}

/** Fills `address` with the socket's own address. Returns 0, not its length. */
export function getSocketName(fd: number, address: Uint8Array): number {
  return result(calls.getsockname(fd, address, int32(address.length)));
}

/** Sets an option whose value is a C int. */
export function setSocketOption(fd: number, level: number, option: number, value: number): number {
  return result(calls.setsockopt(fd, level, option, int32(value), 4));
}

/** Lets a classic BPF program (instructions of 8 bytes each) decide which datagrams the socket gets; replaces the one before. */
export function attachFilter(fd: number, filter: Uint8Array): number {
  const program = { len: filter.length / SOCK_FILTER_LENGTH, filter };
  return result(calls.attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, koffi.sizeof(SOCK_FPROG)));
}

/** The socket gets every datagram again. */
export function detachFilter(fd: number): number {
  return setSocketOption(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

/** Sends the first `length` bytes; the number sent. */
export function send(fd: number, bytes: Uint8Array, length: number, flags: number): number {
  return result(calls.send(fd, bytes, length, flags));
}

/** Receives one datagram; its length: with MSG.trunc the true one, even where `bytes` is too small for it. */
export function receive(fd: number, bytes: Uint8Array, flags: number): number {
  return result(calls.recv(fd, bytes, bytes.length, flags));
}

/** Closes a descriptor. Never call it twice: the number may be somebody else's by then. */
export function close(fd: number): number {
  return result(calls.close(fd));
}

/** Gives the calling thread (not the process) new namespaces. Child processes started from it are born in them. */
export function unshare(flags: number): number {
  return result(calls.unshare(flags));
}

/** Moves the calling thread into the namespace that `fd` refers to. */
export function enterNamespace(fd: number, type: number): number {
  return result(calls.setns(fd, type));
}

/** Takes or tries to take a lock on an open file, which the kernel gives back when the last holder of `fd` has ended. */
export function lockFile(fd: number, operation: number): number {
  return result(calls.flock(fd, operation));
}

/** Waits for the exclusive lock on a thread of its own. Resolves with 0, or a negative number where the call failed. */
export function waitForLock(fd: number): Promise<number> {
  return new Promise((resolve) => {
    calls.flock.async(fd, LOCK.exclusive, (error, value) => resolve(error === null ? value : -1));
  });
}

/**
 * Calls `callback` from the event loop whenever `fd` is readable or has an error to give, without a thread that waits.
 * The returned function ends it, and must be called before `fd` is closed. Keeps the process alive until then.
 */
export function watchReadable(fd: number, callback: () => void): () => void {
  let ended = false;
  let scheduled = false;
  // koffi calls outside of Node's callback scope: an exception would be lost there and promises would not go on. And
  // libuv stops watching a descriptor with an error (ENOBUFS is one), so that it must be started again once that is read.
  const onReady = (status: unknown): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (ended) return;
      try {
        callback();
      } finally {
        if (status !== 0 && !ended) handle.start({ readable: true }, onReady);
      }
    });
  };
  const handle = koffi.node.poll(fd, { readable: true }, onReady);
  return () => {
    ended = true;
    handle.close();
  };
}

/**
 * A function of the C library by its koffi prototype, for calls that one other file alone makes; wrap it in `result`.
 * Throws where the library has no such function.
 */
export function libcFunction<Arguments extends readonly unknown[]>(prototype: string): IntFunction<Arguments> {
  return libc.func(prototype) as IntFunction<Arguments>;
}

/** What a call returned, or the negated error number. Give it the value of the call itself: errno says something only right after it. */
export function result(value: number): number {
  return value >= 0 ? value : -koffi.errno();
}

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, endianness() === 'LE');
  return bytes;
}
