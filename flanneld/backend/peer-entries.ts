// The permanent neighbour and FDB entries of a tunnel device: one of each per peer, wanted against what the kernel holds.
//
// The confusing thing: they look alike. The neighbour says which MAC address has the peer's gateway (the answer that ARP
// would give); the FDB entry says behind which underlay address that MAC address lives.

import { DeltaTracker } from '../../lib/delta-tracker.ts';
import type { Kernel, KernelChange, KernelEvent } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Mac } from '../../lib/net/mac.ts';

export class PeerEntries {
  readonly #neighbours = new DeltaTracker<Address, Mac>((a, b) => a === b);
  readonly #fdb = new DeltaTracker<Mac, Address>((a, b) => a === b);

  /** Whether nothing is left to write, as far as is known. */
  get inSync(): boolean {
    return this.#neighbours.inSync && this.#fdb.inSync;
  }

  /** These are all that should be. */
  want(neighbours: ReadonlyMap<Address, Mac>, fdb: ReadonlyMap<Mac, Address>): void {
    wantAll(this.#neighbours, neighbours);
    wantAll(this.#fdb, fdb);
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

function wantAll<K, V>(tracker: DeltaTracker<K, V>, wanted: ReadonlyMap<K, V>): void {
  for (const key of [...tracker.desired.keys()]) if (!wanted.has(key)) tracker.deleteDesired(key);
  for (const [key, value] of wanted) if (tracker.desired.get(key) !== value) tracker.setDesired(key, value);
}

/** What a tracker calls pending it also holds. */
function held<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined) throw new Error(`the delta tracker calls ${String(key)} pending and does not hold it`);
  return value;
}
