// From the Kernel interface to rtnetlink: which message writes a change, which listings make up a kind, which refusals
// are success. Pure: bytes are read and written, sockets are rtnetlink-kernel.ts's.

import { type Family, familyOf } from '../net/address.ts';
import { prefixFamily } from '../net/prefix.ts';
import type { NetlinkMessage } from '../wire/netlink.ts';
import type { NetlinkError } from '../wire/netlink-attributes.ts';
import type { NetlinkWriter } from '../wire/netlink-writer.ts';
import { RTM, RTNLGRP } from '../wire/rtnetlink.ts';
import {
  decodeAddress,
  encodeDeleteAddress,
  encodeListAddresses,
  encodePutAddress,
} from '../wire/rtnetlink-addresses.ts';
import { decodeLink, encodeListLinks } from '../wire/rtnetlink-links.ts';
import {
  type DecodedNeighbour,
  decodeNeighbour,
  encodeDeleteFdb,
  encodeDeleteNeighbour,
  encodeListFdb,
  encodeListNeighbours,
  encodePutFdb,
  encodePutNeighbour,
} from '../wire/rtnetlink-neighbours.ts';
import {
  type DecodedNexthop,
  decodeNexthop,
  encodeDeleteNexthop,
  encodeListNexthops,
  encodePutNexthop,
} from '../wire/rtnetlink-nexthops.ts';
import { decodeRoute, encodeDeleteRoute, encodeListRoutes, encodePutRoute } from '../wire/rtnetlink-routes.ts';
import { decodeRule, encodeDeleteRule, encodeListRules, encodePutRule } from '../wire/rtnetlink-rules.ts';
import {
  type ErrnoName,
  type KernelChange,
  type KernelKind,
  type Link,
  type LinkAddress,
  type ListFilter,
  type Route,
  type RouteNextHop,
  type Rule,
  TABLE_MAIN,
} from './kernel.ts';

/** A change that is one message. A link's may be two, so rtnetlink-kernel.ts makes it by itself. */
export type PlainChange = Exclude<KernelChange, { readonly kind: 'link' }>;

/** One listing request of those that make up a kind. */
export type EncodeList = (writer: NetlinkWriter, sequence: number) => boolean;

/** What one message is about. `gone`: from a notification that the object is no more. */
export type DecodedObject =
  | { readonly kind: 'link'; readonly gone: boolean; readonly object: Link }
  | { readonly kind: 'address'; readonly gone: boolean; readonly object: LinkAddress }
  | { readonly kind: 'route'; readonly gone: boolean; readonly object: Route }
  | { readonly kind: 'nexthop'; readonly gone: boolean; readonly object: DecodedNexthop }
  | { readonly kind: 'rule'; readonly gone: boolean; readonly object: Rule }
  | (DecodedNeighbour & { readonly gone: boolean });

const FAMILIES: readonly Family[] = [4, 6];
const MAX_WEIGHT = 256;

/** The multicast groups that tell of each kind. */
export const GROUPS: Readonly<Record<KernelKind, readonly number[]>> = {
  link: [RTNLGRP.link],
  address: [RTNLGRP.ipv4Address, RTNLGRP.ipv6Address],
  route: [RTNLGRP.ipv4Route, RTNLGRP.ipv6Route],
  nexthop: [RTNLGRP.nexthop],
  rule: [RTNLGRP.ipv4Rule, RTNLGRP.ipv6Rule],
  neighbour: [RTNLGRP.neighbour],
  fdb: [RTNLGRP.neighbour],
};

/** Refusals of a change that mean that it is already so. */
const ALREADY_SO: Readonly<Record<`${KernelChange['op']} ${KernelKind}`, readonly ErrnoName[]>> = {
  'put link': [],
  'delete link': ['ENODEV'],
  'put address': ['EEXIST'],
  'delete address': ['EADDRNOTAVAIL', 'ENODEV'],
  'put route': [],
  'delete route': ['ESRCH'],
  'put nexthop': [],
  'delete nexthop': ['ENOENT'],
  'put rule': [],
  'delete rule': ['ENOENT'],
  'put neighbour': [],
  'delete neighbour': ['ENOENT', 'ENODEV'],
  'put fdb': [],
  'delete fdb': ['ENOENT', 'ENODEV'],
};

