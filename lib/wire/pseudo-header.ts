// The pseudo-header that the checksums of TCP, UDP and ICMPv6 cover besides their own bytes (RFC 9293 section 3.1,
// RFC 8200 section 8.1): addresses, protocol, length. A sender that leaves the rest to hardware writes only this sum.

import { sumWords } from './checksum.ts';
import { IPV4, IPV4_LENGTH } from './ipv4.ts';
import { IPV6, IPV6_LENGTH } from './ipv6.ts';

/** Sum for a transport segment of `length` bytes in the IP packet at `at`; not folded, not complemented. */
export function pseudoHeaderSum(
  family: 4 | 6,
  bytes: Uint8Array,
  at: number,
  protocol: number,
  length: number,
): number {
  const start = at + (family === 4 ? IPV4.source : IPV6.source);
  const end = at + (family === 4 ? IPV4_LENGTH : IPV6_LENGTH);
  return sumWords(bytes, start, end, protocol + length);
}
