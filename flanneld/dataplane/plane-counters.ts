// The counters of one plane: what passed, and every drop by its reason.
// They only grow, so that /metrics can show them as counters; a plane that is opened anew begins at zero.

import { DROP_REASONS, type DropReason, type PlaneTraffic } from './data-plane.ts';

export interface MutableTraffic {
  packets: number;
  bytes: number;
}

export interface CounterSnapshot {
  readonly tx: PlaneTraffic;
  readonly rx: PlaneTraffic;
  readonly drops: Readonly<Record<DropReason, number>>;
  readonly icmpSent: number;
  readonly icmpLimited: number;
}

export class PlaneCounters {
  readonly tx: MutableTraffic = { packets: 0, bytes: 0 };
  readonly rx: MutableTraffic = { packets: 0, bytes: 0 };
  icmpSent = 0;
  icmpLimited = 0;
  readonly #drops: Record<DropReason, number>;

  constructor() {
    const reasons = Object.keys(DROP_REASONS) as DropReason[];
    this.#drops = Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<DropReason, number>;
  }

  drop(reason: DropReason, packets = 1): void {
    this.#drops[reason] += packets;
  }

  dropped(reason: DropReason): number {
    return this.#drops[reason];
  }

  /** A fresh copy. */
  snapshot(): CounterSnapshot {
    return {
      tx: { ...this.tx },
      rx: { ...this.rx },
      drops: { ...this.#drops },
      icmpSent: this.icmpSent,
      icmpLimited: this.icmpLimited,
    };
  }
}
