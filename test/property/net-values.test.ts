// Laws of addresses, prefixes and MAC addresses: text, bytes and integers are the same value; order is a total order.
// Whatever text comes in, nothing throws.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Address,
  addressBytes,
  addressFromBytes,
  addressFromInteger,
  addressToInteger,
  compareAddresses,
  familyOf,
  parseAddress,
} from '../../lib/net/address.ts';
import { type Mac, macBytes, macFromBytes, parseMac } from '../../lib/net/mac.ts';
import {
  comparePrefixes,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixContains,
  prefixesOverlap,
  prefixLastAddress,
  prefixLength,
  prefixOf,
} from '../../lib/net/prefix.ts';

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const anyAddress = fc.oneof(bytesOf(4), bytesOf(16)).map((bytes) => addressFromBytes(bytes) as Address);
const anyPrefix = fc
  .tuple(anyAddress, fc.nat(128))
  .map(([address, length]) => prefixOf(address, familyOf(address) === 4 ? length % 33 : length) as Prefix);

test('an address survives text, bytes and integer', () => {
  fc.assert(
    fc.property(anyAddress, (address) => {
      expect(parseAddress(address)).toBe(address);
      expect(addressFromBytes(addressBytes(address))).toBe(address);
      expect(addressFromInteger(familyOf(address), addressToInteger(address))).toBe(address);
    }),
  );
});

test('addresses are ordered as their integers are, IPv4 first', () => {
  fc.assert(
    fc.property(anyAddress, anyAddress, (a, b) => {
      const byFamily = familyOf(a) - familyOf(b);
      const difference = addressToInteger(a) - addressToInteger(b);
      const byValue = difference === 0n ? 0 : difference > 0n ? 1 : -1;
      expect(Math.sign(compareAddresses(a, b))).toBe(Math.sign(byFamily) || byValue);
    }),
  );
});

test('a prefix is its first address and its length, and holds exactly what lies between first and last', () => {
  fc.assert(
    fc.property(anyPrefix, anyAddress, (prefix, address) => {
      expect(parsePrefix(prefix)).toBe(prefix);
      expect(prefixOf(prefixAddress(prefix), prefixLength(prefix))).toBe(prefix);
      const [first, last] = [prefixAddress(prefix), prefixLastAddress(prefix)];
      const isBetween = compareAddresses(first, address) <= 0 && compareAddresses(address, last) <= 0;
      expect(prefixContains(prefix, address)).toBe(isBetween && familyOf(address) === familyOf(first));
      expect(prefixContains(prefix, first) && prefixContains(prefix, last)).toBe(true);
    }),
  );
});

test('two prefixes overlap where one holds the first address of the other', () => {
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (a, b) => {
      const expected = prefixContains(a, prefixAddress(b)) || prefixContains(b, prefixAddress(a));
      expect(prefixesOverlap(a, b)).toBe(expected);
      expect(prefixesOverlap(b, a)).toBe(expected);
      expect(comparePrefixes(a, b) === 0).toBe(a === b);
    }),
  );
});

test('a MAC address survives text and bytes', () => {
  fc.assert(
    fc.property(bytesOf(6), (bytes) => {
      const mac = macFromBytes(bytes) as Mac;
      expect(parseMac(mac)).toBe(mac);
      expect(parseMac(mac.toUpperCase().replaceAll(':', '-'))).toBe(mac);
      expect(macBytes(mac)).toEqual(bytes);
    }),
  );
});

test('no text makes a parser throw, and what is accepted is canonical', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:./%]{0,45}$/));
  fc.assert(
    fc.property(text, (value) => {
      const address = parseAddress(value);
      if (address !== undefined) expect(parseAddress(address)).toBe(address);
      const prefix = parsePrefix(value);
      if (prefix !== undefined) expect(parsePrefix(prefix)).toBe(prefix);
      const mac = parseMac(value);
      if (mac !== undefined) expect(parseMac(mac)).toBe(mac);
    }),
    { numRuns: 1000 },
  );
});
