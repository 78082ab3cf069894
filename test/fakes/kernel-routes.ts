// The fake kernel's routes and nexthop objects, keyed as the kernel keys them, with the rules by which it refuses them and
// by which they go with a link, an address or each other. What goes in silence on a real kernel goes in silence here.

import {
  type ErrnoName,
  type KernelEvent,
  type Link,
  type LinkAddress,
  type Nexthop,
  type Route,
  type RouteDeletion,
  type RouteNextHop,
  TABLE_MAIN,
} from '../../lib/kernel/kernel.ts';
import { type Address, type Family, familyOf } from '../../lib/net/address.ts';
import { type Prefix, prefixContains, prefixFamily, prefixLength, prefixOf } from '../../lib/net/prefix.ts';

/** RTPROT_KERNEL. */
const PROTOCOL_KERNEL = 2;
const IPV6_DEFAULT_METRIC = 1024;
const IPV6_CONNECTED_METRIC = 256;

/** Why the kernel refuses; `undefined` for success. */
export type Refusal = { readonly code: ErrnoName; readonly message?: string } | undefined;

export class KernelRoutes {
  readonly routes = new Map<string, Route>();
  readonly nexthops = new Map<number, Nexthop>();
  readonly #links: ReadonlyMap<number, Link>;
  readonly #addresses: ReadonlyMap<string, LinkAddress>;
  readonly #emit: (event: KernelEvent) => void;

  constructor(
    links: ReadonlyMap<number, Link>,
    addresses: ReadonlyMap<string, LinkAddress>,
    emit: (event: KernelEvent) => void,
  ) {
    this.#links = links;
    this.#addresses = addresses;
    this.#emit = emit;
  }

