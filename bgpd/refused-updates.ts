// Updates that this node did not use as they are, by peer: flawed ones (treated as withdraw, RFC 7606) and loops.
//
// A loop is no mistake of anybody: reflectors of one cluster tell each other what both have (RFC 4456 section 8), and whoever
// has several peers in one AS is told its own routes.

import type { Logger } from '../lib/run/log.ts';
import type { BgpdMetrics } from './metrics.ts';
import { isLoop, type Refusal } from './rib/route-rules.ts';

export interface RefusedCounts {
  readonly flawed: number;
  /** Why the last one was. */
  readonly lastFlaw: string | undefined;
  readonly looped: number;
}

const NONE: RefusedCounts = { flawed: 0, lastFlaw: undefined, looped: 0 };

export class RefusedUpdates {
  readonly #log: Logger;
  readonly #metrics: Pick<BgpdMetrics, 'flawed' | 'looped'>;
  readonly #counts = new Map<string, RefusedCounts>();

  constructor(log: Logger, metrics: Pick<BgpdMetrics, 'flawed' | 'looped'>) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Of one peer, since it is known. */
  of(peer: string): RefusedCounts {
    return this.#counts.get(peer) ?? NONE;
  }

  /** An update of this peer was treated as withdraw. */
  flawed(peer: string, flaw: string): void {
    this.#metrics.flawed();
    const counts = this.of(peer);
    if (counts.lastFlaw !== flaw) this.#log.warn({ peer, flaw }, 'an update was treated as withdraw');
    this.#counts.set(peer, { ...counts, flawed: counts.flawed + 1, lastFlaw: flaw });
  }

  /** The RIB refused what this peer announced. */
  refused(peer: string, refusal: Refusal): void {
    if (!isLoop(refusal)) {
      this.flawed(peer, refusal);
      return;
    }
    this.#metrics.looped();
    const counts = this.of(peer);
    this.#counts.set(peer, { ...counts, looped: counts.looped + 1 });
  }

  /** The peer is known no more. */
  forget(peer: string): void {
    this.#counts.delete(peer);
  }
}
