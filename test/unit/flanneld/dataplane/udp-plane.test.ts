// The plane in mode udp: longest-prefix match, and the ICMP messages of a router.
// The packets on the real kernel are in test/topology/dataplane-udp.test.ts.

import { describe, expect, test } from 'vitest';
import { prefix } from '../../../../lib/net/prefix.ts';
import { hexVector } from '../../../hex-vector.ts';
import { hasRightChecksums, ICMP, ICMPV6, ipPacket, udpPacket } from '../../../inner-packets.ts';
import { MTU_BYTES, makePlane, overlay4, overlay6, peer, underlay } from './plane-fixture.ts';

const toNode2 = { source: overlay4(1, 2), destination: overlay4(2, 2) };
const toUs = { source: overlay4(2, 2), destination: overlay4(1, 2) };
const nowhere = { source: overlay4(1, 2), destination: [10, 99, 0, 1] };
const nowhere6 = { source: overlay6(1, 2), destination: [0xfd, 0x99, ...overlay6(0, 1).slice(2)] };

describe('device to socket', () => {
  test('sends the bare packet to the node with the longest prefix', () => {
    const { io, plane } = makePlane('udp');
    plane.setPeer({ ...peer(3), subnets: [...peer(3).subnets, prefix('10.55.2.128/25')] });
    const [near, far] = [udpPacket(toNode2), udpPacket({ ...toNode2, destination: overlay4(2, 200) })];
    io.frame(near);
    io.frame(far);
    io.frame(udpPacket({ source: overlay6(1, 2), destination: overlay6(3, 2) }));
    expect(io.sent.map(({ to }) => to)).toEqual([underlay(2), underlay(3), underlay(3)]);
    expect(io.sent[0]?.bytes).toEqual(near);
  });

  test('changes neither TTL nor anything else: the kernel has counted the hop', () => {
    const { io } = makePlane('udp');
    const packet = udpPacket({ ...toNode2, ttl: 1 });
    io.frame(packet);
    expect(io.sent[0]?.bytes).toEqual(packet);
  });

  test.each([
    ['tx-malformed', new Uint8Array()],
    ['tx-malformed', Uint8Array.of(0x50, 0, 0)],
    ['tx-malformed', hexVector('ipv4-options-truncated')],
    ['tx-malformed', hexVector('ipv6-later-fragment-truncated')],
    ['tx-no-route', udpPacket(nowhere)],
    ['tx-no-route', udpPacket({ ...toNode2, destination: overlay4(1, 9) })],
    ['tx-multicast', udpPacket({ ...toNode2, destination: [224, 0, 0, 251] })],
    ['tx-multicast', udpPacket({ source: overlay6(1, 2), destination: [0xff, 0x02, ...overlay6(0, 1).slice(2)] })],
    ['tx-ttl-expired', udpPacket({ ...toNode2, ttl: 0 })],
    ['tx-too-big', udpPacket(toNode2, new Array(MTU_BYTES).fill(1))],
  ])('drops as %s', (reason, packet) => {
    const { io, drops } = makePlane('udp');
    io.frame(packet);
    expect(io.sent).toEqual([]);
    expect(drops()).toEqual({ [reason]: 1 });
  });

  test('nobody takes over the own subnets, not even with the same prefix or one around it', () => {
    const { io, plane, drops } = makePlane('udp');
    plane.setPeer({ ...peer(3), subnets: [prefix('0.0.0.0/0'), prefix('10.55.1.0/24')] });
    io.frame(udpPacket({ ...toNode2, destination: overlay4(1, 9) }));
    io.datagram(underlay(3), udpPacket({ source: overlay4(1, 7), destination: overlay4(1, 2) }));
    io.frame(udpPacket(nowhere));
    io.datagram(underlay(3), udpPacket({ source: [10, 99, 0, 1], destination: overlay4(1, 2) }));
    expect(io.sent.map(({ to }) => to)).toEqual([underlay(3)]);
    // The first is the answer about the first packet.
    expect(io.written).toHaveLength(2);
    expect(drops()).toEqual({ 'tx-no-route': 1, 'rx-spoofed-source': 1 });
  });

  test('a prefix of two nodes goes to the one set last, both may send from it, and the other stays when one goes', () => {
    const { io, plane } = makePlane('udp');
    const shared = prefix('10.77.0.0/16');
    for (const node of [2, 3]) plane.setPeer({ ...peer(node), subnets: [...peer(node).subnets, shared] });
    io.frame(udpPacket({ ...toNode2, destination: [10, 77, 0, 1] }));
    for (const node of [2, 3]) {
      io.datagram(underlay(node), udpPacket({ source: [10, 77, 0, 1], destination: overlay4(1, 2) }));
    }
    plane.removePeer('node3');
    io.frame(udpPacket({ ...toNode2, destination: [10, 77, 0, 1] }));
    expect(io.sent.map(({ to }) => to)).toEqual([underlay(3), underlay(2)]);
    expect(io.written).toHaveLength(2);
  });
});

