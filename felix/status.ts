// What felix says of itself: readiness checks and /status. Reads only.
//
// The confusing thing: a route can be wanted and not programmed without anything being wrong with felix. `waiting` is for
// a device or gateway, `blocked` by another program's route with the same key; neither makes felix unready.

import type { FeedClientStatus } from '../lib/feed/feed-client.ts';
import type { FeedView } from '../lib/feed/feed-view.ts';
import type { Prefix } from '../lib/net/prefix.ts';
import type { ReadinessCheck } from '../lib/run/status-server.ts';
import type { ForwardingState } from './dataplane/forwarding.ts';
import type { Drift } from './dataplane/kernel-table.ts';
import type { Reconciler } from './dataplane/reconciler.ts';
import type { TrafficState } from './traffic/traffic-keeper.ts';

/** Routes listed in /status. */
const ROUTES_SHOWN = 1_000;

export interface StatusInput {
  readonly node: string;
  readonly feedName: string;
  readonly feed: FeedClientStatus;
  readonly view: FeedView;
  readonly reconciler: Reconciler;
  readonly forwarding: ForwardingState;
  readonly traffic: TrafficState & { readonly ok: boolean };
  readonly repairs: Readonly<Record<Drift, number>>;
  readonly heldDeletes: number;
}

/** Wanted routes by what became of them; they add up to `wanted`. */
export interface RouteCounts {
  readonly wanted: number;
  readonly programmed: number;
  readonly waiting: number;
  readonly blocked: number;
  readonly refused: number;
  readonly pending: number;
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
export function felixChecks({
  feedName,
  feed,
  reconciler,
  forwarding,
  traffic,
  view,
}: StatusInput): readonly ReadinessCheck[] {
  const state = reconciler.state();
  const refused = reconciler.refusedCount();
  const feedDetail = feed.lastError === undefined ? feed.state : `${feed.state}: ${feed.lastError}`;
  return [
    { name: `${feedName}-feed`, ok: feed.state === 'in-sync', detail: `${feedDetail}, ${view.routeCount} routes` },
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
  const { node, feedName, feed, view, reconciler, forwarding, traffic, repairs, heldDeletes } = input;
  const { wanted, programmed, waiting, blocked, refused, pending, nexthopObjects } = countRoutes(reconciler);
  const { usesNexthopObjects, hopCount } = reconciler.desired;
  const list = firstRoutes(view, reconciler);
  return {
    node,
    feed: { name: feedName, ...feed, routes: view.routeCount, unconfirmed: view.staleCount },
    mode: feedName === 'bgpd' ? 'routed' : 'flannel',
    routes: { wanted, programmed, waiting, blocked, refused, pending, shown: list.length, list },
    nexthops: { objects: usesNexthopObjects, hops: hopCount, inKernel: nexthopObjects },
    kernel: reconciler.state(),
    forwarding,
    traffic,
    repairs,
    heldDeletes,
  };
}

function firstRoutes(view: FeedView, reconciler: Reconciler): readonly unknown[] {
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
