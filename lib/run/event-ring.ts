// The last events of this process, for whoever joins what several daemons did: log lines and changes of a feed.
//
// Bounded: the oldest make room, and how many did is told. A reader that comes back names the number that it has seen, so
// that a loss shows. Stamps are CLOCK_MONOTONIC, which all processes of a machine share and no clock change moves.

/** About a minute of a node that flaps; some 500 KB. */
export const EVENTS_MAX = 2_000;

export interface RingEvent {
  /** From 1, without gaps. */
  readonly seq: number;
  /** Microseconds of CLOCK_MONOTONIC. */
  readonly atUs: number;
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class EventRing {
  readonly #limit: number;
  readonly #nowUs: () => number;
  readonly #events: RingEvent[] = [];
  #count = 0;

  constructor(limit = EVENTS_MAX, nowUs: () => number = monotonicUs) {
    this.#limit = limit;
    this.#nowUs = nowUs;
  }

  record(kind: string, fields: Readonly<Record<string, unknown>>, atUs = this.#nowUs()): void {
    this.#count++;
    if (this.#events.length === this.#limit) this.#events.shift();
    this.#events.push({ seq: this.#count, atUs, kind, fields });
  }

  /**
   * JSON lines: first `{"last", "dropped", "atUs"}` (the newest number, how many of those asked for are gone, now), then
   * every event whose number is above `since`, oldest first.
   */
  lines(since: number): string {
    const oldest = this.#count - this.#events.length;
    const head = { last: this.#count, dropped: Math.max(0, oldest - since), atUs: this.#nowUs() };
    const events = this.#events.slice(Math.max(0, since - oldest));
    return [head, ...events].map((line) => `${JSON.stringify(line, plain)}\n`).join('');
  }
}

/** The events of this process: a process is one daemon. */
export const EVENTS = new EventRing();

/** Microseconds of CLOCK_MONOTONIC. */
export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

/** A stamp of this process's wall clock as CLOCK_MONOTONIC microseconds. */
export function monotonicOf(unixUs: bigint): number {
  const agoUs = Math.round((performance.timeOrigin + performance.now()) * 1_000) - Number(unixUs);
  return monotonicUs() - agoUs;
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  return value instanceof Error ? value.message : value;
}
