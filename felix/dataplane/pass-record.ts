// What one pass of the reconciler did, and why: counts, time, and the causes whose effect is now in the FIB, each with
// its latency by stage. Not how it is shown (metrics.ts, status.ts).
//
//   detected ---rib---> decided ---feed---> received ---kernel---> programmed
//   (on some node)      (sender)            (here)                 (here)
//
// The confusing thing: the first two stamps are of other processes, perhaps of another node whose clock is off. A
// negative stage is shown as 0.

import type { Cause } from '../../lib/feed/feed.ts';
import type { Clock } from '../../lib/run/clock.ts';
import type { StepResult } from './apply-step.ts';
import type { WriteKind } from './kernel-mirror.ts';

/** Causes that wait for their effect; more than that are counted only. */
const CAUSES_MAX = 1_000;

/** Microseconds from stage to stage. */
export interface StageLatency {
  readonly ribUs: number;
  readonly feedUs: number;
  readonly kernelUs: number;
  readonly totalUs: number;
}

export interface CausedChange extends StageLatency {
  readonly id: string;
  readonly kind: string;
}

/** One pass that did something. */
export interface PassSummary {
  readonly routesPut: number;
  readonly routesDeleted: number;
  readonly nexthopsPut: number;
  readonly nexthopsDeleted: number;
  readonly rulesPut: number;
  readonly rulesDeleted: number;
  readonly neighboursPut: number;
  readonly neighboursDeleted: number;
  readonly addressesPut: number;
  readonly addressesDeleted: number;
  /** Objects that the kernel refuses at present. */
  readonly refused: number;
  readonly applyUs: number;
  /** What the feed said was the reason; empty for a repair. */
  readonly causes: readonly CausedChange[];
  /** Causes beyond those named. */
  readonly moreCauses: number;
}

type CountName = Extract<keyof PassSummary, `${string}Put` | `${string}Deleted`>;

const COUNTED = {
  route: { put: 'routesPut', delete: 'routesDeleted' },
  nexthop: { put: 'nexthopsPut', delete: 'nexthopsDeleted' },
  rule: { put: 'rulesPut', delete: 'rulesDeleted' },
  neighbour: { put: 'neighboursPut', delete: 'neighboursDeleted' },
  address: { put: 'addressesPut', delete: 'addressesDeleted' },
} as const satisfies Record<WriteKind, Record<'put' | 'delete', CountName>>;

export class PassRecord {
  readonly #clock: Clock;
  #causes: { readonly cause: Cause; readonly receivedUnixUs: bigint }[] = [];
  readonly #causeIds = new Set<string>();
  #moreCauses = 0;
  #counts = noCounts();
  #beganMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The feed named a cause. */
  caused(cause: Cause): void {
    if (this.#causeIds.has(cause.id)) return;
    if (this.#causes.length >= CAUSES_MAX) {
      this.#moreCauses++;
      return;
    }
    this.#causeIds.add(cause.id);
    this.#causes.push({ cause, receivedUnixUs: this.#clock.unixMicros() });
  }

  /** A pass begins, or goes on after an interruption. */
  begin(): void {
    this.#beganMs ??= this.#clock.monotonicMs();
  }

  took({ kind, op, written }: StepResult): void {
    this.#counts[COUNTED[kind][op]] += written;
  }

  /** The pass is over, with `refused` objects refused; `undefined` where it did nothing. */
  end(refused: number): PassSummary | undefined {
    const counts = this.#counts;
    const wrote = Object.values(counts).some((count) => count > 0);
    const nowUs = this.#clock.unixMicros();
    const applyUs = Math.round((this.#clock.monotonicMs() - (this.#beganMs ?? 0)) * 1000);
    const causes = this.#causes.map(({ cause, receivedUnixUs }) => ({
      id: cause.id,
      kind: cause.kind,
      ribUs: span(cause.detectedUnixUs, cause.decidedUnixUs),
      feedUs: span(cause.decidedUnixUs, receivedUnixUs),
      kernelUs: span(receivedUnixUs, nowUs),
      totalUs: span(cause.detectedUnixUs, nowUs),
    }));
    const moreCauses = this.#moreCauses;
    this.#causes = [];
    this.#causeIds.clear();
    this.#moreCauses = 0;
    this.#counts = noCounts();
    this.#beganMs = undefined;
    // A cause without effect (a route that another path already had) is not a change of the FIB.
    return wrote ? { ...counts, refused, applyUs, causes, moreCauses } : undefined;
  }
}

function noCounts(): Record<CountName, number> {
  return {
    routesPut: 0,
    routesDeleted: 0,
    nexthopsPut: 0,
    nexthopsDeleted: 0,
    rulesPut: 0,
    rulesDeleted: 0,
    neighboursPut: 0,
    neighboursDeleted: 0,
    addressesPut: 0,
    addressesDeleted: 0,
  };
}

function span(from: bigint, to: bigint): number {
  return from === 0n || to < from ? 0 : Number(to - from);
}
