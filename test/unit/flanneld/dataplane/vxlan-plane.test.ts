// The plane in mode vxlan: where each frame and datagram goes, and each reason to drop one.
// The packets on the real kernel are in test/topology/dataplane-vxlan.test.ts.

import { describe, expect, test } from 'vitest';
import { hexVector } from '../../../hex-vector.ts';
import { hasRightChecksums, ICMP, ipPacket, TCP, tcpPacket, udpPacket } from '../../../inner-packets.ts';
import { frameOf, MTU_BYTES, makePlane, overlay4, overlay6, peer, underlay, vxlanOf } from './plane-fixture.ts';

const toNode2 = { source: overlay4(1, 2), destination: overlay4(2, 2) };
const toUs = { source: overlay4(2, 2), destination: overlay4(1, 2) };
const toUs6 = { source: overlay6(2, 2), destination: overlay6(1, 2) };

describe('device to socket', () => {
  test('sends the golden datagram to the node whose MAC address is the destination', () => {
    const golden = hexVector('vxlan-echo');
    const { io, plane, drops } = makePlane('vxlan');
    io.frame(golden.subarray(8));
    expect(io.sent).toEqual([{ to: '192.0.2.2', bytes: golden, outerTos: 0 }]);
    expect(plane.stats().tx).toEqual({ packets: 1, bytes: golden.length - 8 });
    expect(drops()).toEqual({});
  });

  test('carries IPv6 and unicast ARP', () => {
    const { io } = makePlane('vxlan');
    io.frame(frameOf(3, 1, udpPacket({ source: overlay6(1, 2), destination: overlay6(3, 2) })));
    io.frame(frameOf(2, 1, hexVector('arp-request'), 0x0806));
    expect(io.sent.map(({ to }) => to)).toEqual([underlay(3), underlay(2)]);
  });

  test.each([
    ['tx-malformed', new Uint8Array(13)],
    ['tx-malformed', frameOf(2, 1, hexVector('ipv4-options-bad-checksum'))],
    ['tx-malformed', frameOf(2, 1, hexVector('arp-request-truncated'), 0x0806)],
    ['tx-malformed', frameOf(2, 1, ipPacket(toNode2), 0x86dd)],
    ['tx-unsupported-type', frameOf(2, 1, ipPacket(toNode2), 0x8100)],
    [
      'tx-multicast',
      Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...frameOf(2, 1, ipPacket(toNode2)).subarray(6)),
    ],
    ['tx-multicast', Uint8Array.of(0x33, 0x33, 0, 0, 0, 1, ...frameOf(2, 1, ipPacket(toNode2)).subarray(6))],
    ['tx-unknown-mac', frameOf(9, 1, ipPacket(toNode2))],
    ['tx-ttl-expired', frameOf(2, 1, ipPacket({ ...toNode2, ttl: 0 }))],
    ['tx-too-big', frameOf(2, 1, udpPacket(toNode2, new Array(MTU_BYTES - 27).fill(7)))],
  ])('drops as %s', (reason, frame) => {
    const { io, drops } = makePlane('vxlan');
    io.frame(frame);
    expect(io.sent).toEqual([]);
    expect(drops()).toEqual({ [reason]: 1 });
  });

  test('answers a packet that is too big, with the frame turned round', () => {
    const { io } = makePlane('vxlan');
    io.frame(frameOf(2, 1, udpPacket(toNode2, new Array(MTU_BYTES - 27).fill(7))));
    const [answer] = io.written as [Uint8Array];
    expect([...answer.subarray(0, 14)]).toEqual([...frameOf(1, 2, new Uint8Array([0x45])).subarray(0, 14)]);
    const packet = answer.subarray(14);
    expect(packet.length).toBe(576);
    expect([packet[9], packet[20], packet[21]]).toEqual([ICMP, 3, 4]);
    expect((packet[26] as number) * 256 + (packet[27] as number)).toBe(MTU_BYTES);
  });

  test('sends a too big packet that may be fragmented', () => {
    const { io } = makePlane('vxlan');
    io.frame(frameOf(2, 1, udpPacket({ ...toNode2, fragment: 0 }, new Array(MTU_BYTES).fill(7))));
    expect(io.sent).toHaveLength(1);
  });

  test('takes a new MTU, and forgets a peer', () => {
    const { io, plane, drops } = makePlane('vxlan');
    plane.setMtu(60);
    io.frame(frameOf(2, 1, udpPacket(toNode2, new Array(33).fill(7))));
    plane.removePeer('node2');
    plane.removePeer('node2');
    io.frame(frameOf(2, 1, udpPacket(toNode2)));
    expect(drops()).toEqual({ 'tx-too-big': 1, 'tx-unknown-mac': 1 });
  });

  test('counts what the driver could not send', () => {
    const { io, plane, drops } = makePlane('vxlan');
    io.refuseSends = true;
    io.frame(frameOf(2, 1, ipPacket(toNode2)));
    expect(drops()).toEqual({ 'tx-queue-full': 1 });
    expect(plane.stats().tx.packets).toBe(0);
  });
});

