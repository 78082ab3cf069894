// The socket filter of a plane under a flood: what the plane would drop, the kernel drops before it is queued and read.
//
// It drops nothing that the plane would take; the plane still looks at everything that passes. Three kinds of blindness are
// on purpose: addresses are checked by ranges; of 512 bad datagrams one passes, so that the plane goes on counting by reason;
// and what is longer than one datagram passes, for UDP_GRO joins datagrams of one sender and size before the filter sees
// them, and behind a bad one there may be good ones.
//
// The confusing thing: the filter of a UDP socket sees the UDP header first, that of a raw socket the outer IP header, which
// is at SKF_NET_OFF for both.

import { DROP, encodeProgram, type Instruction, OP, WHOLE } from '../../lib/kernel/filter-program.ts';
import type { Family } from '../../lib/net/address.ts';
import { ARP_LENGTH } from '../../lib/wire/arp.ts';
import { ETHERNET, ETHERNET_LENGTH, ETHERTYPE } from '../../lib/wire/ethernet.ts';
import { IPV4, IPV4_LENGTH } from '../../lib/wire/ipv4.ts';
import { IPV6, IPV6_LENGTH } from '../../lib/wire/ipv6.ts';
import { UDP_LENGTH } from '../../lib/wire/udp.ts';
import { VXLAN, VXLAN_FLAG_VNI, VXLAN_LENGTH } from '../../lib/wire/vxlan.ts';
import type { AddressRange } from './address-ranges.ts';

/** One datagram of so many bad ones passes, and wakes the plane; a power of two. */
export const SAMPLED = 512;
/** Ranges per list: two instructions each, and a jump reaches 255 of them. */
export const RANGES_MAX = 100;

/** include/uapi/linux/filter.h: negative offsets, as unsigned numbers. */
const SKF_NET_OFF = 0xfff0_0000;
const SKF_AD_RANDOM = 0xffff_f000 + 56;

export interface FloodFilter {
  /** Of the underlay. */
  readonly family: Family;
  /** Underlay addresses of the peers; of IPv6 their last 32 bits. */
  readonly senders: readonly AddressRange[];
  /** Inner IPv4 addresses that some peer has. */
  readonly sources: readonly AddressRange[];
  /** Absent for bare IP. */
  readonly vxlan?: { readonly vni: number; readonly macHigh: number; readonly macLow: number };
  /** Of a raw socket: the family inside that its protocol stands for (4 or 41). */
  readonly ipip?: Family;
  /** The largest inner IP packet that is certainly one. */
  readonly mtuBytes: number;
}

/** Where a jump of a block goes: over so many instructions, to the next block, or out of all of them. */
type Target = number | 'next' | 'bad' | 'good';
type Step = readonly [code: number, value: number, ifTrue?: Target, ifFalse?: Target];

/** The program as the kernel reads it. */
export function floodFilter(filter: FloodFilter): Uint8Array {
  const { vxlan, ipip, mtuBytes } = filter;
  const link = vxlan === undefined ? 0 : VXLAN_LENGTH + ETHERNET_LENGTH;
  const ip = (ipip === undefined ? UDP_LENGTH : IPV4_LENGTH) + link;
  const sender = filter.family === 4 ? IPV4.source : IPV6.source + 12;
  return assemble([
    [[OP.loadWord, SKF_NET_OFF + sender], ...isInRanges(filter.senders)],
    [
      [OP.loadLength, 0],
      [OP.jumpIfAbove, ip + mtuBytes, 'good', 0],
      [OP.jumpIfAtLeast, ip + IPV4_LENGTH, 'next', 'bad'],
    ],
    ...(ipip === undefined ? [] : [outerOf()]),
    ...(vxlan === undefined ? [] : [vxlanOf(vxlan)]),
    ...(ipip === 6 ? [ipv6Of(ip)] : [...familyOf(ip, filter), ...ipv4Of(ip, filter.sources)]),
  ]);
}

/** Blocks one behind the other; each has its own jumps out, as a conditional jump does not reach far. */
function assemble(blocks: readonly (readonly Step[])[]): Uint8Array {
  const lengths = blocks.map((steps) => steps.length + 2);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const program: Instruction[] = [];
  for (const steps of blocks) {
    const bad = steps.length;
    const exits = { bad, good: bad + 1, next: bad + 2 } as const;
    for (const [at, [code, value, ifTrue = 0, ifFalse = 0]] of steps.entries()) {
      const over = (target: Target): number => (typeof target === 'number' ? target : exits[target] - at - 1);
      program.push([code, over(ifTrue), over(ifFalse), value]);
    }
    program.push([OP.jump, 0, 0, total + 1 - program.length - 1]);
    program.push([OP.jump, 0, 0, total - program.length - 1]);
  }
  return encodeProgram([
    ...program,
    [OP.return, 0, 0, WHOLE],
    [OP.loadWord, 0, 0, SKF_AD_RANDOM],
    [OP.jumpIfAny, 1, 0, SAMPLED - 1],
    [OP.return, 0, 0, WHOLE],
    [OP.return, 0, 0, DROP],
  ]);
}

