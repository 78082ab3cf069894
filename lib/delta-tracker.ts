// What should be (desired) against what is (dataplane), by key and compared by value; the difference is always known. Pure.
//
//        desired                         dataplane
//      +-----------------+-------------------------------+
//      |                 |               |               |
//      |  pending update |    in sync    |   pending     |      pending update:   desired, and absent or different
//      |  (absent)       |  (equal)      |   deletion    |      pending deletion: in the dataplane, not desired
//      |             pending update      |               |
//      |               (different)       |               |
//      +-----------------+---------------+---------------+
//
// One entry for each key holds both sides, and is in at most one list of what is left to do: a change is one look into a
// map, however large both sides are. No pass over everything but for a resync (`replaceDataplane`).
//
// The confusing thing: it writes nothing. The owner writes, then says what the dataplane holds now (`setDataplane`,
// `deleteDataplane`), and says so too when it learns that somebody else changed it.

import { PendingKeys, type TrackedEntry } from './pending-keys.ts';

/** `listing`: number of the last resync that it was in; `place`: where in that one. */
type Entry<K, V> = TrackedEntry<K, V> & {
  desired: V | undefined;
  dataplane: V | undefined;
  listing: number;
  place: number;
};

/** `listing` of an entry that is forgotten. */
const FORGOTTEN = -1;

/** One side of a tracker, by key; live. */
export interface TrackedSide<K, V> extends Iterable<readonly [K, V]> {
  readonly size: number;
  get(key: K): V | undefined;
  has(key: K): boolean;
  keys(): Iterable<K>;
  values(): Iterable<V>;
}

export class DeltaTracker<K, V> {
  /** What should be. */
  readonly desired: TrackedSide<K, V>;
  /** What is, as far as is known. */
  readonly dataplane: TrackedSide<K, V>;
  readonly #equal: (a: V, b: V) => boolean;
  readonly #entries = new Map<K, Entry<K, V>>();
  readonly #updates = new PendingKeys<K, V>((key) => this.#entries.get(key));
  readonly #deletions = new PendingKeys<K, V>((key) => this.#entries.get(key));
  #desiredSize = 0;
  #dataplaneSize = 0;
  /** Number of the last resync: what bears an older one was not in it. */
  #listing = 0;
  /** What the last resync brought, in its order: the next one mostly brings the same, and is spared the look-ups. */
  #order: readonly Entry<K, V>[] = [];

  /** `equal` says whether a desired value and a value in the dataplane are the same for all that matters. */
  constructor(equal: (desired: V, dataplane: V) => boolean) {
    this.#equal = equal;
    this.desired = sideOf(
      this.#entries,
      (entry) => entry.desired,
      () => this.#desiredSize,
    );
    this.dataplane = sideOf(
      this.#entries,
      (entry) => entry.dataplane,
      () => this.#dataplaneSize,
    );
  }

  /** Entries to write with their desired values, oldest first; live. */
  get pendingUpdates(): PendingKeys<K, V> {
    return this.#updates;
  }

  /** Entries to delete, oldest first; live. */
  get pendingDeletions(): PendingKeys<K, V> {
    return this.#deletions;
  }

  /** Whether nothing is left to do. */
  get inSync(): boolean {
    return this.#updates.size === 0 && this.#deletions.size === 0;
  }

  setDesired(key: K, value: V): void {
    const entry = this.#entryOf(key);
    if (entry.desired === undefined) this.#desiredSize++;
    entry.desired = value;
    this.#place(entry);
  }

  deleteDesired(key: K): void {
    const entry = this.#entries.get(key);
    if (entry?.desired === undefined) return;
    this.#desiredSize--;
    entry.desired = undefined;
    this.#place(entry);
  }

  setDataplane(key: K, value: V): void {
    this.#hold(this.#entryOf(key), value);
  }

  deleteDataplane(key: K): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#hold(entry, undefined);
  }

  /** The dataplane holds of this entry what is desired, or nothing where nothing is: `setDataplane` without the look-up. */
  written(tracked: TrackedEntry<K, V>): void {
    this.#hold(tracked as Entry<K, V>, tracked.desired);
  }

  /** A resync: the dataplane is exactly this. Keys keep their place in the order of what is left to do. */
  replaceDataplane(entries: Iterable<readonly [K, V]>): void {
    const listing = ++this.#listing;
    const former = this.#order;
    const order: Entry<K, V>[] = [];
    let next = 0;
    for (const [key, value] of entries) {
      const guess = former[next];
      const entry = guess?.key === key && guess.listing !== FORGOTTEN ? guess : this.#entryOf(key);
      next = entry.place + 1;
      entry.listing = listing;
      entry.place = order.length;
      order.push(entry);
      // What is equal is shared: of 100,000 values that were listed nothing is kept.
      const { desired } = entry;
      this.#hold(entry, desired !== undefined && this.#equal(desired, value) ? desired : value);
    }
    for (const entry of this.#entries.values()) {
      if (entry.dataplane !== undefined && entry.listing !== listing) this.#hold(entry, undefined);
    }
    this.#order = order;
  }

  #entryOf(key: K): Entry<K, V> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = {
        key,
        desired: undefined,
        dataplane: undefined,
        list: undefined,
        before: undefined,
        after: undefined,
        listing: 0,
        place: -1,
      };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #hold(entry: Entry<K, V>, value: V | undefined): void {
    if (value === undefined && entry.dataplane !== undefined) this.#dataplaneSize--;
    else if (value !== undefined && entry.dataplane === undefined) this.#dataplaneSize++;
    entry.dataplane = value;
    this.#place(entry);
  }

  /** Puts the entry into the list that it belongs to now, or forgets it. */
  #place(entry: Entry<K, V>): void {
    const { desired, dataplane } = entry;
    if (desired === undefined) {
      this.#updates.remove(entry);
      if (dataplane !== undefined) {
        this.#deletions.add(entry);
        return;
      }
      this.#deletions.remove(entry);
      this.#entries.delete(entry.key);
      entry.listing = FORGOTTEN;
      return;
    }
    this.#deletions.remove(entry);
    if (dataplane !== undefined && (desired === dataplane || this.#equal(desired, dataplane)))
      this.#updates.remove(entry);
    else this.#updates.add(entry);
  }
}

function sideOf<K, V>(
  entries: ReadonlyMap<K, Entry<K, V>>,
  side: (entry: Entry<K, V>) => V | undefined,
  size: () => number,
): TrackedSide<K, V> {
  function* pairs(): Generator<readonly [K, V]> {
    for (const entry of entries.values()) {
      const value = side(entry);
      if (value !== undefined) yield [entry.key, value];
    }
  }
  const get = (key: K): V | undefined => {
    const entry = entries.get(key);
    return entry && side(entry);
  };
  return {
    get size() {
      return size();
    },
    get,
    has: (key) => get(key) !== undefined,
    *keys() {
      for (const [key] of pairs()) yield key;
    },
    *values() {
      for (const [, value] of pairs()) yield value;
    },
    [Symbol.iterator]: pairs,
  };
}
