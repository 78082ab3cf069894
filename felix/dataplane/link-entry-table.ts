// The neighbours, or the addresses, of this node's links: ours under a delta tracker, everybody else's by key only, so that
// we never take their place. Not what is wanted (desired/link-entries.ts).
//
// The confusing thing: the kernel keeps the mark of an entry that somebody changes in place without giving one of their
// own, and older kernels keep no mark of addresses at all. What we held under a key is ours until it is gone; only a felix
// that has just started goes by the mark alone.

import { type KernelChange, PROTOCOL_GINGHAM } from '../../lib/kernel/kernel.ts';
import type { Clock } from '../../lib/run/clock.ts';
import type { LinkEntry, WantedEntries } from '../desired/link-entries.ts';
import type { LinkTable } from '../desired/link-table.ts';
import { type Drift, KernelTable } from './kernel-table.ts';

export interface LinkEntryOptions<V extends LinkEntry> {
  readonly clock: Clock;
  readonly links: LinkTable;
  readonly keyOf: (value: V) => string;
  readonly same: (a: V, b: V) => boolean;
  readonly change: (op: 'put' | 'delete', value: V) => KernelChange;
}

/** Wanted entries by what became of them; they add up to `wanted`. */
export interface EntryCounts {
  readonly wanted: number;
  readonly programmed: number;
  readonly waiting: number;
  readonly blocked: number;
  readonly refused: number;
  readonly pending: number;
}

export class LinkEntryTable<V extends LinkEntry> {
  readonly table: KernelTable<string, V>;
  readonly #options: LinkEntryOptions<V>;
  readonly #foreign = new Map<string, V>();
  /** Wanted of interfaces that are not there. */
  #waiting = 0;

  constructor(options: LinkEntryOptions<V>) {
    const { clock, same, change } = options;
    this.#options = options;
    this.table = new KernelTable({
      clock,
      same,
      put: (value) => change('put', value),
      remove: (value) => change('delete', value),
    });
  }

  /** From now on this is wanted, and nothing else. */
  want({ entries, waiting }: WantedEntries<V>): void {
    const { desired } = this.table.tracker;
    this.#waiting = waiting;
    for (const key of [...desired.keys()]) if (!entries.has(key)) this.table.tracker.deleteDesired(key);
    for (const [key, value] of entries) {
      const before = desired.get(key);
      if (before === undefined || !this.#options.same(before, value)) this.table.tracker.setDesired(key, value);
    }
  }

  /** Whether it can be written now: its link is up, and nobody else's entry has its place. */
  isWritable(value: V, key: string): boolean {
    return this.#isUp(value) && !this.#foreign.has(key);
  }

  /** Takes in one notification; what somebody else did to an entry of ours. `undefined` also where it was none of ours. */
  seen(type: 'put' | 'delete', object: V): { readonly drift?: Drift; readonly isNews: boolean } {
    const key = this.#options.keyOf(object);
    if (!this.#isOurs(key, object)) {
      if (type === 'put') this.#foreign.set(key, object);
      else this.#foreign.delete(key);
      return { isNews: this.table.tracker.desired.has(key) };
    }
    this.#foreign.delete(key);
    const what = this.table.seen(key, type === 'put' ? object : undefined);
    // What goes with its link is no quarrel with anybody.
    const isDrift = what !== undefined && what !== 'ours' && (type === 'put' || this.#isUp(object));
    return { isNews: true, ...(isDrift && { drift: what }) };
  }

  /** Takes in a complete listing. */
  replace(objects: readonly V[], isFirst: boolean): Drift[] {
    const ours: (readonly [string, V])[] = [];
    this.#foreign.clear();
    for (const object of objects) {
      const key = this.#options.keyOf(object);
      if (this.#isOurs(key, object)) ours.push([key, object]);
      else this.#foreign.set(key, object);
    }
    return this.table.replace(ours, isFirst);
  }

  counts(): EntryCounts {
    const { tracker } = this.table;
    const refusals = this.table.currentRefusals();
    let [waiting, blocked, refused, alike] = [this.#waiting, 0, 0, 0];
    for (const key of tracker.pendingUpdates) {
      const wanted = tracker.desired.get(key) as V;
      const foreign = this.#foreign.get(key);
      if (foreign !== undefined && this.#options.same(wanted, foreign)) alike++;
      else if (foreign !== undefined) blocked++;
      else if (!this.#isUp(wanted)) waiting++;
      else if (refusals.has(key)) refused++;
    }
    const wanted = tracker.desired.size + this.#waiting;
    const programmed = tracker.desired.size - tracker.pendingUpdates.size + alike;
    return {
      wanted,
      programmed,
      waiting,
      blocked,
      refused,
      pending: wanted - programmed - waiting - blocked - refused,
    };
  }

  #isOurs(key: string, { protocol }: V): boolean {
    return protocol === PROTOCOL_GINGHAM || this.table.tracker.dataplane.has(key);
  }

  #isUp({ linkIndex }: V): boolean {
    const { links } = this.#options;
    return links.get(links.nameOf(linkIndex) ?? '')?.up ?? false;
  }
}
