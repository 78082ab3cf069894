// How felix knows what in the kernel is its own, with no memory of a former run. Pure.
//
// A route or nexthop object is ours if it carries protocol 71, whatever run wrote it; nothing else is ever changed or
// deleted. Two things need a further mark, because the kernel tells objects apart by number only: the ids of nexthop
// objects lie in a range of ours, and a route of ours takes one of three metrics.

import { type Nexthop, PROTOCOL_GINGHAM, type Route } from '../../lib/kernel/kernel.ts';
import type { Family } from '../../lib/net/address.ts';

/** Ids of single next hops: 0x47 ('G') in the top byte, then 23 bits. */
export const HOP_IDS = { first: 0x4700_0000, count: 0x80_0000 } as const;

/** Ids of groups of next hops: the other half of the range, so that a hop and a group never compete for one id. */
export const GROUP_IDS = { first: 0x4780_0000, count: 0x80_0000 } as const;

/** Metric of routes that lead somewhere: the kernel's own default of each family. */
export const FORWARD_METRIC: Readonly<Record<Family, number>> = { 4: 0, 6: 1024 };

/** Metric of the blackhole for the node's own subnet: connected routes and pods' /32 routes all win over it. */
export const OWN_SUBNET_METRIC = 32_767;

/** Metric of the answer for what no node has of the cluster network: every other route of that prefix wins over it. */
export const NETWORK_METRIC = 0xffff_ffff;

/** Whether felix may change or delete this object. */
export function isOurs(object: Route | Nexthop): boolean {
  return object.protocol === PROTOCOL_GINGHAM;
}

/** Whether the id is that of a group that felix may have made. */
export function isGroupId(id: number): boolean {
  return id >= GROUP_IDS.first && id < GROUP_IDS.first + GROUP_IDS.count;
}
