// The plane's own ICMP messages: whether one is due, and the frame that carries it back to the device. See plane-core.ts
// for where they come from.
//
// One buffer, used again for each message: what it holds is valid until `clear`. On a TAP the message is an Ethernet
// frame whose two MAC addresses are those of the frame that caused it, swapped.

import type { Family } from '../../lib/net/address.ts';
import { ETHERNET, ETHERNET_LENGTH, MAC_LENGTH } from '../../lib/wire/ethernet.ts';
import { type IcmpError, mayAnswerIpv4, writeIcmpError } from '../../lib/wire/icmp.ts';
import { ICMPV6_ERROR_MAX_LENGTH, type Icmpv6Error, mayAnswerIpv6, writeIcmpv6Error } from '../../lib/wire/icmpv6.ts';
import { IPV4 } from '../../lib/wire/ipv4.ts';
import { IPV6 } from '../../lib/wire/ipv6.ts';
import type { PlaneCounters } from './plane-counters.ts';
import { TokenBucket } from './token-bucket.ts';

/** As Linux by default (icmp_msgs_burst, icmp_msgs_per_sec). */
const BURST = 50;
const PER_SECOND = 1000;

export class IcmpReply {
  readonly #buffer: Uint8Array;
  readonly #linkHeaderLength: number;
  readonly #counters: PlaneCounters;
  readonly #limit = new TokenBucket(BURST, PER_SECOND);
  #length = 0;

  /** `linkHeaderLength` is `ETHERNET_LENGTH` for a TAP, 0 for a TUN. */
  constructor(counters: PlaneCounters, linkHeaderLength: number) {
    this.#counters = counters;
    this.#linkHeaderLength = linkHeaderLength;
    this.#buffer = new Uint8Array(linkHeaderLength + ICMPV6_ERROR_MAX_LENGTH);
  }

  /** The frame for the device, a view of the buffer; `undefined` where there is none. */
  get frame(): Uint8Array | undefined {
    return this.#length === 0 ? undefined : this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** No peer owns the destination of the packet at `at`. */
  unreachable(family: Family, bytes: Uint8Array, at: number, nowMs: number): void {
    if (family === 4) this.#write4({ kind: 'net-unreachable' }, bytes, at, nowMs);
    else this.#write6({ kind: 'no-route' }, bytes, at, nowMs);
  }

  /** The packet at `at` exceeds the tunnel's MTU. */
  tooBig(family: Family, bytes: Uint8Array, at: number, mtuBytes: number, nowMs: number): void {
    if (family === 4) this.#write4({ kind: 'fragmentation-needed', mtuBytes }, bytes, at, nowMs);
    else this.#write6({ kind: 'packet-too-big', mtuBytes }, bytes, at, nowMs);
  }

  /** The packet at `at` has no hop left. */
  ttlExceeded(family: Family, bytes: Uint8Array, at: number, nowMs: number): void {
    if (family === 4) this.#write4({ kind: 'ttl-exceeded' }, bytes, at, nowMs);
    else this.#write6({ kind: 'hop-limit-exceeded' }, bytes, at, nowMs);
  }

  #write4(error: IcmpError, bytes: Uint8Array, at: number, nowMs: number): void {
    if (!mayAnswerIpv4(bytes, at) || !this.#allowed(nowMs)) return;
    const source = bytes.subarray(at + IPV4.destination, at + IPV4.destination + 4);
    const written = writeIcmpError(error, source, bytes, at, this.#buffer, this.#linkHeaderLength);
    this.#finish(bytes, at, written);
  }

  #write6(error: Icmpv6Error, bytes: Uint8Array, at: number, nowMs: number): void {
    if (!mayAnswerIpv6(bytes, at) || !this.#allowed(nowMs)) return;
    const source = bytes.subarray(at + IPV6.destination, at + IPV6.destination + 16);
    const written = writeIcmpv6Error(error, source, bytes, at, this.#buffer, this.#linkHeaderLength);
    this.#finish(bytes, at, written);
  }

  #allowed(nowMs: number): boolean {
    const allowed = this.#limit.take(nowMs);
    if (allowed) this.#counters.icmpSent++;
    else this.#counters.icmpLimited++;
    return allowed;
  }

  #finish(bytes: Uint8Array, at: number, written: number): void {
    this.#length = this.#linkHeaderLength + written;
    if (this.#linkHeaderLength === 0) return;
    const frame = at - ETHERNET_LENGTH;
    this.#buffer.set(bytes.subarray(frame + ETHERNET.source, frame + ETHERNET.type), ETHERNET.destination);
    this.#buffer.set(bytes.subarray(frame, frame + MAC_LENGTH), ETHERNET.source);
    this.#buffer.set(bytes.subarray(frame + ETHERNET.type, at), ETHERNET.type);
  }
}
