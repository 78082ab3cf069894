// Who is who in the overlay: the peers, found by underlay address, by VTEP MAC address and by inner IP address.
//
// It has no I/O and belongs to whichever thread forwards: that thread reads it without locks, and changes it between two
// packets. All of it is flat memory: neither a look-up nor a change makes an object, so that replacing thousands of entries
// leaves nothing for the garbage collector. Changes come as numbers (table-changes.ts) and touch only what one peer owns.
//
// Prefixes have two sources: the leases of peers, and the routes that the cluster's routing gives to endpoints. A route wins
// over a lease, the node's own subnets over both.
//
// The confusing thing: keys need not be unique. Two nodes may announce one prefix (anycast), and for as long as an old
// lease lives two names may have one address. The entry set last is used; when it goes, the other one is there again.

import type { Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { readI32, readU16, readU32 } from '../../lib/wire/bytes.ts';
import type { AddressRange } from './address-ranges.ts';
import { EndpointIndex, NO_ENDPOINT } from './endpoint-index.ts';
import { grown, ListPool, NO_LIST } from './list-pool.ts';
import { LookupCache } from './lookup-cache.ts';
import { NO_PREFIX, PrefixIndex } from './prefix-index.ts';
import { SOCKADDR } from './socket-address.ts';
import {
  CHANGE,
  ENDPOINT_WORDS,
  PEER_WORDS,
  PREFIX_WORDS,
  prefixWords,
  REMOVE_WORDS,
  ROUTE_WORDS,
} from './table-changes.ts';
import { TableEntry } from './table-entry.ts';

/** Marks the node's own subnets among the owners of prefixes: they lie behind no peer. Slots of peers begin at 1. */
const SELF = 0;
/** Of a prefix: slots that leased it, endpoints that a route leads to; both lists. */
const OWNERS = { leased: 0, routed: 1, length: 2 } as const;
const FIRST_ROOM = 8_192;
const MAC_BUCKETS = 16_384;
const MAC_SHIFT = 18;
const SPREAD = 0x9e3779b1;

export class ForwardingTable {
  readonly #pool = new ListPool();
  readonly #endpoints = new EndpointIndex(this.#pool);
  readonly #prefixes = new PrefixIndex();
  readonly #lately = new LookupCache((family, bytes, at) => this.#prefixes.match(family, bytes, at));
  readonly #entries: TableEntry[] = [new TableEntry()];
  readonly #byMac = new Int32Array(MAC_BUCKETS).fill(NO_LIST);
  #owners = new Int32Array(FIRST_ROOM * OWNERS.length);
  #peerCount = 0;

  constructor(ownSubnets: readonly Prefix[]) {
    for (const subnet of ownSubnets) this.#lease(Int32Array.from(prefixWords(subnet)), 0, SELF);
  }

  get peerCount(): number {
    return this.#peerCount;
  }

  get prefixCount(): number {
    return this.#prefixes.size;
  }

  /** Makes the changes, one after the other. */
  apply(changes: Int32Array): void {
    for (let at = 0; at < changes.length; ) at = this.#applyOne(changes, at);
  }

  /** The endpoint with the 4 or 16 address bytes at `at`, if some peer sends from there; else `NO_ENDPOINT`. */
  findSender(family: Family, bytes: Uint8Array, at: number): number {
    const endpoint = this.#endpoints.findBytes(family, bytes, at);
    return endpoint === NO_ENDPOINT || this.#endpoints.peersOf(endpoint) === NO_LIST ? NO_ENDPOINT : endpoint;
  }

  /** The peer whose VTEP has the MAC address at `at`. */
  findByMac(bytes: Uint8Array, at: number): TableEntry | undefined {
    const low = readI32(bytes, at + 2);
    const high = readU16(bytes, at);
    let node = this.#byMac[macBucket(low)] as number;
    for (; node !== NO_LIST; node = this.#pool.next(node)) {
      const entry = this.#entries[this.#pool.value(node)] as TableEntry;
      if (entry.macLow === low && entry.macHigh === high) return entry;
    }
    return undefined;
  }

  /**
   * The peer behind which the inner address at `at` lies: longest prefix match. Where a route leads to several, `flow`
   * (any integer that is the same for all packets of a flow) decides.
   */
  findByDestination(family: Family, bytes: Uint8Array, at: number, flow = 0): TableEntry | undefined {
    const prefix = this.#lately.find(family, bytes, at);
    if (prefix === NO_PREFIX) return undefined;
    const leased = this.#leased(prefix);
    if (this.#isOwn(leased)) return undefined;
    // A route to nodes that are no peers (yet) is as good as none.
    const slot = this.#routedPeer(this.#routed(prefix), flow);
    if (slot !== SELF) return this.#entries[slot];
    return leased === NO_LIST ? undefined : this.#entries[this.#pool.value(leased)];
  }

  /** Whether the inner address at `at` belongs to a peer at `endpoint`: the longest prefix around it is one of that peer. */
  isBehind(endpoint: number, family: Family, bytes: Uint8Array, at: number): boolean {
    const prefix = this.#lately.find(family, bytes, at);
    if (prefix === NO_PREFIX) return false;
    const leased = this.#leased(prefix);
    if (this.#isOwn(leased)) return false;
    const pool = this.#pool;
    for (let node = leased; node !== NO_LIST; node = pool.next(node)) {
      if ((this.#entries[pool.value(node)] as TableEntry).endpoint === endpoint) return true;
    }
    return pool.has(this.#routed(prefix), endpoint);
  }

  /** Gives where the next change begins. */
  #applyOne(changes: Int32Array, at: number): number {
    if (changes[at] === CHANGE.setPeer) return this.#setPeer(changes, at);
    if (changes[at] === CHANGE.setRoute) return this.#setRoute(changes, at);
    const slot = changes[at + REMOVE_WORDS.slot] as number;
    this.#forget(slot, this.#entries[slot] as TableEntry);
    return at + REMOVE_WORDS.length;
  }

  /** Where peers send from, one range each: IPv4 addresses, or the last 32 bits of IPv6 ones. */
  senderRanges(family: Family): AddressRange[] {
    const senders = this.#entries.filter((entry) => entry.endpoint !== NO_ENDPOINT && entry.family === family);
    return senders.map(({ name }) => {
      const at = family === 4 ? SOCKADDR.address4 : SOCKADDR.address6 + 12;
      return { first: readU32(name, at), last: readU32(name, at) };
    });
  }

  /** The IPv4 prefixes of peers. */
  sourceRanges(): AddressRange[] {
    return this.#prefixes.ranges4((prefix) => !this.#isOwn(this.#leased(prefix)));
  }

  #setPeer(changes: Int32Array, at: number): number {
    const slot = changes[at + PEER_WORDS.slot] as number;
    while (this.#entries.length <= slot) this.#entries.push(new TableEntry());
    const entry = this.#entries[slot] as TableEntry;
    // No packet is looked at in between.
    if (entry.endpoint !== NO_ENDPOINT) this.#forget(slot, entry);
    const family = changes[at + PEER_WORDS.family] as Family;
    entry.setName(family, changes, at + PEER_WORDS.address, changes[at + PEER_WORDS.port] as number);
    entry.macHigh = changes[at + PEER_WORDS.macHigh] as number;
    entry.macLow = changes[at + PEER_WORDS.macLow] as number;
    entry.endpoint = this.#endpoints.add(family, changes, at + PEER_WORDS.address);
    this.#endpoints.addPeer(entry.endpoint, slot);
    this.#peerCount++;
    if (entry.macHigh >= 0) {
      const bucket = macBucket(entry.macLow);
      this.#byMac[bucket] = this.#pool.prepend(this.#byMac[bucket] as number, slot);
    }
    const end = at + PEER_WORDS.prefixes + (changes[at + PEER_WORDS.prefixCount] as number) * PREFIX_WORDS.length;
    for (let each = at + PEER_WORDS.prefixes; each < end; each += PREFIX_WORDS.length) {
      entry.prefixes = this.#pool.prepend(entry.prefixes, this.#lease(changes, each, slot));
    }
    return end;
  }

  #setRoute(changes: Int32Array, at: number): number {
    const count = changes[at + ROUTE_WORDS.endpointCount] as number;
    const end = at + ROUTE_WORDS.endpoints + count * ENDPOINT_WORDS.length;
    const prefix = this.#prefixAt(changes, at + ROUTE_WORDS.family, count > 0);
    if (prefix === NO_PREFIX) return end;
    let routed = NO_LIST;
    for (let each = at + ROUTE_WORDS.endpoints; each < end; each += ENDPOINT_WORDS.length) {
      const family = changes[each + ENDPOINT_WORDS.family] as Family;
      const endpoint = this.#endpoints.add(family, changes, each + ENDPOINT_WORDS.address);
      this.#endpoints.countRoute(endpoint, 1);
      routed = this.#pool.append(routed, endpoint);
    }
    const before = this.#routed(prefix);
    this.#owners[prefix * OWNERS.length + OWNERS.routed] = routed;
    for (let node = before; node !== NO_LIST; node = this.#pool.next(node)) {
      this.#endpoints.countRoute(this.#pool.value(node), -1);
    }
    this.#pool.clear(before);
    this.#sweep(prefix);
    return end;
  }

  /** Gives the prefix at `at` to the slot, first of all, but for this node's own subnets, which nobody takes over. */
  #lease(words: Int32Array, at: number, slot: number): number {
    const prefix = this.#prefixAt(words, at, true);
    const leased = this.#leased(prefix);
    const list = this.#isOwn(leased) ? this.#pool.append(leased, slot) : this.#pool.prepend(leased, slot);
    this.#owners[prefix * OWNERS.length + OWNERS.leased] = list;
    return prefix;
  }

  #forget(slot: number, entry: TableEntry): void {
    const { endpoint, prefixes } = entry;
    this.#endpoints.removePeer(endpoint, slot);
    entry.endpoint = NO_ENDPOINT;
    this.#peerCount--;
    if (entry.macHigh >= 0) {
      const bucket = macBucket(entry.macLow);
      this.#byMac[bucket] = this.#pool.remove(this.#byMac[bucket] as number, slot);
    }
    for (let node = prefixes; node !== NO_LIST; node = this.#pool.next(node)) {
      const prefix = this.#pool.value(node);
      const at = prefix * OWNERS.length + OWNERS.leased;
      this.#owners[at] = this.#pool.remove(this.#owners[at] as number, slot);
      this.#sweep(prefix);
    }
    this.#pool.clear(prefixes);
    entry.prefixes = NO_LIST;
  }

  /** The prefix whose words (see `PREFIX_WORDS`) are at `at`; made where `isWanted` and there is none. */
  #prefixAt(words: Int32Array, at: number, isWanted: boolean): number {
    const family = words[at + PREFIX_WORDS.family] as Family;
    const length = words[at + PREFIX_WORDS.prefixLength] as number;
    const found = this.#prefixes.find(family, length, words, at + PREFIX_WORDS.address);
    if (found !== NO_PREFIX || !isWanted) return found;
    const prefix = this.#prefixes.add(family, length, words, at + PREFIX_WORDS.address);
    const owners = prefix * OWNERS.length;
    if (owners >= this.#owners.length) this.#owners = grown(this.#owners, 2 * this.#owners.length);
    this.#owners.fill(NO_LIST, owners, owners + OWNERS.length);
    this.#lately.forget();
    return prefix;
  }

  #sweep(prefix: number): void {
    if (this.#leased(prefix) !== NO_LIST || this.#routed(prefix) !== NO_LIST) return;
    this.#prefixes.remove(prefix);
    this.#lately.forget();
  }

  #leased(prefix: number): number {
    return this.#owners[prefix * OWNERS.length + OWNERS.leased] as number;
  }

  #routed(prefix: number): number {
    return this.#owners[prefix * OWNERS.length + OWNERS.routed] as number;
  }

  #isOwn(leased: number): boolean {
    return leased !== NO_LIST && this.#pool.value(leased) === SELF;
  }

  /** The slot of a peer at one of these endpoints, by the flow; those where nobody is are passed over. `SELF` for none. */
  #routedPeer(routed: number, flow: number): number {
    if (routed === NO_LIST) return SELF;
    const pool = this.#pool;
    let count = 0;
    for (let node = routed; node !== NO_LIST; node = pool.next(node)) count++;
    let node = routed;
    for (let skip = (flow >>> 0) % count; skip > 0; skip--) node = pool.next(node);
    for (let i = 0; i < count; i++) {
      const peers = this.#endpoints.peersOf(pool.value(node));
      if (peers !== NO_LIST) return pool.value(peers);
      node = pool.next(node) === NO_LIST ? routed : pool.next(node);
    }
    return SELF;
  }
}

function macBucket(low: number): number {
  return Math.imul(low, SPREAD) >>> MAC_SHIFT;
}
