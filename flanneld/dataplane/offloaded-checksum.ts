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
import { foldSum, sumWords } from '../../lib/wire/checksum.ts';
import { IPV4, IPV4_FRAGMENT, ipv4HeaderLength, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { TCP, TCP_LENGTH } from '../../lib/wire/tcp.ts';
import { UDP, UDP_LENGTH } from '../../lib/wire/udp.ts';

/** What says of an IPv4 packet that it is a fragment. */
const FRAGMENT = IPV4_FRAGMENT.moreFragments | IPV4_FRAGMENT.offsetMask;

/** Completes the checksum of the valid IP packet at `at` where it is TCP or UDP, whole, and waits for that. */
export function finishChecksum(family: Family, bytes: Uint8Array, at: number): void {
  const field = checksumField(family, bytes, at);
  if (field < 0 || !isWaiting(family, bytes, at, field)) return;
  writeU16(bytes, field, 0);
  const checksum = ~foldSum(transportSum(family, bytes, at)) & 0xffff;
  // RFC 768: a UDP checksum that comes out as zero is sent as all ones; for TCP the two mean the same.
  writeU16(bytes, field, checksum || 0xffff);
}

/**
 * Whether the TCP packet at `at` may get new checksums: its own is right, or waits to be completed. Else a new one would
 * hide that the packet is corrupt.
 */
export function mayRenewChecksum(family: Family, bytes: Uint8Array, at: number): boolean {
  const field = checksumField(family, bytes, at);
  if (field < 0) return false;
  return isWaiting(family, bytes, at, field) || foldSum(transportSum(family, bytes, at)) === 0xffff;
}

/** Where the checksum of the whole TCP or UDP segment in the packet is; -1 where there is none. */
function checksumField(family: Family, bytes: Uint8Array, at: number): number {
  const protocol = protocolOf(family, bytes, at);
  if (protocol !== PROTOCOL.tcp && protocol !== PROTOCOL.udp) return -1;
  if (family === 4 && (readU16(bytes, at + IPV4.fragment) & FRAGMENT) !== 0) return -1;
  const headerLength = headerLengthOf(family, bytes, at);
  const length = totalLengthOf(family, bytes, at) - headerLength;
  if (protocol === PROTOCOL.tcp) return length < TCP_LENGTH ? -1 : at + headerLength + TCP.checksum;
  return length < UDP_LENGTH ? -1 : at + headerLength + UDP.checksum;
}

function isWaiting(family: Family, bytes: Uint8Array, at: number, field: number): boolean {
  return readU16(bytes, field) === foldSum(pseudoSum(family, bytes, at));
}

function transportSum(family: Family, bytes: Uint8Array, at: number): number {
  const start = at + headerLengthOf(family, bytes, at);
  return sumWords(bytes, start, at + totalLengthOf(family, bytes, at), pseudoSum(family, bytes, at));
}

function pseudoSum(family: Family, bytes: Uint8Array, at: number): number {
  const length = totalLengthOf(family, bytes, at) - headerLengthOf(family, bytes, at);
  return pseudoHeaderSum(family, bytes, at, protocolOf(family, bytes, at), length);
}

function protocolOf(family: Family, bytes: Uint8Array, at: number): number {
  return bytes[at + (family === 4 ? IPV4.protocol : IPV6.nextHeader)] as number;
}

function headerLengthOf(family: Family, bytes: Uint8Array, at: number): number {
  return family === 4 ? ipv4HeaderLength(bytes, at) : IPV6_LENGTH;
}

function totalLengthOf(family: Family, bytes: Uint8Array, at: number): number {
  return family === 4 ? readU16(bytes, at + IPV4.totalLength) : ipv6TotalLength(bytes, at);
}
