// The receiving half of the batched driver over fake system calls: what is put together, what is not, and in which order
// the device gets it.

import { describe, expect, test } from 'vitest';
import { type PacketFields, type TcpFields, tcpPacket, udpPacket } from '../../../inner-packets.ts';
import { makeBatched } from './batched-fixture.ts';
import { frameOf, overlay4, overlay6, vxlanOf } from './plane-fixture.ts';

const FROM = [192, 0, 2, 2];
const IP: PacketFields = { source: overlay4(2, 2), destination: overlay4(1, 2) };

const udp = (length: number, fill = 1, ip: PacketFields = IP): Uint8Array =>
  frameOf(1, 2, udpPacket(ip, new Array(length).fill(fill)));
const tcp = (id: number, fields: TcpFields): Uint8Array => frameOf(1, 2, tcpPacket({ ...IP, id }, fields));

/** One message with these frames of one size in VXLAN each; the last may be shorter. */
function joined(frames: readonly Uint8Array[]) {
  const datagrams = frames.map(vxlanOf);
  return {
    from: FROM,
    bytes: Uint8Array.from(datagrams.flatMap((datagram) => [...datagram])),
    ...(datagrams.length > 1 && { groSize: datagrams[0]?.length ?? 0 }),
  };
}

/** A frame as the device got it: what the virtio-net header says, and the frame. */
function parsed(written: Uint8Array) {
  const u16 = (at: number): number => (written[at] as number) | ((written[at + 1] as number) << 8);
  return { gsoType: written[1], gsoSize: u16(4), start: u16(6), offset: u16(8), frame: written.slice(10) };
}

test('UDP datagrams of one flow go to the device as one, with the sum that the kernel is to complete', () => {
  const { calls, receive, core } = makeBatched();
  const frames = [udp(40, 1), udp(40, 2), udp(40, 3), udp(20, 4)];
  calls.messages.push(joined(frames));
  expect(receive.pump()).toBe(true);
  expect(receive.pump()).toBe(false);
  expect(calls.written).toHaveLength(1);
  const { gsoType, gsoSize, start, offset, frame } = parsed(calls.written[0] as Uint8Array);
  expect({ gsoType, gsoSize, start, offset }).toEqual({ gsoType: 5, gsoSize: 40, start: 34, offset: 6 });
  expect([...frame.subarray(42)]).toEqual(
    [1, 2, 3].flatMap((n) => new Array(40).fill(n)).concat(new Array(20).fill(4)),
  );
  expect((frame[38] as number) * 256 + (frame[39] as number)).toBe(8 + 140);
  expect(core.counters.rx).toEqual({ packets: 4, bytes: frames.reduce((sum, { length }) => sum + length, 0) });
});

test.each([
  ['another port of the sender', (frame: Uint8Array) => changed(frame, 14 + 21, 9)],
  ['a wrong checksum', (frame: Uint8Array) => changed(frame, frame.length - 1, 99)],
  ['no checksum', (frame: Uint8Array) => changed(changed(frame, 14 + 26, 0), 14 + 27, 0)],
])('what must not be joined is not: %s', (_, change) => {
  const { calls, receive } = makeBatched();
  const frames = [udp(40), change(udp(40)), udp(40)];
  calls.messages.push(joined(frames));
  receive.pump();
  expect(calls.written.map((written) => parsed(written).frame)).toEqual(frames);
  expect(calls.written.every((written) => parsed(written).gsoType === 0)).toBe(true);
});

test('what may be fragmented on is not joined: its identification matters', () => {
  const { calls, receive } = makeBatched();
  const frames = [udp(40, 1, { ...IP, fragment: 0 }), udp(40, 2, { ...IP, fragment: 0 })];
  calls.messages.push(joined(frames));
  receive.pump();
  expect(calls.written).toHaveLength(2);
});

test('a device without USO gets every datagram by itself', () => {
  const { calls, receive } = makeBatched({ mergesUdp: false });
  calls.messages.push(joined([udp(40), udp(40)]));
  receive.pump();
  expect(calls.written).toHaveLength(2);
});