describe('ICMP', () => {
  test('no route: network unreachable, from the address that was asked for', () => {
    const { io } = makePlane('udp');
    const culprit = udpPacket(nowhere, [1, 2, 3]);
    io.frame(culprit);
    const [answer] = io.written as [Uint8Array];
    expect([answer[9], answer[20], answer[21]]).toEqual([ICMP, 3, 0]);
    expect([...answer.subarray(12, 16)]).toEqual(nowhere.destination);
    expect([...answer.subarray(16, 20)]).toEqual(nowhere.source);
    expect(answer.subarray(28)).toEqual(culprit);
  });

  test('time exceeded, as golden', () => {
    const { io } = makePlane('udp');
    const golden = hexVector('icmp-time-exceeded');
    io.frame(golden.subarray(28));
    expect(io.written).toEqual([golden]);
  });

  test('IPv6: no route, hop limit, too big', () => {
    const { io, drops } = makePlane('udp');
    io.frame(udpPacket(nowhere6));
    io.frame(udpPacket({ source: overlay6(1, 2), destination: overlay6(2, 2), ttl: 0 }));
    io.frame(udpPacket({ source: overlay6(1, 2), destination: overlay6(2, 2) }, new Array(MTU_BYTES).fill(1)));
    expect(io.written.map((answer) => [answer[6], answer[40], answer[41]])).toEqual([
      [ICMPV6, 1, 0],
      [ICMPV6, 3, 0],
      [ICMPV6, 2, 0],
    ]);
    expect(io.written.every(hasRightChecksums)).toBe(true);
    expect(drops()).toEqual({ 'tx-no-route': 1, 'tx-ttl-expired': 1, 'tx-too-big': 1 });
  });

  test('never about an ICMP error or a later fragment', () => {
    const { io, drops } = makePlane('udp');
    io.frame(ipPacket({ ...nowhere, protocol: ICMP, payload: [3, 1, 0, 0, 0, 0, 0, 0] }));
    io.frame(udpPacket({ ...nowhere, fragment: 7 }));
    io.frame(ipPacket({ ...nowhere6, protocol: ICMPV6, payload: [1, 0, 0, 0, 0, 0, 0, 0] }));
    expect(io.written).toEqual([]);
    expect(drops()).toEqual({ 'tx-no-route': 3 });
  });

  test('at most 50 at once, then 1,000 a second', () => {
    const { io, plane, advance } = makePlane('udp');
    for (let i = 0; i < 60; i++) io.frame(udpPacket(nowhere));
    expect([io.written.length, plane.stats().icmpLimited]).toEqual([50, 10]);
    advance(10);
    for (let i = 0; i < 60; i++) io.frame(udpPacket(nowhere));
    expect(io.written).toHaveLength(60);
    advance(60_000);
    for (let i = 0; i < 60; i++) io.frame(udpPacket(nowhere));
    expect(plane.stats()).toMatchObject({ icmpSent: 110, icmpLimited: 70 });
  });
});

describe('socket to device', () => {
  test('writes the packet, without padding behind it', () => {
    const { io } = makePlane('udp');
    const packet = udpPacket(toUs, [1, 2, 3]);
    io.datagram(underlay(2), Uint8Array.of(...packet, 0, 0, 0));
    expect(io.written).toEqual([packet]);
  });

  test.each([
    ['rx-unknown-sender', underlay(9), udpPacket(toUs)],
    ['rx-spoofed-source', underlay(3), udpPacket(toUs)],
    ['rx-malformed', underlay(2), new Uint8Array()],
    ['rx-malformed', underlay(2), hexVector('ipv4-options-short-header')],
    ['rx-multicast', underlay(2), udpPacket({ ...toUs, destination: [255, 255, 255, 255] })],
    ['rx-ttl-expired', underlay(2), udpPacket({ ...toUs, ttl: 0 })],
  ])('drops as %s (from %s)', (reason, sender, datagram) => {
    const { io, drops } = makePlane('udp');
    io.datagram(sender, datagram);
    expect(io.written).toEqual([]);
    expect(drops()).toEqual({ [reason]: 1 });
  });
});

test('tells its owner when the driver fails', () => {
  const { io, failures } = makePlane('udp');
  io.sink?.failed(new Error('device is gone'));
  expect(failures.map(({ message }) => message)).toEqual(['device is gone']);
});
