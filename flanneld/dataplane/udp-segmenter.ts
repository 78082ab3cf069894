// Cuts one large UDP packet into the datagrams that it stands for, as a network card does for the kernel (USO).
//
// Where it comes from: a program that sends with UDP_SEGMENT through a device that takes such packets whole. Every datagram
// has the same size, but for a last one that is shorter. Each gets lengths, IPv4 identification and checksums of its own
// (Linux __udp_gso_segment does the same). Payload bytes are read where they are; only headers are written.

import type { Family } from '../../lib/net/address.ts';
import { readU16, writeU16 } from '../../lib/wire/bytes.ts';
import { foldSum, sumWords } from '../../lib/wire/checksum.ts';
import { IPV4, IPV4_FRAGMENT, ipv4HeaderLength, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { UDP, UDP_LENGTH } from '../../lib/wire/udp.ts';

export class UdpSegmenter {
  /** IP and UDP headers of each datagram, bytes, and the IP header alone. */
  headerLength = 0;
  ipHeaderLength = 0;
  /** The current datagram's payload, in the buffer given to `begin`. */
  payloadAt = 0;
  payloadLength = 0;
  #bytes: Uint8Array = new Uint8Array();
  #at = 0;
  #family: Family = 4;
  #end = 0;
  #maxPayload = 0;
  #identification = 0;
  /** Of the IPv4 header without length, identification and checksum; of pseudo-header and ports. */
  #ipSum = 0;
  #udpSum = 0;

  /** Begins with the valid IP packet at `at`. False where it is not UDP, is a fragment, or cannot be cut. */
  begin(family: Family, bytes: Uint8Array, at: number, segmentBytes: number): boolean {
    if (bytes[at + (family === 4 ? IPV4.protocol : IPV6.nextHeader)] !== PROTOCOL.udp) return false;
    if (family === 4 && (readU16(bytes, at + IPV4.fragment) & ~IPV4_FRAGMENT.dontFragment) !== 0) return false;
    const ipLength = family === 4 ? ipv4HeaderLength(bytes, at) : IPV6_LENGTH;
    const total = family === 4 ? readU16(bytes, at + IPV4.totalLength) : ipv6TotalLength(bytes, at);
    this.headerLength = ipLength + UDP_LENGTH;
    if (this.headerLength >= total || segmentBytes < 1) return false;
    this.ipHeaderLength = ipLength;
    this.#bytes = bytes;
    this.#at = at;
    this.#family = family;
    this.#end = at + total;
    this.#maxPayload = segmentBytes;
    this.#identification = family === 4 ? readU16(bytes, at + IPV4.identification) : 0;
    this.payloadAt = at + this.headerLength;
    this.payloadLength = 0;
    const udp = at + ipLength;
    if (family === 4) {
      this.#ipSum = sumWords(bytes, at, udp) - total - this.#identification - readU16(bytes, at + IPV4.checksum);
    }
    this.#udpSum = pseudoHeaderSum(family, bytes, at, PROTOCOL.udp, 0) + sumWords(bytes, udp, udp + UDP.length);
    return true;
  }

  /** As `TcpSegmenter.next`. */
  next(into: Uint8Array, intoAt: number, before = 0): boolean {
    const payloadAt = this.payloadAt + this.payloadLength;
    if (payloadAt >= this.#end) return false;
    this.payloadAt = payloadAt;
    this.payloadLength = Math.min(this.#maxPayload, this.#end - payloadAt);
    const from = this.#at - before;
    const to = this.#at + this.headerLength;
    if (into === this.#bytes) into.copyWithin(intoAt - before, from, to);
    else into.set(this.#bytes.subarray(from, to), intoAt - before);
    const length = UDP_LENGTH + this.payloadLength;
    if (this.#family === 4) {
      const totalLength = this.ipHeaderLength + length;
      writeU16(into, intoAt + IPV4.totalLength, totalLength);
      writeU16(into, intoAt + IPV4.identification, this.#identification);
      writeU16(into, intoAt + IPV4.checksum, ~foldSum(this.#ipSum + totalLength + this.#identification));
      this.#identification = (this.#identification + 1) & 0xffff;
    } else {
      writeU16(into, intoAt + IPV6.payloadLength, length);
    }
    const udp = intoAt + this.ipHeaderLength;
    writeU16(into, udp + UDP.length, length);
    // The length counts twice: in the header and in the pseudo-header.
    const sum = sumWords(this.#bytes, payloadAt, payloadAt + this.payloadLength, this.#udpSum + 2 * length);
    // RFC 768: a checksum that comes out as zero is sent as all ones, for zero means that there is none.
    writeU16(into, udp + UDP.checksum, ~foldSum(sum) & 0xffff || 0xffff);
    return true;
  }
}
