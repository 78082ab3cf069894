// Batch after batch out of a set that shrinks meanwhile, each going on where the last one ended.
//
// The confusing thing: a new iterator of a Set has to step over everything that was ever deleted at its front. Taking
// 100,000 keys in batches from the front would cost that for every batch; an iterator that is kept does not.

export class SetWalk<K> {
  readonly #set: ReadonlySet<K>;
  #iterator: Iterator<K> | undefined;

  constructor(set: ReadonlySet<K>) {
    this.#set = set;
  }

  /** At most `limit` keys that are accepted; none only where no key of the set is. Each at most once. */
  next(limit: number, accept: (key: K) => boolean): K[] {
    const fromFront = this.#iterator === undefined;
    const keys = this.#collect(limit, accept);
    return keys.length > 0 || fromFront ? keys : this.#collect(limit, accept);
  }

  #collect(limit: number, accept: (key: K) => boolean): K[] {
    const keys: K[] = [];
    this.#iterator ??= this.#set.values();
    while (keys.length < limit) {
      const { done, value } = this.#iterator.next();
      if (done) {
        this.#iterator = undefined;
        break;
      }
      if (accept(value)) keys.push(value);
    }
    return keys;
  }
}
