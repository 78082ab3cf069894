// The sending half of the batched driver over fake system calls: what becomes one message, what becomes one call, what is
// cut, and what happens when the kernel refuses.

import { describe, expect, test } from 'vitest';
import { hasRightChecksums, tcpPacket, udpPacket } from '../../../inner-packets.ts';
import { deviceFrame, makeBatched, SOCKETS } from './batched-fixture.ts';
import { frameOf, overlay4, overlay6, vxlanOf } from './plane-fixture.ts';

const GSO_TCP4 = 1;
const GSO_UDP = 5;
const EIO = -5;
const EAGAIN = -11;
const EMSGSIZE = -90;
const ENETUNREACH = -101;

const small = (to: number, host: number, length = 20, traffic = 0): Uint8Array => {
  const packet = udpPacket({ source: overlay4(1, 2), destination: overlay4(to, host) }, new Array(length).fill(host));
  if (traffic !== 0) retag(packet, traffic);
  return frameOf(to, 1, packet);
};

/** Another TOS, with the header checksum that goes with it (RFC 1624). */
function retag(packet: Uint8Array, tos: number): void {
  packet[1] = tos;
  packet[10] = packet[11] = 0;
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += ((packet[i] as number) << 8) + (packet[i + 1] as number);
  sum = (sum & 0xffff) + (sum >> 16);
  packet[10] = ~sum >> 8;
  packet[11] = ~sum;
}

test('frames of one size to one peer are one message, in order, sent with one call', () => {
  const { calls, transmit, core } = makeBatched();
  const frames = [1, 2, 3, 4, 5].map((host) => small(2, host));
  calls.frames.push(...frames.map((frame) => deviceFrame(frame)));
  expect(transmit.pump(0)).toBe(false);
  expect(calls.counts).toMatchObject({ read: 6, send: 1 });
  expect(calls.sent).toEqual([
    { fd: SOCKETS[0], datagrams: frames.map(vxlanOf), segmentSize: 8 + 14 + 48, tos: 0, to: '192.0.2.2:8472' },
  ]);
  expect(core.counters.tx).toEqual({ packets: 5, bytes: 5 * (14 + 48) });
});

test('a shorter frame ends a message, a longer one, another peer or another TOS begins one', () => {
  const { calls, transmit } = makeBatched();
  const frames = [
    ...[small(2, 1), small(2, 2, 10), small(2, 3, 10)],
    ...[small(2, 4, 30), small(3, 5, 30), small(3, 6, 30, 0xb8), small(3, 7, 30, 0xb8)],
  ];
  calls.frames.push(...frames.map((frame) => deviceFrame(frame)));
  transmit.pump(0);
  const all = frames.map(vxlanOf);
  expect(calls.sent.map(({ datagrams }) => datagrams)).toEqual([
    ...[all.slice(0, 2), all.slice(2, 3), all.slice(3, 4), all.slice(4, 5), all.slice(5, 7)],
  ]);
  expect(calls.sent.map(({ to, tos }) => [to, tos])).toEqual([
    ...[
      ['192.0.2.2:8472', 0],
      ['192.0.2.2:8472', 0],
      ['192.0.2.2:8472', 0],
    ],
    ...[
      ['192.0.2.3:8472', 0],
      ['192.0.2.3:8472', 0xb8],
    ],
  ]);
  expect(calls.counts.send).toBe(1);
});

test('no message has more than 64 datagrams, and no batch more than 64 frames', () => {
  const { calls, transmit } = makeBatched();
  for (let i = 0; i < 150; i++) calls.frames.push(deviceFrame(small(2, 1)));
  expect([transmit.pump(0), transmit.pump(0), transmit.pump(0)]).toEqual([true, true, false]);
  expect(calls.sent.map(({ datagrams }) => datagrams.length)).toEqual([64, 64, 22]);
});

describe('large frames', () => {
  const data = Array.from({ length: 9_000 }, (_, i) => (i * 7) & 255);

  test('TCP is cut into segments that are valid, and follow one another into one message', () => {
    const { calls, transmit, core } = makeBatched();
    const ip = { source: overlay4(1, 2), destination: overlay4(2, 2), id: 65_534 };
    const first = tcpPacket(ip, { data: data.slice(0, 4_200), sequence: 0xfffffff0, flags: 0x90 });
    const second = tcpPacket(ip, { data: data.slice(4_200), flags: 0x19 });
    for (const packet of [first, second]) {
      calls.frames.push(deviceFrame(frameOf(2, 1, packet), { type: GSO_TCP4, size: 1_400 }));
    }
    transmit.pump(0);
    expect(calls.sent).toHaveLength(1);
    const inner = (calls.sent[0]?.datagrams ?? []).map((datagram) => datagram.subarray(22));
    expect(inner).toHaveLength(3 + 4);
    expect(inner.every(hasRightChecksums)).toBe(true);
    expect(inner.flatMap((packet) => [...packet.subarray(40)])).toEqual(data);
    // CWR on the first, FIN and PSH on the last segment of each.
    expect(inner.map((packet) => packet[33])).toEqual([0x90, 0x10, 0x10, 0x10, 0x10, 0x10, 0x19]);
    expect(inner.map((packet) => ((packet[4] as number) << 8) | (packet[5] as number)).slice(0, 3)).toEqual([
      65_534, 65_535, 0,
    ]);
    expect(core.counters.tx.packets).toBe(7);
  });

  test.each([
    ['IPv4', overlay4(1, 2), overlay4(2, 2), 28],
    ['IPv6', overlay6(1, 2), overlay6(2, 2), 48],
  ])('UDP over %s is cut into the datagrams that it stands for', (_, source, destination, headerLength) => {
    const { calls, transmit } = makeBatched();
    const packet = udpPacket({ source, destination, id: 9 }, data.slice(0, 2_500));
    calls.frames.push(deviceFrame(frameOf(2, 1, packet), { type: GSO_UDP, size: 1_000 }));
    transmit.pump(0);
    const inner = (calls.sent[0]?.datagrams ?? []).map((datagram) => datagram.subarray(22));
    expect(inner.map(({ length }) => length - headerLength)).toEqual([1_000, 1_000, 500]);
    expect(inner.every(hasRightChecksums)).toBe(true);
    expect(inner.flatMap((datagram) => [...datagram.subarray(headerLength)])).toEqual(data.slice(0, 2_500));
  });

  test('what says that it is large and cannot be cut is dropped', () => {
    const { calls, transmit, drops } = makeBatched();
    calls.frames.push(deviceFrame(small(2, 1), { type: GSO_TCP4, size: 100 }));
    calls.frames.push(deviceFrame(small(2, 1), { type: GSO_UDP, size: 0 }));
    transmit.pump(0);
    expect(calls.sent).toEqual([]);
    expect(drops()).toEqual({ 'tx-malformed': 2 });
  });
});

