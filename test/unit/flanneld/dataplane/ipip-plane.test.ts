// The plane in mode ipip: whole outer packets in, as a raw socket gives them; bare packets out; DSCP and ECN of both.
// What it shares with mode udp (choice of the peer, ICMP) is tested there; the real kernel in test/topology.

import { describe, expect, test } from 'vitest';
import { hexVector } from '../../../hex-vector.ts';
import { ipPacket, udpPacket } from '../../../inner-packets.ts';
import { makePlane, overlay4, overlay6, underlay } from './plane-fixture.ts';

const IPV4_IN = 4;
const IPV6_IN = 41;
const toUs = { source: overlay4(2, 2), destination: overlay4(1, 2) };
const toUs6 = { source: overlay6(2, 2), destination: overlay6(1, 2) };

/** The packet as node 2 sends it; `tos` is of the outer header. */
function outer(inner: Uint8Array, protocol = (inner[0] ?? 0) >> 4 === 6 ? IPV6_IN : IPV4_IN, tos = 0): Uint8Array {
  const packet = ipPacket({ source: [192, 0, 2, 2], destination: [192, 0, 2, 1], protocol, payload: [...inner] });
  packet[1] = tos;
  return packet;
}

function withTos(packet: Uint8Array, tos: number): Uint8Array {
  if ((packet[0] as number) >> 4 === 6) {
    packet.set([0x60 | (tos >> 4), (tos & 15) << 4], 0);
    return packet;
  }
  const sum = ((packet[10] as number) << 8) + (packet[11] as number) - tos;
  packet[1] = tos;
  packet.set([sum >> 8, sum & 0xff], 10);
  return packet;
}

describe('socket to device', () => {
  test('takes the packet out of the outer one, options and padding of both included', () => {
    const { io } = makePlane('ipip');
    const inner = udpPacket(toUs, [1, 2, 3]);
    io.datagram(underlay(2), outer(Uint8Array.of(...inner, 0, 0, 0)));
    const withOptions = Uint8Array.of(0x47, ...outer(inner).subarray(1, 20), ...new Array(8).fill(1), ...inner);
    io.datagram(underlay(2), withOptions);
    const inner6 = udpPacket(toUs6, [4, 5]);
    io.datagram(underlay(2), outer(inner6));
    expect(io.written).toEqual([inner, inner, inner6]);
  });

  test.each([
    ['rx-unknown-sender', underlay(9), outer(udpPacket(toUs))],
    ['rx-spoofed-source', underlay(3), outer(udpPacket(toUs))],
    ['rx-spoofed-source', underlay(3), outer(udpPacket(toUs6))],
    ['rx-truncated', underlay(2), outer(udpPacket(toUs)).subarray(0, 19)],
    ['rx-truncated', underlay(2), Uint8Array.of(0x4f, ...outer(udpPacket(toUs)).subarray(1, 40))],
    ['rx-malformed', underlay(2), outer(new Uint8Array())],
    ['rx-malformed', underlay(2), Uint8Array.of(0x44, ...outer(udpPacket(toUs)).subarray(1))],
    ['rx-malformed', underlay(2), outer(hexVector('ipv4-options-short-header'))],
    ['rx-malformed', underlay(2), outer(udpPacket(toUs), IPV6_IN)],
    ['rx-malformed', underlay(2), outer(udpPacket(toUs6), IPV4_IN)],
    ['rx-malformed', underlay(2), outer(udpPacket(toUs), 17)],
    ['rx-multicast', underlay(2), outer(udpPacket({ ...toUs, destination: [255, 255, 255, 255] }))],
    ['rx-ttl-expired', underlay(2), outer(udpPacket({ ...toUs, ttl: 0 }))],
    ['rx-congestion-unmarkable', underlay(2), outer(udpPacket(toUs), IPV4_IN, 3)],
    ['rx-congestion-unmarkable', underlay(2), outer(udpPacket(toUs6), IPV6_IN, 3)],
  ])('drops as %s (from %s)', (reason, sender, datagram) => {
    const { io, drops } = makePlane('ipip');
    io.datagram(sender, datagram);
    expect(io.written).toEqual([]);
    expect(drops()).toEqual({ [reason]: 1 });
  });

  test.each([
    ['IPv4', toUs],
    ['IPv6', toUs6],
  ])('%s: a mark of the underlay reaches the packet inside (RFC 6040), its DSCP does not', (_, fields) => {
    const { io } = makePlane('ipip');
    io.datagram(underlay(2), outer(withTos(udpPacket(fields, [7]), 0xb8 | 2), undefined, 0x28 | 3));
    expect(io.written).toEqual([withTos(udpPacket(fields, [7]), 0xb8 | 3)]);
  });
});

describe('device to socket', () => {
  test('sends the bare packet, and tells the driver DSCP and ECN', () => {
    const { io } = makePlane('ipip');
    const marked = withTos(udpPacket({ source: overlay4(1, 2), destination: overlay4(2, 2) }), 0xb9);
    const marked6 = withTos(udpPacket({ source: overlay6(1, 2), destination: overlay6(3, 2) }), 0x2e);
    io.frame(marked);
    io.frame(marked6);
    io.frame(udpPacket({ source: overlay4(1, 2), destination: overlay4(2, 2) }));
    expect(io.sent.map(({ to, outerTos }) => [to, outerTos])).toEqual([
      [underlay(2), 0xb9],
      [underlay(3), 0x2e],
      [underlay(2), 0],
    ]);
    expect(io.sent.slice(0, 2).map(({ bytes }) => bytes)).toEqual([marked, marked6]);
  });
});