  putRoute(route: Route): Refusal {
    const family = prefixFamily(route.prefix);
    const stored: { -readonly [K in keyof Route]: Route[K] } = {
      ...route,
      metric: effectiveMetric(route),
      nextHops: [],
    };
    if (route.source !== undefined && ![...this.#addresses.values()].some(({ address }) => address === route.source)) {
      return { code: 'EINVAL', message: family === 4 ? 'Invalid prefsrc address' : 'Invalid source address' };
    }
    if (route.nexthopId !== undefined) {
      const nexthop = this.nexthops.get(route.nexthopId);
      if (nexthop === undefined) return { code: 'EINVAL', message: 'Nexthop id does not exist' };
      if (family === 6 && nexthop.family === 4) {
        return { code: 'EINVAL', message: 'IPv6 routes can not use an IPv4 nexthop' };
      }
    } else if (route.type === 'unicast') {
      const hops = this.#resolveHops(route.nextHops, family);
      if (!Array.isArray(hops)) return hops as Refusal;
      stored.nextHops = hops;
    }
    this.routes.set(routeKey(stored), stored);
    this.#emit({ type: 'put', kind: 'route', object: stored });
    return undefined;
  }

  /** Of what fits the deletion, the route with the lowest metric. */
  deleteRoute(deletion: RouteDeletion): Refusal {
    const family = prefixFamily(deletion.prefix);
    const fitting = [...this.routes.values()].filter(
      (route) =>
        route.prefix === deletion.prefix &&
        route.table === deletion.table &&
        route.tos === deletion.tos &&
        (deletion.protocol === undefined || route.protocol === deletion.protocol) &&
        (family === 6
          ? route.metric === effectiveMetric(deletion)
          : (deletion.metric === 0 || route.metric === deletion.metric) &&
            (deletion.type === undefined || route.type === deletion.type)),
    );
    const [route] = fitting.sort((a, b) => a.metric - b.metric);
    if (route === undefined) return { code: 'ESRCH' };
    this.#dropRoute(route, 'told');
    return undefined;
  }

  putNexthop(nexthop: Nexthop): Refusal {
    const old = this.nexthops.get(nexthop.id);
    if (nexthop.id === 0) return { code: 'EINVAL', message: 'Replace requires nexthop id' };
    if (old !== undefined && (old.group === undefined) !== (nexthop.group === undefined)) {
      return { code: 'EINVAL', message: 'Can not replace a nexthop with a nexthop group.' };
    }
    const refusal = nexthop.group === undefined ? this.#checkHop(nexthop) : this.#checkGroup(nexthop.group);
    if (refusal !== undefined) return refusal;
    const { onlink, weight: _weight, ...hop } = nexthop.hop ?? {};
    const stored: Nexthop =
      nexthop.hop === undefined ? nexthop : { ...nexthop, hop: { ...hop, ...(onlink && { onlink }) } };
    this.nexthops.set(nexthop.id, stored);
    this.#emit({ type: 'put', kind: 'nexthop', object: stored });
    return undefined;
  }

  deleteNexthop(id: number): Refusal {
    const nexthop = this.nexthops.get(id);
    if (nexthop === undefined) return { code: 'ENOENT' };
    this.#dropNexthop(nexthop, 'told');
    return undefined;
  }

  /** The route to the subnet of an address that a link has, as the kernel makes it. */
  addConnected({ linkIndex, address, prefixLength: length }: LinkAddress): void {
    const family = familyOf(address);
    if (family === 4 && length === 32) return;
    const route: Route = {
      table: TABLE_MAIN,
      prefix: prefixOf(address, length) as Prefix,
      tos: 0,
      metric: family === 4 ? 0 : IPV6_CONNECTED_METRIC,
      protocol: PROTOCOL_KERNEL,
      type: 'unicast',
      nextHops: [{ linkIndex }],
      ...(family === 4 && { source: address }),
    };
    if (this.routes.has(routeKey(route))) return;
    this.routes.set(routeKey(route), route);
    this.#emit({ type: 'put', kind: 'route', object: route });
  }

  /** Its connected route goes, and the IPv4 routes that prefer it as their source. */
  addressGone({ linkIndex, address, prefixLength: length }: LinkAddress): void {
    const prefix = prefixOf(address, length);
    for (const route of [...this.routes.values()]) {
      const connected = route.protocol === PROTOCOL_KERNEL && route.prefix === prefix;
      const through = route.nextHops.some((hop) => hop.linkIndex === linkIndex);
      if ((connected && through) || route.source === address) this.#dropRoute(route, 'told');
    }
  }

  /** Nexthop objects of the link go, and routes all of whose hops are down. */
  linkDown(linkIndex: number): void {
    for (const nexthop of [...this.nexthops.values()]) {
      if (nexthop.hop?.linkIndex === linkIndex) this.#dropNexthop(nexthop, 'silent');
    }
    for (const route of [...this.routes.values()]) {
      const { nextHops } = route;
      const concerned = nextHops.some((hop) => hop.linkIndex === linkIndex);
      if (concerned && nextHops.every((hop) => !this.#isUp(hop.linkIndex))) this.#dropRoute(route, 'silent');
    }
  }

  /** IPv4 routes with any hop on the link go as a whole; IPv6 routes lose that hop. */
  linkGone(linkIndex: number): void {
    for (const route of [...this.routes.values()]) {
      const left = route.nextHops.filter((hop) => hop.linkIndex !== linkIndex);
      if (left.length === route.nextHops.length) continue;
      this.#dropRoute(route, 'silent');
      if (prefixFamily(route.prefix) === 6 && left.length > 0) {
        this.routes.set(routeKey(route), { ...route, nextHops: withoutLoneWeight(left) });
      }
    }
  }

  /** The most specific route of the main table to an address, by metric where there are several. */
  lookUp(address: Address): Route | undefined {
    return [...this.routes.values()]
      .filter(({ table, prefix }) => table === TABLE_MAIN && prefixContains(prefix, address))
      .sort((a, b) => prefixLength(b.prefix) - prefixLength(a.prefix) || a.metric - b.metric)[0];
  }

  /** The next hops of a route, those of its nexthop object included. */
  hopsOf(route: Route): readonly RouteNextHop[] {
    if (route.nexthopId === undefined) return route.nextHops;
    const nexthop = this.nexthops.get(route.nexthopId);
    const ids = nexthop?.group?.map(({ id }) => id) ?? [route.nexthopId];
    return ids.flatMap((id) => this.nexthops.get(id)?.hop ?? []);
  }

  #resolveHops(hops: readonly RouteNextHop[], family: Family): RouteNextHop[] | Refusal {
    if (hops.length === 0) return { code: 'ENODEV' };
    const resolved: RouteNextHop[] = [];
    for (const hop of hops) {
      const result = this.#resolveHop(hop, family);
      if (result === undefined || 'code' in result) return result;
      resolved.push(result);
    }
    return withoutLoneWeight(resolved);
  }

  #resolveHop({ gateway, linkIndex, onlink, weight }: RouteNextHop, family: Family): RouteNextHop | Refusal {
    if (linkIndex === undefined && gateway === undefined) return { code: 'ENODEV' };
    if (linkIndex === undefined && onlink) return { code: 'ENODEV', message: 'Nexthop device required for onlink' };
    const unreachable: Refusal =
      family === 4 ? { code: 'ENETUNREACH', message: 'Nexthop has invalid gateway' } : { code: 'EHOSTUNREACH' };
    if (linkIndex !== undefined && !this.#links.has(linkIndex)) {
      return family === 4 && gateway !== undefined ? unreachable : { code: 'ENODEV' };
    }
    if (linkIndex !== undefined && !this.#isUp(linkIndex)) {
      return { code: 'ENETDOWN', message: 'Nexthop device is not up' };
    }
    const link = gateway === undefined || onlink ? linkIndex : this.#linkTowards(gateway, linkIndex);
    if (link === undefined) return unreachable;
    return {
      ...(gateway !== undefined && { gateway }),
      linkIndex: link,
      ...(onlink && { onlink }),
      ...(weight !== undefined && weight !== 1 && { weight }),
    };
  }

  /** The link on which the gateway is directly reachable; `through` is the only one that will do. */
  #linkTowards(gateway: Address, through: number | undefined): number | undefined {
    return [...this.routes.values()]
      .filter(({ nextHops }) => nextHops.some((hop) => hop.gateway === undefined))
      .filter(({ prefix }) => prefixContains(prefix, gateway))
      .sort((a, b) => prefixLength(b.prefix) - prefixLength(a.prefix))
      .flatMap(({ nextHops }) => nextHops)
      .find((hop) => hop.gateway === undefined && (through === undefined || hop.linkIndex === through))?.linkIndex;
  }

