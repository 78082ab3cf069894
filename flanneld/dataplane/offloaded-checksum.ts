// Finishes transport checksums that a sender left to hardware that is not there.
//
// A kernel VXLAN device lets the inner checksum be filled in by the network card. Between two namespaces joined by a veth
// pair there is no card: the segment arrives with the sum of its pseudo-header only. Another kernel knows that from the
// packet's metadata; a UDP socket does not show it, and what is written to a TAP as it came would be dropped as corrupt.
//
// So a checksum that is exactly that sum is computed in full. A checksum that is right already, and by chance has that
// value too, comes out as it was; any other one is left alone, for the receiver to verify.

import type { Family } from '../../lib/net/address.ts';
import { readU16, writeU16 } from '../../lib/wire/bytes.ts';
import { foldSum, internetChecksum } from '../../lib/wire/checksum.ts';
import { IPV4, IPV4_FRAGMENT, ipv4HeaderLength, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { TCP, TCP_LENGTH } from '../../lib/wire/tcp.ts';
import { UDP, UDP_LENGTH } from '../../lib/wire/udp.ts';

/** Completes the checksum of the valid IP packet at `at` where it is TCP or UDP, whole, and waits for that. */
export function finishChecksum(family: Family, bytes: Uint8Array, at: number): void {
  const protocol = bytes[at + (family === 4 ? IPV4.protocol : IPV6.nextHeader)] as number;
  if (protocol !== PROTOCOL.tcp && protocol !== PROTOCOL.udp) return;
  if (family === 4 && (readU16(bytes, at + IPV4.fragment) & ~IPV4_FRAGMENT.dontFragment) !== 0) return;
  const headerLength = family === 4 ? ipv4HeaderLength(bytes, at) : IPV6_LENGTH;
  const total = family === 4 ? readU16(bytes, at + IPV4.totalLength) : ipv6TotalLength(bytes, at);
  const length = total - headerLength;
  if (length < (protocol === PROTOCOL.tcp ? TCP_LENGTH : UDP_LENGTH)) return;
  const field = at + headerLength + (protocol === PROTOCOL.tcp ? TCP.checksum : UDP.checksum);
  const pseudo = pseudoHeaderSum(family, bytes, at, protocol, length);
  if (readU16(bytes, field) !== foldSum(pseudo)) return;
  writeU16(bytes, field, 0);
  const checksum = internetChecksum(bytes, at + headerLength, at + total, pseudo);
  // RFC 768: a UDP checksum that comes out as zero is sent as all ones.
  writeU16(bytes, field, checksum === 0 && protocol === PROTOCOL.udp ? 0xffff : checksum);
}
