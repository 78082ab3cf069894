// Routes over rtnetlink: RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE. Kernel header: include/uapi/linux/rtnetlink.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |    family     | dst length    | src length    |      tos      |   struct rtmsg; `table` is 0 where RTA_TABLE has it
// |     table     |   protocol    |     scope     |     type      |
// |                             flags                             |
//
// The confusing thing: a metric of 0 in a *deletion* means "whatever metric" to the kernel, in both families. IPv6 has no
// metric 0 (0 reads as 1024, which we always name); for IPv4 a deletion should name the protocol and type as well.

import type { Route, RouteKey, RouteNextHop, RouteType } from '../kernel/kernel.ts';
import { ADDRESS_LENGTH, type Address, type Family, familyOf } from '../net/address.ts';
import { type Prefix, prefixFamily, prefixLength } from '../net/prefix.ts';
import { NETLINK_HEADER_LENGTH, type NetlinkMessage, NLM_F } from './netlink.ts';
import {
  type AttributeCursor,
  attributeCursor,
  getU32,
  type NetlinkError,
  nestedCursor,
  nextAttribute,
  readU32,
} from './netlink-attributes.ts';
import {
  beginMessage,
  beginNested,
  endMessage,
  endNested,
  type NetlinkWriter,
  putU32,
  reserve,
  setU32,
} from './netlink-writer.ts';
import { addressFamily, familyOfNumber, putAddress, RTM, readAddress } from './rtnetlink.ts';
import { putGateway, putMultipath, RTA, RTNH_F_ONLINK, readMultipath, readVia } from './rtnetlink-next-hops.ts';

const HEADER = { family: 0, dstLength: 1, tos: 3, table: 4, protocol: 5, scope: 6, type: 7, flags: 8 } as const;
const HEADER_LENGTH = 12;

const RTAX_MTU = 2;

const ANY = { 4: '0.0.0.0' as Address, 6: '::' as Address } as const;

/** RTN_*: `rtm_type`. */
const ROUTE_TYPES: readonly (RouteType | undefined)[] = [
  undefined,
  'unicast',
  'local',
  'broadcast',
  undefined, // anycast: IPv6 only, the kernel's own
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
];

/** RT_SCOPE_*: how far the destination is. NOWHERE in a deletion matches every scope. */
const SCOPE = { universe: 0, link: 253, host: 254, nowhere: 255 } as const;

const LEADS_NOWHERE: ReadonlySet<RouteType> = new Set(['blackhole', 'unreachable', 'prohibit', 'throw']);

/** One for all: 100,000 routes that point at an object pass here. */
const NO_HOPS: readonly RouteNextHop[] = [];

/** A copy that the kernel made of a route for one destination. */
const RTM_F_CLONED = 0x200;

/** IP6_RT_PRIO_USER. */
const IPV6_DEFAULT_METRIC = 1024;

/** What the attributes of one route say. */
interface RouteAttributes {
  destination: Address;
  table: number;
  metric: number;
  linkIndex?: number | undefined;
  gateway?: Address | undefined;
  multipath?: readonly RouteNextHop[] | undefined;
  nexthopId?: number | undefined;
  source?: Address | undefined;
  mtuBytes?: number | undefined;
}

/** RTM_NEWROUTE: makes the route or replaces the one with its key. False where it does not fit. */
export function encodePutRoute(writer: NetlinkWriter, sequence: number, route: Route): boolean {
  const start = beginMessage(writer, RTM.newRoute, NLM_F.request | NLM_F.create | NLM_F.replace, sequence);
  const family = prefixFamily(route.prefix);
  putHeader(writer, family, route, route.protocol, ROUTE_TYPES.indexOf(route.type), scopeOf(route, family));
  if (route.nexthopId !== undefined) putU32(writer, RTA.nexthopId, route.nexthopId);
  else if (route.nextHops.length > 1) putMultipath(writer, route.nextHops, family);
  else putHop(writer, start, route.nextHops[0], family);
  if (route.source !== undefined) putAddress(writer, RTA.preferredSource, route.source);
  if (route.mtuBytes !== undefined) {
    const metrics = beginNested(writer, RTA.metrics);
    putU32(writer, RTAX_MTU, route.mtuBytes);
    endNested(writer, metrics);
  }
  return endMessage(writer, start);
}

