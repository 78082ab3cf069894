// The VXLAN header (RFC 7348 section 5), between the UDP header and the inner Ethernet frame.
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-+-+-+-+-+-+-+-+-----------------------------------------------+
//  |R|R|R|R|I|R|R|R|                   reserved                    |
//  +-+-+-+-+-+-+-+-+-------------------------------+---------------+
//  |       VXLAN network identifier (VNI)          |   reserved    |
//  +-----------------------------------------------+---------------+
//
// Reserved bits are zero on transmission and ignored on receipt, so extensions that live in them (GBP, GPE) are read as
// plain VXLAN. Nothing here throws.

import { readU24, writeU32 } from './bytes.ts';

export const VXLAN = { flags: 0, vni: 4 } as const;

export const VXLAN_LENGTH = 8;

/** The I flag: the VNI is valid. RFC 7348 section 5: it MUST be set to 1. */
export const VXLAN_FLAG_VNI = 0x08;

export type VxlanFault = 'truncated' | 'flags' | 'vni';

/** Why `length` bytes at `at` are no VXLAN packet of the network `vni`, or `undefined`. */
export function faultOfVxlan(bytes: Uint8Array, at: number, length: number, vni: number): VxlanFault | undefined {
  if (length < VXLAN_LENGTH) return 'truncated';
  if (((bytes[at + VXLAN.flags] as number) & VXLAN_FLAG_VNI) === 0) return 'flags';
  return readU24(bytes, at + VXLAN.vni) === vni ? undefined : 'vni';
}

/** Writes a header of `VXLAN_LENGTH` bytes at `at`; `vni` is 0 to 2^24 - 1. */
export function writeVxlan(vni: number, into: Uint8Array, at: number): void {
  writeU32(into, at + VXLAN.flags, VXLAN_FLAG_VNI << 24);
  writeU32(into, at + VXLAN.vni, vni << 8);
}
