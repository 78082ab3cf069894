// From one group of the feed to next hops that the kernel can take: devices become link indexes. Pure.
//
// A device that is absent or down makes its next hop unusable; where none is left the whole group waits. That is a state
// of the world, not an error: the same plan made again after the device came gives the paths.

import type { FeedGroup, FeedNextHop } from '../../lib/feed/feed.ts';
import type { RouteNextHop, RouteType } from '../../lib/kernel/kernel.ts';
import { type Address, type Family, familyOf } from '../../lib/net/address.ts';
import { classOf } from './feed-classes.ts';
import type { LinkState } from './link-table.ts';
import { FORWARD_METRIC, NETWORK_METRIC, OWN_SUBNET_METRIC } from './ownership.ts';

/** Largest weight that every kernel takes. */
const WEIGHT_MAX = 256;

/** One usable next hop. */
export interface PlannedHop {
  /** What stays the same over restarts and over a device made anew: family, gateway, device name, onlink. */
  readonly name: string;
  readonly family: Family;
  readonly hop: RouteNextHop;
  readonly weight: number;
}

/** What to do with the routes of one group, of one family. */
export type PathPlan =
  | { readonly kind: 'paths'; readonly hops: readonly PlannedHop[] }
  | { readonly kind: 'drop'; readonly type: RouteType; readonly metric: number }
  /** `reason` for people: "device flannel.1 is down". */
  | { readonly kind: 'waiting'; readonly reason: string };

/** What a plan depends on besides the group. */
export interface PathWorld {
  link(name: string): LinkState | undefined;
  /** Index of the link through which the kernel reaches a gateway; `undefined` where that is not known or none. */
  gatewayLink(gateway: Address): number | undefined;
  /** The kernel takes a nexthop object only on a device with carrier, a plain route on any that is up. */
  readonly needsCarrier: boolean;
}

/** The plan for the routes of `family` in `group`. */
export function planPaths(group: FeedGroup, family: Family, world: PathWorld): PathPlan {
  if (group.kind !== 'unicast') {
    return { kind: 'drop', type: group.kind, metric: dropMetric(group, family) };
  }
  const hops = new Map<string, PlannedHop>();
  let reason = 'no next hop';
  for (const nextHop of group.nextHops) {
    const planned = planHop(nextHop, family, world);
    if (typeof planned === 'string') {
      reason = planned;
      continue;
    }
    // The kernel refuses a group with one member twice; two equal next hops are one with both weights.
    const twin = hops.get(planned.name);
    const weight = Math.min(WEIGHT_MAX, planned.weight + (twin?.weight ?? 0));
    hops.set(planned.name, { ...planned, weight });
  }
  return hops.size === 0 ? { kind: 'waiting', reason } : { kind: 'paths', hops: [...hops.values()] };
}

function dropMetric(group: FeedGroup, family: Family): number {
  const metrics = { local: OWN_SUBNET_METRIC, nodes: FORWARD_METRIC[family], network: NETWORK_METRIC };
  return metrics[classOf(group)];
}

/** The usable next hop, or why it is not usable. */
function planHop(nextHop: FeedNextHop, routeFamily: Family, world: PathWorld): PlannedHop | string {
  const { gateway, device, onlink, weight } = nextHop;
  const family = gateway === undefined ? routeFamily : familyOf(gateway);
  if (routeFamily === 6 && family === 4) return `an IPv6 route cannot have the IPv4 gateway ${gateway}`;
  const linkIndex = device === undefined ? gatewayIndex(gateway, world) : deviceIndex(device, world);
  if (typeof linkIndex === 'string') return linkIndex;
  return {
    name: `${family} via ${gateway ?? '-'} dev ${device ?? '*'}${onlink ? ' onlink' : ''}`,
    family,
    hop: { linkIndex, ...(gateway === undefined ? {} : { gateway }), ...(onlink ? { onlink } : {}) },
    weight,
  };
}

function deviceIndex(device: string, world: PathWorld): number | string {
  const link = world.link(device);
  if (link === undefined) return `device ${device} does not exist`;
  if (!link.up) return `device ${device} is down`;
  if (world.needsCarrier && !link.running) return `device ${device} has no carrier`;
  return link.index;
}

function gatewayIndex(gateway: Address | undefined, world: PathWorld): number | string {
  return (gateway && world.gatewayLink(gateway)) ?? `no route to gateway ${gateway}`;
}
