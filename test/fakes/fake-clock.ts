// A clock that moves only when a test says so: time is a number, timers fire in order of their deadline.
//
// It starts at 1,000,000 ms so that a forgotten zero is visible. Timers of the same deadline fire in the order in which
// they were set; a timer set by a callback fires in the same `advance` where its deadline lies inside it. Promises that a
// callback resolves run only after `advance` returns: use `advanceAsync` where the code under test awaits.

import type { Clock } from '../../lib/run/clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

const START_MS = 1_000_000;
const START_UNIX_US = 1_700_000_000_000_000n;

export class FakeClock implements Clock {
  #nowMs = START_MS;
  readonly #timers = new Set<Timer>();

  monotonicMs(): number {
    return this.#nowMs;
  }

  unixMicros(): bigint {
    return START_UNIX_US + BigInt(Math.round((this.#nowMs - START_MS) * 1000));
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** A real turn: a test that waits for it uses `advanceAsync`. */
  nextTurn(callback: () => void): void {
    setImmediate(callback);
  }

  /** Moves time on by `durationMs`, firing on the way what is due. */
  advance(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      const next = this.#earliest();
      if (next === undefined || next.dueMs > endMs) break;
      this.#fire(next);
    }
    this.#nowMs = endMs;
  }

  /** Time goes on and nothing fires: a process that was stopped. What became due fires late, at the next `advance`. */
  stall(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  /** As `advance`, and lets pending promises run before it, between timers and after it. */
  async advanceAsync(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settle();
    for (;;) {
      const next = this.#earliest();
      if (next === undefined || next.dueMs > endMs) break;
      this.#fire(next);
      await settle();
    }
    this.#nowMs = endMs;
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the earliest timer; `undefined` where none is set. */
  get nextDelayMs(): number | undefined {
    const next = this.#earliest();
    return next === undefined ? undefined : next.dueMs - this.#nowMs;
  }

  #earliest(): Timer | undefined {
    let earliest: Timer | undefined;
    for (const timer of this.#timers) {
      if (earliest === undefined || timer.dueMs < earliest.dueMs) earliest = timer;
    }
    return earliest;
  }

  #fire(timer: Timer): void {
    this.#timers.delete(timer);
    this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
    timer.callback();
  }
}

/** Lets every promise that is ready run: one turn of the event loop. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
