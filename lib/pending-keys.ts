// The entries of a delta tracker that wait to be written: a list through the entries themselves, so that an entry joins
// and leaves without a look into any map. Pure. Not what an entry means (delta-tracker.ts).
//
// The confusing thing: `take` goes on where it last ended, so that what cannot be written now (refused, blocked) is not
// looked at again before every other entry was.

/** Both sides of one key. Owned by its tracker; the links belong to the list that it is in. */
export interface TrackedEntry<K, V> {
  readonly key: K;
  readonly desired: V | undefined;
  readonly dataplane: V | undefined;
  list: PendingKeys<K, V> | undefined;
  before: TrackedEntry<K, V> | undefined;
  after: TrackedEntry<K, V> | undefined;
}

/** Iterates over keys, oldest first; the key at hand may be settled meanwhile, others not. */
export class PendingKeys<K, V> implements Iterable<K> {
  #first: TrackedEntry<K, V> | undefined;
  #last: TrackedEntry<K, V> | undefined;
  /** Where `take` goes on; `undefined` for the front. */
  #next: TrackedEntry<K, V> | undefined;
  #size = 0;
  readonly #entryOf: (key: K) => TrackedEntry<K, V> | undefined;

  constructor(entryOf: (key: K) => TrackedEntry<K, V> | undefined) {
    this.#entryOf = entryOf;
  }

  get size(): number {
    return this.#size;
  }

  has(key: K): boolean {
    return this.#entryOf(key)?.list === this;
  }

  *[Symbol.iterator](): Generator<K> {
    for (let entry = this.#first; entry !== undefined; ) {
      const { key, after } = entry;
      yield key;
      entry = after;
    }
  }

  /** At most `limit` entries that are accepted, each at most once; none only where no entry of the list is. */
  take(limit: number, accept: (entry: TrackedEntry<K, V>) => boolean): TrackedEntry<K, V>[] {
    const fromFront = this.#next === undefined;
    const taken = this.#collect(limit, accept);
    return taken.length > 0 || fromFront ? taken : this.#collect(limit, accept);
  }

  /** Adds the entry at the end; nothing where it is in the list. */
  add(entry: TrackedEntry<K, V>): void {
    if (entry.list !== undefined) return;
    entry.list = this;
    entry.before = this.#last;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.after = entry;
    this.#last = entry;
    this.#size++;
  }

  /** Takes the entry out; nothing where it is not in the list. */
  remove(entry: TrackedEntry<K, V>): void {
    if (entry.list !== this) return;
    const { before, after } = entry;
    if (this.#next === entry) this.#next = after;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    entry.list = undefined;
    entry.before = undefined;
    entry.after = undefined;
    this.#size--;
  }

  #collect(limit: number, accept: (entry: TrackedEntry<K, V>) => boolean): TrackedEntry<K, V>[] {
    const taken: TrackedEntry<K, V>[] = [];
    let entry = this.#next ?? this.#first;
    while (entry !== undefined && taken.length < limit) {
      if (accept(entry)) taken.push(entry);
      entry = entry.after;
    }
    this.#next = entry;
    return taken;
  }
}
