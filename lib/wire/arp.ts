// ARP for IPv4 over Ethernet (RFC 826).
//
//   0      2      4    5    6      8              14           18             24           28
//  +------+------+----+----+------+--------------+------------+--------------+------------+
//  | hrd  | pro  | hln| pln| op   | sender MAC   | sender IP  | target MAC   | target IP  |
//  +------+------+----+----+------+--------------+------------+--------------+------------+
//
// The overlay makes no ARP of its own (neighbour entries are static); this only says who a packet claims to be from.

import { readU16 } from './bytes.ts';
import { ETHERTYPE } from './ethernet.ts';

export const ARP = {
  hardwareType: 0,
  protocolType: 2,
  hardwareLength: 4,
  protocolLength: 5,
  operation: 6,
  senderMac: 8,
  senderAddress: 14,
  targetMac: 18,
  targetAddress: 24,
} as const;

export const ARP_LENGTH = 28;

const HARDWARE_ETHERNET = 1;

/** Whether `length` bytes at `at` begin with an ARP packet for IPv4 over Ethernet. Never throws. */
export function isArp(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length >= ARP_LENGTH &&
    readU16(bytes, at + ARP.hardwareType) === HARDWARE_ETHERNET &&
    readU16(bytes, at + ARP.protocolType) === ETHERTYPE.ipv4 &&
    bytes[at + ARP.hardwareLength] === 6 &&
    bytes[at + ARP.protocolLength] === 4
  );
}
