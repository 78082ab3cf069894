// Puts consecutive TCP segments of one flow together again, so that the kernel takes them as one large packet (GRO).
//
// Only what may be merged is merged, by the rules of Linux tcp_gro_receive: same addresses, ports, acknowledgment, window,
// options, TOS, TTL and don't-fragment; sequence and IPv4 identification that follow on; no flag but ACK, and PSH at the
// end; equal sizes, but for a last one that is shorter. The checksum of each segment is verified before: the merged packet
// carries none that could tell a corrupt part. Payload bytes stay where they are: what comes out is a list of them.

import type { Family } from '../../lib/net/address.ts';
import { readI32, readU16, readU32, writeU16 } from '../../lib/wire/bytes.ts';
import { foldSum, internetChecksum, sumWords } from '../../lib/wire/checksum.ts';
import { IPV4, IPV4_FRAGMENT, IPV4_LENGTH, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { TCP, TCP_FLAG, TCP_LENGTH, tcpHeaderLength } from '../../lib/wire/tcp.ts';

/** Segments in one packet: as many as UDP_SEGMENT and UDP_GRO take. */
export const COALESCE_LIMIT = 64;
const MAX_PACKET_BYTES = 65_535;

export class TcpCoalescer {
  /** Segments in the run; 0 where there is none. */
  count = 0;
  /** Where each segment's payload is, and how long it is: the first `count` are valid. */
  readonly payloadAt = new Int32Array(COALESCE_LIMIT);
  readonly payloadLength = new Int32Array(COALESCE_LIMIT);
  /** Of the run: headers before the payload, and the IP header alone. */
  headerLength = 0;
  ipHeaderLength = 0;
  /** Payload of every segment but the last. */
  segmentBytes = 0;
  family: Family = 4;
  #bytes: Uint8Array = new Uint8Array();
  #headAt = 0;
  #payloadBytes = 0;
  #nextSequence = 0;
  #lastFlags = 0;
  #isClosed = false;
  /** Of the segment looked at last. */
  #ipLength = 0;
  #tcpLength = 0;
  #dataLength = 0;

  /** Begins a new run with the valid IP packet at `at`. False where it is nothing to merge with; then there is no run. */
  begin(family: Family, bytes: Uint8Array, at: number): boolean {
    this.count = 0;
    if (!this.#isMergeable(family, bytes, at)) return false;
    this.family = family;
    this.#bytes = bytes;
    this.#headAt = at;
    this.ipHeaderLength = this.#ipLength;
    this.headerLength = this.#ipLength + this.#tcpLength;
    this.segmentBytes = this.#dataLength;
    this.#payloadBytes = 0;
    this.#nextSequence = readU32(bytes, at + this.#ipLength + TCP.sequence);
    this.#isClosed = false;
    this.#append(at);
    return true;
  }

  /** Adds the valid IP packet at `at`, in the same buffer. False where it does not belong to the run, which stays as it is. */
  add(family: Family, at: number): boolean {
    if (this.count === 0 || this.count === COALESCE_LIMIT || this.#isClosed || family !== this.family) return false;
    if (!this.#isMergeable(family, this.#bytes, at) || !this.#follows(at)) return false;
    this.#append(at);
    return true;
  }

  /**
   * Writes the headers of the merged packet at `at`: lengths, flags, and for a transport checksum the sum of the
   * pseudo-header, which VIRTIO_NET_HDR_F_NEEDS_CSUM tells the kernel to expect. `headerLength` bytes.
   */
  writeHead(into: Uint8Array, at: number): void {
    into.set(this.#bytes.subarray(this.#headAt, this.#headAt + this.headerLength), at);
    const segmentLength = this.headerLength - this.ipHeaderLength + this.#payloadBytes;
    if (this.family === 4) {
      writeU16(into, at + IPV4.totalLength, this.ipHeaderLength + segmentLength);
      writeU16(into, at + IPV4.checksum, 0);
      writeU16(into, at + IPV4.checksum, internetChecksum(into, at, at + this.ipHeaderLength));
    } else {
      writeU16(into, at + IPV6.payloadLength, segmentLength);
    }
    const tcp = at + this.ipHeaderLength;
    into[tcp + TCP.flags] = this.#lastFlags;
    const pseudo = pseudoHeaderSum(this.family, into, at, PROTOCOL.tcp, segmentLength);
    writeU16(into, tcp + TCP.checksum, foldSum(pseudo));
  }

  #append(at: number): void {
    const flags = this.#bytes[at + this.#ipLength + TCP.flags] as number;
    this.payloadAt[this.count] = at + this.headerLength;
    this.payloadLength[this.count] = this.#dataLength;
    this.count++;
    this.#payloadBytes += this.#dataLength;
    this.#nextSequence = (this.#nextSequence + this.#dataLength) >>> 0;
    this.#lastFlags = flags;
    this.#isClosed = this.#dataLength < this.segmentBytes || (flags & TCP_FLAG.psh) !== 0;
  }

  /** A whole TCP segment with data, plain flags, no IPv4 options and a right checksum. */
  #isMergeable(family: Family, bytes: Uint8Array, at: number): boolean {
    if (bytes[at + (family === 4 ? IPV4.protocol : IPV6.nextHeader)] !== PROTOCOL.tcp) return false;
    if (family === 4 && bytes[at] !== 0x45) return false;
    if (family === 4 && (readU16(bytes, at + IPV4.fragment) & ~IPV4_FRAGMENT.dontFragment) !== 0) return false;
    this.#ipLength = family === 4 ? IPV4_LENGTH : IPV6_LENGTH;
    const total = family === 4 ? readU16(bytes, at + IPV4.totalLength) : ipv6TotalLength(bytes, at);
    const tcp = at + this.#ipLength;
    if (total <= this.#ipLength + TCP_LENGTH) return false;
    this.#tcpLength = tcpHeaderLength(bytes, tcp);
    this.#dataLength = total - this.#ipLength - this.#tcpLength;
    if (this.#tcpLength < TCP_LENGTH || this.#dataLength < 1) return false;
    if (((bytes[tcp + TCP.flags] as number) & ~TCP_FLAG.psh) !== TCP_FLAG.ack) return false;
    const pseudo = pseudoHeaderSum(family, bytes, at, PROTOCOL.tcp, total - this.#ipLength);
    return foldSum(sumWords(bytes, tcp, at + total, pseudo)) === 0xffff;
  }

  #follows(at: number): boolean {
    const bytes = this.#bytes;
    const head = this.#headAt;
    if (this.#ipLength + this.#tcpLength !== this.headerLength || this.#dataLength > this.segmentBytes) return false;
    if (this.headerLength + this.#payloadBytes + this.#dataLength > MAX_PACKET_BYTES) return false;
    if (readU32(bytes, at + this.#ipLength + TCP.sequence) !== this.#nextSequence) return false;
    if (this.family === 4) {
      const expectedId = (readU16(bytes, head + IPV4.identification) + this.count) & 0xffff;
      if (readU16(bytes, at + IPV4.identification) !== expectedId) return false;
      if (bytes[at + IPV4.tos] !== bytes[head + IPV4.tos] || bytes[at + IPV4.ttl] !== bytes[head + IPV4.ttl])
        return false;
      if (readU16(bytes, at + IPV4.fragment) !== readU16(bytes, head + IPV4.fragment)) return false;
      if (!sameWords(bytes, at, head, IPV4.source, IPV4_LENGTH)) return false;
    } else if (
      !sameWords(bytes, at, head, 0, IPV6.payloadLength) ||
      bytes[at + IPV6.hopLimit] !== bytes[head + IPV6.hopLimit] ||
      !sameWords(bytes, at, head, IPV6.source, IPV6_LENGTH)
    ) {
      return false;
    }
    const [a, b] = [at + this.#ipLength, head + this.#ipLength];
    return (
      readI32(bytes, a) === readI32(bytes, b) &&
      readI32(bytes, a + TCP.acknowledgment) === readI32(bytes, b + TCP.acknowledgment) &&
      readU16(bytes, a + TCP.window) === readU16(bytes, b + TCP.window) &&
      sameWords(bytes, a, b, TCP_LENGTH, this.#tcpLength)
    );
  }
}

/** Whether bytes [from, to) after `a` and after `b` agree; both are multiples of 4. */
export function sameWords(bytes: Uint8Array, a: number, b: number, from: number, to: number): boolean {
  for (let i = from; i < to; i += 4) if (readI32(bytes, a + i) !== readI32(bytes, b + i)) return false;
  return true;
}
