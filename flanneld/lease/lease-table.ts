// The leases of the other nodes as last seen in etcd, and what each event changes about them. Pure.
//
// Compares values, not keys: a peer that came back with another address or MAC address is a change, a lease that was
// only renewed is none. The node's own leases are left out before anything is compared, so that no snapshot can make the
// node believe that it lost itself. An entry that is no lease is a fault and counts as absent: what the table holds
// depends on what stands in etcd and on nothing that stood there before.

import type { Entry } from '../../lib/registry/registry.ts';
import { decodeLease, decodeReservation, isLeaseFault, type Lease, type LeaseFault, sameLease } from './lease.ts';

const NOTHING: LeaseDelta = { put: [], removed: [], faults: [] };

export interface LeaseDelta {
  /** New ones and changed ones. */
  readonly put: readonly Lease[];
  /** As they last were. */
  readonly removed: readonly Lease[];
  /** Entries of this event that are no leases. */
  readonly faults: readonly LeaseFault[];
}

export class LeaseTable {
  readonly #isOwn: (lease: Lease) => boolean;
  readonly #leases = new Map<string, Lease>();
  readonly #faults = new Map<string, LeaseFault>();

  /** `isOwn` says which leases are this node's. */
  constructor(isOwn: (lease: Lease) => boolean) {
    this.#isOwn = isOwn;
  }

  /** By etcd key; a live view. */
  get leases(): ReadonlyMap<string, Lease> {
    return this.#leases;
  }

  /** Entries that stand in etcd right now and are no leases; a live view. */
  get faults(): ReadonlyMap<string, LeaseFault> {
    return this.#faults;
  }

  /** These are all entries. */
  replace(entries: readonly Entry[]): LeaseDelta {
    const keys = new Set(entries.map(({ key }) => key));
    const gone = [...new Set([...this.#leases.keys(), ...this.#faults.keys()])].filter((key) => !keys.has(key));
    return merge([...gone.map((key) => this.delete(key)), ...entries.map((entry) => this.put(entry))]);
  }

  put({ key, value }: Entry): LeaseDelta {
    const decoded = decodeLease(key, value);
    const before = this.#leases.get(key);
    // A node that has not come yet is no peer and no fault.
    if (isLeaseFault(decoded) && decodeReservation(key, value) !== undefined) return this.delete(key);
    if (isLeaseFault(decoded)) {
      const known = this.#faults.get(key)?.fault === decoded.fault;
      this.#leases.delete(key);
      this.#faults.set(key, decoded);
      // A fault that was reported already is not reported by every listing again.
      return { put: [], removed: before === undefined ? [] : [before], faults: known ? [] : [decoded] };
    }
    this.#faults.delete(key);
    if (this.#isOwn(decoded)) return this.delete(key);
    if (before !== undefined && sameLease(before, decoded)) return NOTHING;
    this.#leases.set(key, decoded);
    return { put: [decoded], removed: [], faults: [] };
  }

  delete(key: string): LeaseDelta {
    const before = this.#leases.get(key);
    this.#faults.delete(key);
    return before !== undefined && this.#leases.delete(key) ? { put: [], removed: [before], faults: [] } : NOTHING;
  }
}

function merge(deltas: readonly LeaseDelta[]): LeaseDelta {
  return {
    put: deltas.flatMap(({ put }) => put),
    removed: deltas.flatMap(({ removed }) => removed),
    faults: deltas.flatMap(({ faults }) => faults),
  };
}
