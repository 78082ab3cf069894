// Who is who in the overlay: the peers, found by underlay address, by VTEP MAC address and by inner IP address.
//
// It has no I/O and belongs to whichever thread forwards: that thread reads it without locks, and changes it between two
// packets. Look-ups for packets allocate nothing. An update touches only what one peer owns, never the whole table.
//
// Prefixes have two sources: the leases of peers, and the routes that the cluster's routing gives to endpoints. A route wins
// over a lease, the node's own subnets over both.
//
// The confusing thing: keys need not be unique. Two nodes may announce one prefix (anycast), and for as long as an old
// lease lives two names may have one address. The entry set last is used; when it goes, the other one is there again.

import { type Address, type Family, familyOf } from '../../lib/net/address.ts';
import { type Mac, macBytes } from '../../lib/net/mac.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { PrefixMap } from '../../lib/net/prefix-map.ts';
import { readI32, readU16 } from '../../lib/wire/bytes.ts';
import type { PlanePeer, PlaneRoute } from './data-plane.ts';
import { LookupCache } from './lookup-cache.ts';

/** A peer in the table. `endpoint` is one string object per address here, and `mac` is split for comparing with a frame. */
export interface TableEntry {
  readonly peer: PlanePeer;
  /** Family of the endpoint: a socket of the other family cannot reach it. */
  readonly family: Family;
  readonly macHigh: number;
  readonly macLow: number;
}

/** An underlay address: who sends from it, and how many routes lead to it. Gone when it has neither. */
interface Endpoint {
  readonly address: string;
  readonly entries: TableEntry[];
  routes: number;
}

/** Who has a prefix. Both lists are replaced or changed between two packets. */
interface Owners {
  readonly leased: TableEntry[];
  routed: readonly Endpoint[];
}

const NOBODY: readonly Endpoint[] = [];

/** Marks the node's own subnets among the owners of prefixes: they lie behind no peer. */
const SELF: TableEntry = {
  peer: { node: '', endpoint: '' as Address, port: 0, subnets: [] },
  family: 4,
  macHigh: -1,
  macLow: 0,
};

export class ForwardingTable {
  readonly #byNode = new Map<string, TableEntry>();
  readonly #byEndpoint = new Map<string, Endpoint>();
  /** By the low 32 bits of the MAC address; the few that share them are told apart by the rest. */
  readonly #byMac = new Map<number, TableEntry[]>();
  readonly #byPrefix = new PrefixMap<Owners>();
  readonly #lately = new LookupCache<Owners>((family, bytes, at) => this.#byPrefix.matchBytes(family, bytes, at));