/** RTM_DELROUTE of the route with this key, whatever its next hops; the kernel answers ESRCH where there is none. */
export function encodeDeleteRoute(
  writer: NetlinkWriter,
  sequence: number,
  route: RouteKey & { readonly protocol?: number; readonly type?: RouteType },
): boolean {
  const start = beginMessage(writer, RTM.deleteRoute, NLM_F.request, sequence);
  const type = route.type === undefined ? 0 : ROUTE_TYPES.indexOf(route.type);
  putHeader(writer, prefixFamily(route.prefix), route, route.protocol ?? 0, type, SCOPE.nowhere);
  return endMessage(writer, start);
}

/** RTM_GETROUTE for all routes of one family, narrowed where the kernel checks strictly. */
export function encodeListRoutes(
  writer: NetlinkWriter,
  sequence: number,
  family: Family,
  filter: { readonly table?: number; readonly protocol?: number; readonly linkIndex?: number },
): boolean {
  const start = beginMessage(writer, RTM.getRoute, NLM_F.request | NLM_F.dump, sequence);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0) {
    writer.bytes[at + HEADER.family] = addressFamily(family);
    writer.bytes[at + HEADER.protocol] = filter.protocol ?? 0;
  }
  if (filter.table !== undefined) putU32(writer, RTA.table, filter.table);
  if (filter.linkIndex !== undefined) putU32(writer, RTA.outputLink, filter.linkIndex);
  return endMessage(writer, start);
}

/** RTM_GETROUTE for the route that a packet to this address would take. */
export function encodeRouteTo(writer: NetlinkWriter, sequence: number, destination: Address, family: Family): boolean {
  const start = beginMessage(writer, RTM.getRoute, NLM_F.request, sequence);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0) {
    writer.bytes[at + HEADER.family] = addressFamily(family);
    writer.bytes[at + HEADER.dstLength] = ADDRESS_LENGTH[family] * 8;
  }
  putAddress(writer, RTA.destination, destination);
  return endMessage(writer, start);
}

/**
 * The route in RTM_NEWROUTE or RTM_DELROUTE; `undefined` for types and families that are not ours to see, and for copies
 * that the kernel keeps of a route for one destination, unless asked for. Next hops behind a nexthop object are left out:
 * they are the object's.
 */
export function decodeRoute(
  bytes: Uint8Array,
  message: NetlinkMessage,
  withCopies = false,
): Route | undefined | NetlinkError {
  const { start, end, view } = message;
  if (start + HEADER_LENGTH > end) return { error: 'truncated', field: 'rtmsg' };
  const family = familyOfNumber(view.getUint8(start + HEADER.family));
  const type = ROUTE_TYPES[view.getUint8(start + HEADER.type)];
  const flags = getU32(view, start + HEADER.flags);
  const length = view.getUint8(start + HEADER.dstLength);
  if (family === undefined || type === undefined || (flags & RTM_F_CLONED && !withCopies)) return undefined;
  if (length > ADDRESS_LENGTH[family] * 8) return { error: 'bad-value', field: 'rtm_dst_len' };
  const found: RouteAttributes = { destination: ANY[family], table: view.getUint8(start + HEADER.table), metric: 0 };
  const cursor = attributeCursor(bytes, view, start + HEADER_LENGTH, end);
  while (nextAttribute(cursor)) readAttribute(cursor, found);
  if (cursor.error !== undefined) return cursor.error;
  if (familyOf(found.destination) !== family) return { error: 'bad-value', field: 'RTA_DST' };
  const route: { -readonly [K in keyof Route]: Route[K] } = {
    table: found.table,
    // The kernel keeps no host bits, so this is canonical.
    prefix: `${found.destination}/${length}` as Prefix,
    tos: view.getUint8(start + HEADER.tos),
    metric: found.metric,
    protocol: view.getUint8(start + HEADER.protocol),
    // The kernel calls a route through a blackhole object a blackhole, but deletes it only by the type that it was put with.
    type: found.nexthopId !== undefined && type === 'blackhole' ? 'unicast' : type,
    nextHops: nextHopsOf(found, type, flags),
  };
  if (found.nexthopId !== undefined) route.nexthopId = found.nexthopId;
  if (found.source !== undefined) route.source = found.source;
  if (found.mtuBytes !== undefined) route.mtuBytes = found.mtuBytes;
  return route;
}