test('IPv6 is joined too', () => {
  const { calls, receive } = makeBatched();
  const ip = { source: overlay6(2, 2), destination: overlay6(1, 2) };
  calls.messages.push(joined([udp(40, 1, ip), udp(40, 2, ip)]));
  receive.pump();
  expect(calls.written.map((written) => parsed(written).gsoType)).toEqual([5]);
});

test('TCP and UDP in turns keep their order, and each run is one packet', () => {
  const { calls, receive } = makeBatched();
  const segment = (id: number, sequence: number): Uint8Array => tcp(id, { sequence, data: new Array(28).fill(id) });
  calls.messages.push(joined([udp(40), udp(40), segment(1, 100), segment(2, 128), udp(40), udp(40)]));
  receive.pump();
  const written = calls.written.map(parsed);
  expect(written.map(({ gsoType }) => gsoType)).toEqual([5, 1, 5]);
  expect(written.map(({ gsoSize }) => gsoSize)).toEqual([40, 28, 40]);
});

describe('batches', () => {
  test('after a small message as many as there are come with one call, and a run goes on from one to the next', () => {
    const { calls, receive } = makeBatched();
    calls.messages.push(joined([udp(40)]));
    receive.pump();
    for (let i = 0; i < 40; i++) calls.messages.push(joined([udp(40, i)]));
    expect(receive.pump()).toBe(true);
    expect(receive.pump()).toBe(false);
    expect(calls.counts.receive).toBe(3);
    expect(calls.written.slice(1).map((written) => parsed(written).frame.length - 42)).toEqual([32 * 40, 8 * 40]);
  });

  test('after a large message they come one at a time again', () => {
    const { calls, receive } = makeBatched();
    const large = joined(Array.from({ length: 60 }, () => udp(100)));
    calls.messages.push(joined([udp(40)]), large, large, large);
    receive.pump();
    receive.pump();
    calls.messages.push(large, large);
    receive.pump();
    expect(calls.messages).toHaveLength(1);
  });
});

test('the outer ECN mark of a message reaches every packet in it', () => {
  const { calls, receive } = makeBatched();
  const ect = frameOf(1, 2, capable(udpPacket(IP, new Array(40).fill(1))));
  calls.messages.push({ ...joined([ect, ect]), tos: 3 });
  receive.pump();
  expect((calls.written[0]?.[10 + 14 + 1] as number) & 3).toBe(3);
});

test('unknown senders are dropped by the datagram, a refusing device is counted, a device that is gone is said', () => {
  const { calls, receive, drops } = makeBatched();
  calls.messages.push({ ...joined([udp(40), udp(40), udp(40)]), from: [192, 0, 2, 9] });
  receive.pump();
  expect(drops()).toEqual({ 'rx-unknown-sender': 3 });
  calls.writeResult = -5;
  calls.messages.push(joined([udp(40), udp(40)]));
  receive.pump();
  expect(drops()).toMatchObject({ 'rx-device-refused': 2 });
  calls.writeResult = -77;
  calls.messages.push(joined([udp(40)]));
  expect(() => receive.pump()).toThrow('errno 77');
});

test('the size that belongs to a large inner packet is not taken for that of datagrams', () => {
  const { calls, receive } = makeBatched();
  const packet = tcpPacket({ ...IP, id: 5 }, { data: new Array(4_000).fill(7) });
  const { from, bytes } = joined([frameOf(1, 2, packet)]);
  calls.messages.push({ from, bytes, groSize: 1_398 });
  receive.pump();
  expect(calls.written).toHaveLength(1);
  expect(parsed(calls.written[0] as Uint8Array)).toMatchObject({ gsoType: 1, gsoSize: 1_410 });
});

function changed(frame: Uint8Array, at: number, value: number): Uint8Array {
  const copy = frame.slice();
  copy[at] = value;
  return copy;
}

/** ECT(0), with the header checksum that goes with it. */
function capable(packet: Uint8Array): Uint8Array {
  packet[1] = 2;
  const checksum = ((packet[10] as number) << 8) + (packet[11] as number) - 2;
  packet[10] = checksum >> 8;
  packet[11] = checksum;
  return packet;
}
