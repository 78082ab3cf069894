// Endless packets for the plane that are nearly right: seeds that it would forward, changed where it hurts.
//
// Everything follows from one number, so that a failure can be had again. fast-check shrinks and explains, but makes some
// thousand such packets a second; this makes some hundred thousand.

import type { PlaneMode } from '../flanneld/dataplane/data-plane.ts';
import { hexVector } from './hex-vector.ts';
import { ipPacket, slowChecksum, tcpPacket, udpPacket } from './inner-packets.ts';
import { frameOf, MTU_BYTES, overlay4, overlay6, vxlanOf } from './unit/flanneld/dataplane/plane-fixture.ts';

/** Numbers from 0 to below `limit`. */
export type Dice = (limit: number) => number;

/** mulberry32. */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** Packets between the nodes, of every kind that is looked at. */
function innerSeeds(from: number, to: number): Uint8Array[] {
  const v4 = { source: overlay4(from, 2), destination: overlay4(to, 2) };
  const v6 = { source: overlay6(from, 2), destination: overlay6(to, 2) };
  const echo = [8, 0, 0, 0, 0, 1, 0, 1];
  return [
    udpPacket(v4, [1, 2, 3]),
    udpPacket(v6, [4, 5, 6, 7]),
    tcpPacket(v4, { data: [9, 9, 9] }),
    tcpPacket(v6, { data: [8, 8], options: [1, 1, 1, 1] }),
    ipPacket({ ...v4, protocol: 1, payload: echo }),
    ipPacket({ ...v6, protocol: 58, payload: [128, ...echo.slice(1)] }),
    ipPacket({ ...v4, protocol: 1, payload: [3, ...echo.slice(1)] }),
    ipPacket({ ...v6, protocol: 58, payload: [1, ...echo.slice(1)] }),
    // A hop-by-hop header, and a fragment header of a later fragment.
    ipPacket({ ...v6, protocol: 0, payload: [17, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0] }),
    ipPacket({ ...v6, protocol: 44, payload: [58, 0, 1, 1, 0, 0, 0, 7, 1, 1, 1, 1] }),
    udpPacket({ ...v4, fragment: 0x2007 }, [1]),
    udpPacket({ ...v4, fragment: 0 }, new Array(MTU_BYTES + 20).fill(3)),
    udpPacket(v4, new Array(MTU_BYTES + 20).fill(3)),
    udpPacket(v6, new Array(MTU_BYTES + 20).fill(3)),
    udpPacket({ ...v4, destination: [10, 99, 0, 1] }),
    udpPacket({ ...v6, destination: [0xfd, 0x99, ...overlay6(0, 1).slice(2)] }),
    udpPacket({ ...v4, destination: [239, 1, 1, 1] }),
    udpPacket({ ...v6, destination: [0xff, 2, ...overlay6(0, 1).slice(2)] }),
    udpPacket({ ...v4, ttl: 0 }),
    udpPacket({ ...v6, ttl: 0 }),
    waiting(tcpPacket(v4, { data: [7, 7, 7] }), 36),
    waiting(udpPacket(v6, [7, 7, 7]), 46),
  ];
}

/** Frames that the device of node 1 may hand over, before they are changed. */
export function deviceSeeds(mode: PlaneMode): Uint8Array[] {
  const packets = [...innerSeeds(1, 2), ...innerSeeds(1, 3)];
  if (mode !== 'vxlan') return packets;
  const arp = hexVector('arp-request');
  return [...packets.map((packet) => frameOf(2, 1, packet)), frameOf(3, 1, arp, 0x0806), frameOf(2, 1, arp, 0x88cc)];
}

/** Datagrams for node 1 from node 2, before they are changed. */
export function socketSeeds(mode: PlaneMode): Uint8Array[] {
  const packets = innerSeeds(2, 1);
  if (mode === 'udp') return packets;
  if (mode === 'ipip') {
    const outer = { source: [192, 0, 2, 2], destination: [192, 0, 2, 1] };
    return packets.map((packet) =>
      ipPacket({ ...outer, protocol: (packet[0] as number) >> 4 === 6 ? 41 : 4, payload: [...packet] }),
    );
  }
  const arp = hexVector('arp-request');
  arp.set([...overlay4(2, 0)], 14);
  const frames = packets.map((packet) => frameOf(1, 2, packet));
  return [...frames, frameOf(1, 2, arp, 0x0806), frameOf(1, 2, arp, 0x88cc)].map(vxlanOf);
}

/** A changed copy of one seed, or noise. `innerAt` is where the IP packet of a seed begins. */
export function mutant(seeds: readonly Uint8Array[], innerAt: number, dice: Dice): Uint8Array {
  if (dice(50) === 0) return Uint8Array.from({ length: dice(120) }, () => dice(256));
  const seed = seeds[dice(seeds.length)] as Uint8Array;
  let bytes = seed.slice();
  for (let changes = dice(4); changes > 0; changes--) {
    const at = dice(3) === 0 ? dice(bytes.length) : dice(Math.min(bytes.length, innerAt + 48));
    bytes[at] = dice(3) === 0 ? ([0, 1, 3, 4, 6, 8, 0x45, 0x60, 0x7f, 0xe0, 0xff][dice(11)] as number) : dice(256);
  }
  // Addresses and marks as a whole, which single bytes seldom hit.
  if (dice(6) === 0 && bytes.length > innerAt + 20) bytes[innerAt + 1] = dice(256);
  if (dice(12) === 0 && bytes.length > innerAt + 16) bytes.set(overlay4(dice(5), dice(256)), innerAt + 12);
  if (dice(8) === 0) bytes = bytes.slice(0, dice(bytes.length + 1));
  if (dice(12) === 0) bytes = Uint8Array.of(...bytes, ...new Array(dice(40)).fill(dice(256)));
  if (dice(10) > 0) repairHeader(bytes, innerAt);
  return bytes;
}

/** Makes the checksum of the IPv4 header right again, so that what comes behind it is looked at too. */
function repairHeader(bytes: Uint8Array, at: number): void {
  const headerLength = ((bytes[at] as number) & 15) * 4;
  if ((bytes[at] as number) >> 4 !== 4 || headerLength < 20 || at + headerLength > bytes.length) return;
  bytes.set([0, 0], at + 10);
  const checksum = slowChecksum([...bytes.subarray(at, at + headerLength)]);
  bytes.set([checksum >> 8, checksum & 255], at + 10);
}

/** The packet with the sum of its pseudo-header where the transport checksum belongs, as one offloaded to hardware. */
function waiting(packet: Uint8Array, checksumAt: number): Uint8Array {
  const isV6 = (packet[0] as number) >> 4 === 6;
  const headerLength = isV6 ? 40 : 20;
  const addresses = isV6 ? packet.subarray(8, 40) : packet.subarray(12, 20);
  const length = packet.length - headerLength;
  const protocol = packet[isV6 ? 6 : 9] as number;
  const sum = ~slowChecksum([...addresses, length >> 8, length & 255, 0, protocol]) & 0xffff;
  packet.set([sum >> 8, sum & 255], checksumAt);
  return packet;
}
