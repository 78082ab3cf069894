// What flanneld offers in its RouteFeed: a group per peer, and one local blackhole group with the node's own subnet.
//
// `publish` takes the peers that may have changed, as they are now, and edits the feed until it says that of them. A
// peer's routes over different next hops (IPv4 and IPv6 inside, DirectRouting for one of them) are groups of their own;
// ids stay the same for as long as the peer is known, so that a changed next hop is one message.
//
// While the underlay link has no carrier no peer can be reached: the groups stay, with their routes, and have no next hops.

import type { Cause, FeedNextHop } from '../lib/feed/feed.ts';
import type { FeedTable } from '../lib/feed/feed-table.ts';
import type { Address } from '../lib/net/address.ts';
import { type Prefix, prefixFamily } from '../lib/net/prefix.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { PeerRoute, PeerState } from './backend/backend.ts';
import { nameOf } from './backend/peer-check.ts';
import { type Lease, leaseSubnets } from './lease/lease.ts';

const OWN_GROUP = 1;
/** Apart from the peers' ids, which count up. */
const NETWORK_GROUP = 0xffff_ffff;

/** What happened to a lease, as it stands in a cause. */
export type LeaseEvent = 'lease-added' | 'lease-changed' | 'lease-removed';

/** What happened to the underlay link. */
type LinkEvent = 'link-down' | 'link-up';

/** What was last said of one group. */
interface OfferedGroup {
  readonly id: number;
  readonly prefixes: readonly Prefix[];
  /** Those that it has while the link has carrier. */
  readonly nextHops: readonly FeedNextHop[];
}

export class LeaseFeed {
  readonly #table: FeedTable;
  readonly #clock: Clock;
  /** By etcd key: the last event of this lease that is not in the feed yet. */
  readonly #causes = new Map<string, Cause>();
  /** By `<etcd key> <family>`. */
  readonly #groups = new Map<string, OfferedGroup>();
  #nextGroup = OWN_GROUP + 1;
  #hasCarrier = true;
  #causeCount = 0;

  /** Offers the cluster's `networks` as unreachable: what of them no node has must not leave by another route. */
  constructor(table: FeedTable, clock: Clock, networks: readonly Prefix[] = []) {
    this.#table = table;
    this.#clock = clock;
    if (networks.length === 0) return;
    table.setGroup({ id: NETWORK_GROUP, kind: 'unreachable', nextHops: [], local: false, node: '' });
    table.setRoutes(NETWORK_GROUP, networks);
  }

  /** Offers the node's own subnet and no other; `endpoint` is the address that other nodes know it by. */
  publishOwn(lease: Lease, endpoint: Address, cause?: Cause): void {
    const subnets = leaseSubnets(lease);
    this.#table.setGroup(
      { id: OWN_GROUP, kind: 'blackhole', nextHops: [], endpoint, local: true, node: lease.nodeName },
      cause,
    );
    this.#table.setRoutes(OWN_GROUP, subnets, cause);
    const former = [...this.#table.prefixesOf(OWN_GROUP)].filter((prefix) => !subnets.includes(prefix));
    this.#table.withdraw(former, cause);
  }

  /** Another node has the subnet: stops announcing it. */
  withdrawOwn(): void {
    this.#table.withdraw(this.#table.prefixesOf(OWN_GROUP));
  }

  /** Stamps what was just seen of a lease; the next change of its routes carries it. */
  note(key: string, kind: LeaseEvent): void {
    this.#causes.set(key, this.#newCause(kind));
  }

  /** The underlay link lost its carrier, or has it again: every group has no next hops, or its own. */
  setCarrier(hasCarrier: boolean): void {
    if (hasCarrier === this.#hasCarrier) return;
    this.#hasCarrier = hasCarrier;
    const cause = this.#decided(this.#newCause(hasCarrier ? 'link-up' : 'link-down'));
    for (const { id, nextHops } of this.#groups.values()) {
      const group = this.#table.groups.get(id);
      if (group !== undefined) this.#table.setGroup({ ...group, nextHops: hasCarrier ? nextHops : [] }, cause);
    }
  }

  /** The peers of these leases, by etcd key, are now this; `undefined` for one that is gone. */
  publish(peers: ReadonlyMap<string, PeerState | undefined>): void {
    const gone: string[] = [];
    // New routes first: a subnet that moves from one lease to another is never without a route.
    for (const [key, peer] of peers) {
      for (const family of [4, 6]) {
        const name = `${key} ${family}`;
        const routes = peer?.routes.filter(({ subnet }) => prefixFamily(subnet) === family) ?? [];
        if (peer !== undefined && routes.length > 0) this.#put(name, peer, routes);
        else if (this.#groups.has(name)) gone.push(name);
      }
    }
    for (const name of gone) this.#remove(name);
    // A cause outlives its lease only until its routes are gone.
    for (const [key, peer] of peers) if (peer === undefined) this.#causes.delete(key);
  }

  #remove(name: string): void {
    const held = this.#groups.get(name);
    if (held === undefined) return;
    const { id, prefixes } = held;
    const cause = this.#causeOf(name);
    this.#table.withdraw(
      prefixes.filter((prefix) => this.#table.groupOf(prefix) === id),
      cause,
    );
    this.#table.removeGroup(id, cause);
    this.#groups.delete(name);
  }

  #put(name: string, { lease, endpoint, programmed }: PeerState, routes: readonly PeerRoute[]): void {
    const before = this.#groups.get(name);
    const id = before?.id ?? this.#nextGroup++;
    const prefixes = routes.map(({ subnet }) => subnet);
    const nextHops = distinct(routes.map(({ hop }) => hop));
    const usable = this.#hasCarrier ? nextHops : [];
    const group = { id, kind: 'unicast', nextHops: usable, local: false, node: nameOf(lease) } as const;
    const cause = this.#causeOf(name);
    const changed = this.#table.setGroup({ ...group, ...(endpoint && { endpoint }) }, cause);
    this.#table.setRoutes(id, prefixes, cause);
    const gone = before?.prefixes.filter((prefix) => !prefixes.includes(prefix)) ?? [];
    this.#table.withdraw(
      gone.filter((prefix) => this.#table.groupOf(prefix) === id),
      cause,
    );
    this.#groups.set(name, { id, prefixes, nextHops });
    // Its change has left with the event, or was none of the routes'.
    if (changed || programmed) this.#causes.delete(lease.key);
  }

  /** The cause as it leaves: the decision is ready now. */
  #causeOf(name: string): Cause | undefined {
    const cause = this.#causes.get(name.slice(0, name.lastIndexOf(' ')));
    return cause && this.#decided(cause);
  }

  #newCause(kind: LeaseEvent | LinkEvent): Cause {
    const id = `flanneld-${process.pid}-${++this.#causeCount}`;
    return { id, kind, detectedUnixUs: this.#clock.unixMicros(), decidedUnixUs: 0n };
  }

  #decided(cause: Cause): Cause {
    return { ...cause, decidedUnixUs: this.#clock.unixMicros() };
  }
}

function distinct(hops: readonly FeedNextHop[]): readonly FeedNextHop[] {
  return [...new Map(hops.map((hop) => [JSON.stringify(hop), hop])).values()];
}
