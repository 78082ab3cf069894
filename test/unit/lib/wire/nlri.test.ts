// Packed prefixes: known bytes of RFC 4271 section 4.3, both families.
//
// And every way in which the bytes can be wrong, each with the offset that the error names.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressFromInteger, type Family } from '../../../../lib/net/address.ts';
import { type Prefix, prefix, prefixOf } from '../../../../lib/net/prefix.ts';
import { decodeNlri, encodeNlri, nlriLength, packPrefixes } from '../../../../lib/wire/nlri.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(text.split(' '), (pair) => Number.parseInt(pair, 16));

const KNOWN: readonly { family: Family; prefixes: readonly string[]; bytes: string }[] = [
  { family: 4, prefixes: ['0.0.0.0/0'], bytes: '00' },
  { family: 4, prefixes: ['10.5.1.0/24'], bytes: '18 0a 05 01' },
  { family: 4, prefixes: ['10.0.0.0/8', '172.16.0.0/12', '192.0.2.1/32'], bytes: '08 0a 0c ac 10 20 c0 00 02 01' },
  { family: 4, prefixes: ['255.255.254.0/23', '10.5.1.128/25'], bytes: '17 ff ff fe 19 0a 05 01 80' },
  { family: 6, prefixes: ['::/0', 'fd00:5::/48'], bytes: '00 30 fd 00 00 05 00 00' },
  { family: 6, prefixes: ['2001:db8::1/128'], bytes: '80 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01' },
];

const anyPrefix = (family: Family): fc.Arbitrary<Prefix> => {
  const bits = family === 4 ? 32 : 128;
  return fc
    .tuple(fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }), fc.integer({ min: 0, max: bits }))
    .map(([value, length]) => prefixOf(addressFromInteger(family, value) as never, length) as Prefix);
};

describe('packed prefixes', () => {
  it.each(KNOWN)('$prefixes', ({ family, prefixes, bytes }) => {
    const values = prefixes.map(prefix);
    expect(packPrefixes(values)).toEqual(hex(bytes));
    expect(nlriLength(values)).toBe(hex(bytes).length);
    expect(decodeNlri(family, hex(bytes))).toEqual(prefixes);
  });

  it('clears the bits beyond the length, whose value is irrelevant', () => {
    expect(decodeNlri(4, hex('0c ac 1f 19 0a 05 01 ff'))).toEqual(['172.16.0.0/12', '10.5.1.128/25']);
    expect(decodeNlri(4, hex('01 ff'))).toEqual(['128.0.0.0/1']);
    expect(decodeNlri(6, hex('31 fd 00 00 05 00 00 ff'))).toEqual(['fd00:5:0:8000::/49']);
  });

  it.each([
    { name: 'IPv4 length 33', family: 4, bytes: '18 0a 05 01 21 0a 05 01 01 00', error: 'bad-length', offset: 4 },
    { name: 'IPv6 length 129', family: 6, bytes: '81 00', error: 'bad-length', offset: 0 },
    { name: 'a prefix cut short', family: 4, bytes: '18 0a 05 01 18 0a 05', error: 'truncated', offset: 4 },
    { name: 'only a length', family: 4, bytes: '20', error: 'truncated', offset: 0 },
  ] as const)('refuses $name', ({ family, bytes, error, offset }) => {
    expect(decodeNlri(family, hex(bytes))).toEqual({ error, offset });
  });

  it('writes into the middle of a buffer and nowhere else', () => {
    const into = new Uint8Array(8).fill(0xa5);
    expect(encodeNlri([prefix('10.5.1.0/24')], into, 2)).toBe(6);
    expect(into).toEqual(hex('a5 a5 18 0a 05 01 a5 a5'));
  });

  it('throws where the buffer is too short', () => {
    expect(() => encodeNlri([prefix('10.5.1.0/24')], new Uint8Array(3))).toThrow(RangeError);
  });

  it.each([4, 6] as const)('gives back what was packed, IPv%i', (family) => {
    fc.assert(
      fc.property(fc.array(anyPrefix(family), { maxLength: 50 }), (prefixes) => {
        expect(decodeNlri(family, packPrefixes(prefixes))).toEqual(prefixes);
      }),
    );
  });

  it('never throws on any bytes', () => {
    fc.assert(
      fc.property(fc.constantFrom(4, 6), fc.uint8Array({ maxLength: 60 }), (family, bytes) => {
        const result = decodeNlri(family, bytes);
        if (!('error' in result)) expect(decodeNlri(family, packPrefixes(result))).toEqual(result);
      }),
    );
  });
});
