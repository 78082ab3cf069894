// The next hops inside a route: gateways, and the list of weighted hops in RTA_MULTIPATH. Not nexthop objects, which
// live outside of routes (rtnetlink-nexthops.ts). Kernel header: include/uapi/linux/rtnetlink.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |  length, with attributes      |     flags     |  weight - 1   |   struct rtnexthop, then attributes of its own
// |                          link index                           |
//
// A gateway of the route's own family is RTA_GATEWAY; one of the other family is RTA_VIA, which names its family.

import type { RouteNextHop } from '../kernel/kernel.ts';
import { ADDRESS_LENGTH, type Address, addressFromBytes, type Family, familyOf } from '../net/address.ts';
import {
  ATTRIBUTE_HEADER_LENGTH,
  type AttributeCursor,
  attributeCursor,
  getU16,
  getU32,
  markBadLength,
  nextAttribute,
  readBytes,
} from './netlink-attributes.ts';
import { endNested, type NetlinkWriter, reserve, reserveAttribute, setU16, setU32 } from './netlink-writer.ts';
import { addressFamily, putAddress, readAddress, writeAddress } from './rtnetlink.ts';

/** RTA_*: attributes of a route, some of them of each of its next hops. */
export const RTA = {
  destination: 1,
  outputLink: 4,
  gateway: 5,
  priority: 6,
  preferredSource: 7,
  metrics: 8,
  multipath: 9,
  table: 15,
  via: 18,
  nexthopId: 30,
} as const;

/** The gateway is reachable on the link even where no subnet of the link holds it. */
export const RTNH_F_ONLINK = 0x4;

const HOP = { length: 0, flags: 2, weight: 3, link: 4 } as const;
const HOP_LENGTH = 8;
/** `struct rtvia`: 16 bits of address family, then the address. */
const VIA_HEADER_LENGTH = 2;

/** RTA_GATEWAY, or RTA_VIA for a gateway of the other family than the route's. */
export function putGateway(writer: NetlinkWriter, gateway: Address, routeFamily: Family): void {
  const family = familyOf(gateway);
  if (family === routeFamily) {
    putAddress(writer, RTA.gateway, gateway);
    return;
  }
  const at = reserveAttribute(writer, RTA.via, VIA_HEADER_LENGTH + ADDRESS_LENGTH[family]);
  if (at < 0) return;
  setU16(writer, at, addressFamily(family));
  writeAddress(writer.bytes, at + VIA_HEADER_LENGTH, gateway, family);
}

/** The gateway in RTA_VIA; `undefined`, and an error in the cursor, where it is none. */
export function readVia(cursor: AttributeCursor): Address | undefined {
  const value = addressFromBytes(readBytes(cursor).subarray(VIA_HEADER_LENGTH));
  if (value === undefined) markBadLength(cursor);
  return value;
}

/** RTA_MULTIPATH: all the hops with their weights. */
export function putMultipath(writer: NetlinkWriter, hops: readonly RouteNextHop[], routeFamily: Family): void {
  // Not a list of attributes, so without the flag of one.
  const list = reserveAttribute(writer, RTA.multipath, 0) - ATTRIBUTE_HEADER_LENGTH;
  for (const hop of hops) {
    const at = reserve(writer, HOP_LENGTH);
    if (hop.gateway !== undefined) putGateway(writer, hop.gateway, routeFamily);
    if (writer.overflow) return;
    setU16(writer, at + HOP.length, writer.length - at);
    writer.bytes[at + HOP.flags] = hop.onlink ? RTNH_F_ONLINK : 0;
    writer.bytes[at + HOP.weight] = (hop.weight ?? 1) - 1;
    setU32(writer, at + HOP.link, hop.linkIndex ?? 0);
  }
  endNested(writer, list);
}

/** The hops in RTA_MULTIPATH; an error in the cursor where they are malformed. A weight of 1 is left out. */
export function readMultipath(cursor: AttributeCursor): readonly RouteNextHop[] {
  const { bytes, view, end } = cursor;
  const hops: RouteNextHop[] = [];
  for (let at = cursor.start; at < end; ) {
    const length = at + HOP_LENGTH > end ? 0 : getU16(view, at + HOP.length);
    if (length < HOP_LENGTH || at + length > end) {
      markBadLength(cursor);
      return hops;
    }
    const hop: { -readonly [K in keyof RouteNextHop]: RouteNextHop[K] } = {};
    const inner = attributeCursor(bytes, view, at + HOP_LENGTH, at + length);
    while (nextAttribute(inner)) {
      const gateway = readGateway(inner);
      if (gateway !== undefined) hop.gateway = gateway;
    }
    cursor.error ??= inner.error;
    const linkIndex = getU32(view, at + HOP.link);
    if (linkIndex !== 0) hop.linkIndex = linkIndex;
    if (view.getUint8(at + HOP.flags) & RTNH_F_ONLINK) hop.onlink = true;
    const weight = view.getUint8(at + HOP.weight) + 1;
    if (weight !== 1) hop.weight = weight;
    hops.push(hop);
    at += (length + 3) & ~3;
  }
  return hops;
}

function readGateway(cursor: AttributeCursor): Address | undefined {
  if (cursor.type === RTA.gateway) return readAddress(cursor);
  return cursor.type === RTA.via ? readVia(cursor) : undefined;
}
