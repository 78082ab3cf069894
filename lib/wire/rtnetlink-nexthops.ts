// Nexthop objects over rtnetlink: RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP (Linux 5.3 and later).
// Kernel header: include/uapi/linux/nexthop.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |    family     |     scope     |   protocol    |   reserved    |   struct nhmsg
// |                             flags                             |
//
// |                          id of member                         |   struct nexthop_grp, in NHA_GROUP
// |  weight - 1   |  high 8 bits  |           reserved            |
//
// The confusing thing: a group has no family of its own (AF_UNSPEC); it is that of its members, which the message does
// not tell. The high bits of a weight exist since Linux 6.13; an older kernel wants zero there, which 1 to 256 are.

import type { Nexthop, RouteNextHop } from '../kernel/kernel.ts';
import { type Address, type Family, familyOf } from '../net/address.ts';
import { type NetlinkMessage, NLM_F } from './netlink.ts';
import {
  type AttributeCursor,
  attributeCursor,
  getU32,
  markBadLength,
  type NetlinkError,
  nextAttribute,
  readU32,
  viewOf,
} from './netlink-attributes.ts';
import {
  beginMessage,
  endMessage,
  type NetlinkWriter,
  putU32,
  reserve,
  reserveAttribute,
  setU32,
} from './netlink-writer.ts';
import { addressFamily, familyOfNumber, putAddress, RTM, readAddress } from './rtnetlink.ts';
import { RTNH_F_ONLINK } from './rtnetlink-next-hops.ts';

const HEADER = { family: 0, protocol: 2, flags: 4 } as const;
const HEADER_LENGTH = 8;

const NHA = { id: 1, group: 2, blackhole: 4, outputLink: 5, gateway: 6 } as const;

const MEMBER = { id: 0, weight: 4, weightHigh: 5 } as const;
const MEMBER_LENGTH = 8;

/** A nexthop object as the message has it: a group without its family. */
export type DecodedNexthop = Omit<Nexthop, 'family'> & { readonly family?: Family };

/** RTM_NEWNEXTHOP: makes the object or replaces the one with its id, in one step for all routes that use it. */
export function encodePutNexthop(writer: NetlinkWriter, sequence: number, value: Nexthop): boolean {
  const start = beginMessage(writer, RTM.newNexthop, NLM_F.request | NLM_F.create | NLM_F.replace, sequence);
  const family = value.hop?.gateway === undefined ? value.family : familyOf(value.hop.gateway);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0) {
    writer.bytes[at + HEADER.family] = value.group === undefined ? addressFamily(family) : 0;
    writer.bytes[at + HEADER.protocol] = value.protocol;
    setU32(writer, at + HEADER.flags, value.hop?.onlink ? RTNH_F_ONLINK : 0);
  }
  putU32(writer, NHA.id, value.id);
  if (value.group !== undefined) putGroup(writer, value.group);
  else if (value.blackhole) reserveAttribute(writer, NHA.blackhole, 0);
  if (value.hop?.gateway !== undefined) putAddress(writer, NHA.gateway, value.hop.gateway);
  if (value.hop?.linkIndex !== undefined) putU32(writer, NHA.outputLink, value.hop.linkIndex);
  return endMessage(writer, start);
}

/** RTM_DELNEXTHOP, and with it all routes that use the object; the kernel answers ENOENT where there is none. */
export function encodeDeleteNexthop(writer: NetlinkWriter, sequence: number, id: number): boolean {
  return encodeById(writer, RTM.deleteNexthop, sequence, id);
}

/** RTM_GETNEXTHOP of one object; the kernel answers ENOENT where there is none. */
export function encodeGetNexthop(writer: NetlinkWriter, sequence: number, id: number): boolean {
  return encodeById(writer, RTM.getNexthop, sequence, id);
}

/** RTM_GETNEXTHOP for all objects. */
export function encodeListNexthops(writer: NetlinkWriter, sequence: number): boolean {
  const start = beginMessage(writer, RTM.getNexthop, NLM_F.request | NLM_F.dump, sequence);
  reserve(writer, HEADER_LENGTH);
  return endMessage(writer, start);
}

/** The object in RTM_NEWNEXTHOP or RTM_DELNEXTHOP. */
export function decodeNexthop(bytes: Uint8Array, message: NetlinkMessage): DecodedNexthop | NetlinkError {
  const { start, end } = message;
  if (start + HEADER_LENGTH > end) return { error: 'truncated', field: 'nhmsg' };
  const view = viewOf(bytes);
  const hop: { -readonly [K in keyof RouteNextHop]: RouteNextHop[K] } = {};
  let id = 0;
  let group: Nexthop['group'];
  let blackhole = false;
  const cursor = attributeCursor(bytes, view, start + HEADER_LENGTH, end);
  while (nextAttribute(cursor)) {
    if (cursor.type === NHA.id) id = readU32(cursor);
    else if (cursor.type === NHA.group) group = readGroup(cursor);
    else if (cursor.type === NHA.blackhole) blackhole = true;
    else if (cursor.type === NHA.outputLink) hop.linkIndex = readU32(cursor);
    else if (cursor.type === NHA.gateway) hop.gateway = readAddress(cursor) as Address;
  }
  if (cursor.error !== undefined) return cursor.error;
  if (id === 0) return { error: 'bad-value', field: 'NHA_ID' };
  const protocol = view.getUint8(start + HEADER.protocol);
  if (group !== undefined) return { id, protocol, group };
  const family = familyOfNumber(view.getUint8(start + HEADER.family));
  if (family === undefined) return { error: 'bad-value', field: 'nh_family' };
  if (blackhole) return { id, protocol, family, blackhole };
  if (getU32(view, start + HEADER.flags) & RTNH_F_ONLINK) hop.onlink = true;
  return { id, protocol, family, hop };
}

function encodeById(writer: NetlinkWriter, type: number, sequence: number, id: number): boolean {
  const start = beginMessage(writer, type, NLM_F.request, sequence);
  reserve(writer, HEADER_LENGTH);
  putU32(writer, NHA.id, id);
  return endMessage(writer, start);
}

function putGroup(writer: NetlinkWriter, group: NonNullable<Nexthop['group']>): void {
  let at = reserveAttribute(writer, NHA.group, group.length * MEMBER_LENGTH);
  if (at < 0) return;
  for (const member of group) {
    setU32(writer, at + MEMBER.id, member.id);
    writer.bytes[at + MEMBER.weight] = (member.weight - 1) & 0xff;
    writer.bytes[at + MEMBER.weightHigh] = (member.weight - 1) >> 8;
    at += MEMBER_LENGTH;
  }
}

function readGroup(cursor: AttributeCursor): NonNullable<Nexthop['group']> {
  const group: { id: number; weight: number }[] = [];
  if ((cursor.end - cursor.start) % MEMBER_LENGTH !== 0) markBadLength(cursor);
  for (let at = cursor.start; at + MEMBER_LENGTH <= cursor.end; at += MEMBER_LENGTH) {
    const weight = cursor.view.getUint8(at + MEMBER.weight) + (cursor.view.getUint8(at + MEMBER.weightHigh) << 8) + 1;
    group.push({ id: getU32(cursor.view, at + MEMBER.id), weight });
  }
  return group;
}
