// The Internet checksum: the fast sum agrees with a sum by the book, however the bytes are cut and aligned.
// The judge is the one of test/inner-packets.ts, which shares no code with lib/wire.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { foldSum, internetChecksum, sumWords, useSummingMemory } from '../../lib/wire/checksum.ts';
import { summingMemory } from '../../lib/wire/vector-sum.ts';
import { slowChecksum } from '../inner-packets.ts';

const bytes = fc.uint8Array({ maxLength: 700 });

test('agrees with a sum by the book at any offset and length', () => {
  fc.assert(
    fc.property(bytes, fc.nat(20), (data, offset) => {
      const buffer = new Uint8Array(data.length + offset + 3).fill(0xa5);
      buffer.set(data, offset);
      expect(internetChecksum(buffer, offset, offset + data.length)).toBe(slowChecksum([...data]));
    }),
    { numRuns: 500 },
  );
});

test('agrees with it in memory that adds itself, and for data of all ones up to the largest packet', () => {
  const memory = summingMemory(200_000);
  if (memory === undefined) throw new Error('this machine has no vector instructions');
  const buffer = new Uint8Array(memory.buffer);
  useSummingMemory(buffer, memory);
  const check = (data: Uint8Array, offset: number): void => {
    buffer.fill(0xa5);
    buffer.set(data, offset);
    const expected = slowChecksum([...data]);
    expect(internetChecksum(buffer, offset, offset + data.length)).toBe(expected);
    // And in memory that does not.
    expect(internetChecksum(buffer.slice(), offset, offset + data.length)).toBe(expected);
  };
  fc.assert(fc.property(fc.uint8Array({ minLength: 128, maxLength: 3_000 }), fc.nat(40), check), { numRuns: 300 });
  for (const length of [65_535, 65_534, 65_520]) check(new Uint8Array(length).fill(0xff), 3);
  for (const length of [65_535, 65_534, 65_520]) check(new Uint8Array(length).fill(0xff), 4);
});

test('parts may be added one after the other where the first is even', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const even = a.subarray(0, a.length & ~1);
      const both = Uint8Array.of(...even, ...b);
      const inParts = sumWords(b, 0, b.length, sumWords(even, 0, even.length));
      expect(foldSum(inParts)).toBe(foldSum(sumWords(both, 0, both.length)));
    }),
  );
});

test('data with its own checksum in it folds to all ones, and one changed byte is seen', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 2, maxLength: 700 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (data, at, change) => {
        data[0] = data[1] = 0;
        const checksum = internetChecksum(data, 0, data.length);
        data[0] = checksum >> 8;
        data[1] = checksum & 255;
        expect(foldSum(sumWords(data, 0, data.length))).toBe(0xffff);
        data[at % data.length] = (data[at % data.length] as number) ^ change;
        expect(foldSum(sumWords(data, 0, data.length))).not.toBe(0xffff);
      },
    ),
  );
});