describe('socket to device', () => {
  test('writes the frame of the golden datagram, also with every reserved bit set', () => {
    for (const name of ['vxlan-echo', 'vxlan-echo-reserved-bits']) {
      const { io, plane, drops } = makePlane('vxlan');
      const frame = hexVector(name).slice(8);
      // The golden packet goes from node 1 to node 2: here node 2 sends it.
      frame.set(frameOf(1, 2, new Uint8Array([0x45])));
      frame.set(ipPacket({ ...toUs, protocol: ICMP, payload: [...frame.subarray(34)] }), 14);
      const datagram = Uint8Array.of(...hexVector(name).subarray(0, 8), ...frame);
      io.datagram(underlay(2), datagram);
      expect(drops()).toEqual({});
      expect(io.written).toEqual([frame]);
      expect(plane.stats().rx).toEqual({ packets: 1, bytes: frame.length });
    }
  });

  const valid = vxlanOf(frameOf(1, 2, udpPacket(toUs)));
  test.each([
    ['rx-unknown-sender', underlay(9), valid],
    ['rx-spoofed-source', underlay(3), valid],
    ['rx-spoofed-source', underlay(2), vxlanOf(frameOf(1, 2, udpPacket({ ...toUs, source: overlay4(1, 7) })))],
    ['rx-spoofed-source', underlay(2), vxlanOf(frameOf(1, 2, udpPacket({ ...toUs, source: [8, 8, 8, 8] })))],
    ['rx-spoofed-source', underlay(3), vxlanOf(frameOf(1, 3, udpPacket(toUs6)))],
    ['rx-spoofed-source', underlay(2), vxlanOf(frameOf(1, 2, hexVector('arp-request'), 0x0806))],
    ['rx-truncated', underlay(2), hexVector('vxlan-echo-truncated')],
    ['rx-truncated', underlay(2), new Uint8Array()],
    ['rx-vxlan-flags', underlay(2), hexVector('vxlan-echo-no-vni-flag')],
    ['rx-vxlan-flags', underlay(2), hexVector('vxlan-echo-reserved-bits-no-vni-flag')],
    ['rx-wrong-vni', underlay(2), hexVector('vxlan-echo-wrong-vni')],
    ['rx-foreign-mac', underlay(2), hexVector('vxlan-echo')],
    ['rx-multicast', underlay(2), vxlanOf(Uint8Array.of(0xff, ...frameOf(1, 2, udpPacket(toUs)).subarray(1)))],
    ['rx-multicast', underlay(2), vxlanOf(frameOf(1, 2, udpPacket({ ...toUs, destination: [224, 0, 0, 1] })))],
    ['rx-malformed', underlay(2), vxlanOf(frameOf(1, 2, hexVector('vxlan-echo-bad-inner-length').subarray(22)))],
    ['rx-malformed', underlay(2), vxlanOf(frameOf(1, 2, hexVector('arp-request-wrong-hardware'), 0x0806))],
    ['rx-unsupported-type', underlay(2), vxlanOf(frameOf(1, 2, udpPacket(toUs), 0x88cc))],
    ['rx-ttl-expired', underlay(2), vxlanOf(frameOf(1, 2, udpPacket({ ...toUs, ttl: 0 })))],
  ])('drops as %s (from %s)', (reason, sender, datagram) => {
    const { io, drops } = makePlane('vxlan');
    io.datagram(sender, datagram);
    expect(io.written).toEqual([]);
    expect(drops()).toEqual({ [reason]: 1 });
  });

  test('takes ARP that speaks for the node that sent it', () => {
    const { io } = makePlane('vxlan');
    const arp = hexVector('arp-request');
    arp[16] = 2;
    io.datagram(underlay(2), vxlanOf(frameOf(1, 2, arp, 0x0806)));
    expect(io.written).toHaveLength(1);
  });

  test('counts what the device does not take', () => {
    const { io, plane, drops } = makePlane('vxlan');
    io.refuseWrites = true;
    io.datagram(underlay(2), valid);
    expect(drops()).toEqual({ 'rx-device-refused': 1 });
    expect(plane.stats().rx.packets).toBe(0);
  });

  test.each([
    ['IPv4', toUs],
    ['IPv6', toUs6],
  ])('finishes a checksum that was left to hardware, %s', (_, fields) => {
    for (const packet of [tcpPacket(fields, { data: [1, 2, 3] }), udpPacket(fields, [1, 2, 3])]) {
      const { io } = makePlane('vxlan');
      io.datagram(underlay(2), vxlanOf(frameOf(1, 2, withPartialChecksum(packet))));
      expect(io.written).toEqual([frameOf(1, 2, packet)]);
    }
  });

  test('leaves a checksum that is merely wrong for the receiver to find', () => {
    const { io } = makePlane('vxlan');
    const packet = tcpPacket(toUs, { data: [1, 2, 3] });
    packet[packet.length - 1] = 4;
    io.datagram(underlay(2), vxlanOf(frameOf(1, 2, packet)));
    expect(io.written).toEqual([frameOf(1, 2, packet)]);
  });

  test('cuts TCP that is larger than the MTU', () => {
    const { io, plane } = makePlane('vxlan');
    const data = Array.from({ length: 4000 }, (_, i) => i & 255);
    io.datagram(underlay(2), vxlanOf(frameOf(1, 2, withPartialChecksum(tcpPacket(toUs, { data, flags: 0x18 })))));
    const packets = io.written.map((frame) => frame.subarray(14));
    expect(packets.map((packet) => packet.length)).toEqual([1450, 1450, 1220]);
    expect(packets.every(hasRightChecksums)).toBe(true);
    expect(packets.flatMap((packet) => [...packet.subarray(40)])).toEqual(data);
    expect(packets.map((packet) => packet[33])).toEqual([0x10, 0x10, 0x18]);
    expect(plane.stats().rx.packets).toBe(3);
  });

  test('does not cut what is corrupt: new checksums would hide it', () => {
    const { io } = makePlane('vxlan');
    const packet = tcpPacket(toUs, { data: new Array<number>(4000).fill(1) });
    packet[packet.length - 1] = 2;
    io.datagram(underlay(2), vxlanOf(frameOf(1, 2, packet)));
    expect(io.written).toEqual([frameOf(1, 2, packet)]);
  });

  test('passes on as it is what cannot be cut', () => {
    const { io } = makePlane('vxlan');
    const packet = udpPacket(toUs, new Array(4000).fill(1));
    io.datagram(underlay(2), vxlanOf(frameOf(1, 2, packet)));
    expect(io.written).toEqual([frameOf(1, 2, packet)]);
  });
});

