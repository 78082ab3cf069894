// When a key that the kernel refused, or that somebody else keeps overwriting, may be written again. Pure but for the
// clock's number; it sets no timers: `nextAtMs` says when to look again.
//
// Refused: retried with growing delays, a bounded number of times, then given up until the next resync. A refusal is
// about a value: another value for the key is tried at once. Overwritten: repaired at once the first few times, then ever
// more slowly, so that two writers who disagree do not spin.

import type { KernelFailure } from '../../lib/kernel/kernel.ts';
import { type Backoff, backoffDelayMs } from '../../lib/run/backoff.ts';

const REFUSED: Backoff = { firstMs: 100, capMs: 10_000 };
const ATTEMPTS_MAX = 8;

const OVERWRITTEN: Backoff = { firstMs: 250, capMs: 5_000 };
const REPAIRS_AT_ONCE = 10;
/** A key that was left alone for this long starts anew. */
const PEACE_MS = 60_000;

/** One refusal, for logs and `/status`. */
export interface Refusal<V> {
  readonly failure: KernelFailure;
  readonly attempts: number;
  /** The value that was refused; `undefined` for a deletion. */
  readonly value: V | undefined;
  /** `Infinity` once it is given up until the next resync. */
  readonly notBeforeMs: number;
}

interface Contention {
  count: number;
  lastMs: number;
  notBeforeMs: number;
}

export class Retries<K, V> {
  readonly #same: (a: V, b: V) => boolean;
  readonly #refusals = new Map<K, Refusal<V>>();
  readonly #contentions = new Map<K, Contention>();

  constructor(same: (a: V, b: V) => boolean) {
    this.#same = same;
  }

  /** Every key that the kernel refuses at present. */
  get refusals(): ReadonlyMap<K, Refusal<V>> {
    return this.#refusals;
  }

  /** The kernel refused to write this value, or with `undefined` to delete. */
  refused(key: K, value: V | undefined, failure: KernelFailure, nowMs: number): void {
    const before = this.#refusals.get(key);
    const attempts = before !== undefined && this.#isSame(before.value, value) ? before.attempts + 1 : 1;
    const delayMs = attempts >= ATTEMPTS_MAX ? Number.POSITIVE_INFINITY : backoffDelayMs(REFUSED, attempts - 1);
    this.#refusals.set(key, { failure, attempts, value, notBeforeMs: nowMs + delayMs });
  }

  /** The kernel took it, or it is not wanted any more. */
  settled(key: K): void {
    if (this.#refusals.size > 0) this.#refusals.delete(key);
  }

  /** Somebody else changed what is ours. */
  overwritten(key: K, nowMs: number): void {
    const before = this.#contentions.get(key);
    const count = before === undefined || nowMs - before.lastMs > PEACE_MS ? 1 : before.count + 1;
    const over = count - REPAIRS_AT_ONCE;
    const delayMs = over <= 0 ? 0 : backoffDelayMs(OVERWRITTEN, over - 1);
    this.#contentions.set(key, { count, lastMs: nowMs, notBeforeMs: nowMs + delayMs });
  }

  /** Whether the key may be written with this value now; `undefined` for a deletion. */
  mayWrite(key: K, value: V | undefined, nowMs: number): boolean {
    if (this.#contentions.size === 0 && this.#refusals.size === 0) return true;
    const contention = this.#contentions.get(key);
    if (contention !== undefined && contention.notBeforeMs > nowMs) return false;
    const refusal = this.#refusals.get(key);
    return refusal === undefined || !this.#isSame(refusal.value, value) || refusal.notBeforeMs <= nowMs;
  }

  /** A resync: what was given up is tried once more, and what is long at peace is forgotten. */
  renew(nowMs: number): void {
    for (const [key, refusal] of this.#refusals) {
      if (refusal.notBeforeMs === Number.POSITIVE_INFINITY) this.#refusals.set(key, { ...refusal, notBeforeMs: nowMs });
    }
    for (const [key, { lastMs }] of this.#contentions) if (nowMs - lastMs > PEACE_MS) this.#contentions.delete(key);
  }

  /** Earliest moment after `nowMs` at which a key may be written again; `undefined` where none waits. */
  nextAtMs(nowMs: number): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const waiting of [this.#refusals, this.#contentions]) {
      for (const { notBeforeMs } of waiting.values()) {
        if (notBeforeMs > nowMs && notBeforeMs < next) next = notBeforeMs;
      }
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  #isSame(a: V | undefined, b: V | undefined): boolean {
    return a === undefined || b === undefined ? a === b : this.#same(a, b);
  }
}
