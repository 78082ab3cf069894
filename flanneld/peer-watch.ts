// From the watch of the lease folder to the backend, and from the backend to the feed.
//
//   etcd event -> lease table (what changed?) -> backend (those peers) -> onChange -> feed (those peers)
//                 lease holder (is it ours?)
//
// The feed is in sync once the first listing has gone all the way: every peer is programmed or refused. A peer whose
// entries the kernel will not take must not hold that up for ever, so it is waited for only so long.

import type { FeedTable } from '../lib/feed/feed-table.ts';
import type { RegistryEvent } from '../lib/registry/registry.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import type { Metrics } from '../lib/run/status-server.ts';
import type { Backend, PeerState } from './backend/backend.ts';
import { nameOf } from './backend/peer-check.ts';
import type { LeaseTerms } from './lease/acquire-lease.ts';
import { type Lease, leaseFolder, leaseSubnets } from './lease/lease.ts';
import { type LeaseDelta, LeaseTable } from './lease/lease-table.ts';
import { isOwnLease } from './lease/pick-subnet.ts';
import type { LeaseEvent, LeaseFeed } from './lease-feed.ts';
import type { FlanneldView } from './status.ts';

const FIRST_SYNC_MS = 5_000;
/** Lines in the log for one event; where it brings more, their number. */
const LINES_MAX = 20;

export interface PeerWatchOptions {
  readonly view: FlanneldView;
  readonly table: FeedTable;
  readonly feed: LeaseFeed;
  readonly backend: Backend;
  readonly terms: Pick<LeaseTerms, 'etcdPrefix' | 'nodeName' | 'publicIps'>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

export class PeerWatch {
  readonly folder: string;
  readonly #options: PeerWatchOptions;
  readonly #leases: LeaseTable;
  readonly #malformed: { inc(value?: number): void };
  readonly #disconnects: { inc(): void };
  readonly #refusals = new Map<string, string>();
  #listed = false;
  #listedAtMs = 0;
  #publishing = false;
  /** Keys of leases whose peers the feed may not show as they are; `all` of them. */
  #unpublished = new Set<string>();
  #allUnpublished = false;
  /** Before the feed is in sync: peers that are not programmed yet. */
  readonly #awaited = new Set<string>();

  constructor(options: PeerWatchOptions) {
    const { terms, metrics } = options;
    this.#options = options;
    this.folder = leaseFolder(terms.etcdPrefix);
    this.#leases = new LeaseTable((lease) => isOwnLease(lease, terms));
    this.#malformed = metrics.counter('malformed_leases_total', 'Entries met in etcd that are no leases');
    this.#disconnects = metrics.counter('etcd_disconnects_total', 'Times that the watch of the leases broke');
  }

  /** Takes one event of the watch. */
  hear(event: RegistryEvent): void {
    const { view, clock, log } = this.#options;
    view.holder?.observe(event);
    if (event.type === 'disconnected') {
      if (!view.etcd.connected) return;
      const { reason } = event;
      view.etcd = { connected: false, sinceMs: Number(clock.unixMicros() / 1000n), reason };
      this.#disconnects.inc();
      log.warn({ reason }, 'etcd is away: serving from memory');
      return;
    }
    if (!view.etcd.connected) log.info('etcd is back');
    view.etcd = { connected: true };
    switch (event.type) {
      case 'snapshot':
        this.#take(this.#leases.replace(event.snapshot.entries));
        break;
      case 'put':
        this.#take(this.#leases.put(event.entry));
        break;
      case 'delete':
        this.#take(this.#leases.delete(event.key));
        break;
    }
  }

  /** Brings the feed up to the backend, once for all changes of this turn; all peers where no keys are given. */
  publishSoon(keys?: readonly string[]): void {
    if (keys === undefined) this.#allUnpublished = true;
    else for (const key of keys) this.#unpublished.add(key);
    if (this.#publishing) return;
    this.#publishing = true;
    queueMicrotask(() => {
      this.#publishing = false;
      this.#publish();
    });
  }

  #take({ put, removed, faults }: LeaseDelta): void {
    const { backend, log, view } = this.#options;
    for (const { key, fault } of faults.slice(0, LINES_MAX)) {
      log.warn({ key, fault }, 'an entry in etcd is no lease: skipped');
    }
    if (faults.length > LINES_MAX) log.warn({ more: faults.length - LINES_MAX }, 'more entries are no leases: skipped');
    this.#malformed.inc(faults.length);
    view.malformed = this.#leases.faults.size;
    for (const lease of put) {
      this.#note(lease, backend.peer(lease.key) === undefined ? 'lease-added' : 'lease-changed', put.length);
    }
    for (const lease of removed) this.#note(lease, 'lease-removed', removed.length);
    if (put.length > LINES_MAX) log.info({ leases: put.length }, 'many leases came or changed');
    if (removed.length > LINES_MAX) log.info({ leases: removed.length }, 'many leases are gone');
    if (!this.#listed) this.#beginSync();
    else if (put.length + removed.length === 0) return;
    backend.changePeers(put, removed);
    this.publishSoon([...put, ...removed].map(({ key }) => key));
  }

  #note(lease: Lease, what: LeaseEvent, ofMany: number): void {
    const { feed, log } = this.#options;
    feed.note(lease.key, what);
    const facts = { peer: nameOf(lease), subnet: leaseSubnets(lease).join(' '), publicIp: lease.publicIp };
    if (ofMany > LINES_MAX) log.debug(facts, what);
    else log.info(facts, what);
  }

  #beginSync(): void {
    const { clock } = this.#options;
    this.#listed = true;
    this.#listedAtMs = clock.monotonicMs();
    clock.after(FIRST_SYNC_MS, () => this.publishSoon());
  }

  #publish(): void {
    const { backend, feed, table, view, clock } = this.#options;
    const keys = this.#allUnpublished
      ? [...this.#unpublished, ...backend.peers().map(({ lease }) => lease.key)]
      : [...this.#unpublished];
    this.#unpublished = new Set();
    this.#allUnpublished = false;
    const peers = new Map(keys.map((key) => [key, backend.peer(key)]));
    feed.publish(peers);
    this.#tellRefusals(peers);
    if (!this.#listed || view.feedInSync) return;
    for (const [key, peer] of peers) {
      if (peer === undefined || peer.programmed || peer.refused !== undefined) this.#awaited.delete(key);
      else this.#awaited.add(key);
    }
    if (this.#awaited.size > 0 && clock.monotonicMs() < this.#listedAtMs + FIRST_SYNC_MS) return;
    table.markInSync();
    view.feedInSync = true;
    this.#options.log.info({ waiting: this.#awaited.size }, 'feed is in sync');
    this.#awaited.clear();
  }

  /** One line per peer and reason. */
  #tellRefusals(peers: ReadonlyMap<string, PeerState | undefined>): void {
    for (const [key, peer] of peers) {
      const reason = peer?.refused;
      if (peer !== undefined && reason !== undefined && this.#refusals.get(key) !== reason) {
        const facts = { peer: nameOf(peer.lease), subnet: peer.lease.subnet, reason };
        this.#options.log.warn(facts, 'a peer cannot be reached');
      }
      if (reason === undefined) this.#refusals.delete(key);
      else this.#refusals.set(key, reason);
    }
  }
}
