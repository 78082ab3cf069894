// Routes and nexthop objects as entries of the kernel's tables: their keys, and when two of them are the same. Pure.
//
// The key is exactly the kernel's. A comparison that leaves something out would never repair it (a gateway changed in
// place), one that compares too much would repair for ever (the order of next hops, defaults that the kernel fills in).

import { type Nexthop, type Route, type RouteKey, type RouteNextHop, TABLE_MAIN } from '../../lib/kernel/kernel.ts';
import { type Family, familyOf } from '../../lib/net/address.ts';
import { type Prefix, prefixFamily } from '../../lib/net/prefix.ts';
import { FORWARD_METRIC } from './ownership.ts';

/** Table, prefix, type of service and metric as text, for maps: the main table, tos 0 and the usual metric are left out. */
export type FibKey = string;

/** The key of a route. IPv6 knows no metric 0: it reads as 1024. */
export function fibKey({ table, prefix, tos, metric }: RouteKey): FibKey {
  const family = prefixFamily(prefix);
  const effective = metric === 0 && family === 6 ? FORWARD_METRIC[6] : metric;
  // The usual key is the prefix itself: no text is made for any of 100,000 routes.
  const usual = effective === FORWARD_METRIC[family] ? prefix : `${prefix} metric ${effective}`;
  return table === TABLE_MAIN && tos === 0 ? usual : `${usual} table ${table} tos ${tos}`;
}

/** What a route says besides where to: the same object for all routes of a group of paths. */
export type RouteBody = Omit<Route, 'prefix'>;

/** The prefix in a key. */
export function prefixOfKey(key: FibKey): Prefix {
  const end = key.indexOf(' ');
  return (end < 0 ? key : key.slice(0, end)) as Prefix;
}

/** Whether two routes with one key forward alike and carry the same attributes. */
export function sameRoute(a: RouteBody, b: RouteBody): boolean {
  return (
    a.type === b.type &&
    a.protocol === b.protocol &&
    a.nexthopId === b.nexthopId &&
    a.source === b.source &&
    a.mtuBytes === b.mtuBytes &&
    (a.nexthopId !== undefined || sameNextHops(a.nextHops, b.nextHops))
  );
}

/** Whether two nexthop objects with one id are the same. A group's family is that of its members: it says nothing. */
export function sameNexthop(a: Nexthop, b: Nexthop): boolean {
  if (a.protocol !== b.protocol || (a.blackhole ?? false) !== (b.blackhole ?? false)) return false;
  if (a.group !== undefined || b.group !== undefined) return groupText(a) === groupText(b);
  return hopText(a.family, a.hop) === hopText(b.family, b.hop);
}

/** A single next hop as text: what tells one nexthop object from another, apart from its id. */
export function hopText(family: Family, hop: RouteNextHop | undefined): string {
  if (hop === undefined) return `${family} blackhole`;
  const shown = hop.gateway === undefined ? family : familyOf(hop.gateway);
  return `${shown} via ${hop.gateway ?? '-'} dev ${hop.linkIndex ?? '-'}${hop.onlink ? ' onlink' : ''}`;
}

/** The members of a group as text, whatever their order; `undefined` for a single next hop. */
export function groupText({ group }: Pick<Nexthop, 'group'>): string | undefined {
  return group
    ?.map(({ id, weight }) => `${id}*${weight}`)
    .sort()
    .join(' ');
}

function sameNextHops(a: readonly RouteNextHop[], b: readonly RouteNextHop[]): boolean {
  return a.length === b.length && nextHopsText(a) === nextHopsText(b);
}

function nextHopsText(hops: readonly RouteNextHop[]): string {
  // The kernel keeps no weight for a next hop that is alone.
  const weightOf = (hop: RouteNextHop): number => (hops.length === 1 ? 1 : (hop.weight ?? 1));
  return hops
    .map((hop) => `${hopText(4, hop)} weight ${weightOf(hop)}`)
    .sort()
    .join(', ');
}