describe('where the kernel refuses', () => {
  const push = (calls: { frames: Uint8Array[] }): void => {
    for (let i = 0; i < 3; i++) calls.frames.push(deviceFrame(small(2, 1)));
    for (let i = 0; i < 2; i++) calls.frames.push(deviceFrame(small(3, 1)));
  };

  test('one message is dropped and counted by its datagrams, the next one goes', () => {
    const { calls, transmit, drops, core } = makeBatched();
    push(calls);
    calls.sendFaults.push(ENETUNREACH);
    transmit.pump(0);
    expect(drops()).toEqual({ 'tx-send-failed': 3 });
    expect(calls.sent.map(({ to }) => to)).toEqual(['192.0.2.3:8472']);
    expect(core.counters.tx.packets).toBe(2);
  });

  test('a full socket is told apart, also where an earlier message of the call went', () => {
    const { calls, transmit, drops } = makeBatched();
    push(calls);
    calls.sendFaults.push(0, EAGAIN);
    transmit.pump(0);
    expect(drops()).toEqual({ 'tx-queue-full': 2 });
    expect(calls.sent.map(({ datagrams }) => datagrams.length)).toEqual([3]);
    expect(calls.sendFaults).toEqual([]);
  });

  test('segments that the underlay cannot take go one by one; after EIO all do', () => {
    const { calls, transmit, drops, core } = makeBatched();
    push(calls);
    calls.sendFaults.push(EMSGSIZE);
    transmit.pump(0);
    expect(calls.sent.map(({ datagrams, segmentSize }) => [datagrams.length, segmentSize])).toEqual([
      ...[
        [1, 0],
        [1, 0],
        [1, 0],
      ],
      [2, 70],
    ]);
    push(calls);
    calls.sendFaults.push(EIO);
    transmit.pump(0);
    calls.sent.length = 0;
    push(calls);
    transmit.pump(0);
    expect(calls.sent.map(({ segmentSize }) => segmentSize)).toEqual([0, 0, 0, 0, 0]);
    expect(core.counters.tx).toEqual({ packets: 15, bytes: 15 * 62 });
    expect(drops()).toEqual({});
  });
});

test('without UDP_SEGMENT every datagram is a message, still sent with one call', () => {
  const { calls, transmit } = makeBatched({ gso: false });
  for (let i = 0; i < 5; i++) calls.frames.push(deviceFrame(small(2, 1)));
  transmit.pump(0);
  expect(calls.sent.map(({ segmentSize }) => segmentSize)).toEqual([0, 0, 0, 0, 0]);
  expect(calls.counts.send).toBe(1);
});

test('with several source ports a flow keeps to one, and flows use them all', () => {
  const { calls, transmit } = makeBatched({ sockets: 2 });
  for (let round = 0; round < 2; round++) {
    for (let host = 1; host <= 16; host++) calls.frames.push(deviceFrame(small(2, host)));
  }
  transmit.pump(0);
  const ports = new Map<number, Set<number>>();
  for (const { fd, datagrams } of calls.sent) {
    for (const datagram of datagrams) {
      const host = datagram[22 + 19] as number;
      ports.set(host, (ports.get(host) ?? new Set()).add(fd));
    }
  }
  expect([...ports.values()].every((used) => used.size === 1)).toBe(true);
  expect(new Set([...ports.values()].flatMap((used) => [...used]))).toEqual(new Set(SOCKETS));
});

test('an ICMP answer goes back to the device, and the others go their way', () => {
  const { calls, transmit, drops } = makeBatched();
  const large = udpPacket({ source: overlay4(1, 2), destination: overlay4(2, 2) }, new Array(1_500).fill(1));
  calls.frames.push(deviceFrame(small(2, 1)), deviceFrame(frameOf(2, 1, large)), deviceFrame(small(2, 3)));
  transmit.pump(0);
  expect(drops()).toEqual({ 'tx-too-big': 1 });
  expect(calls.written).toHaveLength(1);
  expect(calls.written[0]?.[10 + 14 + 9]).toBe(1);
  expect(calls.sent[0]?.datagrams).toEqual([vxlanOf(small(2, 1)), vxlanOf(small(2, 3))]);
});

test('a device that is gone is said', () => {
  const { calls, transmit } = makeBatched();
  calls.read = () => -77;
  expect(() => transmit.pump(0)).toThrow('errno 77');
});