/** The metric under which the kernel files a route: IPv6 has no 0. */
export function effectiveMetric(family: Family, metric: number): number {
  return family === 6 && metric === 0 ? IPV6_DEFAULT_METRIC : metric;
}

function putHeader(
  writer: NetlinkWriter,
  family: Family,
  key: RouteKey,
  protocol: number,
  type: number,
  scope: number,
): void {
  const at = reserve(writer, HEADER_LENGTH);
  if (at < 0) return;
  const length = prefixLength(key.prefix);
  writer.bytes[at + HEADER.family] = addressFamily(family);
  writer.bytes[at + HEADER.dstLength] = length;
  writer.bytes[at + HEADER.tos] = key.tos;
  writer.bytes[at + HEADER.table] = key.table < 256 ? key.table : 0;
  writer.bytes[at + HEADER.protocol] = protocol;
  writer.bytes[at + HEADER.scope] = scope;
  writer.bytes[at + HEADER.type] = type;
  if (length > 0) putAddress(writer, RTA.destination, key.prefix);
  if (key.table >= 256) putU32(writer, RTA.table, key.table);
  const metric = effectiveMetric(family, key.metric);
  if (metric !== 0) putU32(writer, RTA.priority, metric);
}

/** The only next hop: in the route's own attributes, with RTNH_F_ONLINK among the flags of its header. */
function putHop(writer: NetlinkWriter, message: number, hop: RouteNextHop | undefined, family: Family): void {
  if (hop?.gateway !== undefined) putGateway(writer, hop.gateway, family);
  if (hop?.linkIndex !== undefined) putU32(writer, RTA.outputLink, hop.linkIndex);
  if (hop?.onlink && !writer.overflow) setU32(writer, message + NETLINK_HEADER_LENGTH + HEADER.flags, RTNH_F_ONLINK);
}

/** IPv6 knows no scopes; for IPv4, how far the next hop's answer reaches. */
function scopeOf(route: Route, family: Family): number {
  if (family === 6) return SCOPE.universe;
  if (route.type === 'local') return SCOPE.host;
  if (route.type === 'broadcast' || route.type === 'multicast') return SCOPE.link;
  if (route.type !== 'unicast' || route.nexthopId !== undefined) return SCOPE.universe;
  return route.nextHops.some((hop) => hop.gateway !== undefined) ? SCOPE.universe : SCOPE.link;
}

function readAttribute(cursor: AttributeCursor, found: RouteAttributes): void {
  switch (cursor.type) {
    case RTA.destination:
      found.destination = readAddress(cursor) ?? found.destination;
      return;
    case RTA.outputLink:
      found.linkIndex = readU32(cursor);
      return;
    case RTA.gateway:
      found.gateway = readAddress(cursor);
      return;
    case RTA.via:
      found.gateway = readVia(cursor);
      return;
    case RTA.priority:
      found.metric = readU32(cursor);
      return;
    case RTA.preferredSource:
      found.source = readAddress(cursor);
      return;
    case RTA.multipath:
      found.multipath = readMultipath(cursor);
      return;
    case RTA.table:
      found.table = readU32(cursor);
      return;
    case RTA.nexthopId:
      found.nexthopId = readU32(cursor);
      return;
    case RTA.metrics:
      found.mtuBytes = readMtu(cursor);
  }
}

function readMtu(cursor: AttributeCursor): number | undefined {
  const metrics = nestedCursor(cursor);
  let mtuBytes: number | undefined;
  while (nextAttribute(metrics)) if (metrics.type === RTAX_MTU) mtuBytes = readU32(metrics);
  cursor.error ??= metrics.error;
  return mtuBytes;
}

function nextHopsOf(found: RouteAttributes, type: RouteType, flags: number): readonly RouteNextHop[] {
  // IPv6 names the loopback device in a blackhole: that is how it stores one, not where it leads.
  if (found.nexthopId !== undefined || LEADS_NOWHERE.has(type)) return NO_HOPS;
  if (found.multipath !== undefined) return found.multipath;
  if (found.linkIndex === undefined && found.gateway === undefined) return [];
  const hop: { -readonly [K in keyof RouteNextHop]: RouteNextHop[K] } = {};
  if (found.gateway !== undefined) hop.gateway = found.gateway;
  if (found.linkIndex !== undefined) hop.linkIndex = found.linkIndex;
  if (flags & RTNH_F_ONLINK) hop.onlink = true;
  return [hop];
}
