// One kind of kernel object (routes, or nexthop objects) under a delta tracker: writes batches of the difference, takes
// in what the kernel says of its state, and tells drift from echoes. What is wanted is desired/'s business.
//
// The confusing thing: the tracker is told of a write *before* it is sent and corrected if it is refused. Notifications
// of later changes by others may come before the answer to the write does, and must not be overwritten by it.

import { DeltaTracker } from '../../lib/delta-tracker.ts';
import type { Kernel, KernelChange, KernelFailure } from '../../lib/kernel/kernel.ts';
import type { TrackedEntry } from '../../lib/pending-keys.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { EchoLedger } from './echo-ledger.ts';
import { type Refusal, Retries } from './retries.ts';

/** A notification that waits for longer than this is not left: it is read between two batches. */
const OUTDATED_MS = 1_000;

/** What somebody else did to what is ours: deleted it, added to it, or changed it in place. */
export type Drift = 'deleted' | 'added' | 'modified';

export interface KernelTableOptions<K, V> {
  readonly clock: Clock;
  readonly same: (a: V, b: V) => boolean;
  readonly put: (value: V, key: K) => KernelChange;
  readonly remove: (value: V, key: K) => KernelChange;
  /** The kernel tells nothing of our own writes: no echo is owed, and what it tells was done by somebody else. */
  readonly isMuted?: boolean;
}

/** What a batch came to. */
export interface WriteResult<K> {
  readonly written: readonly K[];
  readonly refused: readonly { readonly key: K; readonly failure: KernelFailure }[];
}

export class KernelTable<K, V> {
  readonly tracker: DeltaTracker<K, V>;
  readonly retries: Retries<K, V>;
  readonly #options: KernelTableOptions<K, V>;
  readonly #echoes = new EchoLedger<K>();
  #lastWriteMs = Number.NEGATIVE_INFINITY;

  constructor(options: KernelTableOptions<K, V>) {
    this.#options = options;
    this.tracker = new DeltaTracker(options.same);
    this.retries = new Retries(options.same);
  }

  /** What to put now: wanted, not there or different, not waiting for a retry, and accepted; at most `limit`. */
  updates(limit: number, accept: (value: V, key: K) => boolean): TrackedEntry<K, V>[] {
    const nowMs = this.#options.clock.monotonicMs();
    return this.tracker.pendingUpdates.take(limit, ({ key, desired }) => {
      const value = desired as V;
      return accept(value, key) && this.retries.mayWrite(key, value, nowMs);
    });
  }

  /** What to delete now: there, not wanted, not waiting for a retry, and accepted; at most `limit`. */
  deletions(limit: number, accept: (value: V) => boolean): TrackedEntry<K, V>[] {
    const nowMs = this.#options.clock.monotonicMs();
    return this.tracker.pendingDeletions.take(
      limit,
      ({ key, dataplane }) => accept(dataplane as V) && this.retries.mayWrite(key, undefined, nowMs),
    );
  }

  /**
   * Writes what is desired of these entries, or deletes what is not. Throws `KernelError`; then only a listing tells what
   * was done.
   */
  async write(kernel: Kernel, entries: readonly TrackedEntry<K, V>[]): Promise<WriteResult<K>> {
    const { clock, put, remove, isMuted = false } = this.#options;
    const { tracker, retries } = this;
    const nowMs = clock.monotonicMs();
    const changes: KernelChange[] = [];
    const values: (V | undefined)[] = [];
    const formers: (V | undefined)[] = [];
    for (const entry of entries) {
      const { key, desired, dataplane } = entry;
      changes.push(desired === undefined ? remove(dataplane as V, key) : put(desired, key));
      values.push(desired);
      formers.push(dataplane);
      tracker.written(entry);
      if (!isMuted) this.#echoes.expect(key, nowMs);
    }
    const failures = await kernel.apply(changes);
    this.#lastWriteMs = clock.monotonicMs();
    const written: K[] = [];
    const refused: { key: K; failure: KernelFailure }[] = [];
    for (const [at, { key }] of entries.entries()) {
      const failure = failures[at];
      if (failure === undefined) {
        retries.settled(key);
        written.push(key);
        continue;
      }
      const [value, former] = [values[at], formers[at]];
      if (!isMuted) this.#echoes.cancel(key);
      refused.push({ key, failure });
      retries.refused(key, value, failure, this.#lastWriteMs);
      // Unless a notification has told otherwise meanwhile, it is as it was.
      if (tracker.dataplane.get(key) !== value) continue;
      if (former === undefined) tracker.deleteDataplane(key);
      else tracker.setDataplane(key, former);
    }
    return { written, refused };
  }

  /** A notification: the object with this key now is `value`, or is gone. Says what it was, if it was not an echo. */
  seen(key: K, value: V | undefined): Drift | 'ours' | undefined {
    const { ours, last } = this.#echoes.arrived(key);
    if (!last) return 'ours';
    const drift = this.#driftOf(key, value);
    if (value === undefined) this.tracker.deleteDataplane(key);
    else this.tracker.setDataplane(key, value);
    if (drift !== undefined) this.retries.overwritten(key, this.#options.clock.monotonicMs());
    return drift ?? (ours ? 'ours' : undefined);
  }

  /** A complete listing. What differs from what was known is drift; the first listing of a table is none. */
  replace(entries: Iterable<readonly [K, V]>, isFirst: boolean): Drift[] {
    const nowMs = this.#options.clock.monotonicMs();
    const { tracker, retries } = this;
    this.#echoes.clear();
    retries.renew(nowMs);
    if (isFirst) {
      tracker.replaceDataplane(entries);
      return [];
    }
    const updates = new Set(tracker.pendingUpdates);
    const deletions = new Set(tracker.pendingDeletions);
    tracker.replaceDataplane(entries);
    const drifts: Drift[] = [];
    for (const key of tracker.pendingUpdates) {
      if (updates.has(key)) continue;
      const modified = tracker.dataplane.has(key);
      drifts.push(modified ? 'modified' : 'deleted');
      // What is gone without a notification went with its link: that is no quarrel with another writer.
      if (modified) retries.overwritten(key, nowMs);
    }
    for (const key of tracker.pendingDeletions) if (!deletions.has(key)) drifts.push('added');
    return drifts;
  }

  /** What the kernel refuses at present; refusals of what is no longer wanted are forgotten. */
  currentRefusals(): ReadonlyMap<K, Refusal<V>> {
    const { refusals } = this.retries;
    const { pendingUpdates, pendingDeletions } = this.tracker;
    for (const [key, { value }] of refusals) {
      if (!(value === undefined ? pendingDeletions : pendingUpdates).has(key)) this.retries.settled(key);
    }
    return refusals;
  }

  /**
   * Whether a notification of now may be older than our last write, which only an echo would tell: then it may say what
   * is no longer so.
   */
  get mayBeOutdated(): boolean {
    const { clock, isMuted = false } = this.#options;
    return isMuted && clock.monotonicMs() < this.#lastWriteMs + OUTDATED_MS;
  }

  /** When an echo is overdue, which means that something was missed. */
  get echoOverdueAtMs(): number | undefined {
    return this.#echoes.overdueAtMs;
  }

  #driftOf(key: K, value: V | undefined): Drift | undefined {
    const held = this.tracker.dataplane.get(key);
    const wanted = this.tracker.desired.get(key);
    if (value === undefined) return held !== undefined && wanted !== undefined ? 'deleted' : undefined;
    if (held !== undefined && this.#options.same(held, value)) return undefined;
    if (wanted === undefined) return 'added';
    return this.#options.same(wanted, value) ? undefined : 'modified';
  }
}
