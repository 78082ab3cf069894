// The IPv4 header (RFC 791 section 3.1).
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-------+-------+---------------+-------------------------------+
//  |version|  IHL  |    DSCP / ECN |          total length         |
//  +-------+-------+---------------+-----+-------------------------+
//  |         identification        |flags|     fragment offset     |
//  +---------------+---------------+-----+-------------------------+
//  |      TTL      |   protocol    |        header checksum        |
//  +---------------+---------------+-------------------------------+
//  |                source address, destination address            |
//
// `faultOfIpv4` must have said `undefined` before any other function here may be trusted. Nothing here throws.

import { readU16, writeU16 } from './bytes.ts';
import { foldSum, internetChecksum, sumWords } from './checksum.ts';

export const IPV4 = {
  versionAndLength: 0,
  tos: 1,
  totalLength: 2,
  identification: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
} as const;

/** Length of a header without options. */
export const IPV4_LENGTH = 20;

/** In the field at `IPV4.fragment`. */
export const IPV4_FRAGMENT = { dontFragment: 0x4000, moreFragments: 0x2000, offsetMask: 0x1fff } as const;

/** Assigned protocol numbers, both families. */
export const PROTOCOL = { icmp: 1, ipv4: 4, tcp: 6, udp: 17, ipv6: 41, icmpv6: 58 } as const;

/** Which family is inside, by the outer protocol: IPv4 (RFC 2003), IPv6 (RFC 4213 section 3.5). */
export const TUNNELLED_FAMILY: ReadonlyMap<number, 4 | 6> = new Map([
  [PROTOCOL.ipv4, 4],
  [PROTOCOL.ipv6, 6],
]);

export type Ipv4Fault = 'truncated' | 'version' | 'header-length' | 'total-length' | 'checksum';

/** What an IPv4 header of ours says; the rest is fixed: version 4, no options, not fragmented (RFC 6864: id may be 0). */
export interface Ipv4Header {
  readonly tos: number;
  /** Header and payload, bytes. */
  readonly totalLength: number;
  readonly ttl: number;
  readonly protocol: number;
  /** Four bytes each. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** Why the `length` bytes at `at` are no IPv4 packet (RFC 1812 section 5.2.2), or `undefined`. Padding behind it is allowed. */
export function faultOfIpv4(bytes: Uint8Array, at: number, length: number): Ipv4Fault | undefined {
  if (length < IPV4_LENGTH) return 'truncated';
  if ((bytes[at] as number) >> 4 !== 4) return 'version';
  const headerLength = ipv4HeaderLength(bytes, at);
  if (headerLength < IPV4_LENGTH || headerLength > length) return 'header-length';
  const totalLength = readU16(bytes, at + IPV4.totalLength);
  if (totalLength < headerLength || totalLength > length) return 'total-length';
  return foldSum(sumWords(bytes, at, at + headerLength)) === 0xffff ? undefined : 'checksum';
}

/** Length of the header with its options, bytes. */
export function ipv4HeaderLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) & 0x0f) * 4;
}

/** Whether this is a fragment other than the first one: it has no transport header. */
export function isLaterIpv4Fragment(bytes: Uint8Array, at: number): boolean {
  return (readU16(bytes, at + IPV4.fragment) & IPV4_FRAGMENT.offsetMask) !== 0;
}

/** Whether the source is one host that can be answered (RFC 1812 section 4.3.2.7): not 0/8, 127/8, multicast or above. */
export function isIpv4Host(bytes: Uint8Array, at: number): boolean {
  const first = bytes[at] as number;
  return first !== 0 && first !== 127 && first < 224;
}

/** Writes a header of `IPV4_LENGTH` bytes at `at`, checksum included. */
export function writeIpv4(header: Ipv4Header, into: Uint8Array, at: number): void {
  into[at + IPV4.versionAndLength] = 0x45;
  into[at + IPV4.tos] = header.tos;
  writeU16(into, at + IPV4.totalLength, header.totalLength);
  writeU16(into, at + IPV4.identification, 0);
  writeU16(into, at + IPV4.fragment, IPV4_FRAGMENT.dontFragment);
  into[at + IPV4.ttl] = header.ttl;
  into[at + IPV4.protocol] = header.protocol;
  writeU16(into, at + IPV4.checksum, 0);
  into.set(header.source, at + IPV4.source);
  into.set(header.destination, at + IPV4.destination);
  writeU16(into, at + IPV4.checksum, internetChecksum(into, at, at + IPV4_LENGTH));
}
