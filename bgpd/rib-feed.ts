// Joins the RIB to the two RouteFeeds: flanneld's comes in (what to originate, how next hops are reached), ours goes out.
//
// Of flanneld's groups the local ones are originated and the others only resolve next hops: their routes are known to
// every node from the leases and bgpd must not repeat them, for it is there to say which nodes are alive.

import type { Cause, FeedEvent, FeedGroup } from '../lib/feed/feed.ts';
import type { FeedTable } from '../lib/feed/feed-table.ts';
import type { FeedChange, FeedView } from '../lib/feed/feed-view.ts';
import type { Address } from '../lib/net/address.ts';
import type { Prefix } from '../lib/net/prefix.ts';
import type { Causes } from './causes.ts';
import { LocalPods } from './local-pods.ts';
import type { Attributes } from './rib/attributes.ts';
import type { Rib } from './rib/rib.ts';

export interface RibFeedOptions {
  readonly rib: Rib;
  readonly view: FeedView;
  readonly table: FeedTable;
  readonly causes: Causes;
  /** NEXT_HOP of local routes whose group has no endpoint. */
  readonly address: () => Address;
  /** What local routes are announced with; absent: the least that is valid. */
  readonly origin?: () => Partial<Attributes>;
  /** The feed or what is originated may have changed. */
  readonly onPublished: () => void;
}

export class RibFeed {
  readonly #options: RibFeedOptions;
  /** What each local group is originated with. */
  readonly #localGroups = new Map<number, Address>();
  readonly #pods: LocalPods;

  constructor(options: RibFeedOptions) {
    this.#options = options;
    this.#pods = new LocalPods(options.view, options.table);
  }

  /** Puts what the RIB decided into the feed. */
  publish(events: readonly FeedEvent[], why: Cause | undefined): void {
    if (events.length === 0) return;
    const { table, causes } = this.#options;
    const cause = causes.decided(why);
    for (const event of events) {
      switch (event.type) {
        case 'group':
          table.setGroup(event.group, cause);
          break;
        case 'group-removed':
          table.removeGroup(event.id, cause);
          break;
        case 'routes':
          table.setRoutes(event.group, this.#pods.decided(event.prefixes, event.group), cause);
          break;
        case 'withdrawn':
          table.withdraw(this.#pods.decided(event.prefixes, undefined), cause);
          break;
        case 'in-sync':
          break;
      }
    }
    this.#options.onPublished();
  }

  /** Takes over all that the view holds: for a RIB that is new, or an address that changed. */
  followAll(): void {
    const { view } = this.#options;
    const prefixes = [...view.routes()].map(([prefix]) => prefix);
    this.follow({ groups: [...view.groups.keys()], prefixes }, undefined);
  }

  /** Follows one change of flanneld's feed. */
  follow(change: FeedChange, cause: Cause | undefined): void {
    this.#pods.follow(change, cause);
    for (const id of change.groups) this.#followGroup(id, cause);
    this.#followPrefixes(this.#pods.others(change.prefixes), cause);
    this.#announcePods(cause);
    if (this.#pods.settle(cause)) this.#options.onPublished();
  }

  #followGroup(id: number, why: Cause | undefined): void {
    const { rib, view, causes } = this.#options;
    const group = view.groups.get(id);
    // Before the feed is in sync nothing has changed: it is being told.
    const cause = why ?? (view.synced ? causes.make('next-hop-changed') : undefined);
    this.publish(group === undefined ? rib.removeNextHop(id, cause) : rib.setNextHop(group, cause), cause);
    const wasLocal = this.#localGroups.delete(id);
    const isLocal = group?.local === true && group.kind !== 'unicast';
    if (isLocal) this.#localGroups.set(id, this.#nextHopOf(group));
    if (wasLocal || isLocal) this.#followPrefixes([...view.prefixesOf(id)], cause);
  }

  /** Of this node's pods, those that its subnets do not tell of already. */
  #announcePods(cause: Cause | undefined): void {
    const { rib, address } = this.#options;
    const subnets = [...this.#localGroups.keys()].flatMap((id) => [...this.#options.view.prefixesOf(id)]);
    const { begin, end } = this.#pods.announce(subnets);
    if (begin.length > 0) this.publish(rib.originate(address(), begin, cause), cause);
    if (end.length > 0) this.publish(rib.withdrawLocal(end, cause), cause);
  }

  #followPrefixes(prefixes: readonly Prefix[], cause: Cause | undefined): void {
    const { rib, view } = this.#options;
    const gone: Prefix[] = [];
    const local = new Map<Address, Prefix[]>();
    for (const prefix of prefixes) {
      const group = view.groupOf(prefix);
      const nextHop = group === undefined ? undefined : this.#localGroups.get(group);
      if (nextHop !== undefined) {
        const same = local.get(nextHop);
        if (same === undefined) local.set(nextHop, [prefix]);
        else same.push(prefix);
      } else {
        gone.push(prefix);
      }
    }
    // Most of these never started here; to take back what is not there does nothing.
    if (gone.length > 0 && rib.originated > 0) this.publish(rib.withdrawLocal(gone, cause), cause);
    for (const [nextHop, ofNextHop] of local)
      this.publish(rib.originate(nextHop, ofNextHop, cause, this.#options.origin?.()), cause);
  }

  /** The endpoint is what other nodes' flannelds know this node by: only that resolves there. */
  #nextHopOf({ endpoint }: FeedGroup): Address {
    return endpoint ?? this.#options.address();
  }
}
