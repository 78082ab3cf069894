// The other nodes, each judged as peer-check.ts judges it, kept up to date one lease at a time.
//
// The verdicts depend on the leases that there are and not on the order in which they came. Only one rule looks at two
// leases at once (one VTEP MAC address, two underlay addresses), so a change costs its own lease and those that share its
// MAC address, however many there are.

import type { Mac } from '../../lib/net/mac.ts';
import type { Lease } from '../lease/lease.ts';
import { checkPeer, type GoodPeer, type PeerRules, type RefusedPeer, twinReason } from './peer-check.ts';

/** What a change of leases meant: verdicts that are new or another. */
export interface PeerChanges {
  readonly good: readonly GoodPeer[];
  readonly refused: readonly RefusedPeer[];
  /** Were good or refused, and are no more. */
  readonly gone: readonly string[];
}

export class PeerBook {
  #rules: PeerRules;
  readonly #leases = new Map<string, Lease>();
  readonly #good = new Map<string, GoodPeer>();
  readonly #refused = new Map<string, RefusedPeer>();
  /** Peers that are good by themselves, by MAC address and key. */
  readonly #byMac = new Map<Mac, Map<string, GoodPeer>>();
  readonly #macOf = new Map<string, Mac>();

  constructor(rules: PeerRules) {
    this.#rules = rules;
  }

  /** By etcd key; live views. */
  get good(): ReadonlyMap<string, GoodPeer> {
    return this.#good;
  }

  get refused(): ReadonlyMap<string, RefusedPeer> {
    return this.#refused;
  }

  get leases(): ReadonlyMap<string, Lease> {
    return this.#leases;
  }

  /** Judges all again: this node's own lease or underlay has changed. */
  setRules(rules: PeerRules): PeerChanges {
    this.#rules = rules;
    return this.change([...this.#leases.values()], []);
  }

  /** These leases are new or changed, those keys are gone. */
  change(put: readonly Lease[], removed: Iterable<string>): PeerChanges {
    const touched = new Set<string>();
    for (const key of removed) {
      if (!this.#leases.delete(key)) continue;
      touched.add(key);
      this.#leaveMac(key, touched);
    }
    const verdicts = new Map<string, GoodPeer | string>();
    for (const lease of put) {
      const { key } = lease;
      this.#leases.set(key, lease);
      touched.add(key);
      this.#leaveMac(key, touched);
      const verdict = checkPeer(lease, this.#rules);
      verdicts.set(key, verdict);
      if (typeof verdict !== 'string' && verdict.mac !== undefined) this.#joinMac(key, verdict, verdict.mac, touched);
    }
    return this.#settle(touched, verdicts);
  }

  /** Writes down the verdicts of all that were touched. */
  #settle(touched: ReadonlySet<string>, verdicts: ReadonlyMap<string, GoodPeer | string>): PeerChanges {
    const good: GoodPeer[] = [];
    const refused: RefusedPeer[] = [];
    const gone: string[] = [];
    for (const key of touched) {
      const lease = this.#leases.get(key);
      if (lease === undefined) {
        if (this.#good.delete(key) || this.#refused.delete(key)) gone.push(key);
        continue;
      }
      const alone = verdicts.get(key) ?? checkPeer(lease, this.#rules);
      const verdict = typeof alone === 'string' ? alone : (this.#twinOf(key, alone) ?? alone);
      if (typeof verdict === 'string') {
        this.#good.delete(key);
        this.#refused.set(key, { lease, reason: verdict });
        refused.push({ lease, reason: verdict });
      } else {
        this.#refused.delete(key);
        this.#good.set(key, verdict);
        good.push(verdict);
      }
    }
    return { good, refused, gone };
  }

  /** Why a peer loses to another with its MAC address; the first in key order wins. */
  #twinOf(key: string, { mac, endpoint }: GoodPeer): string | undefined {
    const sharers = mac === undefined ? undefined : this.#byMac.get(mac);
    if (mac === undefined || sharers === undefined || sharers.size < 2) return undefined;
    const first = [...sharers.keys()].sort()[0] ?? key;
    const winner = sharers.get(first);
    return winner === undefined || winner.endpoint === endpoint ? undefined : twinReason(mac, winner);
  }

  #joinMac(key: string, peer: GoodPeer, mac: Mac, touched: Set<string>): void {
    const sharers = this.#byMac.get(mac) ?? new Map<string, GoodPeer>();
    for (const other of sharers.keys()) touched.add(other);
    this.#byMac.set(mac, sharers.set(key, peer));
    this.#macOf.set(key, mac);
  }

  #leaveMac(key: string, touched: Set<string>): void {
    const mac = this.#macOf.get(key);
    if (mac === undefined) return;
    this.#macOf.delete(key);
    const sharers = this.#byMac.get(mac);
    sharers?.delete(key);
    if (sharers === undefined || sharers.size === 0) this.#byMac.delete(mac);
    else for (const other of sharers.keys()) touched.add(other);
  }
}