/** Writes the message for a change. False where the writer has no room for it. */
export function encodeChange(writer: NetlinkWriter, sequence: number, change: PlainChange): boolean {
  const put = change.op === 'put';
  switch (change.kind) {
    case 'route':
      return change.op === 'put'
        ? encodePutRoute(writer, sequence, change.route)
        : encodeDeleteRoute(writer, sequence, change.route);
    case 'nexthop':
      return change.op === 'put'
        ? encodePutNexthop(writer, sequence, change.nexthop)
        : encodeDeleteNexthop(writer, sequence, change.id);
    case 'address':
      return (put ? encodePutAddress : encodeDeleteAddress)(writer, sequence, change.address);
    case 'rule':
      return (put ? encodePutRule : encodeDeleteRule)(writer, sequence, change.rule);
    case 'neighbour':
      return (put ? encodePutNeighbour : encodeDeleteNeighbour)(writer, sequence, change.neighbour);
    case 'fdb':
      return (put ? encodePutFdb : encodeDeleteFdb)(writer, sequence, change.fdb);
  }
}

/** Whether this refusal means that the change is already so. IPv6 leaves that open for addresses: EEXIST has to be looked into. */
export function isAlreadySo(change: KernelChange, code: ErrnoName): boolean {
  if (change.kind === 'address' && change.op === 'put' && familyOf(change.address.address) === 6) return false;
  return ALREADY_SO[`${change.op} ${change.kind}`].includes(code);
}

/** What the wire format would silently cut off, in words; `undefined` where there is nothing wrong. */
export function invalidValue(change: KernelChange): string | undefined {
  if (change.op !== 'put') return undefined;
  if (change.kind === 'route') return invalidWeight(change.route.nextHops);
  return change.kind === 'nexthop' ? invalidWeight(change.nexthop.group ?? []) : undefined;
}

/** The change in words, for failures: `put route 10.5.1.0/24`. */
export function describeChange(change: KernelChange): string {
  return `${change.op} ${change.kind} ${describeObject(change)}`;
}

/** The listings that make up a kind, as narrow as a kernel that checks strictly makes them; an older one lists all. */
export function listRequests(kind: KernelKind, filter: ListFilter): readonly EncodeList[] {
  const families = filter.family === undefined ? FAMILIES : [filter.family];
  const { linkIndex } = filter;
  switch (kind) {
    case 'link':
      return [encodeListLinks];
    case 'nexthop':
      return [encodeListNexthops];
    case 'fdb':
      return [(writer, sequence) => encodeListFdb(writer, sequence, linkIndex)];
    case 'rule':
      return families.map((family) => (writer, sequence) => encodeListRules(writer, sequence, family));
    case 'neighbour':
      return families.map((family) => (writer, sequence) => encodeListNeighbours(writer, sequence, family));
    case 'address':
      return families.map((family) => (writer, sequence) => encodeListAddresses(writer, sequence, family, linkIndex));
    case 'route':
      return families.map((family) => (writer, sequence) => encodeListRoutes(writer, sequence, family, filter));
  }
}

