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
// Every change of either side moves its key between the areas at once, so that what is left to do costs nothing to find,
// however large both sides are. No pass over everything, ever; a resync is `replaceDataplane`.
//
// The confusing thing: it writes nothing. The owner writes, then says what the dataplane holds now (`setDataplane`,
// `deleteDataplane`), and says so too when it learns that somebody else changed it.

export class DeltaTracker<K, V> {
  readonly #equal: (a: V, b: V) => boolean;
  readonly #desired = new Map<K, V>();
  #dataplane = new Map<K, V>();
  readonly #updates = new Set<K>();
  readonly #deletions = new Set<K>();

  /** `equal` says whether a desired value and a value in the dataplane are the same for all that matters. */
  constructor(equal: (desired: V, dataplane: V) => boolean) {
    this.#equal = equal;
  }

  /** What should be; a live view. */
  get desired(): ReadonlyMap<K, V> {
    return this.#desired;
  }

  /** What is, as far as is known; a live view. */
  get dataplane(): ReadonlyMap<K, V> {
    return this.#dataplane;
  }

  /** Keys to write with their desired values, oldest first; a live view. */
  get pendingUpdates(): ReadonlySet<K> {
    return this.#updates;
  }

  /** Keys to delete, oldest first; a live view. */
  get pendingDeletions(): ReadonlySet<K> {
    return this.#deletions;
  }

  /** Whether nothing is left to do. */
  get inSync(): boolean {
    return this.#updates.size === 0 && this.#deletions.size === 0;
  }

  setDesired(key: K, value: V): void {
    this.#desired.set(key, value);
    this.#deletions.delete(key);
    this.#compare(key, value);
  }

  deleteDesired(key: K): void {
    if (!this.#desired.delete(key)) return;
    this.#updates.delete(key);
    if (this.#dataplane.has(key)) this.#deletions.add(key);
  }

  setDataplane(key: K, value: V): void {
    this.#dataplane.set(key, value);
    const wanted = this.#desired.get(key);
    if (wanted === undefined) this.#deletions.add(key);
    else this.#compare(key, wanted);
  }

  deleteDataplane(key: K): void {
    if (!this.#dataplane.delete(key)) return;
    this.#deletions.delete(key);
    if (this.#desired.has(key)) this.#updates.add(key);
  }

  /** A resync: the dataplane is exactly this. Keys keep their place in the order of what is left to do. */
  replaceDataplane(entries: Iterable<readonly [K, V]>): void {
    const before = this.#dataplane;
    this.#dataplane = new Map();
    for (const [key, value] of entries) {
      before.delete(key);
      this.setDataplane(key, value);
    }
    for (const key of before.keys()) {
      if (this.#dataplane.has(key)) continue;
      this.#deletions.delete(key);
      if (this.#desired.has(key)) this.#updates.add(key);
    }
  }

  #compare(key: K, wanted: V): void {
    const held = this.#dataplane.get(key);
    if (held !== undefined && this.#equal(wanted, held)) this.#updates.delete(key);
    else this.#updates.add(key);
  }
}
