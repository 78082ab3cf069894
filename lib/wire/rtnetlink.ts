// What all rtnetlink objects share: message types, multicast groups, address families, addresses in attributes.
//
// Each object has a file of its own: rtnetlink-links.ts, -addresses.ts, -routes.ts, -nexthops.ts, -neighbours.ts. Each
// one writes requests into the caller's NetlinkWriter (sequence numbers and acknowledgement flags belong to the socket)
// and turns one message into a value, into `undefined` where it is of no interest, or into an error. Nothing throws.
// Kernel header: include/uapi/linux/rtnetlink.h.

import { ADDRESS_LENGTH, type Address, type Family, familyOf } from '../net/address.ts';
import { readIpv6, writeIpv6 } from './ipv6-text.ts';
import { type AttributeCursor, markBadLength } from './netlink-attributes.ts';
import { type NetlinkWriter, reserveAttribute } from './netlink-writer.ts';

export const RTM = {
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  deleteNeighbour: 29,
  getNeighbour: 30,
  newRule: 32,
  deleteRule: 33,
  getRule: 34,
  newNexthop: 104,
  deleteNexthop: 105,
  getNexthop: 106,
} as const;

/** RTNLGRP_*: what a subscription joins. */
export const RTNLGRP = {
  link: 1,
  neighbour: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv6Address: 9,
  ipv6Route: 11,
  ipv4Rule: 8,
  ipv6Rule: 19,
  nexthop: 32,
} as const;

export const AF = { unspecified: 0, inet: 2, bridge: 7, inet6: 10 } as const;

/** AF_INET or AF_INET6; AF_UNSPEC for none. */
export function addressFamily(family: Family | undefined): number {
  if (family === undefined) return AF.unspecified;
  return family === 4 ? AF.inet : AF.inet6;
}

/** 4 or 6; `undefined` for every other address family. */
export function familyOfNumber(addressFamilyNumber: number): Family | undefined {
  if (addressFamilyNumber === AF.inet) return 4;
  return addressFamilyNumber === AF.inet6 ? 6 : undefined;
}

/** An attribute with the 4 or 16 bytes of an address, or of the address part of a prefix. */
export function putAddress(writer: NetlinkWriter, type: number, value: string): void {
  const family = familyOf(value as Address);
  const at = reserveAttribute(writer, type, ADDRESS_LENGTH[family]);
  if (at >= 0) writeAddress(writer.bytes, at, value, family);
}

/** The address at hand; `undefined`, and an error in the cursor, where it has neither 4 nor 16 bytes. */
export function readAddress(cursor: AttributeCursor): Address | undefined {
  const { bytes, start } = cursor;
  if (cursor.end - start === 4)
    return `${bytes[start]}.${bytes[start + 1]}.${bytes[start + 2]}.${bytes[start + 3]}` as Address;
  if (cursor.end - start === 16) return readIpv6(bytes, start);
  markBadLength(cursor);
  return undefined;
}

/** Writes an address in canonical text, up to its end or a `/`, without making anything: 100,000 routes pass here. */
export function writeAddress(bytes: Uint8Array, at: number, text: string, family: Family): void {
  if (family === 6) {
    writeIpv6(bytes, at, text);
    return;
  }
  let part = 0;
  let to = at;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 47) break;
    if (code === 46) {
      bytes[to++] = part;
      part = 0;
    } else {
      part = part * 10 + code - 48;
    }
  }
  bytes[to] = part;
}
