// Who is who in the overlay: the peers, found by underlay address, by VTEP MAC address and by inner IP address.
//
// It has no I/O and belongs to whichever thread forwards: that thread reads it without locks, and changes it between two
// packets. Look-ups for packets allocate nothing. An update touches only what one peer owns, never the whole table.
//
// The confusing thing: keys need not be unique. Two nodes may announce one prefix (anycast), and for as long as an old
// lease lives two names may have one address. The entry set last is used; when it goes, the other one is there again.

import { type Address, type Family, familyOf } from '../../lib/net/address.ts';
import { type Mac, macBytes } from '../../lib/net/mac.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { PrefixMap } from '../../lib/net/prefix-map.ts';
import { readI32, readU16 } from '../../lib/wire/bytes.ts';
import type { PlanePeer } from './data-plane.ts';

/** A peer in the table. `endpoint` is one string object per address here, and `mac` is split for comparing with a frame. */
export interface TableEntry {
  readonly peer: PlanePeer;
  /** Family of the endpoint: a socket of the other family cannot reach it. */
  readonly family: Family;
  readonly macHigh: number;
  readonly macLow: number;
}

/** Marks the node's own subnets among the owners of prefixes: they lie behind no peer. */
const SELF: TableEntry = {
  peer: { node: '', endpoint: '' as Address, port: 0, subnets: [] },
  family: 4,
  macHigh: -1,
  macLow: 0,
};

export class ForwardingTable {
  readonly #byNode = new Map<string, TableEntry>();
  readonly #byEndpoint = new Map<string, TableEntry[]>();
  /** By the low 32 bits of the MAC address; the few that share them are told apart by the rest. */
  readonly #byMac = new Map<number, TableEntry[]>();
  readonly #byPrefix = new PrefixMap<TableEntry[]>();

  constructor(ownSubnets: readonly Prefix[]) {
    for (const subnet of ownSubnets) this.#addPrefix(subnet, SELF);
  }

  get peerCount(): number {
    return this.#byNode.size;
  }

  get prefixCount(): number {
    return this.#byPrefix.size;
  }

  /** Adds the peer or replaces the one with its name. */
  set(peer: PlanePeer): void {
    const previous = this.#byNode.get(peer.node);
    const mac = peer.mac === undefined ? undefined : macBytes(peer.mac as Mac);
    const entry: TableEntry = {
      peer,
      family: familyOf(peer.endpoint),
      macHigh: mac === undefined ? -1 : readU16(mac, 0),
      macLow: mac === undefined ? 0 : readI32(mac, 2),
    };
    this.#byNode.set(peer.node, entry);
    addOwner(this.#byEndpoint, peer.endpoint, entry);
    if (mac !== undefined) addOwner(this.#byMac, entry.macLow, entry);
    for (const subnet of new Set(peer.subnets)) this.#addPrefix(subnet, entry);
    // The new entry is in place before the old one goes.
    if (previous !== undefined) this.#forget(previous);
  }

  /** Removes the peer of this name; of an unknown one is success. */
  remove(node: string): void {
    const entry = this.#byNode.get(node);
    if (entry === undefined) return;
    this.#byNode.delete(node);
    this.#forget(entry);
  }

  /** Whether some peer sends from this underlay address. */
  isEndpoint(address: string): boolean {
    return this.#byEndpoint.has(address);
  }

  /** The peer whose VTEP has the MAC address at `at`. */
  findByMac(bytes: Uint8Array, at: number): TableEntry | undefined {
    const candidates = this.#byMac.get(readI32(bytes, at + 2));
    if (candidates === undefined) return undefined;
    const high = readU16(bytes, at);
    for (const candidate of candidates) if (candidate.macHigh === high) return candidate;
    return undefined;
  }

  /** The peer behind which the inner address at `at` lies: longest prefix match. */
  findByDestination(family: Family, bytes: Uint8Array, at: number): TableEntry | undefined {
    const owner = this.#byPrefix.matchBytes(family, bytes, at)?.[0];
    return owner === SELF ? undefined : owner;
  }

  /** Whether the inner address at `at` belongs to a peer at `endpoint`: the longest prefix around it is one of that peer. */
  isBehind(endpoint: string, family: Family, bytes: Uint8Array, at: number): boolean {
    const owners = this.#byPrefix.matchBytes(family, bytes, at);
    if (owners === undefined || owners[0] === SELF) return false;
    for (const owner of owners) if (owner.peer.endpoint === endpoint) return true;
    return false;
  }

  #addPrefix(prefix: Prefix, entry: TableEntry): void {
    const owners = this.#byPrefix.get(prefix);
    if (owners === undefined) this.#byPrefix.set(prefix, [entry]);
    // Nobody takes this node's own subnets over.
    else if (owners[0] === SELF) owners.push(entry);
    else owners.unshift(entry);
  }

  #forget(entry: TableEntry): void {
    removeOwner(this.#byEndpoint, entry.peer.endpoint, entry);
    if (entry.macHigh >= 0) removeOwner(this.#byMac, entry.macLow, entry);
    for (const subnet of new Set(entry.peer.subnets)) {
      const owners = this.#byPrefix.get(subnet);
      if (owners !== undefined && removeFrom(owners, entry)) this.#byPrefix.delete(subnet);
    }
  }
}

function addOwner<K>(map: Map<K, TableEntry[]>, key: K, entry: TableEntry): void {
  const owners = map.get(key);
  if (owners === undefined) map.set(key, [entry]);
  else owners.unshift(entry);
}

function removeOwner<K>(map: Map<K, TableEntry[]>, key: K, entry: TableEntry): void {
  const owners = map.get(key);
  if (owners !== undefined && removeFrom(owners, entry)) map.delete(key);
}

/** Removes the entry; true where nothing is left. */
function removeFrom(owners: TableEntry[], entry: TableEntry): boolean {
  const index = owners.indexOf(entry);
  if (index >= 0) owners.splice(index, 1);
  return owners.length === 0;
}
