// ICMP error messages for IPv4 (RFC 792, RFC 1191, RFC 1812 section 4.3), as a router makes them.
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +---------------+---------------+-------------------------------+
//  |     type      |     code      |           checksum            |
//  +---------------+---------------+-------------------------------+
//  |            unused             |  next-hop MTU (type 3 code 4) |
//  +-------------------------------+-------------------------------+
//  |  the packet that caused it: header, and as much as fits       |
//
// Whether a packet may be answered at all is `mayAnswerIpv4`. Nothing here throws.

import { readU16, writeU16, writeU32 } from './bytes.ts';
import { internetChecksum } from './checksum.ts';
import { IPV4, IPV4_LENGTH, ipv4HeaderLength, isIpv4Host, isLaterIpv4Fragment, PROTOCOL, writeIpv4 } from './ipv4.ts';

export const ICMP = { type: 0, code: 1, checksum: 2, mtuBytes: 6, quote: 8 } as const;

export type IcmpError =
  | { readonly kind: 'net-unreachable' }
  | { readonly kind: 'fragmentation-needed'; readonly mtuBytes: number }
  | { readonly kind: 'ttl-exceeded' };

/** RFC 1812 section 4.3.2.3: an error quotes as much as it can without growing beyond 576 bytes. */
export const ICMP_ERROR_MAX_LENGTH = 576;

/** RFC 1812 section 4.3.2.5: errors carry precedence 6, internetwork control. */
const TOS_INTERNETWORK_CONTROL = 0xc0;
const TTL = 64;

const TYPE_AND_CODE = {
  'net-unreachable': [3, 0],
  'fragmentation-needed': [3, 4],
  'ttl-exceeded': [11, 0],
} as const;

/** Types that are themselves errors (RFC 1122 section 3.2.2): unreachable, source quench, redirect, time exceeded, parameter problem. */
const ERROR_TYPES: readonly number[] = [3, 4, 5, 11, 12];

/**
 * Whether an error may be sent about this valid IPv4 packet (RFC 1812 section 4.3.2.7): not about an ICMP error, not
 * about a later fragment, not where source or destination is no single host.
 */
export function mayAnswerIpv4(bytes: Uint8Array, at: number): boolean {
  if (!isIpv4Host(bytes, at + IPV4.source) || !isIpv4Host(bytes, at + IPV4.destination)) return false;
  if (isLaterIpv4Fragment(bytes, at)) return false;
  if (bytes[at + IPV4.protocol] !== PROTOCOL.icmp) return true;
  const headerLength = ipv4HeaderLength(bytes, at);
  if (readU16(bytes, at + IPV4.totalLength) <= headerLength) return false;
  return !ERROR_TYPES.includes(bytes[at + headerLength] as number);
}

/**
 * Writes, at `at`, the whole IPv4 packet that carries `error` about the packet at `culpritAt`; gives its length, at most
 * `ICMP_ERROR_MAX_LENGTH`. It goes to the culprit's source, from `source` (four bytes).
 */
export function writeIcmpError(
  error: IcmpError,
  source: Uint8Array,
  culprit: Uint8Array,
  culpritAt: number,
  into: Uint8Array,
  at: number,
): number {
  const culpritLength = readU16(culprit, culpritAt + IPV4.totalLength);
  const quoted = Math.min(culpritLength, ICMP_ERROR_MAX_LENGTH - IPV4_LENGTH - ICMP.quote);
  const totalLength = IPV4_LENGTH + ICMP.quote + quoted;
  const destination = culprit.subarray(culpritAt + IPV4.source, culpritAt + IPV4.source + 4);
  const header = { tos: TOS_INTERNETWORK_CONTROL, totalLength, ttl: TTL, protocol: PROTOCOL.icmp, source, destination };
  writeIpv4(header, into, at);
  const icmp = at + IPV4_LENGTH;
  const [type, code] = TYPE_AND_CODE[error.kind];
  into[icmp + ICMP.type] = type;
  into[icmp + ICMP.code] = code;
  writeU16(into, icmp + ICMP.checksum, 0);
  writeU32(into, icmp + 4, error.kind === 'fragmentation-needed' ? error.mtuBytes : 0);
  into.set(culprit.subarray(culpritAt, culpritAt + quoted), icmp + ICMP.quote);
  writeU16(into, icmp + ICMP.checksum, internetChecksum(into, icmp, at + totalLength));
  return totalLength;
}
