// A number that all packets of one inner flow share, and few others: which outer source port they leave from, so that the
// underlay can spread flows over its links and keeps each in order (RFC 7348 section 5, RFC 6438 for the idea).

import { readI32, readU16 } from '../../lib/wire/bytes.ts';
import { IPV4, IPV4_FRAGMENT, ipv4HeaderLength, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH } from '../../lib/wire/ipv6.ts';

const IS_FRAGMENT = IPV4_FRAGMENT.moreFragments | IPV4_FRAGMENT.offsetMask;
/** Odd, with bits all over: the golden ratio in 32 bits. */
const SPREAD = 0x9e3779b1;

/** Of the valid IP packet at `at` by addresses, and ports where it has them; 0 for what is no IP. At least 0, 32 bits. */
export function flowHash(bytes: Uint8Array, at: number): number {
  const version = (bytes[at] as number) >> 4;
  let hash: number;
  let ports: number;
  let protocol: number;
  if (version === 4) {
    hash = readI32(bytes, at + IPV4.source) ^ Math.imul(readI32(bytes, at + IPV4.destination), SPREAD);
    // Later fragments have no ports: then no fragment shows any.
    protocol = (readU16(bytes, at + IPV4.fragment) & IS_FRAGMENT) === 0 ? (bytes[at + IPV4.protocol] as number) : 0;
    ports = at + ipv4HeaderLength(bytes, at);
  } else if (version === 6) {
    hash = 0;
    for (let i = IPV6.source; i < IPV6_LENGTH; i += 4) hash = Math.imul(hash, SPREAD) ^ readI32(bytes, at + i);
    protocol = bytes[at + IPV6.nextHeader] as number;
    ports = at + IPV6_LENGTH;
  } else {
    return 0;
  }
  if (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp) hash ^= Math.imul(readI32(bytes, ports), SPREAD);
  // The low bits are what is used: the high ones are mixed in.
  hash = Math.imul(hash ^ (hash >>> 15), SPREAD);
  return (hash ^ (hash >>> 16)) >>> 0;
}
