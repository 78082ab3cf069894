// The permanent neighbour and FDB entries of a tunnel device: one of each per peer, wanted against what the kernel holds.
//
// The confusing thing: they look alike. The neighbour says which MAC address has the peer's gateway (the answer that ARP
// would give); the FDB entry says behind which underlay address that MAC address lives.

import { DeltaTracker, type TrackedSide } from '../../lib/delta-tracker.ts';
import type { Kernel, KernelChange, KernelEvent } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Mac } from '../../lib/net/mac.ts';

/** What the packets to one peer need on the device. */
export interface PeerEntry {
  readonly gateways: readonly Address[];
  readonly mac: Mac;
  /** Underlay address behind which `mac` lives; absent where no FDB is kept. */
  readonly endpoint?: Address;
}

export class PeerEntries {
  readonly #neighbours = new DeltaTracker<Address, Mac>((a, b) => a === b);
  readonly #fdb = new DeltaTracker<Mac, Address>((a, b) => a === b);
  readonly #owners = new Map<string, PeerEntry>();
  readonly #gateways = new Claims<Address, Mac>();
  readonly #macs = new Claims<Mac, Address>();
  #peersAreKnown = false;

  /** Whether nothing is left to write, as far as is known. */
  get inSync(): boolean {
    return this.#neighbours.inSync && this.#fdb.inSync;
  }

  /** What one peer needs; `undefined` where it needs nothing any more. Two that want the same share it. */
  wantOf(owner: string, entry: PeerEntry | undefined): void {
    const before = this.#owners.get(owner);
    if (entry === undefined) this.#owners.delete(owner);
    else this.#owners.set(owner, entry);
    for (const gateway of before?.gateways ?? []) this.#gateways.drop(gateway, owner);
    if (before !== undefined) this.#macs.drop(before.mac, owner);
    for (const gateway of entry?.gateways ?? []) if (entry) this.#gateways.put(gateway, owner, entry.mac);
    if (entry?.endpoint !== undefined) this.#macs.put(entry.mac, owner, entry.endpoint);
    for (const gateway of new Set([...(before?.gateways ?? []), ...(entry?.gateways ?? [])])) {
      wantOne(this.#neighbours, gateway, this.#gateways.valueOf(gateway));
    }
    for (const mac of new Set([before?.mac, entry?.mac])) {
      if (mac !== undefined) wantOne(this.#fdb, mac, this.#macs.valueOf(mac));
    }
  }

  /** Every peer that there is was named once: what nobody wants may go. Before that it may be somebody's of a former run. */
  peersKnown(): void {
    this.#peersAreKnown = true;
  }

  /** Whether the kernel holds these as wanted. */
  has(gateways: readonly Address[], mac: Mac | undefined): boolean {
    return (
      gateways.every((gateway) => !this.#neighbours.pendingUpdates.has(gateway)) &&
      (mac === undefined || !this.#fdb.pendingUpdates.has(mac))
    );
  }

  /** Takes a notification about this device. */
  hear(event: KernelEvent, linkIndex: number | undefined): void {
    if (event.type === 'resync') return;
    if (event.kind === 'neighbour' && event.object.linkIndex === linkIndex) {
      this.#recordNeighbour(event.type, event.object.address, event.object.mac);
    } else if (event.kind === 'fdb' && event.object.linkIndex === linkIndex) {
      this.#recordFdb(event.type, event.object.mac, event.object.destination);
    }
  }

  /** Lists what the kernel holds now. */
  async list(kernel: Kernel, linkIndex: number, withFdb: boolean): Promise<void> {
    const neighbours = await kernel.list('neighbour', { linkIndex });
    this.#neighbours.replaceDataplane(neighbours.map(({ address, mac }) => [address, mac] as const));
    const fdb = withFdb ? await kernel.list('fdb', { linkIndex }) : [];
    this.#fdb.replaceDataplane(fdb.map(({ mac, destination }) => [mac, destination] as const));
  }

  /** What is left to write, additions before removals. */
  changes(linkIndex: number): readonly KernelChange[] {
    const changes: KernelChange[] = [];
    // The FDB entry first: with a neighbour alone the first packets would have nowhere to go.
    for (const mac of this.#fdb.pendingUpdates) {
      const destination = held(this.#fdb.desired, mac);
      changes.push({ op: 'put', kind: 'fdb', fdb: { linkIndex, mac, destination } });
    }
    for (const address of this.#neighbours.pendingUpdates) {
      const mac = held(this.#neighbours.desired, address);
      changes.push({ op: 'put', kind: 'neighbour', neighbour: { linkIndex, address, mac } });
    }
    if (!this.#peersAreKnown) return changes;
    for (const address of this.#neighbours.pendingDeletions) {
      const mac = held(this.#neighbours.dataplane, address);
      changes.push({ op: 'delete', kind: 'neighbour', neighbour: { linkIndex, address, mac } });
    }
    for (const mac of this.#fdb.pendingDeletions) {
      const destination = held(this.#fdb.dataplane, mac);
      changes.push({ op: 'delete', kind: 'fdb', fdb: { linkIndex, mac, destination } });
    }
    return changes;
  }

  /** The kernel took this change. */
  record(change: KernelChange): void {
    if (change.kind === 'neighbour') this.#recordNeighbour(change.op, change.neighbour.address, change.neighbour.mac);
    else if (change.kind === 'fdb') this.#recordFdb(change.op, change.fdb.mac, change.fdb.destination);
  }

  #recordNeighbour(op: 'put' | 'delete', address: Address, mac: Mac): void {
    if (op === 'put') this.#neighbours.setDataplane(address, mac);
    else this.#neighbours.deleteDataplane(address);
  }

  #recordFdb(op: 'put' | 'delete', mac: Mac, destination: Address): void {
    if (op === 'put') this.#fdb.setDataplane(mac, destination);
    else this.#fdb.deleteDataplane(mac);
  }
}

/** Who wants which value under a key; where they differ, the first owner in order has its way. */
class Claims<K, V> {
  readonly #claims = new Map<K, Map<string, V>>();

  put(key: K, owner: string, value: V): void {
    this.#claims.set(key, (this.#claims.get(key) ?? new Map<string, V>()).set(owner, value));
  }

  drop(key: K, owner: string): void {
    const owners = this.#claims.get(key);
    owners?.delete(owner);
    if (owners?.size === 0) this.#claims.delete(key);
  }

  valueOf(key: K): V | undefined {
    const owners = this.#claims.get(key);
    if (owners === undefined) return undefined;
    const first = owners.size === 1 ? owners.keys().next().value : [...owners.keys()].sort()[0];
    return first === undefined ? undefined : owners.get(first);
  }
}

function wantOne<K, V>(tracker: DeltaTracker<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) tracker.deleteDesired(key);
  else if (tracker.desired.get(key) !== value) tracker.setDesired(key, value);
}

/** What a tracker calls pending it also holds. */
function held<K, V>(side: TrackedSide<K, V>, key: K): V {
  const value = side.get(key);
  if (value === undefined) throw new Error(`the delta tracker calls ${String(key)} pending and does not hold it`);
  return value;
}
