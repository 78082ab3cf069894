// What a probe remembers: when each packet left, and what came in. Plain growing arrays, handed over as base64.
//
// Bounded by a count; what finds no room is counted, never silently forgotten.

import type { ProbeReport } from './probe-messages.ts';

/** A quarter of an hour at 1 kHz: 15 MB. */
const PACKETS_MAX = 1_000_000;
const FIRST_ROOM = 8_192;

/** Times of sending, by packet number. */
export class SentList {
  #times = new Float64Array(FIRST_ROOM);
  count = 0;

  get isFull(): boolean {
    return this.count === PACKETS_MAX;
  }

  add(atUs: number): void {
    if (this.count === this.#times.length) {
      const wider = new Float64Array(this.#times.length * 2);
      wider.set(this.#times);
      this.#times = wider;
    }
    this.#times[this.count++] = atUs;
  }

  text(): string {
    return base64(this.#times.subarray(0, this.count));
  }
}

/** Packets in order of arrival. */
export class HeardList {
  #room = FIRST_ROOM;
  #flow = new Uint16Array(FIRST_ROOM);
  #seq = new Uint32Array(FIRST_ROOM);
  #at = new Float64Array(FIRST_ROOM);
  #ttl = new Uint8Array(FIRST_ROOM);
  count = 0;
  unrecorded = 0;

  add(flow: number, seq: number, atUs: number, ttl: number): void {
    if (this.count === PACKETS_MAX) {
      this.unrecorded++;
      return;
    }
    if (this.count === this.#room) this.#widen();
    const at = this.count++;
    this.#flow[at] = flow;
    this.#seq[at] = seq;
    this.#at[at] = atUs;
    this.#ttl[at] = ttl;
  }

  texts(): ProbeReport['heard'] {
    const { count } = this;
    return {
      flow: base64(this.#flow.subarray(0, count)),
      seq: base64(this.#seq.subarray(0, count)),
      atUs: base64(this.#at.subarray(0, count)),
      ttl: base64(this.#ttl.subarray(0, count)),
    };
  }

  #widen(): void {
    this.#room *= 2;
    const [flow, seq, at, ttl] = [this.#flow, this.#seq, this.#at, this.#ttl];
    this.#flow = new Uint16Array(this.#room);
    this.#seq = new Uint32Array(this.#room);
    this.#at = new Float64Array(this.#room);
    this.#ttl = new Uint8Array(this.#room);
    this.#flow.set(flow);
    this.#seq.set(seq);
    this.#at.set(at);
    this.#ttl.set(ttl);
  }
}

function base64(part: { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly byteLength: number }) {
  return Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString('base64');
}
