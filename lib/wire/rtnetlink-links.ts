// Links (network devices) over rtnetlink: RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, with what is special to VXLAN, IP-in-IP
// and veth devices and to ports of a bridge. Kernel headers: include/uapi/linux/if_link.h, if_tunnel.h, veth.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |    family     |   reserved    |          device type          |   struct ifinfomsg
// |                          link index                           |
// |                             flags                             |
// |                       mask of flags to change                 |
//
// The confusing thing: RTM_NEWLINK and RTM_DELLINK of family AF_BRIDGE tell of a *port* that joins or leaves a bridge,
// not of a link that comes or goes. They are not decoded here.

import type { IpipLink, Link, LinkSpec, VethPeer, VxlanLink } from '../kernel/kernel.ts';
import { familyOf } from '../net/address.ts';
import { macBytes, macFromBytes } from '../net/mac.ts';
import { type NetlinkMessage, NLM_F } from './netlink.ts';
import {
  type AttributeCursor,
  attributeCursor,
  getU32,
  type NetlinkError,
  nestedCursor,
  nextAttribute,
  readBytes,
  readText,
  readU8,
  readU16BigEndian,
  readU32,
  viewOf,
} from './netlink-attributes.ts';
import {
  beginMessage,
  beginNested,
  endMessage,
  endNested,
  type NetlinkWriter,
  putBytes,
  putText,
  putU8,
  putU16BigEndian,
  putU32,
  reserve,
  reserveAttribute,
  setU32,
} from './netlink-writer.ts';
import { AF, putAddress, RTM, readAddress } from './rtnetlink.ts';

/** IFNAMSIZ without its terminating zero: the longest name of a link, in bytes. */
export const LINK_NAME_MAX_BYTES = 15;

const HEADER = { family: 0, index: 4, flags: 8, change: 12 } as const;
const HEADER_LENGTH = 16;

const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;

const IFLA = { address: 1, name: 3, mtu: 4, master: 10, linkInfo: 18, alias: 20, namespaceFd: 28 } as const;
/** In IFLA_LINKINFO. The slave's are what a bridge keeps of its port. */
const IFLA_INFO = { kind: 1, data: 2, slaveKind: 4, slaveData: 5 } as const;
/** In IFLA_INFO_DATA of a veth device (veth.h): a whole ifinfomsg and attributes of the other end. */
const VETH_INFO_PEER = 1;
/** In IFLA_INFO_SLAVE_DATA of a port of a bridge: hairpin mode, a byte. */
const IFLA_BRPORT_MODE = 4;
/** In IFLA_INFO_DATA of a VXLAN device. LEARNING is a byte, PORT big endian, GBP a flag that is there or not. */
const IFLA_VXLAN = { id: 1, link: 3, local: 4, learning: 7, port: 15, local6: 17, gbp: 23 } as const;
/** In IFLA_INFO_DATA of an IP-in-IP device (if_tunnel.h). */
const IFLA_IPTUN = { local: 2, tos: 5, pathMtuDiscovery: 10 } as const;
/** As the tunnel's TOS: that of the packet inside. */
const TOS_INHERIT = 1;

const UTF8 = new TextEncoder();

/** RTM_NEWLINK for a link that does not exist; the kernel answers EEXIST where it does. Neither up nor alias can be set here. */
export function encodeCreateLink(
  writer: NetlinkWriter,
  sequence: number,
  spec: LinkSpec,
  create: NonNullable<LinkSpec['create']>,
): boolean {
  const start = beginMessage(writer, RTM.newLink, NLM_F.request | NLM_F.create | NLM_F.exclusive, sequence);
  reserve(writer, HEADER_LENGTH);
  putText(writer, IFLA.name, spec.name);
  putMacAndMtu(writer, spec);
  const info = beginNested(writer, IFLA.linkInfo);
  putText(writer, IFLA_INFO.kind, create.type);
  if (create.type === 'vxlan') {
    const data = beginNested(writer, IFLA_INFO.data);
    putVxlan(writer, create.vxlan);
    endNested(writer, data);
  } else if (create.type === 'ipip') {
    const data = beginNested(writer, IFLA_INFO.data);
    putIpip(writer, create.ipip);
    endNested(writer, data);
  } else if (create.type === 'veth') {
    const data = beginNested(writer, IFLA_INFO.data);
    putVethPeer(writer, create.peer, spec.mtuBytes);
    endNested(writer, data);
  }
  endNested(writer, info);
  return endMessage(writer, start);
}

