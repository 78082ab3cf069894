// Cutting TCP: put together again, the segments are the packet; each is valid by itself and fits.
// The judge is slow and shares no code with the segmenter (test/inner-packets.ts).

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TcpSegmenter } from '../../flanneld/dataplane/tcp-segmenter.ts';
import { hasRightChecksums, tcpPacket } from '../inner-packets.ts';

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;
const URG = 0x20;
const CWR = 0x80;

const fields = fc.constantFrom(4, 16).chain((length) => {
  const bytes = fc.array(fc.nat(255), { minLength: length, maxLength: length });
  return fc.record({ source: bytes, destination: bytes, ttl: fc.nat(255), id: fc.nat(0xffff) });
});
const tcp = fc.record({
  sequence: fc.nat(0xffffffff),
  acknowledgment: fc.nat(0xffffffff),
  flags: fc.subarray([FIN, PSH, ACK, 0x40, CWR]).map((flags) => flags.reduce((a, b) => a | b, 0)),
  window: fc.nat(0xffff),
  options: fc.constantFrom([], [1, 1, 1, 1], [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
  data: fc.array(fc.nat(255), { minLength: 1, maxLength: 3000 }),
});

/** Every segment as a packet of its own, written over spoiled memory. */
function segments(packet: Uint8Array, mtuBytes: number): Uint8Array[] | undefined {
  const segmenter = new TcpSegmenter();
  const buffer = new Uint8Array(packet.length + 9).fill(0xa5);
  buffer.set(packet, 5);
  if (!segmenter.begin(packet[0] === 0x60 ? 6 : 4, buffer, 5, mtuBytes)) return undefined;
  const made: Uint8Array[] = [];
  const headers = new Uint8Array(128).fill(0xa5);
  while (segmenter.next(headers, 3)) {
    const { headerLength, payloadAt, payloadLength } = segmenter;
    made.push(
      Uint8Array.of(...headers.subarray(3, 3 + headerLength), ...buffer.subarray(payloadAt, payloadAt + payloadLength)),
    );
  }
  expect(buffer.subarray(5, 5 + packet.length)).toEqual(packet);
  return made;
}

const u32 = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
const u16 = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(at);

test('segments are valid, fit, carry the data in order, and say what must be said once only once', () => {
  fc.assert(
    fc.property(fields, tcp, fc.integer({ min: 120, max: 2000 }), (ip, header, mtuBytes) => {
      const packet = tcpPacket(ip, header);
      const made = segments(packet, mtuBytes) as Uint8Array[];
      const ipLength = ip.source.length === 16 ? 40 : 20;
      const headerLength = ipLength + 20 + header.options.length;
      const isV6 = ipLength === 40;
      expect(made.length).toBe(Math.ceil(header.data.length / (mtuBytes - headerLength)));
      expect(made.flatMap((segment) => [...segment.subarray(headerLength)])).toEqual(header.data);
      let sent = 0;
      for (const [i, segment] of made.entries()) {
        expect(segment.length).toBeLessThanOrEqual(mtuBytes);
        expect(hasRightChecksums(segment)).toBe(true);
        expect(isV6 ? u16(segment, 4) + 40 : u16(segment, 2)).toBe(segment.length);
        if (!isV6) expect(u16(segment, 4)).toBe((ip.id + i) & 0xffff);
        expect(u32(segment, ipLength + 4)).toBe((header.sequence + sent) >>> 0);
        expect(u32(segment, ipLength + 8)).toBe(header.acknowledgment);
        const isLast = i === made.length - 1;
        const expected = header.flags & ~(isLast ? 0 : FIN | PSH) & ~(i === 0 ? 0 : CWR);
        expect(segment[ipLength + 13]).toBe(expected);
        expect([...segment.subarray(ipLength + 20, headerLength)]).toEqual(header.options);
        sent += segment.length - headerLength;
      }
    }),
    { numRuns: 200 },
  );
});

test('a packet that fits comes out as it went in', () => {
  fc.assert(
    fc.property(fields, tcp, (ip, header) => {
      const packet = tcpPacket(ip, header);
      expect(segments(packet, packet.length)).toEqual([packet]);
    }),
    { numRuns: 100 },
  );
});

test('what must not be cut is refused: SYN, RST, URG, fragments, other protocols, no data, nonsense', () => {
  const ip = { source: [10, 0, 0, 1], destination: [10, 0, 0, 2] };
  const data = new Array<number>(100).fill(1);
  for (const flag of [SYN, RST, URG]) expect(segments(tcpPacket(ip, { data, flags: flag | ACK }), 80)).toBeUndefined();
  expect(segments(tcpPacket({ ...ip, fragment: 0x2000 }, { data }), 80)).toBeUndefined();
  expect(segments(tcpPacket({ ...ip, fragment: 9 }, { data }), 80)).toBeUndefined();
  expect(segments(tcpPacket(ip, { data: [] }), 80)).toBeUndefined();
  expect(segments(tcpPacket(ip, { data }), 40)).toBeUndefined();
  const udp = tcpPacket(ip, { data });
  udp[9] = 17;
  expect(segments(udp, 80)).toBeUndefined();
  for (const offset of [0x00, 0x40, 0xf0]) {
    const packet = tcpPacket(ip, { data: [1, 2, 3] });
    packet[32] = offset;
    expect(segments(packet, 80)).toBeUndefined();
  }
});
