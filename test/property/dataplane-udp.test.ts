// Cutting and joining UDP: the datagrams are valid and carry the data in order; joined again they are what they were.
// A joined packet is compared as the kernel would see it: with its checksum completed by the book.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { finishChecksum } from '../../flanneld/dataplane/offloaded-checksum.ts';
import { UdpCoalescer } from '../../flanneld/dataplane/udp-coalescer.ts';
import { UdpSegmenter } from '../../flanneld/dataplane/udp-segmenter.ts';
import { hasRightChecksums, udpPacket } from '../inner-packets.ts';

const fields = fc.constantFrom(4, 16).chain((length) => {
  const bytes = fc.array(fc.nat(255), { minLength: length, maxLength: length });
  return fc.record({ source: bytes, destination: bytes, ttl: fc.nat(255), id: fc.nat(0xffff) });
});
const data = fc.array(fc.nat(255), { minLength: 1, maxLength: 3_000 });

const familyOf = (packet: Uint8Array): 4 | 6 => (packet[0] === 0x60 ? 6 : 4);

/** Every datagram as a packet of its own, written over spoiled memory. */
function cut(packet: Uint8Array, size: number): Uint8Array[] | undefined {
  const segmenter = new UdpSegmenter();
  const buffer = new Uint8Array(packet.length + 5).fill(0xa5);
  buffer.set(packet, 5);
  if (!segmenter.begin(familyOf(packet), buffer, 5, size)) return undefined;
  const made: Uint8Array[] = [];
  const headers = new Uint8Array(64).fill(0xa5);
  while (segmenter.next(headers, 3)) {
    const { headerLength, payloadAt, payloadLength } = segmenter;
    const payload = buffer.subarray(payloadAt, payloadAt + payloadLength);
    made.push(Uint8Array.of(...headers.subarray(3, 3 + headerLength), ...payload));
  }
  expect(buffer.subarray(5)).toEqual(packet);
  return made;
}

test('each datagram is valid, all carry the data in order, identifications count on', () => {
  fc.assert(
    fc.property(fields, data, fc.integer({ min: 1, max: 1_400 }), (ip, payload, size) => {
      const made = cut(udpPacket(ip, payload), size) ?? [];
      const headerLength = ip.source.length === 16 ? 48 : 28;
      expect(made).toHaveLength(Math.ceil(payload.length / size));
      expect(made.every(hasRightChecksums)).toBe(true);
      expect(made.flatMap((datagram) => [...datagram.subarray(headerLength)])).toEqual(payload);
      for (const [i, datagram] of made.entries()) {
        const view = new DataView(datagram.buffer);
        expect(view.getUint16(headerLength - 4)).toBe(datagram.length - headerLength + 8);
        if (headerLength === 28) expect(view.getUint16(4)).toBe((ip.id + i) & 0xffff);
      }
    }),
    { numRuns: 200 },
  );
});

test('cut, then joined, is the identity', () => {
  fc.assert(
    fc.property(fields, data, fc.integer({ min: 60, max: 1_400 }), (ip, payload, size) => {
      const packet = udpPacket(ip, payload);
      const pieces = cut(packet, size) ?? [];
      const starts = pieces.map((_, i) => pieces.slice(0, i).reduce((sum, { length }) => sum + length + 3, 2));
      const buffer = new Uint8Array((starts.at(-1) ?? 0) + 4_000).fill(0xa5);
      for (const [i, piece] of pieces.entries()) buffer.set(piece, starts[i]);
      const coalescer = new UdpCoalescer();
      const family = familyOf(packet);
      expect(coalescer.begin(family, buffer, starts[0] as number)).toBe(true);
      for (const at of starts.slice(1)) expect(coalescer.add(family, at)).toBe(true);
      const head = new Uint8Array(coalescer.headerLength);
      coalescer.writeHead(head, 0);
      const parts = starts.map((_, i) => {
        const at = coalescer.payloadAt[i] as number;
        return buffer.subarray(at, at + (coalescer.payloadLength[i] as number));
      });
      const whole = Uint8Array.of(...head, ...parts.flatMap((part) => [...part]));
      finishChecksum(family, whole, 0);
      expect(whole).toEqual(packet);
    }),
    { numRuns: 200 },
  );
});

test('what cannot be cut is refused: fragments, other protocols, no data, no size', () => {
  const ip = { source: [10, 0, 0, 1], destination: [10, 0, 0, 2] };
  expect(cut(udpPacket({ ...ip, fragment: 0x2000 }, [1, 2]), 1)).toBeUndefined();
  expect(cut(udpPacket({ ...ip, fragment: 9 }, [1, 2]), 1)).toBeUndefined();
  expect(cut(udpPacket(ip, []), 1)).toBeUndefined();
  expect(cut(udpPacket(ip, [1, 2]), 0)).toBeUndefined();
  const other = udpPacket(ip, [1, 2]);
  other[9] = 132;
  expect(cut(other, 1)).toBeUndefined();
});