  #checkHop({ hop, blackhole, family }: Nexthop): Refusal {
    if (blackhole) return undefined;
    if (hop?.linkIndex === undefined) {
      return { code: 'EINVAL', message: 'Device attribute required for non-blackhole and non-fdb nexthops' };
    }
    if (!this.#links.has(hop.linkIndex)) return { code: 'EINVAL', message: 'Invalid device index' };
    const resolved = this.#resolveHop(hop, hop.gateway === undefined ? family : familyOf(hop.gateway));
    return resolved !== undefined && 'code' in resolved ? resolved : undefined;
  }

  #checkGroup(group: NonNullable<Nexthop['group']>): Refusal {
    if (group.length === 0) return { code: 'EINVAL', message: 'Invalid length for nexthop group attribute' };
    if (new Set(group.map(({ id }) => id)).size < group.length) {
      return { code: 'EINVAL', message: 'Nexthop id can not be used twice in a group' };
    }
    for (const { id } of group) {
      const member = this.nexthops.get(id);
      if (member === undefined) return { code: 'EINVAL', message: 'Invalid nexthop id' };
      if (member.group !== undefined) return { code: 'EINVAL', message: 'group can not be a nexthop within a group' };
      if (member.blackhole && group.length > 1) {
        return { code: 'EINVAL', message: 'Blackhole nexthop can not be used in a group with more than 1 path' };
      }
    }
    return undefined;
  }

  /** Takes its routes along, and leaves its groups. */
  #dropNexthop(nexthop: Nexthop, news: 'told' | 'silent'): void {
    this.nexthops.delete(nexthop.id);
    if (news === 'told') this.#emit({ type: 'delete', kind: 'nexthop', object: nexthop });
    for (const route of [...this.routes.values()]) {
      if (route.nexthopId === nexthop.id) this.#dropRoute(route, 'silent');
    }
    for (const holder of [...this.nexthops.values()]) {
      const group = holder.group?.filter(({ id }) => id !== nexthop.id);
      if (group === undefined || group.length === holder.group?.length) continue;
      if (group.length === 0) {
        this.#dropNexthop(holder, news);
        continue;
      }
      this.nexthops.set(holder.id, { ...holder, group });
      if (news === 'told') this.#emit({ type: 'put', kind: 'nexthop', object: { ...holder, group } });
    }
  }

  /** `silent` is so for IPv4 only: IPv6 tells of every route that goes. */
  #dropRoute(route: Route, news: 'told' | 'silent'): void {
    this.routes.delete(routeKey(route));
    if (news === 'told' || prefixFamily(route.prefix) === 6)
      this.#emit({ type: 'delete', kind: 'route', object: route });
  }

  #isUp(linkIndex: number | undefined): boolean {
    return linkIndex !== undefined && this.#links.get(linkIndex)?.up === true;
  }
}

/** IPv6 has no metric 0. */
function effectiveMetric({ prefix, metric }: { readonly prefix: Prefix; readonly metric: number }): number {
  return prefixFamily(prefix) === 6 && metric === 0 ? IPV6_DEFAULT_METRIC : metric;
}

/** The kernel keeps weights in lists of several hops only. */
function withoutLoneWeight(hops: readonly RouteNextHop[]): RouteNextHop[] {
  if (hops.length !== 1) return [...hops];
  return hops.map(({ weight: _weight, ...hop }) => hop);
}

function routeKey({ table, prefix, tos, metric }: Pick<Route, 'table' | 'prefix' | 'tos' | 'metric'>): string {
  return `${table} ${prefix} ${tos} ${metric}`;
}