/** RTM_NEWLINK that changes what the spec names of a link that exists; the kernel answers ENODEV where it does not. */
export function encodeChangeLink(writer: NetlinkWriter, sequence: number, spec: LinkSpec): boolean {
  const start = beginMessage(writer, RTM.newLink, NLM_F.request, sequence);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0 && spec.up !== undefined) {
    setU32(writer, at + HEADER.flags, spec.up ? IFF_UP : 0);
    setU32(writer, at + HEADER.change, IFF_UP);
  }
  putText(writer, IFLA.name, spec.name);
  putMacAndMtu(writer, spec);
  if (spec.alias !== undefined) putBytes(writer, IFLA.alias, UTF8.encode(spec.alias));
  if (spec.masterIndex !== undefined) putU32(writer, IFLA.master, spec.masterIndex);
  return endMessage(writer, start);
}

/** RTM_NEWLINK that sets the hairpin mode of a bridge's port; the kernel answers EINVAL where the link is none. */
export function encodeHairpin(writer: NetlinkWriter, sequence: number, name: string, hairpin: boolean): boolean {
  const start = beginMessage(writer, RTM.newLink, NLM_F.request, sequence);
  reserve(writer, HEADER_LENGTH);
  putText(writer, IFLA.name, name);
  const info = beginNested(writer, IFLA.linkInfo);
  putText(writer, IFLA_INFO.slaveKind, 'bridge');
  const data = beginNested(writer, IFLA_INFO.slaveData);
  putU8(writer, IFLA_BRPORT_MODE, hairpin ? 1 : 0);
  endNested(writer, data);
  endNested(writer, info);
  return endMessage(writer, start);
}

/** RTM_DELLINK; the kernel answers ENODEV where there is none. */
export function encodeDeleteLink(writer: NetlinkWriter, sequence: number, name: string): boolean {
  const start = beginMessage(writer, RTM.deleteLink, NLM_F.request, sequence);
  reserve(writer, HEADER_LENGTH);
  putText(writer, IFLA.name, name);
  return endMessage(writer, start);
}

/** RTM_GETLINK for one link; the kernel answers ENODEV where there is none. */
export function encodeGetLink(writer: NetlinkWriter, sequence: number, name: string): boolean {
  const start = beginMessage(writer, RTM.getLink, NLM_F.request, sequence);
  reserve(writer, HEADER_LENGTH);
  putText(writer, IFLA.name, name);
  return endMessage(writer, start);
}

/** RTM_GETLINK for all links. */
export function encodeListLinks(writer: NetlinkWriter, sequence: number): boolean {
  const start = beginMessage(writer, RTM.getLink, NLM_F.request | NLM_F.dump, sequence);
  reserve(writer, HEADER_LENGTH);
  return endMessage(writer, start);
}

/** The link in RTM_NEWLINK or RTM_DELLINK; `undefined` for messages about a bridge's port. */
export function decodeLink(bytes: Uint8Array, message: NetlinkMessage): Link | undefined | NetlinkError {
  const { start, end } = message;
  if (start + HEADER_LENGTH > end) return { error: 'truncated', field: 'ifinfomsg' };
  const view = viewOf(bytes);
  if (view.getUint8(start + HEADER.family) !== AF.unspecified) return undefined;
  const flags = getU32(view, start + HEADER.flags);
  const link: { -readonly [K in keyof Link]: Link[K] } = {
    index: getU32(view, start + HEADER.index),
    name: '',
    mtuBytes: 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_LOWER_UP) !== 0,
  };
  const cursor = attributeCursor(bytes, view, start + HEADER_LENGTH, end);
  while (nextAttribute(cursor)) readLinkAttribute(cursor, link);
  if (cursor.error !== undefined) return cursor.error;
  return link.name === '' ? { error: 'bad-value', field: 'IFLA_IFNAME' } : link;
}

function putMacAndMtu(writer: NetlinkWriter, spec: LinkSpec): void {
  if (spec.mac !== undefined) putBytes(writer, IFLA.address, macBytes(spec.mac));
  if (spec.mtuBytes !== undefined) putU32(writer, IFLA.mtu, spec.mtuBytes);
}

