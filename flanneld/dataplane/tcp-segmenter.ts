// Cuts one large TCP packet into segments that fit a link, as a network card does for the kernel (TSO).
//
// Where large ones come from: a kernel VXLAN device leaves the cutting to the card as well. Between two namespaces there
// is no card, and one datagram arrives with up to 64 KiB inside, of which no bridge or route would let pass a byte more
// than its MTU. Payload bytes are read where they are; only headers are written.
//
// What differs from segment to segment (Linux tcp_gso_segment does the same): sequence number and IPv4 identification
// count on; FIN and PSH belong to the last one, CWR to the first one; lengths and checksums are each segment's own.

import type { Family } from '../../lib/net/address.ts';
import { readU16, readU32, writeU16, writeU32 } from '../../lib/wire/bytes.ts';
import { foldSum, sumWords } from '../../lib/wire/checksum.ts';
import { IPV4, IPV4_FRAGMENT, ipv4HeaderLength, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { TCP, TCP_FLAG, TCP_LENGTH, tcpHeaderLength } from '../../lib/wire/tcp.ts';

const LAST_ONLY = TCP_FLAG.fin | TCP_FLAG.psh;
/** A packet with one of these is never large; cutting it would repeat what must be said once. */
const NEVER_CUT = TCP_FLAG.syn | TCP_FLAG.rst | TCP_FLAG.urg;

export class TcpSegmenter {
  /** IP and TCP headers of each segment, bytes, and the IP header alone. */
  headerLength = 0;
  ipHeaderLength = 0;
  /** Length of the whole packet, without padding behind it. */
  totalLength = 0;
  /** The current segment's payload, in the buffer given to `begin`. */
  payloadAt = 0;
  payloadLength = 0;
  #bytes: Uint8Array = new Uint8Array();
  #at = 0;
  #family: Family = 4;
  #end = 0;
  #maxPayload = 0;
  #sequence = 0;
  #identification = 0;
  #flags = 0;
  #isFirst = true;
  /** Of the IPv4 header without length, identification and checksum; of pseudo-header and TCP header without the rest. */
  #ipSum = 0;
  #tcpSum = 0;

  /**
   * Begins with the valid IP packet at `at`, to be cut into packets of at most `mtuBytes`, or of `segmentBytes` of payload
   * where that is given. False where it is not TCP, is a fragment, or cannot be cut; then nothing else may be called.
   */
  begin(family: Family, bytes: Uint8Array, at: number, mtuBytes: number, segmentBytes?: number): boolean {
    if (bytes[at + (family === 4 ? IPV4.protocol : IPV6.nextHeader)] !== PROTOCOL.tcp) return false;
    if (family === 4 && (readU16(bytes, at + IPV4.fragment) & ~IPV4_FRAGMENT.dontFragment) !== 0) return false;
    const ipLength = family === 4 ? ipv4HeaderLength(bytes, at) : IPV6_LENGTH;
    const total = family === 4 ? readU16(bytes, at + IPV4.totalLength) : ipv6TotalLength(bytes, at);
    if (total < ipLength + TCP_LENGTH) return false;
    const tcp = at + ipLength;
    this.headerLength = ipLength + tcpHeaderLength(bytes, tcp);
    this.#flags = bytes[tcp + TCP.flags] as number;
    this.#maxPayload = segmentBytes ?? mtuBytes - this.headerLength;
    if (this.headerLength < ipLength + TCP_LENGTH || this.headerLength >= total) return false;
    if (this.#maxPayload < 1 || (this.#flags & NEVER_CUT) !== 0) return false;
    this.totalLength = total;
    this.#bytes = bytes;
    this.#at = at;
    this.#family = family;
    this.ipHeaderLength = ipLength;
    this.#end = at + total;
    this.#sequence = readU32(bytes, tcp + TCP.sequence);
    this.#identification = family === 4 ? readU16(bytes, at + IPV4.identification) : 0;
    this.#isFirst = true;
    this.payloadAt = at + this.headerLength;
    this.payloadLength = 0;
    this.#sumHeaders();
    return true;
  }

  /**
   * Writes the headers of the next segment at `intoAt`, and before them a copy of the `before` bytes that stand before the
   * packet; its payload is at `payloadAt`. False where there is none left.
   */
  next(into: Uint8Array, intoAt: number, before = 0): boolean {
    const payloadAt = this.payloadAt + this.payloadLength;
    if (payloadAt >= this.#end) return false;
    const remaining = this.#end - payloadAt;
    this.payloadAt = payloadAt;
    this.payloadLength = Math.min(remaining, this.#maxPayload);
    const from = this.#at - before;
    const to = this.#at + this.headerLength;
    if (into === this.#bytes) into.copyWithin(intoAt - before, from, to);
    else into.set(this.#bytes.subarray(from, to), intoAt - before);
    const segmentLength = this.headerLength - this.ipHeaderLength + this.payloadLength;
    if (this.#family === 4) this.#finishIpv4(into, intoAt, this.ipHeaderLength + segmentLength);
    else writeU16(into, intoAt + IPV6.payloadLength, segmentLength);
    this.#finishTcp(into, intoAt, segmentLength);
    this.#sequence = (this.#sequence + this.payloadLength) >>> 0;
    this.#identification = (this.#identification + 1) & 0xffff;
    this.#isFirst = false;
    return true;
  }

  /** Sums of what all segments have in common, so that each adds only what is its own. */
  #sumHeaders(): void {
    const bytes = this.#bytes;
    const at = this.#at;
    const tcp = at + this.ipHeaderLength;
    if (this.#family === 4) {
      const own = this.totalLength + this.#identification + readU16(bytes, at + IPV4.checksum);
      this.#ipSum = sumWords(bytes, at, tcp) - own;
    }
    const own =
      readU16(bytes, tcp + TCP.sequence) +
      readU16(bytes, tcp + TCP.sequence + 2) +
      this.#flags +
      readU16(bytes, tcp + TCP.checksum);
    const pseudo = pseudoHeaderSum(this.#family, bytes, at, PROTOCOL.tcp, 0);
    this.#tcpSum = sumWords(bytes, tcp, at + this.headerLength, pseudo) - own;
  }

  #finishIpv4(into: Uint8Array, at: number, totalLength: number): void {
    writeU16(into, at + IPV4.totalLength, totalLength);
    writeU16(into, at + IPV4.identification, this.#identification);
    writeU16(into, at + IPV4.checksum, ~foldSum(this.#ipSum + totalLength + this.#identification));
  }

  #finishTcp(into: Uint8Array, at: number, segmentLength: number): void {
    const tcp = at + this.ipHeaderLength;
    const sequence = this.#sequence;
    const isLast = this.payloadAt + this.payloadLength >= this.#end;
    let flags = this.#flags;
    if (!isLast) flags &= ~LAST_ONLY;
    if (!this.#isFirst) flags &= ~TCP_FLAG.cwr;
    into[tcp + TCP.flags] = flags;
    writeU32(into, tcp + TCP.sequence, sequence);
    const own = segmentLength + (sequence >>> 16) + (sequence & 0xffff) + flags;
    const all = sumWords(this.#bytes, this.payloadAt, this.payloadAt + this.payloadLength, this.#tcpSum + own);
    writeU16(into, tcp + TCP.checksum, ~foldSum(all));
  }
}