  constructor(ownSubnets: readonly Prefix[]) {
    for (const subnet of ownSubnets) this.#put(subnet, { leased: [SELF], routed: NOBODY });
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
    this.#endpoint(peer.endpoint).entries.unshift(entry);
    if (mac !== undefined) addOwner(this.#byMac, entry.macLow, entry);
    for (const subnet of new Set(peer.subnets)) this.#lease(subnet, entry);
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

  /** Adds, replaces or withdraws one route. */
  setRoute({ prefix, endpoints }: PlaneRoute): void {
    let owners = this.#byPrefix.get(prefix);
    if (owners === undefined) {
      if (endpoints.length === 0) return;
      owners = { leased: [], routed: NOBODY };
      this.#put(prefix, owners);
    }
    const before = owners.routed;
    const routed = [...new Set(endpoints)].map((endpoint) => this.#endpoint(endpoint));
    for (const endpoint of routed) endpoint.routes++;
    owners.routed = routed;
    for (const endpoint of before) {
      endpoint.routes--;
      this.#sweep(endpoint);
    }
    if (routed.length === 0 && owners.leased.length === 0) this.#drop(prefix);
  }

  /** Whether some peer sends from this underlay address. */
  isEndpoint(address: string): boolean {
    const endpoint = this.#byEndpoint.get(address);
    return endpoint !== undefined && endpoint.entries.length > 0;
  }

  /** The peer whose VTEP has the MAC address at `at`. */
  findByMac(bytes: Uint8Array, at: number): TableEntry | undefined {
    const candidates = this.#byMac.get(readI32(bytes, at + 2));
    if (candidates === undefined) return undefined;
    const high = readU16(bytes, at);
    for (const candidate of candidates) if (candidate.macHigh === high) return candidate;
    return undefined;
  }

  /**
   * The peer behind which the inner address at `at` lies: longest prefix match. Where a route leads to several, `flow`
   * (any integer that is the same for all packets of a flow) decides.
   */
  findByDestination(family: Family, bytes: Uint8Array, at: number, flow = 0): TableEntry | undefined {
    const owners = this.#lately.find(family, bytes, at);
    if (owners === undefined || owners.leased[0] === SELF) return undefined;
    const { routed } = owners;
    // Nearly always there is one; a route to nodes that are no peers (yet) is as good as none.
    for (let i = 0; i < routed.length; i++) {
      const entry = routed[(i + (flow >>> 0)) % routed.length]?.entries[0];
      if (entry !== undefined) return entry;
    }
    return owners.leased[0];
  }

  /** Whether the inner address at `at` belongs to a peer at `endpoint`: the longest prefix around it is one of that peer. */
  isBehind(endpoint: string, family: Family, bytes: Uint8Array, at: number): boolean {
    const owners = this.#lately.find(family, bytes, at);
    if (owners === undefined || owners.leased[0] === SELF) return false;
    for (const owner of owners.leased) if (owner.peer.endpoint === endpoint) return true;
    for (const owner of owners.routed) if (owner.address === endpoint) return true;
    return false;
  }

  #lease(prefix: Prefix, entry: TableEntry): void {
    const owners = this.#byPrefix.get(prefix);
    if (owners === undefined) this.#put(prefix, { leased: [entry], routed: NOBODY });
    // Nobody takes this node's own subnets over.
    else if (owners.leased[0] === SELF) owners.leased.push(entry);
    else owners.leased.unshift(entry);
  }

  #forget(entry: TableEntry): void {
    const endpoint = this.#endpoint(entry.peer.endpoint);
    removeFrom(endpoint.entries, entry);
    this.#sweep(endpoint);
    if (entry.macHigh >= 0) removeOwner(this.#byMac, entry.macLow, entry);
    for (const subnet of new Set(entry.peer.subnets)) {
      const owners = this.#byPrefix.get(subnet);
      if (owners === undefined) continue;
      removeFrom(owners.leased, entry);
      if (owners.leased.length === 0 && owners.routed.length === 0) this.#drop(subnet);
    }
  }

  #put(prefix: Prefix, owners: Owners): void {
    this.#byPrefix.set(prefix, owners);
    this.#lately.forget();
  }

  #drop(prefix: Prefix): void {
    this.#byPrefix.delete(prefix);
    this.#lately.forget();
  }

  /** The endpoint of this address, made where there is none. */
  #endpoint(address: string): Endpoint {
    let endpoint = this.#byEndpoint.get(address);
    if (endpoint === undefined) {
      endpoint = { address, entries: [], routes: 0 };
      this.#byEndpoint.set(address, endpoint);
    }
    return endpoint;
  }

  #sweep(endpoint: Endpoint): void {
    if (endpoint.entries.length === 0 && endpoint.routes === 0) this.#byEndpoint.delete(endpoint.address);
  }
}

function addOwner<K>(map: Map<K, TableEntry[]>, key: K, entry: TableEntry): void {
  const owners = map.get(key);
  if (owners === undefined) map.set(key, [entry]);
  else owners.unshift(entry);
}

function removeOwner<K>(map: Map<K, TableEntry[]>, key: K, entry: TableEntry): void {
  const owners = map.get(key);
  if (owners === undefined) return;
  removeFrom(owners, entry);
  if (owners.length === 0) map.delete(key);
}

function removeFrom(owners: TableEntry[], entry: TableEntry): void {
  const index = owners.indexOf(entry);
  if (index >= 0) owners.splice(index, 1);
}