test('a peer set again under its name is another one at once', () => {
  const { io, plane, drops } = makePlane('vxlan');
  plane.setPeer({ ...peer(4, 'node2'), subnets: peer(2).subnets });
  io.frame(frameOf(4, 1, ipPacket(toNode2)));
  io.frame(frameOf(2, 1, ipPacket(toNode2)));
  io.datagram(underlay(2), vxlanOf(frameOf(1, 2, udpPacket(toUs))));
  io.datagram(underlay(4), vxlanOf(frameOf(1, 4, udpPacket(toUs))));
  expect(io.sent.map(({ to }) => to)).toEqual([underlay(4)]);
  expect(io.written).toHaveLength(1);
  expect(drops()).toEqual({ 'tx-unknown-mac': 1, 'rx-unknown-sender': 1 });
});

/** The packet as a kernel without hardware hands it on: the sum of the pseudo-header where the checksum should be. */
function withPartialChecksum(packet: Uint8Array): Uint8Array {
  const isV6 = packet[0] === 0x60;
  const headerLength = isV6 ? 40 : 20;
  const protocol = packet[isV6 ? 6 : 9] as number;
  const addresses = [...packet.subarray(isV6 ? 8 : 12, headerLength)];
  const length = packet.length - headerLength;
  const words = [...addresses, 0, protocol, length >> 8, length & 255];
  let sum = 0;
  for (let i = 0; i < words.length; i += 2) sum += (words[i] as number) * 256 + (words[i + 1] as number);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  const copy = packet.slice();
  copy.set([sum >> 8, sum & 255], headerLength + (protocol === TCP ? 16 : 6));
  return copy;
}
