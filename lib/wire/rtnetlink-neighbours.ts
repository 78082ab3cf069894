// Neighbours (ARP, NDP) and FDB entries over rtnetlink: RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH for both.
// Kernel header: include/uapi/linux/neighbour.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |    family     |                    padding                    |   struct ndmsg
// |                          link index                           |
// |             state             |     flags     |     type      |
//
// The confusing thing: NDA_DST and NDA_LLADDR are in both. A neighbour (family IPv4 or IPv6) maps the address NDA_DST to
// the MAC NDA_LLADDR; an FDB entry (family AF_BRIDGE, flag NTF_SELF) maps the MAC NDA_LLADDR to the outer address NDA_DST.

import type { FdbEntry, Neighbour } from '../kernel/kernel.ts';
import { type Address, type Family, familyOf } from '../net/address.ts';
import { type Mac, macBytes, macFromBytes } from '../net/mac.ts';
import { type NetlinkMessage, NLM_F } from './netlink.ts';
import {
  attributeCursor,
  getU16,
  getU32,
  type NetlinkError,
  nextAttribute,
  readBytes,
  readU8,
  viewOf,
} from './netlink-attributes.ts';
import {
  beginMessage,
  endMessage,
  type NetlinkWriter,
  putBytes,
  putU8,
  reserve,
  setU16,
  setU32,
} from './netlink-writer.ts';
import { AF, addressFamily, putAddress, RTM, readAddress } from './rtnetlink.ts';

const HEADER = { family: 0, index: 4, state: 8, flags: 10 } as const;
const HEADER_LENGTH = 12;

const NDA = { destination: 1, linkLayerAddress: 2, protocol: 12 } as const;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 0x02;
const NTF_PROXY = 0x08;

const NO_MAC = '00:00:00:00:00:00' as Mac;

/** What RTM_NEWNEIGH and RTM_DELNEIGH are about. */
export type DecodedNeighbour =
  | { readonly kind: 'neighbour'; readonly permanent: boolean; readonly object: Neighbour }
  | { readonly kind: 'fdb'; readonly permanent: boolean; readonly object: FdbEntry };

/** RTM_NEWNEIGH: makes a permanent entry or replaces the one for the address. */
export function encodePutNeighbour(writer: NetlinkWriter, sequence: number, value: Neighbour): boolean {
  const start = beginMessage(writer, RTM.newNeighbour, NLM_F.request | NLM_F.create | NLM_F.replace, sequence);
  putHeader(writer, addressFamily(familyOf(value.address)), value.linkIndex, 0);
  putAddress(writer, NDA.destination, value.address);
  putBytes(writer, NDA.linkLayerAddress, macBytes(value.mac));
  if (value.protocol !== undefined) putU8(writer, NDA.protocol, value.protocol);
  return endMessage(writer, start);
}

/** RTM_DELNEIGH; the kernel answers ENOENT where there is none. */
export function encodeDeleteNeighbour(writer: NetlinkWriter, sequence: number, value: Neighbour): boolean {
  const start = beginMessage(writer, RTM.deleteNeighbour, NLM_F.request, sequence);
  putHeader(writer, addressFamily(familyOf(value.address)), value.linkIndex, 0);
  putAddress(writer, NDA.destination, value.address);
  return endMessage(writer, start);
}

/**
 * RTM_NEWNEIGH on a VXLAN device: sends frames for the MAC to one VTEP, instead of where they went before. The all-zeros
 * MAC (what has no entry) and group MACs may have many VTEPs, which the kernel only appends to, never replaces.
 */
export function encodePutFdb(writer: NetlinkWriter, sequence: number, value: FdbEntry): boolean {
  const mode = hasManyDestinations(value.mac) ? NLM_F.append : NLM_F.replace;
  const start = beginMessage(writer, RTM.newNeighbour, NLM_F.request | NLM_F.create | mode, sequence);
  putHeader(writer, AF.bridge, value.linkIndex, NTF_SELF);
  putAddress(writer, NDA.destination, value.destination);
  putBytes(writer, NDA.linkLayerAddress, macBytes(value.mac));
  return endMessage(writer, start);
}

