// When the served feed may say that it is in sync: a watcher then deletes what the feed does not have.
//
// Needed: flanneld's feed is in sync, the registry was listed, and every node known from either has sent its whole table, or
// a bounded time has passed since the first two held. A peer that is dead delays it by that time at most, and an etcd that
// is away for as long as it is away: saying "that is all" without knowing would empty the kernel's table.

import type { FeedGroup } from '../lib/feed/feed.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { NodeRecord } from './mesh/node-record.ts';

export interface SyncGateOptions {
  readonly clock: Clock;
  /** Longest wait for peers. */
  readonly waitMs: number;
  /** Called once. */
  readonly open: (waitedFor: readonly string[]) => void;
  readonly feedInSync: () => boolean;
  readonly registryListed: () => boolean;
  /** Nodes that have not sent everything. */
  readonly unsynced: () => readonly string[];
}

export class SyncGate {
  readonly #options: SyncGateOptions;
  #opened = false;
  #waitOver = false;
  #cancelTimer: (() => void) | undefined;

  constructor(options: SyncGateOptions) {
    this.#options = options;
  }

  get opened(): boolean {
    return this.#opened;
  }

  /** The wait for peers is over: they came, or the time is up. */
  get waitOver(): boolean {
    return this.#opened || this.#waitOver;
  }

  /** What is waited for, in words; empty once open. */
  get detail(): string {
    if (this.#opened) return '';
    const { feedInSync, registryListed, unsynced } = this.#options;
    if (!feedInSync()) return "waits for flanneld's feed";
    if (!registryListed()) return 'waits for etcd';
    return `waits for the routes of ${unsynced().join(', ')}`;
  }

  /** Looks again: call it when anything that it depends on may have changed. */
  check(): void {
    const { feedInSync, registryListed, unsynced, clock, waitMs, open } = this.#options;
    if (this.#opened || !feedInSync() || !registryListed()) return;
    const missing = unsynced();
    if (missing.length > 0 && !this.#waitOver) {
      this.#cancelTimer ??= clock.after(waitMs, () => {
        this.#waitOver = true;
        this.check();
      });
      return;
    }
    this.#opened = true;
    this.stop();
    open(missing);
  }

  /** Gives up waiting; the gate stays as it is. */
  stop(): void {
    this.#cancelTimer?.();
  }
}

/** Nodes that have a lease, by flanneld's feed, and are not registered: bgpd may be about to start there too. */
export function unmet(groups: Iterable<FeedGroup>, registered: Iterable<NodeRecord>): readonly string[] {
  const met = new Set([...registered].map(({ address }) => address));
  return [...groups].flatMap(({ local, endpoint, node }) =>
    local || endpoint === undefined || met.has(endpoint) ? [] : [node || endpoint],
  );
}
