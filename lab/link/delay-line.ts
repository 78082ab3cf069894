// What a link does to packets: loses some by a seed, holds the others for a while, never changes their order. Pure.
//
// Bounded as a real link's queue: what finds no room is lost and counted.

import { seeded } from '../run/seeded.ts';

const HELD_MAX = 10_000;

export class DelayLine<T> {
  readonly #delayMs: number;
  readonly #loss: number;
  readonly #dice: () => number;
  #held: { readonly item: T; readonly dueMs: number }[] = [];
  #next = 0;
  lost = 0;
  overflowed = 0;

  /** `lossPercent` from 0 to 100. */
  constructor(delayMs: number, lossPercent: number, seed: number) {
    this.#delayMs = delayMs;
    this.#loss = lossPercent / 100;
    this.#dice = seeded(seed);
  }

  add(item: T, nowMs: number): void {
    if (this.#dice() < this.#loss) this.lost++;
    else if (this.#held.length - this.#next >= HELD_MAX) this.overflowed++;
    else this.#held.push({ item, dueMs: nowMs + this.#delayMs });
  }

  /** The next item whose time has come, `undefined` where there is none. */
  take(nowMs: number): T | undefined {
    const first = this.#held[this.#next];
    if (first === undefined || first.dueMs > nowMs) return undefined;
    this.#next++;
    if (this.#next > HELD_MAX) {
      this.#held = this.#held.slice(this.#next);
      this.#next = 0;
    }
    return first.item;
  }

  /** Milliseconds until something is due; `undefined` while nothing is held. */
  waitMs(nowMs: number): number | undefined {
    const first = this.#held[this.#next];
    return first === undefined ? undefined : Math.max(0, first.dueMs - nowMs);
  }
}
