// Puts consecutive UDP datagrams of one flow and one size together, for a kernel that takes them apart again (UDP GSO).
//
// Many small packets then cost one call and one way through the kernel's receive path. The kernel gives the datagrams to
// their socket one by one, as they were. What must hold, by the rules of Linux __udp_gso_segment: same addresses, ports,
// TOS, TTL; equal sizes but for a last one that is shorter; a checksum, and a right one, for the merged packet carries none
// that could tell a corrupt part; don't-fragment set, for the kernel numbers the identifications anew (RFC 6864 allows it).

import type { Family } from '../../lib/net/address.ts';
import { readI32, readU16, writeU16 } from '../../lib/wire/bytes.ts';
import { foldSum, internetChecksum, sumWords } from '../../lib/wire/checksum.ts';
import { IPV4, IPV4_FRAGMENT, IPV4_LENGTH, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { UDP, UDP_LENGTH } from '../../lib/wire/udp.ts';
import { COALESCE_LIMIT, sameWords } from './tcp-coalescer.ts';

const MAX_PACKET_BYTES = 65_535;

export class UdpCoalescer {
  /** Datagrams in the run; 0 where there is none. */
  count = 0;
  /** Where each datagram's payload is, and how long it is: the first `count` are valid. */
  readonly payloadAt = new Int32Array(COALESCE_LIMIT);
  readonly payloadLength = new Int32Array(COALESCE_LIMIT);
  /** Of the run: headers before the payload, and the IP header alone. */
  headerLength = 0;
  ipHeaderLength = 0;
  /** Payload of every datagram but the last. */
  segmentBytes = 0;
  family: Family = 4;
  #bytes: Uint8Array = new Uint8Array();
  #headAt = 0;
  #payloadBytes = 0;
  #isClosed = false;
  /** Payload of the datagram looked at last. */
  #dataLength = 0;

  /** Begins a new run with the valid IP packet at `at`. False where it is nothing to merge with; then there is no run. */
  begin(family: Family, bytes: Uint8Array, at: number): boolean {
    this.count = 0;
    if (!this.#isMergeable(family, bytes, at)) return false;
    this.family = family;
    this.#bytes = bytes;
    this.#headAt = at;
    this.ipHeaderLength = family === 4 ? IPV4_LENGTH : IPV6_LENGTH;
    this.headerLength = this.ipHeaderLength + UDP_LENGTH;
    this.segmentBytes = this.#dataLength;
    this.#payloadBytes = 0;
    this.#isClosed = false;
    this.#append(at);
    return true;
  }

  /** Adds the valid IP packet at `at`, in the same buffer. False where it does not belong to the run, which stays as it is. */
  add(family: Family, at: number): boolean {
    if (this.count === 0 || this.count === COALESCE_LIMIT || this.#isClosed || family !== this.family) return false;
    if (!this.#isSameFlow(at) || !this.#isMergeable(family, this.#bytes, at)) return false;
    if (this.#dataLength > this.segmentBytes) return false;
    if (this.headerLength + this.#payloadBytes + this.#dataLength > MAX_PACKET_BYTES) return false;
    this.#append(at);
    return true;
  }

  /** As `TcpCoalescer.writeHead`. */
  writeHead(into: Uint8Array, at: number): void {
    into.set(this.#bytes.subarray(this.#headAt, this.#headAt + this.headerLength), at);
    const length = UDP_LENGTH + this.#payloadBytes;
    if (this.family === 4) {
      writeU16(into, at + IPV4.totalLength, this.ipHeaderLength + length);
      writeU16(into, at + IPV4.checksum, 0);
      writeU16(into, at + IPV4.checksum, internetChecksum(into, at, at + this.ipHeaderLength));
    } else {
      writeU16(into, at + IPV6.payloadLength, length);
    }
    const udp = at + this.ipHeaderLength;
    writeU16(into, udp + UDP.length, length);
    writeU16(into, udp + UDP.checksum, foldSum(pseudoHeaderSum(this.family, into, at, PROTOCOL.udp, length)));
  }

  #append(at: number): void {
    this.payloadAt[this.count] = at + this.headerLength;
    this.payloadLength[this.count] = this.#dataLength;
    this.count++;
    this.#payloadBytes += this.#dataLength;
    this.#isClosed = this.#dataLength < this.segmentBytes;
  }

  /** A whole datagram with data, no IPv4 options, don't-fragment, lengths that agree, and a right checksum. */
  #isMergeable(family: Family, bytes: Uint8Array, at: number): boolean {
    const isV4 = family === 4;
    if (bytes[at + (isV4 ? IPV4.protocol : IPV6.nextHeader)] !== PROTOCOL.udp) return false;
    if (isV4 && (bytes[at] !== 0x45 || readU16(bytes, at + IPV4.fragment) !== IPV4_FRAGMENT.dontFragment)) return false;
    const ipLength = isV4 ? IPV4_LENGTH : IPV6_LENGTH;
    const length = (isV4 ? readU16(bytes, at + IPV4.totalLength) : ipv6TotalLength(bytes, at)) - ipLength;
    const udp = at + ipLength;
    if (length <= UDP_LENGTH || readU16(bytes, udp + UDP.length) !== length) return false;
    if (readU16(bytes, udp + UDP.checksum) === 0) return false;
    this.#dataLength = length - UDP_LENGTH;
    const pseudo = pseudoHeaderSum(family, bytes, at, PROTOCOL.udp, length);
    return foldSum(sumWords(bytes, udp, udp + length, pseudo)) === 0xffff;
  }

  #isSameFlow(at: number): boolean {
    const bytes = this.#bytes;
    const head = this.#headAt;
    if (this.family === 4) {
      return (
        bytes[at] === 0x45 &&
        bytes[at + IPV4.tos] === bytes[head + IPV4.tos] &&
        bytes[at + IPV4.ttl] === bytes[head + IPV4.ttl] &&
        // Source, destination, ports.
        sameWords(bytes, at, head, IPV4.source, IPV4_LENGTH + 4)
      );
    }
    return (
      readI32(bytes, at) === readI32(bytes, head) &&
      bytes[at + IPV6.hopLimit] === bytes[head + IPV6.hopLimit] &&
      sameWords(bytes, at, head, IPV6.source, IPV6_LENGTH + 4)
    );
  }
}
