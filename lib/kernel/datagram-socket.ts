// UDP sockets for packets that must not have come from further away than so many routers: TTL 255 out, and a filter that
// drops what arrives with less than a least TTL (GTSM, RFC 5082 section 3).
//
// dgram gives no TTL and takes no filter, but takes a descriptor that is bound already (`bind({ fd })`): this makes one.
// Sources: ip(7), ipv6(7), linux/in.h, linux/in6.h, linux/filter.h. As in syscalls.ts: a result or -errno, no throw.
//
// The confusing thing: IP_MINTTL and IPV6_MINHOPCOUNT, which are made for this, are looked at by TCP alone.

import { endianness } from 'node:os';
import { type Address, addressBytes, type Family, familyOf } from '../net/address.ts';
import { DROP, encodeProgram, OP, WHOLE } from './filter-program.ts';
import {
  attachFilter,
  bind,
  close,
  libcFunction,
  result,
  SOCK,
  SOL_SOCKET,
  setSocketOption,
  socket,
} from './syscalls.ts';

const AF = { 4: 2, 6: 10 } as const;
const SOCK_DGRAM = 2;
const TTL_MAX = 255;
/** DSCP CS6, network control (RFC 4594 section 3.1). */
const TRAFFIC_CLASS = 0xc0;

/** Level, and the options for sending TTL and traffic class; for IPv6 also: no IPv4 on this socket. */
const OPTIONS = {
  4: { level: 0, ttl: 2, trafficClass: 1 },
  6: { level: 41, ttl: 16, trafficClass: 67 },
} as const;
const IPV6_V6ONLY = 26;

/** Base of offsets from the IP header, where a filter of a UDP socket otherwise counts from the UDP header. */
const SKF_NET_OFF = -0x10_0000;
/** Where TTL or hop limit is in the IP header. */
const TTL_OFFSET = { 4: 8, 6: 7 } as const;

/** SO_MEMINFO gives SK_MEMINFO_VARS numbers of 32 bits, of which SK_MEMINFO_DROPS is the last (linux/sock_diag.h). */
const SO_MEMINFO = 55;
const MEMINFO_LENGTH = 9 * 4;
const MEMINFO_DROPS = 8 * 4;

const getSocketOption = libcFunction<[number, number, number, Uint8Array, Uint8Array]>(
  'int getsockopt(int fd, int level, int option, void *value, void *length)',
);

/**
 * A non-blocking UDP descriptor bound to the address and port. `leastTtl`: packets below it are dropped by the kernel, 0
 * for no such limit.
 */
export function openDatagramSocket(address: Address, port: number, leastTtl: number): number {
  const family = familyOf(address);
  const { level, ttl, trafficClass } = OPTIONS[family];
  const fd = socket(AF[family], SOCK_DGRAM | SOCK.nonBlock | SOCK.closeOnExec, 0);
  if (fd < 0) return fd;
  const codes = [
    setSocketOption(fd, level, ttl, TTL_MAX),
    setSocketOption(fd, level, trafficClass, TRAFFIC_CLASS),
    leastTtl === 0 ? 0 : attachFilter(fd, ttlFilter(family, leastTtl)),
    family === 4 ? 0 : setSocketOption(fd, level, IPV6_V6ONLY, 1),
    bind(fd, socketAddress(address, port)),
  ];
  const failed = codes.find((code) => code < 0);
  if (failed === undefined) return fd;
  close(fd);
  return failed;
}

/** Datagrams that the kernel dropped at this socket so far: by its filter, or for want of room. -errno where it cannot say. */
export function droppedDatagrams(fd: number): number {
  const values = new Uint8Array(MEMINFO_LENGTH);
  const view = new DataView(values.buffer);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setInt32(0, MEMINFO_LENGTH, endianness() === 'LE');
  const code = result(getSocketOption(fd, SOL_SOCKET, SO_MEMINFO, values, length));
  return code < 0 ? code : view.getUint32(MEMINFO_DROPS, endianness() === 'LE');
}

/** Takes what has at least this TTL, or hop limit. */
function ttlFilter(family: Family, leastTtl: number): Uint8Array {
  return encodeProgram([
    [OP.loadByte, 0, 0, SKF_NET_OFF + TTL_OFFSET[family]],
    [OP.jumpIfAtLeast, 0, 1, leastTtl],
    [OP.return, 0, 0, WHOLE],
    [OP.return, 0, 0, DROP],
  ]);
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