/** The object in one message of a listing or notification; `undefined` for what no kind holds. */
export function decodeObject(bytes: Uint8Array, message: NetlinkMessage): DecodedObject | undefined | NetlinkError {
  switch (message.type) {
    case RTM.newRoute:
    case RTM.deleteRoute:
      return tag('route', message.type === RTM.deleteRoute, decodeRoute(bytes, message));
    case RTM.newLink:
    case RTM.deleteLink:
      return tag('link', message.type === RTM.deleteLink, decodeLink(bytes, message));
    case RTM.newAddress:
    case RTM.deleteAddress:
      return tag('address', message.type === RTM.deleteAddress, decodeAddress(bytes, message));
    case RTM.newNexthop:
    case RTM.deleteNexthop:
      return tag('nexthop', message.type === RTM.deleteNexthop, decodeNexthop(bytes, message));
    case RTM.newRule:
    case RTM.deleteRule:
      return tag('rule', message.type === RTM.deleteRule, decodeRule(bytes, message));
    case RTM.newNeighbour:
    case RTM.deleteNeighbour: {
      const value = decodeNeighbour(bytes, message);
      if (value === undefined || 'error' in value) return value;
      // One that is not permanent (any more) is as good as gone.
      return { ...value, gone: message.type === RTM.deleteNeighbour || !value.permanent };
    }
    default:
      return undefined;
  }
}

/** Whether a listed object passes the filter, whatever the kernel has done about it. Nexthops' families are not looked at. */
export function passesFilter(decoded: DecodedObject, filter: ListFilter): boolean {
  const { family, table, protocol, linkIndex, linkName } = filter;
  switch (decoded.kind) {
    case 'link':
      if (linkName !== undefined && decoded.object.name !== linkName) return false;
      return linkIndex === undefined || decoded.object.index === linkIndex;
    case 'route': {
      const route = decoded.object;
      if (table !== undefined && route.table !== table) return false;
      if (protocol !== undefined && route.protocol !== protocol) return false;
      if (family !== undefined && prefixFamily(route.prefix) !== family) return false;
      // Which links a nexthop object uses only the kernel can tell here.
      if (linkIndex === undefined || route.nexthopId !== undefined) return true;
      return route.nextHops.some((hop) => hop.linkIndex === linkIndex);
    }
    case 'nexthop':
      if (protocol !== undefined && decoded.object.protocol !== protocol) return false;
      return linkIndex === undefined || decoded.object.hop?.linkIndex === linkIndex;
    case 'rule':
      if (protocol !== undefined && decoded.object.protocol !== protocol) return false;
      if (table !== undefined && decoded.object.table !== table) return false;
      return family === undefined || decoded.object.family === family;
    case 'fdb':
      if (family !== undefined && familyOf(decoded.object.destination) !== family) return false;
      return linkIndex === undefined || decoded.object.linkIndex === linkIndex;
    case 'address':
    case 'neighbour':
      if (family !== undefined && familyOf(decoded.object.address) !== family) return false;
      return linkIndex === undefined || decoded.object.linkIndex === linkIndex;
  }
}

function tag<K extends 'link' | 'address' | 'route' | 'nexthop' | 'rule'>(
  kind: K,
  gone: boolean,
  object: Extract<DecodedObject, { kind: K }>['object'] | undefined | NetlinkError,
): DecodedObject | undefined | NetlinkError {
  if (object === undefined || 'error' in object) return object;
  return { kind, gone, object } as DecodedObject;
}

function invalidWeight(hops: readonly Pick<RouteNextHop, 'weight'>[]): string | undefined {
  for (const { weight = 1 } of hops) {
    if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT) return `weight ${weight} is not in 1 to 256`;
  }
  return undefined;
}

function describeObject(change: KernelChange): string {
  switch (change.kind) {
    case 'link':
      return change.op === 'put' ? change.link.name : change.name;
    case 'route': {
      const { prefix, table, metric } = change.route;
      const where = table === TABLE_MAIN ? '' : ` table ${table}`;
      return metric === 0 ? `${prefix}${where}` : `${prefix}${where} metric ${metric}`;
    }
    case 'nexthop':
      return `${change.op === 'put' ? change.nexthop.id : change.id}`;
    case 'address':
      return `${change.address.address}/${change.address.prefixLength} on link ${change.address.linkIndex}`;
    case 'rule':
      return `${change.rule.priority} to table ${change.rule.table} for IPv${change.rule.family}`;
    case 'neighbour':
      return `${change.neighbour.address} on link ${change.neighbour.linkIndex}`;
    case 'fdb':
      return `${change.fdb.mac} on link ${change.fdb.linkIndex}`;
  }
}
