// The routes of this node: ours under a delta tracker, everybody else's by key only, so that we never take their place.
//
// The confusing thing: the kernel tells IPv4 routes apart by prefix, tos and metric, not by who wrote them. Writing "our"
// route where somebody else's has that key replaces theirs. So a key that a foreign route holds is blocked. One that was
// ours and was replaced by another program's is drift, and is taken back.

import { type Kernel, type KernelEvent, type Route, TABLE_MAIN } from '../../lib/kernel/kernel.ts';
import type { TrackedEntry } from '../../lib/pending-keys.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { type FibKey, fibKey, prefixOfKey, type RouteBody, sameRoute } from '../desired/fib-entry.ts';
import { isOurs } from '../desired/ownership.ts';
import { type Drift, KernelTable, type WriteResult } from './kernel-table.ts';

type RouteEvent = Extract<KernelEvent, { readonly kind: 'route' }>;

/** What one notification means for felix. */
export interface RouteNews {
  readonly drift?: Drift;
  /** Only a listing tells what happened to our route. */
  readonly unclear?: boolean;
  /** It is about a route of somebody else. */
  readonly foreign?: boolean;
}

export class RouteTable {
  readonly table: KernelTable<FibKey, RouteBody>;
  /** Key of each foreign route in that table, and the nexthop object that it uses. */
  #foreign = new Map<FibKey, number | undefined>();
  /** Keys that were ours and that a foreign route now holds. */
  #taken = new Set<FibKey>();
  readonly #routingTable: number;

  /** `routingTable`: where routes of ours are wanted; `isMuted`: the kernel tells nothing of our own routes. */
  constructor(clock: Clock, routingTable = TABLE_MAIN, isMuted = false) {
    this.#routingTable = routingTable;
    this.table = new KernelTable({
      clock,
      isMuted,
      same: sameRoute,
      put: (body, key) => ({ op: 'put', kind: 'route', route: routeOf(key, body) }),
      remove: (body, key) => ({ op: 'delete', kind: 'route', route: routeOf(key, body) }),
    });
  }

  /** Wanted keys that cannot be written because a foreign route holds them. */
  isBlocked(key: FibKey): boolean {
    return this.#foreign.has(key) && !this.#taken.has(key);
  }

  /** Ids of the nexthop objects that routes use, foreign ones too. */
  nexthopsInUse(): Set<number> {
    const ids = new Set<number>();
    for (const { nexthopId } of this.table.tracker.dataplane.values()) if (nexthopId !== undefined) ids.add(nexthopId);
    for (const id of this.#foreign.values()) if (id !== undefined) ids.add(id);
    return ids;
  }

  /** Writes or deletes these. Throws as `KernelTable.write`. */
  async write(kernel: Kernel, entries: readonly TrackedEntry<FibKey, RouteBody>[]): Promise<WriteResult<FibKey>> {
    const result = await this.table.write(kernel, entries);
    if (this.#taken.size === 0) return result;
    for (const key of result.written) {
      // Ours has replaced it; for this the kernel sends no deletion.
      if (this.#taken.delete(key)) this.#foreign.delete(key);
    }
    return result;
  }

  /** Takes in one notification. */
  seen({ type, object }: RouteEvent): RouteNews {
    const key = fibKey(object);
    if (isOurs(object)) {
      const what = this.table.seen(key, type === 'put' ? object : undefined);
      const unclear = this.table.mayBeOutdated;
      return what === undefined || what === 'ours' ? { unclear } : { drift: what, unclear };
    }
    if (object.table !== this.#routingTable && object.table !== TABLE_MAIN) return {};
    // How a gateway is reached follows from the main table, whichever one ours are in.
    if (object.table !== this.#routingTable) return { foreign: true };
    if (type === 'delete') {
      this.#foreign.delete(key);
      this.#taken.delete(key);
      return { foreign: true };
    }
    this.#foreign.set(key, object.nexthopId);
    // It may stand in the place of ours or beside it.
    return { foreign: true, unclear: this.table.tracker.dataplane.has(key) };
  }

  /** Takes in a complete listing. */
  replace(routes: readonly Route[], isFirst: boolean): Drift[] {
    const ours: (readonly [FibKey, RouteBody])[] = [];
    const foreign = new Map<FibKey, number | undefined>();
    for (const route of routes) {
      if (isOurs(route)) ours.push([fibKey(route), route]);
      else if (route.table === this.#routingTable) foreign.set(fibKey(route), route.nexthopId);
    }
    const { dataplane } = this.table.tracker;
    const disputed = [...foreign.keys()].filter((key) => dataplane.has(key) || this.#taken.has(key));
    const drifts = this.table.replace(ours, isFirst);
    this.#foreign = foreign;
    this.#taken = new Set(disputed.filter((key) => !dataplane.has(key)));
    return drifts;
  }
}

function routeOf(
  key: FibKey,
  { table, tos, metric, protocol, type, nextHops, nexthopId, source, mtuBytes }: RouteBody,
): Route {
  const prefix = prefixOfKey(key);
  // A spread of 100,000 of them is felt.
  const route: { -readonly [K in keyof Route]: Route[K] } = { table, prefix, tos, metric, protocol, type, nextHops };
  if (nexthopId !== undefined) route.nexthopId = nexthopId;
  if (source !== undefined) route.source = source;
  if (mtuBytes !== undefined) route.mtuBytes = mtuBytes;
  return route;
}
