// UDP sockets whose packets come from the next hop or are dropped by the kernel: TTL 255 out, nothing less than 255 in (GTSM).
//
// dgram gives no TTL and sets no minimum, but takes a descriptor that is bound already (`bind({ fd })`): this makes one.
// Sources: ip(7), ipv6(7), RFC 5082 section 3, linux/in.h, linux/in6.h. As in syscalls.ts: a result or -errno, no throw.

import { endianness } from 'node:os';
import { type Address, addressBytes, familyOf } from '../net/address.ts';
import { bind, close, SOCK, setSocketOption, socket } from './syscalls.ts';

const AF = { 4: 2, 6: 10 } as const;
const SOCK_DGRAM = 2;
const TTL_MAX = 255;
/** DSCP CS6, network control (RFC 4594 section 3.1). */
const TRAFFIC_CLASS = 0xc0;

/** Level, and the options for sending TTL, least TTL and traffic class; for IPv6 also: no IPv4 on this socket. */
const OPTIONS = {
  4: { level: 0, ttl: 2, minimumTtl: 21, trafficClass: 1 },
  6: { level: 41, ttl: 16, minimumTtl: 73, trafficClass: 67 },
} as const;
const IPV6_V6ONLY = 26;

/**
 * A non-blocking UDP descriptor bound to the address and port. `leastTtl`: packets below it are dropped by the kernel, 0
 * for no such limit.
 */
export function openDatagramSocket(address: Address, port: number, leastTtl: number): number {
  const family = familyOf(address);
  const { level, ttl, minimumTtl, trafficClass } = OPTIONS[family];
  const fd = socket(AF[family], SOCK_DGRAM | SOCK.nonBlock | SOCK.closeOnExec, 0);
  if (fd < 0) return fd;
  const codes = [
    setSocketOption(fd, level, ttl, TTL_MAX),
    setSocketOption(fd, level, trafficClass, TRAFFIC_CLASS),
    leastTtl === 0 ? 0 : setSocketOption(fd, level, minimumTtl, leastTtl),
    family === 4 ? 0 : setSocketOption(fd, level, IPV6_V6ONLY, 1),
    bind(fd, socketAddress(address, port)),
  ];
  const failed = codes.find((code) => code < 0);
  if (failed === undefined) return fd;
  close(fd);
  return failed;
}

/** struct sockaddr_in or sockaddr_in6: the family in the machine's order, the port in the network's. */
function socketAddress(address: Address, port: number): Uint8Array {
  const family = familyOf(address);
  const bytes = new Uint8Array(family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF[family], endianness() === 'LE');
  view.setUint16(2, port);
  bytes.set(addressBytes(address), family === 4 ? 4 : 8);
  return bytes;
}
