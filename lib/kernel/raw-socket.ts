// IPv4 sockets below UDP and TCP (raw(7)): one protocol, whole payloads out, whole packets with their header in.
//
// The kernel writes the outer header (source, identification, checksum, fragments where the path needs them) and puts
// fragments together before it hands a packet over. Needs CAP_NET_RAW. As in syscalls.ts: a result or -errno, no throw.

import { bind, close, libcFunction, result, SOCK, SOL_SOCKET, setSocketOption, socket } from './syscalls.ts';

const AF_INET = 2;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const MSG_DONTWAIT = 0x40;

/** struct sockaddr_in; the port means nothing here. */
const SOCKADDR = { family: 0, address: 4, length: 16 } as const;

const calls = {
  sendto: libcFunction<[number, Uint8Array, number, number, Uint8Array, number]>(
    'intptr_t sendto(int fd, const void *bytes, size_t length, int flags, const void *address, uint32_t size)',
  ),
  recv: libcFunction<[number, Uint8Array, number, number]>(
    'intptr_t recv(int fd, void *bytes, size_t length, int flags)',
  ),
};

/** The bytes of struct sockaddr_in for these four address bytes. */
export function rawSocketAddress(address: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(SOCKADDR.length);
  // In the machine's own order, which is little endian wherever gingham runs.
  bytes[SOCKADDR.family] = AF_INET;
  bytes.set(address, SOCKADDR.address);
  return bytes;
}

/**
 * A non-blocking descriptor for the IP protocol, bound to the local address (four bytes), so that it gets only what is
 * sent there. `bufferBytes` is asked for in both directions; without the privilege the default has to do.
 */
export function openRawSocket(protocol: number, localAddress: Uint8Array, bufferBytes: number): number {
  const fd = socket(AF_INET, SOCK.raw | SOCK.nonBlock | SOCK.closeOnExec, protocol);
  if (fd < 0) return fd;
  setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bufferBytes);
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes);
  const code = bind(fd, rawSocketAddress(localAddress));
  if (code >= 0) return fd;
  close(fd);
  return code;
}

/** DSCP and ECN of what is sent from now on. 0 or -errno. */
export function setTypeOfService(fd: number, tos: number): number {
  return setSocketOption(fd, IPPROTO_IP, IP_TOS, tos);
}

/** Sends the bytes as the payload of one packet; `address` is from `rawSocketAddress`. */
export function sendRaw(fd: number, bytes: Uint8Array, address: Uint8Array): number {
  return result(calls.sendto(fd, bytes, bytes.length, MSG_DONTWAIT, address, address.length));
}

/** One packet with its IP header; its length, -EAGAIN where there is none. */
export function receiveRaw(fd: number, bytes: Uint8Array): number {
  return result(calls.recv(fd, bytes, bytes.length, MSG_DONTWAIT));
}