/** RTM_DELNEIGH on a VXLAN device, whatever VTEP a unicast MAC has; the kernel answers ENOENT where there is none. */
export function encodeDeleteFdb(writer: NetlinkWriter, sequence: number, value: FdbEntry): boolean {
  const start = beginMessage(writer, RTM.deleteNeighbour, NLM_F.request, sequence);
  putHeader(writer, AF.bridge, value.linkIndex, NTF_SELF);
  if (hasManyDestinations(value.mac)) putAddress(writer, NDA.destination, value.destination);
  putBytes(writer, NDA.linkLayerAddress, macBytes(value.mac));
  return endMessage(writer, start);
}

/** RTM_GETNEIGH for all neighbours of one family; of one link needs NDA_IFINDEX, so the caller filters. */
export function encodeListNeighbours(writer: NetlinkWriter, sequence: number, family: Family): boolean {
  return encodeList(writer, sequence, addressFamily(family), 0);
}

/** RTM_GETNEIGH for the FDB entries of all links, or of one. */
export function encodeListFdb(writer: NetlinkWriter, sequence: number, linkIndex?: number): boolean {
  return encodeList(writer, sequence, AF.bridge, linkIndex ?? 0);
}

/**
 * The entry in RTM_NEWNEIGH or RTM_DELNEIGH; `undefined` for a bridge's own FDB, other families, entries to answer for
 * (NTF_PROXY, a table of their own), and link layers that are not Ethernet. An entry that has just failed or gone may have no MAC any more: then it is all zeros.
 */
export function decodeNeighbour(
  bytes: Uint8Array,
  message: NetlinkMessage,
): DecodedNeighbour | undefined | NetlinkError {
  const { start, end } = message;
  if (start + HEADER_LENGTH > end) return { error: 'truncated', field: 'ndmsg' };
  const view = viewOf(bytes);
  const family = view.getUint8(start + HEADER.family);
  const isFdb = family === AF.bridge;
  const flags = view.getUint8(start + HEADER.flags);
  if (isFdb ? !(flags & NTF_SELF) : flags & NTF_PROXY) return undefined;
  if (!isFdb && family !== AF.inet && family !== AF.inet6) return undefined;
  let address: Address | undefined;
  let mac: Mac | undefined = NO_MAC;
  let protocol = 0;
  const cursor = attributeCursor(bytes, view, start + HEADER_LENGTH, end);
  while (nextAttribute(cursor)) {
    if (cursor.type === NDA.destination) address = readAddress(cursor);
    else if (cursor.type === NDA.linkLayerAddress) mac = macFromBytes(readBytes(cursor));
    else if (cursor.type === NDA.protocol) protocol = readU8(cursor);
  }
  if (cursor.error !== undefined) return cursor.error;
  if (address === undefined || mac === undefined) return undefined;
  const permanent = (getU16(view, start + HEADER.state) & NUD_PERMANENT) !== 0;
  const linkIndex = getU32(view, start + HEADER.index);
  return isFdb
    ? { kind: 'fdb', permanent, object: { linkIndex, mac, destination: address } }
    : { kind: 'neighbour', permanent, object: { linkIndex, address, mac, ...(protocol !== 0 && { protocol }) } };
}

function putHeader(writer: NetlinkWriter, family: number, linkIndex: number, flags: number): void {
  const at = reserve(writer, HEADER_LENGTH);
  if (at < 0) return;
  writer.bytes[at + HEADER.family] = family;
  setU32(writer, at + HEADER.index, linkIndex);
  setU16(writer, at + HEADER.state, NUD_PERMANENT);
  writer.bytes[at + HEADER.flags] = flags;
}

function encodeList(writer: NetlinkWriter, sequence: number, family: number, linkIndex: number): boolean {
  const start = beginMessage(writer, RTM.getNeighbour, NLM_F.request | NLM_F.dump, sequence);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0) {
    writer.bytes[at + HEADER.family] = family;
    setU32(writer, at + HEADER.index, linkIndex);
  }
  return endMessage(writer, start);
}

/** The group bit of the first byte, or all zeros. */
function hasManyDestinations(mac: Mac): boolean {
  return mac === NO_MAC || (Number.parseInt(mac.slice(1, 2), 16) & 1) === 1;
}
