// Virtual time: events in order of their instant, and the clocks of simulated processes, each with its own rate and offset.
//
// Events of one instant run in the order in which they were planned. Nothing here waits for a real second; promises that
// an event resolves run right after it where it says so (`awaits`), so that a run is the same each time.

import type { Clock } from '../../lib/run/clock.ts';

/** Instants are milliseconds of true time since the start of the run. */
interface Planned {
  readonly atMs: number;
  readonly order: number;
  /** `undefined` once it was taken back. */
  run: (() => void) | undefined;
  readonly awaits: boolean;
}

/** A chain of promises this long is through before the next event. */
const PROMISE_TURNS = 12;
/** Between two turns of the real event loop: whoever runs the simulator stays responsive. */
const REAL_TURN_EVENTS = 5_000;

const EPOCH_UNIX_US = 1_700_000_000_000_000n;

/** How long one turn of a simulated event loop takes, milliseconds: what arrives within it is dealt with together. */
export const TURN_MS = 0.1;

export class VirtualTime {
  readonly #heap: Planned[] = [];
  #nowMs = 0;
  #order = 0;
  #events = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events so far. */
  get events(): number {
    return this.#events;
  }

  /** Plans something; the returned function takes it back. */
  at(atMs: number, run: () => void, awaits = false): () => void {
    const planned: Planned = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, run, awaits };
    this.#push(planned);
    return () => {
      planned.run = undefined;
    };
  }

  /** Runs all that is due up to `endMs`, promises included. */
  async run(endMs: number): Promise<void> {
    await settle();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      next.run?.();
      if (next.awaits) await settle();
      if (this.#events % REAL_TURN_EVENTS === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    this.#nowMs = endMs;
  }

  /** As `run`, where nothing that runs has promises. */
  runSync(endMs: number): void {
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) next.run?.();
    this.#nowMs = endMs;
  }

  #next(endMs: number): Planned | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.atMs > endMs) return undefined;
      this.#pop();
      if (first.run === undefined) continue;
      this.#nowMs = first.atMs;
      this.#events++;
      return first;
    }
  }

  #push(planned: Planned): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Planned;
      if (!isBefore(planned, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = planned;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Planned;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Planned, heap[child] as Planned)) child++;
      if (!isBefore(heap[child] as Planned, last)) break;
      heap[at] = heap[child] as Planned;
      at = child;
    }
    heap[at] = last;
  }
}

/** A process of a simulated node: once dead nothing of it runs, while it is stalled all of it waits. */
export class SimProcess {
  readonly #time: VirtualTime;
  #alive = true;
  #stalledUntilMs = 0;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** The event loop stood still until then, or still does. */
  get stalledUntilMs(): number {
    return this.#stalledUntilMs;
  }

  kill(): void {
    this.#alive = false;
  }

  stall(durationMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#time.nowMs + durationMs);
  }

  /** Runs something that happens to it. A loop that wakes up fires its timers first and reads what arrived after that. */
  run(callback: () => void, isTimer: boolean): void {
    if (!this.#alive) return;
    if (this.#stalledUntilMs <= this.#time.nowMs) {
      callback();
      return;
    }
    const againMs = this.#stalledUntilMs + (isTimer ? 0 : TURN_MS);
    this.#time.at(againMs, () => this.run(callback, isTimer), true);
  }
}

/** How a node's clocks differ from true time. */
export interface Skew {
  /** Of both clocks: 1.01 is one percent fast. */
  readonly rate: number;
  /** Reading of the monotonic clock at the start of the run, milliseconds. */
  readonly monotonicMs: number;
  /** Of the wall clock; may jump. */
  wallOffsetMs: number;
}

export interface ClockSettings {
  /** What runs by this clock resolves promises. */
  readonly awaits: boolean;
  readonly turnMs: number;
}

/** The clock that a process of a node has. */
export function clockOf(
  time: VirtualTime,
  process: SimProcess,
  skew: Skew,
  { awaits, turnMs }: ClockSettings = { awaits: true, turnMs: TURN_MS },
): Clock {
  let waiting: (() => void)[] = [];
  const later = (delayMs: number, callback: () => void): (() => void) =>
    time.at(time.nowMs + Math.max(0, delayMs) / skew.rate, () => process.run(callback, true), awaits);
  return {
    monotonicMs: () => skew.monotonicMs + time.nowMs * skew.rate,
    unixMicros: () => EPOCH_UNIX_US + BigInt(Math.round((skew.wallOffsetMs + time.nowMs * skew.rate) * 1000)),
    after(delayMs, callback) {
      let cancelled = false;
      const takeBack = later(delayMs, () => {
        if (!cancelled) callback();
      });
      return () => {
        cancelled = true;
        takeBack();
      };
    },
    // As setImmediate: all that waits for the turn runs in it, what these ask for in the one after.
    nextTurn(callback) {
      waiting.push(callback);
      if (waiting.length > 1) return;
      later(turnMs, () => {
        const callbacks = waiting;
        waiting = [];
        for (const each of callbacks) each();
      });
    },
  };
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < PROMISE_TURNS; turn++) await Promise.resolve();
}
