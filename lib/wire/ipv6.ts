// The IPv6 header and the chain of its extension headers (RFC 8200 sections 3 and 4).
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-------+---------------+---------------------------------------+
//  |version| traffic class |              flow label               |
//  +-------+---------------+-------+---------------+---------------+
//  |        payload length         |  next header  |   hop limit   |
//  +-------------------------------+---------------+---------------+
//  |             source, destination (16 bytes each)               |
//
// `faultOfIpv6` must have said `undefined` before any other function here may be trusted. Nothing here throws.

import { readU16, writeU16, writeU32 } from './bytes.ts';

export const IPV6 = {
  versionAndClass: 0,
  payloadLength: 4,
  nextHeader: 6,
  hopLimit: 7,
  source: 8,
  destination: 24,
} as const;

export const IPV6_LENGTH = 40;

/** Every link must carry packets of this size, and an ICMPv6 error is never longer (RFC 8200 section 5). */
export const IPV6_MINIMUM_MTU = 1280;

/** Next-header values of the extension headers that can be walked over. */
const EXTENSION = { hopByHop: 0, routing: 43, fragment: 44, authentication: 51, destinationOptions: 60 } as const;

export type Ipv6Fault = 'truncated' | 'version' | 'payload-length';

/** The transport header of a packet: its protocol and where it starts, relative to the IPv6 header. */
export interface UpperLayer {
  readonly protocol: number;
  readonly offset: number;
  /** This is a fragment other than the first one: there is no transport header at `offset`. */
  readonly laterFragment: boolean;
}

/** Why the `length` bytes at `at` are no IPv6 packet, or `undefined`. Padding behind it is allowed; jumbograms are not. */
export function faultOfIpv6(bytes: Uint8Array, at: number, length: number): Ipv6Fault | undefined {
  if (length < IPV6_LENGTH) return 'truncated';
  if ((bytes[at] as number) >> 4 !== 6) return 'version';
  return ipv6TotalLength(bytes, at) > length ? 'payload-length' : undefined;
}

/** Length of the packet, header included, bytes. */
export function ipv6TotalLength(bytes: Uint8Array, at: number): number {
  return IPV6_LENGTH + readU16(bytes, at + IPV6.payloadLength);
}

/** Walks the extension headers; `undefined` where the chain runs out of the packet. */
export function findUpperLayer(bytes: Uint8Array, at: number): UpperLayer | undefined {
  const total = ipv6TotalLength(bytes, at);
  let protocol = bytes[at + IPV6.nextHeader] as number;
  let offset = IPV6_LENGTH;
  let laterFragment = false;
  while (isExtension(protocol)) {
    if (offset + 8 > total) return undefined;
    const next = bytes[at + offset] as number;
    if (protocol === EXTENSION.fragment) laterFragment ||= readU16(bytes, at + offset + 2) >> 3 !== 0;
    offset += extensionLength(protocol, bytes[at + offset + 1] as number);
    protocol = next;
    // What follows the fragment header of a later fragment is data, whatever it looks like.
    if (laterFragment) break;
  }
  return offset > total ? undefined : { protocol, offset, laterFragment };
}

/** Whether the address at `at` is one host that can be answered (RFC 4443 section 2.4 e.6): not `::`, `::1`, multicast. */
export function isIpv6Host(bytes: Uint8Array, at: number): boolean {
  if (bytes[at] === 0xff) return false;
  for (let i = 0; i < 15; i++) if (bytes[at + i] !== 0) return true;
  return (bytes[at + 15] as number) > 1;
}

/** Writes a header at `at`: class and flow label 0. */
export function writeIpv6(
  header: {
    readonly payloadLength: number;
    readonly nextHeader: number;
    readonly hopLimit: number;
    /** Sixteen bytes each. */
    readonly source: Uint8Array;
    readonly destination: Uint8Array;
  },
  into: Uint8Array,
  at: number,
): void {
  writeU32(into, at + IPV6.versionAndClass, 0x60000000);
  writeU16(into, at + IPV6.payloadLength, header.payloadLength);
  into[at + IPV6.nextHeader] = header.nextHeader;
  into[at + IPV6.hopLimit] = header.hopLimit;
  into.set(header.source, at + IPV6.source);
  into.set(header.destination, at + IPV6.destination);
}

function isExtension(protocol: number): boolean {
  return (
    protocol === EXTENSION.hopByHop ||
    protocol === EXTENSION.routing ||
    protocol === EXTENSION.fragment ||
    protocol === EXTENSION.authentication ||
    protocol === EXTENSION.destinationOptions
  );
}

/** RFC 8200 sections 4.3 to 4.6: units of 8 bytes after the first 8; RFC 4302 section 2.2: units of 4 bytes, minus 2. */
function extensionLength(protocol: number, lengthField: number): number {
  if (protocol === EXTENSION.fragment) return 8;
  return protocol === EXTENSION.authentication ? (lengthField + 2) * 4 : (lengthField + 1) * 8;
}
