// One kind of kernel object (routes, or nexthop objects) under a delta tracker: writes batches of the difference, takes
// in what the kernel says of its state, and tells drift from echoes. What is wanted is desired/'s business.
//
// The confusing thing: the tracker is told of a write *before* it is sent and corrected if it is refused. Notifications
// of later changes by others may come before the answer to the write does, and must not be overwritten by it.

import { DeltaTracker } from '../../lib/delta-tracker.ts';
import type { Kernel, KernelChange, KernelFailure } from '../../lib/kernel/kernel.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { EchoLedger } from './echo-ledger.ts';
import { type Refusal, Retries } from './retries.ts';
import { SetWalk } from './set-walk.ts';

/** A notification that waits for longer than this is not left: it is read between two batches. */
const OUTDATED_MS = 1_000;

/** What somebody else did to what is ours: deleted it, added to it, or changed it in place. */
export type Drift = 'deleted' | 'added' | 'modified';

export interface KernelTableOptions<V> {
  readonly clock: Clock;
  readonly same: (a: V, b: V) => boolean;
  readonly put: (value: V) => KernelChange;
  readonly remove: (value: V) => KernelChange;
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
  readonly #options: KernelTableOptions<V>;
  readonly #echoes = new EchoLedger<K>();
  readonly #updateWalk: SetWalk<K>;
  readonly #deletionWalk: SetWalk<K>;
  #lastWriteMs = Number.NEGATIVE_INFINITY;

  constructor(options: KernelTableOptions<V>) {
    this.#options = options;
    this.tracker = new DeltaTracker(options.same);
    this.retries = new Retries(options.same);
    this.#updateWalk = new SetWalk(this.tracker.pendingUpdates);
    this.#deletionWalk = new SetWalk(this.tracker.pendingDeletions);
  }

  /** Keys to put now: wanted, not there or different, not waiting for a retry, and accepted; at most `limit`. */
  updates(limit: number, accept: (value: V, key: K) => boolean): K[] {
    const nowMs = this.#options.clock.monotonicMs();
    return this.#updateWalk.next(limit, (key) => {
      const value = this.tracker.desired.get(key) as V;
      return accept(value, key) && this.retries.mayWrite(key, value, nowMs);
    });
  }

  /** Keys to delete now: there, not wanted, not waiting for a retry, and accepted; at most `limit`. */
  deletions(limit: number, accept: (value: V, key: K) => boolean): K[] {
    const nowMs = this.#options.clock.monotonicMs();
    return this.#deletionWalk.next(
      limit,
      (key) => accept(this.tracker.dataplane.get(key) as V, key) && this.retries.mayWrite(key, undefined, nowMs),
    );
  }

  /** Writes the desired values of these keys. Throws `KernelError`; then only a listing tells what was done. */
  put(kernel: Kernel, keys: readonly K[]): Promise<WriteResult<K>> {
    return this.#write(kernel, keys, (key) => this.tracker.desired.get(key));
  }

  /** Deletes these keys. Throws as `put`. */
  remove(kernel: Kernel, keys: readonly K[]): Promise<WriteResult<K>> {
    return this.#write(kernel, keys, () => undefined);
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
  replace(entries: ReadonlyMap<K, V>, isFirst: boolean): Drift[] {
    const nowMs = this.#options.clock.monotonicMs();
    const { tracker, retries } = this;
    const updates = new Set(tracker.pendingUpdates);
    const deletions = new Set(tracker.pendingDeletions);
    tracker.replaceDataplane(entries);
    this.#echoes.clear();
    retries.renew(nowMs);
    if (isFirst) return [];
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

  async #write(kernel: Kernel, keys: readonly K[], wantedOf: (key: K) => V | undefined): Promise<WriteResult<K>> {
    const { clock, put, remove, isMuted = false } = this.#options;
    const { tracker, retries } = this;
    const nowMs = clock.monotonicMs();
    const writes = keys.map((key) => {
      const value = wantedOf(key);
      const former = tracker.dataplane.get(key);
      const change = value === undefined ? remove(former as V) : put(value);
      if (value === undefined) tracker.deleteDataplane(key);
      else tracker.setDataplane(key, value);
      if (!isMuted) this.#echoes.expect(key, nowMs);
      return { key, value, former, change };
    });
    const failures = await kernel.apply(writes.map(({ change }) => change));
    this.#lastWriteMs = clock.monotonicMs();
    const written: K[] = [];
    const refused: { key: K; failure: KernelFailure }[] = [];
    for (const [at, { key, value, former }] of writes.entries()) {
      const failure = failures[at];
      if (failure === undefined) {
        retries.settled(key);
        written.push(key);
        continue;
      }
      if (!isMuted) this.#echoes.cancel(key);
      refused.push({ key, failure });
      retries.refused(key, value, failure, clock.monotonicMs());
      // Unless a notification has told otherwise meanwhile, it is as it was.
      if (tracker.dataplane.get(key) !== value) continue;
      if (former === undefined) tracker.deleteDataplane(key);
      else tracker.setDataplane(key, former);
    }
    return { written, refused };
  }
}
