// DSCP and ECN of an IP header, and what becomes of them at both ends of a tunnel (RFC 6040, RFC 3168).
//
//   0   1   2   3   4   5   6   7
//  +-----------------------+-------+      IPv4: the second byte
//  |         DSCP          |  ECN  |      IPv6: the traffic class, in the low half of the first and the high half of the
//  +-----------------------+-------+            second byte
//
// Going in, the outer header gets both fields of the inner one (normal mode, RFC 6040 section 4.1). Coming out, the inner
// DSCP stays and the two ECN fields are combined. Headers here are valid; nothing throws.

import type { Family } from '../net/address.ts';
import { readU16, writeU16 } from './bytes.ts';
import { IPV4 } from './ipv4.ts';

/** Values of the ECN field. `notCapable`: the transport would not understand a mark, so that routers drop instead. */
export const ECN = { notCapable: 0, capable1: 1, capable0: 2, congestion: 3 } as const;
const ECN_MASK = 3;

/** What `combineEcn` gives where the packet must not go on. */
export const ECN_DROP = -1;

/** RFC 6040 figure 4, by inner (rows) and outer field (columns): 0, ECT(1), ECT(0), CE. */
const COMBINED: readonly number[] = [
  ...[ECN.notCapable, ECN.notCapable, ECN.notCapable, ECN_DROP],
  ...[ECN.capable1, ECN.capable1, ECN.capable1, ECN.congestion],
  ...[ECN.capable0, ECN.capable1, ECN.capable0, ECN.congestion],
  ...[ECN.congestion, ECN.congestion, ECN.congestion, ECN.congestion],
];

/** DSCP and ECN of the packet at `at`, one byte: what the outer header gets. */
export function readTos(family: Family, bytes: Uint8Array, at: number): number {
  return family === 4 ? (bytes[at + IPV4.tos] as number) : (readU16(bytes, at) >> 4) & 0xff;
}

/** The ECN field that a packet has after the tunnel (RFC 6040 section 4.2), or `ECN_DROP`. Each may be a whole TOS byte. */
export function combineEcn(innerTos: number, outerTos: number): number {
  return COMBINED[(innerTos & ECN_MASK) * 4 + (outerTos & ECN_MASK)] as number;
}

/** Replaces the ECN field of the packet at `at`; of an IPv4 header the checksum follows (RFC 1624 section 3). */
export function writeEcn(family: Family, ecn: number, bytes: Uint8Array, at: number): void {
  if (family === 6) {
    bytes[at + 1] = ((bytes[at + 1] as number) & ~(ECN_MASK << 4)) | (ecn << 4);
    return;
  }
  const before = readU16(bytes, at);
  const after = (before & ~ECN_MASK) | ecn;
  const sum = (~readU16(bytes, at + IPV4.checksum) & 0xffff) + (~before & 0xffff) + after;
  const folded = (sum & 0xffff) + (sum >> 16);
  writeU16(bytes, at, after);
  writeU16(bytes, at + IPV4.checksum, ~((folded & 0xffff) + (folded >> 16)));
}
