// Segment, then coalesce, is the identity for any flow; and what must not be merged is not.
// A merged packet is compared as the kernel would see it: with its checksum completed by the book.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { finishChecksum } from '../../flanneld/dataplane/offloaded-checksum.ts';
import { COALESCE_LIMIT, TcpCoalescer } from '../../flanneld/dataplane/tcp-coalescer.ts';
import { TcpSegmenter } from '../../flanneld/dataplane/tcp-segmenter.ts';
import { type PacketFields, type TcpFields, tcpPacket } from '../inner-packets.ts';

const ACK = 0x10;
const PSH = 0x08;

const fields = fc.constantFrom(4, 16).chain((length) => {
  const bytes = fc.array(fc.nat(255), { minLength: length, maxLength: length });
  return fc.record({ source: bytes, destination: bytes, ttl: fc.nat(255), id: fc.nat(0xffff) });
});
const header = fc.record({
  sequence: fc.nat(0xffffffff),
  acknowledgment: fc.nat(0xffffffff),
  flags: fc.constantFrom(ACK, ACK | PSH),
  window: fc.nat(0xffff),
  options: fc.constantFrom([], [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
  data: fc.array(fc.nat(255), { minLength: 1, maxLength: 3000 }),
});

function segmentsOf(packet: Uint8Array, mtuBytes: number): Uint8Array[] {
  const segmenter = new TcpSegmenter();
  if (!segmenter.begin(familyOf(packet), packet, 0, mtuBytes)) throw new Error('cannot be cut');
  const made: Uint8Array[] = [];
  const into = new Uint8Array(128);
  while (segmenter.next(into, 0)) {
    const { headerLength, payloadAt, payloadLength } = segmenter;
    made.push(
      Uint8Array.of(...into.subarray(0, headerLength), ...packet.subarray(payloadAt, payloadAt + payloadLength)),
    );
  }
  return made;
}

/** Everything that a coalescer makes of these packets, in order; what it does not merge stays as it is. */
function coalesced(packets: readonly Uint8Array[]): Uint8Array[] {
  const starts: number[] = [];
  const buffer = Uint8Array.of(
    ...packets.flatMap((packet) => {
      starts.push((starts.at(-1) ?? 0) + (starts.length === 0 ? 3 : (packets[starts.length - 1]?.length ?? 0) + 8));
      return [...(starts.length === 1 ? [0, 0, 0] : [9, 9, 9, 9, 9, 9, 9, 9]), ...packet];
    }),
  );
  const coalescer = new TcpCoalescer();
  const made: Uint8Array[] = [];
  const flush = (): void => {
    if (coalescer.count > 0) made.push(mergedPacket(coalescer, buffer));
    coalescer.count = 0;
  };
  for (const [i, packet] of packets.entries()) {
    const at = starts[i] as number;
    if (coalescer.add(familyOf(packet), at)) continue;
    flush();
    if (!coalescer.begin(familyOf(packet), buffer, at)) made.push(packet);
  }
  flush();
  return made;
}

function mergedPacket(coalescer: TcpCoalescer, buffer: Uint8Array): Uint8Array {
  const head = new Uint8Array(coalescer.headerLength);
  coalescer.writeHead(head, 0);
  const data: number[] = [];
  for (let i = 0; i < coalescer.count; i++) {
    const at = coalescer.payloadAt[i] as number;
    data.push(...buffer.subarray(at, at + (coalescer.payloadLength[i] as number)));
  }
  const packet = Uint8Array.of(...head, ...data);
  finishChecksum(familyOf(packet), packet, 0);
  return packet;
}

const familyOf = (packet: Uint8Array): 4 | 6 => (packet[0] === 0x60 ? 6 : 4);

test('segment then coalesce is the identity', () => {
  fc.assert(
    fc.property(fields, header, fc.integer({ min: 150, max: 1500 }), (ip, tcp, mtuBytes) => {
      const packet = tcpPacket(ip, tcp);
      expect(coalesced(segmentsOf(packet, mtuBytes))).toEqual([packet]);
    }),
    { numRuns: 200 },
  );
});

test('never more segments than the limit', () => {
  const packet = tcpPacket(IP, { data: new Array<number>(3000).fill(7) });
  const pieces = segmentsOf(packet, 70);
  expect(pieces).toHaveLength(100);
  const made = coalesced(pieces);
  expect(made.map(({ length }) => length)).toEqual([40 + COALESCE_LIMIT * 30, 40 + 36 * 30]);
});

const IP: PacketFields = { source: [10, 0, 0, 1], destination: [10, 0, 0, 2], id: 7 };
const FIRST: TcpFields = { sequence: 100, data: [1, 2, 3, 4] };
const SECOND: TcpFields = { sequence: 104, data: [5, 6, 7, 8] };
const second = (ip: Partial<PacketFields> = {}, tcp: TcpFields = {}): Uint8Array =>
  tcpPacket({ ...IP, id: 8, ...ip }, { ...SECOND, ...tcp });

test('merges what follows, as a base for the next test', () => {
  expect(coalesced([tcpPacket(IP, FIRST), second()])).toHaveLength(1);
});

test.each([
  ['another source', second({ source: [10, 0, 0, 3] })],
  ['another destination', second({ destination: [10, 0, 0, 3] })],
  ['another port', second({}, { sourcePort: 4001 })],
  ['a gap', second({}, { sequence: 105 })],
  ['the same again', second({}, { sequence: 100 })],
  ['another acknowledgment', second({}, { acknowledgment: 3 })],
  ['another window', second({}, { window: 501 })],
  ['another TTL', second({ ttl: 63 })],
  ['an identification that does not follow', second({ id: 7 })],
  ['no longer DF', second({ fragment: 0 })],
  ['a larger segment', second({}, { data: [1, 2, 3, 4, 5] })],
  ['options', second({}, { options: [1, 1, 1, 1] })],
  ['FIN', second({}, { flags: 0x11 })],
  ['URG', second({}, { flags: 0x30 })],
  ['CWR', second({}, { flags: 0x90 })],
  ['no data', second({}, { data: [] })],
  ['a wrong checksum', corrupted(second())],
])('does not merge %s', (_, packet) => {
  const first = tcpPacket(IP, FIRST);
  expect(coalesced([first, packet])).toEqual([first, packet]);
});

test('nothing follows PSH or a shorter segment', () => {
  const third = (id: number, sequence: number) => tcpPacket({ ...IP, id }, { sequence, data: [9] });
  const pushed = tcpPacket(IP, { ...FIRST, flags: ACK | PSH });
  expect(coalesced([pushed, second()])).toEqual([pushed, second()]);
  expect(coalesced([tcpPacket(IP, FIRST), second({}, { data: [5] }), third(9, 105)])).toHaveLength(2);
});

function corrupted(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  copy[copy.length - 1] = 0x55;
  return copy;
}
