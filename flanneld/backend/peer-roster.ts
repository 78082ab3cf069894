// The peers of one backend and how each stands: judged, waiting for its device entries, offered. What all backends share.
//
// A backend says what a peer needs (`apply`), when that is in place (`isReady`) and what it then offers (`stateOf`). A
// route that was offered once stays offered while its device is made again: packets have nowhere better to go.

import type { Address } from '../../lib/net/address.ts';
import type { Lease } from '../lease/lease.ts';
import type { BackendPeers, PeerState } from './backend.ts';
import { PeerBook, type PeerChanges } from './peer-book.ts';
import type { GoodPeer, PeerRules } from './peer-check.ts';

export interface RosterOptions {
  /** Makes the device, or whatever there is, follow. */
  apply(changes: PeerChanges): void;
  /** All that the packets to it need is in place. */
  isReady(peer: GoodPeer): boolean;
  /** `offered`: it has been ready before. */
  stateOf(peer: GoodPeer, offered: boolean): PeerState;
  /** As that of `BackendContext`. */
  onChange(keys: readonly string[]): void;
}

export class PeerRoster implements BackendPeers {
  readonly #options: RosterOptions;
  #book: PeerBook | undefined;
  readonly #offered = new Set<string>();
  readonly #waiting = new Set<string>();

  constructor(options: RosterOptions) {
    this.#options = options;
  }

  /** The backend runs, or its own lease or underlay is another: judges by these from now on. */
  judgeBy(rules: PeerRules): void {
    if (this.#book === undefined) this.#book = new PeerBook(rules);
    else this.#take(this.#book.setRules(rules));
  }

  setPeers(leases: readonly Lease[]): void {
    const keys = new Set(leases.map(({ key }) => key));
    const gone = [...this.#started().leases.keys()].filter((key) => !keys.has(key));
    this.#take(this.#started().change(leases, gone));
  }

  changePeers(put: readonly Lease[], removed: readonly Lease[]): void {
    const removals = removed.map(({ key }) => key);
    this.#take(this.#started().change(put, removals));
  }

  peers(): readonly PeerState[] {
    return [...(this.#book?.leases.keys() ?? [])].flatMap((key) => this.peer(key) ?? []);
  }

  peer(key: string): PeerState | undefined {
    const refused = this.#book?.refused.get(key);
    if (refused !== undefined) return { lease: refused.lease, routes: [], programmed: false, refused: refused.reason };
    const good = this.#book?.good.get(key);
    return good && this.#options.stateOf(good, this.#offered.has(key));
  }

  /** Every peer that is not refused. */
  good(): Iterable<GoodPeer> {
    return this.#book?.good.values() ?? [];
  }

  /** Something happened on the device: offers those that waited for it. */
  look(): void {
    const ready: string[] = [];
    for (const key of this.#waiting) {
      const peer = this.#book?.good.get(key);
      if (peer !== undefined && !this.#options.isReady(peer)) continue;
      this.#waiting.delete(key);
      if (peer === undefined) continue;
      this.#offered.add(key);
      ready.push(key);
    }
    this.#options.onChange(ready);
  }

  /** The way to these underlay addresses is another, or is known now. */
  lookAt(endpoints: ReadonlySet<Address>): void {
    const keys: string[] = [];
    for (const { lease, endpoint } of this.good()) if (endpoints.has(endpoint)) keys.push(lease.key);
    this.look();
    this.#options.onChange(keys);
  }

  #started(): PeerBook {
    if (this.#book === undefined) throw new Error('the backend has not started');
    return this.#book;
  }

  #take(changes: PeerChanges): void {
    const keys = [...changes.gone];
    for (const { lease } of changes.refused) keys.push(lease.key);
    for (const key of keys) {
      this.#offered.delete(key);
      this.#waiting.delete(key);
    }
    for (const { lease } of changes.good) {
      this.#waiting.add(lease.key);
      keys.push(lease.key);
    }
    this.#options.apply(changes);
    this.#options.onChange(keys);
    this.look();
  }
}
