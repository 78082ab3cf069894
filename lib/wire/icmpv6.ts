// ICMPv6 error messages (RFC 4443 sections 2 and 3), as a router makes them.
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +---------------+---------------+-------------------------------+
//  |     type      |     code      |           checksum            |
//  +---------------+---------------+-------------------------------+
//  |                    unused, or MTU (type 2)                    |
//  +---------------------------------------------------------------+
//  |  the packet that caused it, as much as fits into 1,280 bytes  |
//
// The checksum covers a pseudo-header too (RFC 8200 section 8.1). Nothing here throws.

import { writeU16, writeU32 } from './bytes.ts';
import { internetChecksum } from './checksum.ts';
import { PROTOCOL } from './ipv4.ts';
import { findUpperLayer, IPV6, IPV6_LENGTH, IPV6_MINIMUM_MTU, ipv6TotalLength, isIpv6Host, writeIpv6 } from './ipv6.ts';
import { pseudoHeaderSum } from './pseudo-header.ts';

export const ICMPV6 = { type: 0, code: 1, checksum: 2, mtuBytes: 4, quote: 8 } as const;

export type Icmpv6Error =
  | { readonly kind: 'no-route' }
  | { readonly kind: 'packet-too-big'; readonly mtuBytes: number }
  | { readonly kind: 'hop-limit-exceeded' };

/** RFC 4443 section 2.4 c: an error never exceeds the minimum IPv6 MTU. */
export const ICMPV6_ERROR_MAX_LENGTH = IPV6_MINIMUM_MTU;

const HOP_LIMIT = 64;
const TYPE_AND_CODE = { 'no-route': [1, 0], 'packet-too-big': [2, 0], 'hop-limit-exceeded': [3, 0] } as const;

/** RFC 4443 section 2.1: types below this are errors. RFC 4443 section 2.4 e.2 adds the redirect. */
const FIRST_INFORMATIONAL_TYPE = 128;
const TYPE_REDIRECT = 137;

/**
 * Whether an error may be sent about this valid IPv6 packet (RFC 4443 section 2.4 e): not about an ICMPv6 error or a
 * redirect, not where source or destination is no single host; and, stricter than the RFC, not about a later fragment
 * or a packet whose headers cannot be walked, because nobody can tell what those are.
 */
export function mayAnswerIpv6(bytes: Uint8Array, at: number): boolean {
  if (!isIpv6Host(bytes, at + IPV6.source) || !isIpv6Host(bytes, at + IPV6.destination)) return false;
  const upper = findUpperLayer(bytes, at);
  if (upper === undefined || upper.laterFragment) return false;
  if (upper.protocol !== PROTOCOL.icmpv6) return true;
  if (upper.offset >= ipv6TotalLength(bytes, at)) return false;
  const type = bytes[at + upper.offset] as number;
  return type >= FIRST_INFORMATIONAL_TYPE && type !== TYPE_REDIRECT;
}

/**
 * Writes, at `at`, the whole IPv6 packet that carries `error` about the packet at `culpritAt`; gives its length, at most
 * `ICMPV6_ERROR_MAX_LENGTH`. It goes to the culprit's source, from `source` (sixteen bytes).
 */
export function writeIcmpv6Error(
  error: Icmpv6Error,
  source: Uint8Array,
  culprit: Uint8Array,
  culpritAt: number,
  into: Uint8Array,
  at: number,
): number {
  const quoted = Math.min(ipv6TotalLength(culprit, culpritAt), ICMPV6_ERROR_MAX_LENGTH - IPV6_LENGTH - ICMPV6.quote);
  const payloadLength = ICMPV6.quote + quoted;
  const destination = culprit.subarray(culpritAt + IPV6.source, culpritAt + IPV6.source + 16);
  writeIpv6({ payloadLength, nextHeader: PROTOCOL.icmpv6, hopLimit: HOP_LIMIT, source, destination }, into, at);
  const icmp = at + IPV6_LENGTH;
  const end = icmp + payloadLength;
  const [type, code] = TYPE_AND_CODE[error.kind];
  into[icmp + ICMPV6.type] = type;
  into[icmp + ICMPV6.code] = code;
  writeU16(into, icmp + ICMPV6.checksum, 0);
  writeU32(into, icmp + ICMPV6.mtuBytes, error.kind === 'packet-too-big' ? error.mtuBytes : 0);
  into.set(culprit.subarray(culpritAt, culpritAt + quoted), icmp + ICMPV6.quote);
  writeU16(
    into,
    icmp + ICMPV6.checksum,
    internetChecksum(into, icmp, end, pseudoHeaderSum(6, into, at, PROTOCOL.icmpv6, payloadLength)),
  );
  return IPV6_LENGTH + payloadLength;
}
