// The fast IPv6 text codec of lib/wire against the library behind lib/net, which is the reference.
// Zero groups are made often, because they are what canonical text (RFC 5952) is about.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Address, addressBytes, addressFromBytes } from '../../lib/net/address.ts';
import { readIpv6, writeIpv6 } from '../../lib/wire/ipv6-text.ts';

const OFFSET = 3;
const FILLER = 0xa5;

const group = fc.oneof(fc.constant([0, 0]), fc.constant([0, 1]), fc.tuple(fc.nat(255), fc.nat(255)));
const addressOctets = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => Uint8Array.from(groups.flat()));

test('bytes read as the same text as the library gives', () => {
  fc.assert(
    fc.property(addressOctets, (octets) => {
      const bytes = new Uint8Array(OFFSET + 16 + 1).fill(FILLER);
      bytes.set(octets, OFFSET);
      expect(readIpv6(bytes, OFFSET)).toBe(addressFromBytes(octets));
    }),
    { numRuns: 2000 },
  );
});

test('text, with or without a prefix length, is written as the same 16 bytes as the library gives, and no others', () => {
  fc.assert(
    fc.property(addressOctets, fc.constantFrom('', '/64', '/128'), (octets, suffix) => {
      const text = addressFromBytes(octets) as Address;
      const bytes = new Uint8Array(OFFSET + 16 + 1).fill(FILLER);
      writeIpv6(bytes, OFFSET, `${text}${suffix}`);
      expect(bytes.subarray(OFFSET, OFFSET + 16)).toEqual(addressBytes(text));
      expect([...bytes.subarray(0, OFFSET), bytes.at(-1)]).toEqual([FILLER, FILLER, FILLER, FILLER]);
    }),
    { numRuns: 2000 },
  );
});

test('text that is no address writes 16 bytes at most, and does not throw', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (text) => {
      const bytes = new Uint8Array(OFFSET + 16 + 1).fill(FILLER);
      writeIpv6(bytes, OFFSET, text);
      expect([...bytes.subarray(0, OFFSET), bytes.at(-1)]).toEqual([FILLER, FILLER, FILLER, FILLER]);
    }),
  );
});
