// BFD control packets against golden bytes, and each malformed twin (RFC 5880 sections 4.1 and 6.8.6).
// What a session makes of a packet is in session.test.ts.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BFD_LENGTH, BFD_STATES, type BfdPacket, decodeBfd, writeBfd } from '../../../../lib/wire/bfd.ts';
import { hexVector } from '../../../hex-vector.ts';

const UP: BfdPacket = {
  state: 'Up',
  diagnostic: 0,
  poll: true,
  final: false,
  independent: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 7,
  yourDiscriminator: 0x8000_0009,
  desiredMinTxUs: 300_000,
  requiredMinRxUs: 300_000,
};

test('reads the golden packet, and what follows it is none of its business', () => {
  expect(decodeBfd(hexVector('bfd-up'))).toEqual(UP);
  expect(decodeBfd(Uint8Array.from([...hexVector('bfd-up'), 1, 2, 3]))).toEqual(UP);
});

test('writes the golden packet, and not a byte behind it', () => {
  const into = new Uint8Array(BFD_LENGTH + 1).fill(0xa5);
  writeBfd(UP, into);
  expect(into.subarray(0, BFD_LENGTH)).toEqual(hexVector('bfd-up'));
  expect(into[BFD_LENGTH]).toBe(0xa5);
});

test.each([
  ['bfd-up-truncated', 'truncated'],
  ['bfd-up-wrong-version', 'version'],
  ['bfd-up-short-length', 'length'],
  ['bfd-up-long-length', 'length'],
  ['bfd-up-zero-multiplier', 'multiplier'],
  ['bfd-up-multipoint', 'multipoint'],
  ['bfd-up-no-my-discriminator', 'my-discriminator'],
  ['bfd-up-no-your-discriminator', 'your-discriminator'],
  ['bfd-up-authenticated', 'authentication'],
])('%s: %s', (name, fault) => {
  expect(decodeBfd(hexVector(name))).toBe(fault);
});

test('whatever is written is read again; whatever is read gives a value', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const packet = fc.record({
    state: fc.constantFrom(...BFD_STATES),
    diagnostic: fc.integer({ min: 0, max: 31 }),
    poll: fc.boolean(),
    final: fc.boolean(),
    independent: fc.boolean(),
    demand: fc.boolean(),
    multiplier: fc.integer({ min: 1, max: 255 }),
    myDiscriminator: fc.integer({ min: 1, max: 0xffff_ffff }),
    yourDiscriminator: fc.integer({ min: 1, max: 0xffff_ffff }),
    desiredMinTxUs: u32,
    requiredMinRxUs: u32,
  });
  fc.assert(
    fc.property(packet, (value) => {
      const into = new Uint8Array(BFD_LENGTH);
      writeBfd(value, into);
      expect(decodeBfd(into)).toEqual(value);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      expect(['string', 'object']).toContain(typeof decodeBfd(bytes));
    }),
  );
});
