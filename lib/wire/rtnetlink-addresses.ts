// Addresses of links over rtnetlink: RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR. Kernel header: include/uapi/linux/if_addr.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |    family     | prefix length |     flags     |     scope     |   struct ifaddrmsg
// |                          link index                           |
//
// IFA_LOCAL is the address and IFA_ADDRESS that of the other end of a point-to-point link; for all others they are the
// same, and IPv6 then leaves IFA_LOCAL out.

import type { LinkAddress } from '../kernel/kernel.ts';
import { type Address, type Family, familyOf } from '../net/address.ts';
import { type NetlinkMessage, NLM_F } from './netlink.ts';
import { attributeCursor, getU32, type NetlinkError, nextAttribute, readU8, viewOf } from './netlink-attributes.ts';
import { beginMessage, endMessage, type NetlinkWriter, putU8, putU32, reserve, setU32 } from './netlink-writer.ts';
import { addressFamily, familyOfNumber, putAddress, RTM, readAddress } from './rtnetlink.ts';

const HEADER = { family: 0, prefixLength: 1, flags: 2, scope: 3, index: 4 } as const;
const HEADER_LENGTH = 8;

const IFA = { address: 1, local: 2, flags: 8, protocol: 11 } as const;
/** enum rt_scope_t (include/uapi/linux/rtnetlink.h). */
const SCOPE = { link: 253, host: 254 } as const;
/** Use an IPv6 address at once: addresses of ours come from a lease, so none but us can have them. */
const IFA_F_NODAD = 0x02;

/** RTM_NEWADDR; the kernel answers EEXIST where the link has the address. False where it does not fit. */
export function encodePutAddress(writer: NetlinkWriter, sequence: number, value: LinkAddress): boolean {
  const start = beginMessage(writer, RTM.newAddress, NLM_F.request | NLM_F.create | NLM_F.exclusive, sequence);
  putBody(writer, value);
  if (familyOf(value.address) === 6) putU32(writer, IFA.flags, IFA_F_NODAD);
  if (value.protocol !== undefined) putU8(writer, IFA.protocol, value.protocol);
  return endMessage(writer, start);
}

/** RTM_DELADDR; the kernel answers EADDRNOTAVAIL where the link has no such address. */
export function encodeDeleteAddress(writer: NetlinkWriter, sequence: number, value: LinkAddress): boolean {
  const start = beginMessage(writer, RTM.deleteAddress, NLM_F.request, sequence);
  putBody(writer, value);
  return endMessage(writer, start);
}

/** RTM_GETADDR for all addresses of one family, of one link where `linkIndex` is given (strict checking only). */
export function encodeListAddresses(
  writer: NetlinkWriter,
  sequence: number,
  family: Family,
  linkIndex?: number,
): boolean {
  const start = beginMessage(writer, RTM.getAddress, NLM_F.request | NLM_F.dump, sequence);
  const at = reserve(writer, HEADER_LENGTH);
  if (at >= 0) {
    writer.bytes[at + HEADER.family] = addressFamily(family);
    setU32(writer, at + HEADER.index, linkIndex ?? 0);
  }
  return endMessage(writer, start);
}

/** The address in RTM_NEWADDR or RTM_DELADDR; `undefined` for a family other than IPv4 and IPv6. */
export function decodeAddress(bytes: Uint8Array, message: NetlinkMessage): LinkAddress | undefined | NetlinkError {
  const { start, end } = message;
  if (start + HEADER_LENGTH > end) return { error: 'truncated', field: 'ifaddrmsg' };
  const view = viewOf(bytes);
  const family = familyOfNumber(view.getUint8(start + HEADER.family));
  if (family === undefined) return undefined;
  let local: Address | undefined;
  let other: Address | undefined;
  let protocol = 0;
  const cursor = attributeCursor(bytes, view, start + HEADER_LENGTH, end);
  while (nextAttribute(cursor)) {
    if (cursor.type === IFA.local) local = readAddress(cursor);
    else if (cursor.type === IFA.address) other = readAddress(cursor);
    else if (cursor.type === IFA.protocol) protocol = readU8(cursor);
  }
  if (cursor.error !== undefined) return cursor.error;
  const address = local ?? other;
  if (address === undefined || familyOf(address) !== family) return { error: 'bad-value', field: 'IFA_LOCAL' };
  const scope = family === 4 ? scopeOf(view.getUint8(start + HEADER.scope)) : undefined;
  return {
    linkIndex: getU32(view, start + HEADER.index),
    address,
    prefixLength: view.getUint8(start + HEADER.prefixLength),
    ...(other !== undefined && other !== address && { peer: other }),
    ...(scope && { scope }),
    ...(protocol !== 0 && { protocol }),
  };
}

/** The kernel decides the scope of an IPv6 address by itself. */
function scopeOf(number: number): LinkAddress['scope'] {
  if (number === SCOPE.link) return 'link';
  return number === SCOPE.host ? 'host' : undefined;
}

function putBody(writer: NetlinkWriter, value: LinkAddress): void {
  const at = reserve(writer, HEADER_LENGTH);
  if (at < 0) return;
  writer.bytes[at + HEADER.family] = addressFamily(familyOf(value.address));
  writer.bytes[at + HEADER.prefixLength] = value.prefixLength;
  if (value.scope !== undefined) writer.bytes[at + HEADER.scope] = SCOPE[value.scope];
  setU32(writer, at + HEADER.index, value.linkIndex);
  putAddress(writer, IFA.local, value.address);
  putAddress(writer, IFA.address, value.peer ?? value.address);
}