function putVxlan(writer: NetlinkWriter, vxlan: VxlanLink): void {
  putU32(writer, IFLA_VXLAN.id, vxlan.vni);
  if (vxlan.local !== undefined) {
    putAddress(writer, familyOf(vxlan.local) === 4 ? IFLA_VXLAN.local : IFLA_VXLAN.local6, vxlan.local);
  }
  putU16BigEndian(writer, IFLA_VXLAN.port, vxlan.port);
  if (vxlan.parentIndex !== undefined) putU32(writer, IFLA_VXLAN.link, vxlan.parentIndex);
  putU8(writer, IFLA_VXLAN.learning, vxlan.learning ? 1 : 0);
  if (vxlan.gbp) reserveAttribute(writer, IFLA_VXLAN.gbp, 0);
}

function putVethPeer(writer: NetlinkWriter, peer: VethPeer, mtuBytes: number | undefined): void {
  const nested = beginNested(writer, VETH_INFO_PEER);
  reserve(writer, HEADER_LENGTH);
  putText(writer, IFLA.name, peer.name);
  putMacAndMtu(writer, { ...peer, ...(mtuBytes !== undefined && { mtuBytes }) });
  if (peer.namespaceFd !== undefined) putU32(writer, IFLA.namespaceFd, peer.namespaceFd);
  endNested(writer, nested);
}

function putIpip(writer: NetlinkWriter, { local }: IpipLink): void {
  if (local !== undefined) putAddress(writer, IFLA_IPTUN.local, local);
  putU8(writer, IFLA_IPTUN.tos, TOS_INHERIT);
  putU8(writer, IFLA_IPTUN.pathMtuDiscovery, 1);
}

function readLinkAttribute(cursor: AttributeCursor, link: { -readonly [K in keyof Link]: Link[K] }): void {
  switch (cursor.type) {
    case IFLA.name:
      link.name = readText(cursor);
      return;
    case IFLA.address: {
      // A tunnel has its outer address here, a TUN device nothing: only Ethernet has a MAC.
      const mac = macFromBytes(readBytes(cursor));
      if (mac !== undefined) link.mac = mac;
      return;
    }
    case IFLA.mtu:
      link.mtuBytes = readU32(cursor);
      return;
    case IFLA.master:
      link.masterIndex = readU32(cursor);
      return;
    case IFLA.alias:
      link.alias = readText(cursor);
      return;
    case IFLA.linkInfo:
      readLinkInfo(cursor, link);
  }
}

function readLinkInfo(cursor: AttributeCursor, link: { -readonly [K in keyof Link]: Link[K] }): void {
  const info = nestedCursor(cursor);
  let data: AttributeCursor | undefined;
  while (nextAttribute(info)) {
    if (info.type === IFLA_INFO.kind) link.type = readText(info);
    else if (info.type === IFLA_INFO.data) data = nestedCursor(info);
  }
  if (link.type === 'vxlan' && data !== undefined) link.vxlan = readVxlan(data);
  if (link.type === 'ipip' && data !== undefined) link.ipip = readIpip(data);
  cursor.error ??= info.error ?? data?.error;
}

function readVxlan(cursor: AttributeCursor): VxlanLink {
  const vxlan: { -readonly [K in keyof VxlanLink]: VxlanLink[K] } = { vni: 0, port: 0, learning: false, gbp: false };
  while (nextAttribute(cursor)) {
    if (cursor.type === IFLA_VXLAN.id) vxlan.vni = readU32(cursor);
    else if (cursor.type === IFLA_VXLAN.port) vxlan.port = readU16BigEndian(cursor);
    else if (cursor.type === IFLA_VXLAN.link) vxlan.parentIndex = readU32(cursor);
    else if (cursor.type === IFLA_VXLAN.learning) vxlan.learning = readU8(cursor) !== 0;
    else if (cursor.type === IFLA_VXLAN.gbp) vxlan.gbp = true;
    else if (cursor.type === IFLA_VXLAN.local || cursor.type === IFLA_VXLAN.local6) {
      const local = readAddress(cursor);
      if (local !== undefined) vxlan.local = local;
    }
  }
  return vxlan;
}

function readIpip(cursor: AttributeCursor): IpipLink {
  let local: IpipLink['local'];
  while (nextAttribute(cursor)) {
    if (cursor.type === IFLA_IPTUN.local) local = readAddress(cursor);
  }
  // The kernel writes "any" as zeros.
  return local === undefined || local === '0.0.0.0' ? {} : { local };
}
