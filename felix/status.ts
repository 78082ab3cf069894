// What felix says of itself: readiness checks and /status. Reads only.
//
// The confusing thing: a route can be wanted and not programmed without anything being wrong with felix. `waiting` is for
// a device or gateway, `blocked` by another program's route with the same key; neither makes felix unready.

import type { FeedClientStatus } from '../lib/feed/feed-client.ts';
import type { FeedView } from '../lib/feed/feed-view.ts';
import type { Prefix } from '../lib/net/prefix.ts';
import type { ReadinessCheck } from '../lib/run/status-server.ts';
import type { ForwardingState } from './dataplane/forwarding.ts';
import type { WriteKind } from './dataplane/kernel-mirror.ts';
import type { Drift } from './dataplane/kernel-table.ts';
import type { EntryCounts } from './dataplane/link-entry-table.ts';
import type { Reconciler } from './dataplane/reconciler.ts';
import type { FeedName, RouteClass } from './desired/feed-classes.ts';
import type { WantedRoutes } from './desired/merged-feeds.ts';
import type { TrafficState } from './traffic/traffic-keeper.ts';

/** Routes listed in /status. */
const ROUTES_SHOWN = 1_000;

/** One feed: what is taken from it, and how it is. */
export interface FeedFacts extends FeedClientStatus {
  readonly name: FeedName;
  readonly classes: readonly RouteClass[];
  readonly view: FeedView;
}

/** What others changed of ours and was put back, since the start. */
export type Repairs = Readonly<Record<WriteKind, Record<Drift, number>>>;

export interface StatusInput {
  readonly node: string;
  readonly feeds: readonly FeedFacts[];
  readonly view: WantedRoutes;
  readonly reconciler: Reconciler;
  readonly forwarding: ForwardingState;
  readonly traffic: TrafficState & { readonly ok: boolean };
  readonly repairs: Repairs;
  readonly heldDeletes: number;
}

/** Wanted routes by what became of them; they add up to `wanted`. */
export interface RouteCounts extends EntryCounts {
  /** Nexthop objects of ours in the kernel, groups included. */
  readonly nexthopObjects: number;
}

type RouteState = 'programmed' | 'waiting' | 'blocked' | 'refused' | 'pending';

/** Counts without a pass over all routes: only over groups and over what is not done. */
export function countRoutes({ desired, mirror }: Reconciler): RouteCounts {
  const { tracker } = mirror.routes.table;
  const refusals = mirror.routes.table.currentRefusals();
  let waiting = 0;
  for (const plan of desired.plans()) if (plan.shape === undefined) waiting += plan.routeCount;
  let blocked = 0;
  let refused = 0;
  for (const key of tracker.pendingUpdates) {
    if (mirror.routes.isBlocked(key)) blocked++;
    else if (refusals.has(key)) refused++;
  }
  const undone = tracker.pendingUpdates.size;
  return {
    wanted: desired.routeCount,
    programmed: tracker.desired.size - undone,
    waiting,
    blocked,
    refused,
    pending: undone - blocked - refused,
    nexthopObjects: mirror.nexthops.table.tracker.dataplane.size,
  };
}

/** The promises that felix makes, held or not. */
export function felixChecks({ feeds, reconciler, forwarding, traffic }: StatusInput): readonly ReadinessCheck[] {
  const state = reconciler.state();
  const refused = reconciler.refusedCount();
  return [
    ...feeds.map(({ name, state: of, lastError, view }) => ({
      name: `${name}-feed`,
      ok: of === 'in-sync',
      detail: `${lastError === undefined ? of : `${of}: ${lastError}`}, ${view.routeCount} routes`,
    })),
    {
      name: 'kernel',
      ok: state.kernelInSync,
      detail: state.kernelListed ? `listed ${state.listings} times` : (state.lastError ?? 'not listed yet'),
    },
    { name: 'first-apply', ok: state.firstCleanPass, detail: state.firstCleanPass ? 'done' : 'not done yet' },
    {
      name: 'apply',
      ok: refused === 0,
      detail: refused === 0 ? 'nothing is refused' : `${refused} refused: ${state.lastError}`,
    },
    { name: 'forwarding', ok: forwarding.on, detail: forwarding.detail },
    { name: 'traffic-rules', ok: traffic.ok, detail: `${traffic.state}: ${traffic.detail}` },
  ];
}

/** The content of /status. */
export function felixStatus(input: StatusInput): unknown {
  const { node, feeds, view, reconciler, forwarding, traffic, repairs, heldDeletes } = input;
  const { wanted, programmed, waiting, blocked, refused, pending, nexthopObjects } = countRoutes(reconciler);
  const { usesNexthopObjects, hopCount } = reconciler.desired;
  const list = firstRoutes(view, reconciler);
  return {
    node,
    feed: feedStatus(feeds[0]),
    feeds: feeds.map(feedStatus),
    mode: feeds.some(({ name }) => name === 'bgpd') ? 'routed' : 'flannel',
    routes: { wanted, programmed, waiting, blocked, refused, pending, shown: list.length, list },
    nexthops: { objects: usesNexthopObjects, hops: hopCount, inKernel: nexthopObjects },
    neighbours: reconciler.mirror.neighbours.counts(),
    addresses: reconciler.mirror.addresses.counts(),
    kernel: reconciler.state(),
    forwarding,
    traffic,
    repairs,
    heldDeletes,
  };
}

function feedStatus(facts: FeedFacts | undefined): unknown {
  if (facts === undefined) return undefined;
  const { view, ...said } = facts;
  return { ...said, routes: view.routeCount, unconfirmed: view.staleCount };
}

function firstRoutes(view: WantedRoutes, reconciler: Reconciler): readonly unknown[] {
  const shown: unknown[] = [];
  for (const [prefix, groupId] of view.routes()) {
    if (shown.length === ROUTES_SHOWN) break;
    const group = view.groups.get(groupId);
    const nextHops = (group?.nextHops ?? []).map(({ gateway, device, onlink, weight }) => ({
      ...(gateway && { gateway }),
      ...(device && { device }),
      ...(onlink && { onlink }),
      weight,
    }));
    shown.push({ prefix, kind: group?.kind, node: group?.node, nextHops, ...stateOf(prefix, reconciler) });
  }
  return shown;
}

function stateOf(
  prefix: Prefix,
  { desired, mirror }: Reconciler,
): { readonly state: RouteState; readonly reason?: string } {
  const found = desired.lookUp(prefix);
  if (found === undefined) return { state: 'pending' };
  const { plan, key } = found;
  if (plan.shape === undefined) return { state: 'waiting', reason: plan.waitingFor ?? 'not worked off yet' };
  const { table } = mirror.routes;
  if (!table.tracker.pendingUpdates.has(key)) return { state: 'programmed' };
  if (mirror.routes.isBlocked(key)) return { state: 'blocked', reason: "another program's route has its place" };
  const refusal = table.retries.refusals.get(key)?.failure;
  if (refusal === undefined) return { state: 'pending' };
  return { state: 'refused', reason: refusal.message ?? refusal.code };
}