/** Ranges are in order: what is below the first of one is in none. */
function isInRanges(ranges: readonly AddressRange[]): readonly Step[] {
  return ranges.flatMap(({ first, last }): readonly Step[] => [
    [OP.jumpIfAtLeast, first, 0, 'bad'],
    [OP.jumpIfAbove, last, 0, 'next'],
  ]);
}

/** Behind an outer header with options the packet inside is elsewhere: the plane's business. */
function outerOf(): readonly Step[] {
  return [
    [OP.loadByte, IPV4.versionAndLength],
    [OP.jumpIfEqual, 0x45, 'next', 'good'],
  ];
}

/** IPv6 ends here, IPv4 goes on; `ipip` has a socket for each. */
function familyOf(ip: number, { vxlan, ipip }: FloodFilter): readonly (readonly Step[])[] {
  if (ipip !== undefined) return [];
  return [vxlan === undefined ? ipOf(ip) : frameOf(ip)];
}

function ipv4Of(ip: number, sources: readonly AddressRange[]): readonly (readonly Step[])[] {
  return [ipv4Lengths(ip), ipv4Checksum(ip), [[OP.loadWord, ip + IPV4.source], ...isInRanges(sources)]];
}

function vxlanOf({ vni, macHigh, macLow }: NonNullable<FloodFilter['vxlan']>): readonly Step[] {
  const mac = UDP_LENGTH + VXLAN_LENGTH + ETHERNET.destination;
  return [
    [OP.loadByte, UDP_LENGTH + VXLAN.flags],
    [OP.jumpIfAny, VXLAN_FLAG_VNI, 0, 'bad'],
    [OP.loadWord, UDP_LENGTH + VXLAN.vni],
    [OP.shiftRight, 8],
    [OP.jumpIfEqual, vni, 0, 'bad'],
    [OP.loadHalf, mac],
    [OP.jumpIfEqual, macHigh, 0, 'bad'],
    [OP.loadWord, mac + 2],
    [OP.jumpIfEqual, macLow >>> 0, 'next', 'bad'],
  ];
}

/** IPv4 goes on to the next block. */
function frameOf(ip: number): readonly Step[] {
  return [
    [OP.loadHalf, ip - ETHERNET_LENGTH + ETHERNET.type],
    [OP.jumpIfEqual, ETHERTYPE.ipv4, 'next', 0],
    [OP.jumpIfEqual, ETHERTYPE.ipv6, 3, 0],
    [OP.jumpIfEqual, ETHERTYPE.arp, 0, 'bad'],
    [OP.loadLength, 0],
    [OP.jumpIfAtLeast, ip + ARP_LENGTH, 'good', 'bad'],
    ...ipv6Of(ip),
  ];
}

function ipOf(ip: number): readonly Step[] {
  return [[OP.loadByte, ip + IPV4.versionAndLength], [OP.and, 0xf0], [OP.jumpIfEqual, 0x40, 'next', 0], ...ipv6Of(ip)];
}

function ipv6Of(ip: number): readonly Step[] {
  return [
    [OP.loadByte, ip + IPV6.versionAndClass],
    [OP.and, 0xf0],
    [OP.jumpIfEqual, 0x60, 0, 'bad'],
    [OP.loadLength, 0],
    [OP.jumpIfAtLeast, ip + IPV6_LENGTH, 0, 'bad'],
    [OP.subtract, ip + IPV6_LENGTH],
    [OP.copyToX, 0],
    [OP.loadHalf, ip + IPV6.payloadLength],
    [OP.jumpIfAboveX, 0, 'bad', 'good'],
  ];
}

/** Version 4; 20 <= header length <= total length <= what there is. */
function ipv4Lengths(ip: number): readonly Step[] {
  return [
    [OP.loadByte, ip + IPV4.versionAndLength],
    [OP.and, 0xf0],
    [OP.jumpIfEqual, 0x40, 0, 'bad'],
    [OP.loadLength, 0],
    [OP.subtract, ip],
    [OP.copyToX, 0],
    [OP.loadHalf, ip + IPV4.totalLength],
    [OP.jumpIfAboveX, 0, 'bad', 0],
    [OP.loadHeaderLengthX, ip + IPV4.versionAndLength],
    [OP.jumpIfAtLeastX, 0, 0, 'bad'],
    [OP.copyFromX, 0],
    [OP.jumpIfAtLeast, IPV4_LENGTH, 'next', 'bad'],
  ];
}

/** Of a header without options; another one is the plane's business. */
function ipv4Checksum(ip: number): readonly Step[] {
  const halves = Array.from({ length: IPV4_LENGTH / 2 - 1 }, (_, i) => ip + 2 * (i + 1));
  const fold: readonly Step[] = [
    [OP.store, 0],
    [OP.and, 0xffff],
    [OP.copyToX, 0],
    [OP.loadScratch, 0],
    [OP.shiftRight, 16],
    [OP.addX, 0],
  ];
  return [
    [OP.loadByte, ip + IPV4.versionAndLength],
    [OP.jumpIfEqual, 0x45, 0, 'next'],
    [OP.loadHalf, ip],
    ...halves.flatMap((at): readonly Step[] => [
      [OP.copyToX, 0],
      [OP.loadHalf, at],
      [OP.addX, 0],
    ]),
    ...fold,
    ...fold,
    [OP.jumpIfEqual, 0xffff, 'next', 'bad'],
  ];
}
