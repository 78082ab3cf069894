// Addresses, prefixes and MAC addresses as text: what is read, what is refused, what comes out canonical.
// Laws that hold for all values are in test/property/net-values.test.ts.

import { describe, expect, test } from 'vitest';
import {
  address,
  addressBytes,
  addressFromBytes,
  addressFromInteger,
  addressToInteger,
  compareAddresses,
  familyOf,
  parseAddress,
} from '../../../../lib/net/address.ts';
import { localMac, mac, macBytes, macFromBytes, parseMac } from '../../../../lib/net/mac.ts';
import {
  addressAt,
  comparePrefixes,
  parsePrefix,
  prefix,
  prefixContains,
  prefixesOverlap,
  prefixLastAddress,
  prefixOf,
} from '../../../../lib/net/prefix.ts';

describe('address', () => {
  test.each([
    ['10.5.1.0', '10.5.1.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::', '::'],
    ['fd00::0001:0', 'fd00::1:0'],
  ])('reads %s as %s', (text, canonical) => {
    expect(parseAddress(text)).toBe(canonical);
  });

  test.each([
    '',
    ' 10.0.0.1',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.1/24',
    '0x0a000001',
    '167772161',
    'fe80::1%eth0',
    ':::',
    'fd00::1::2',
    'g::',
    'example.net',
  ])('refuses %j', (text) => {
    expect(parseAddress(text)).toBeUndefined();
    expect(() => address(text)).toThrow(TypeError);
  });

  test('keeps an IPv4-mapped IPv6 address IPv6', () => {
    const mapped = address('::ffff:10.0.0.1');
    expect(familyOf(mapped)).toBe(6);
    expect(addressBytes(mapped)).toHaveLength(16);
  });

  test('knows no address of another length', () => {
    for (const length of [0, 3, 5, 15, 17]) expect(addressFromBytes(new Uint8Array(length))).toBeUndefined();
  });

  test('is an integer in the range of its family', () => {
    expect(addressToInteger(address('10.0.0.1'))).toBe(0x0a000001n);
    expect(addressFromInteger(4, 1n << 32n)).toBeUndefined();
    expect(addressFromInteger(4, -1n)).toBeUndefined();
    expect(addressFromInteger(6, (1n << 128n) - 1n)).toBe('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff');
  });

  test('sorts IPv4 first, then by value and not by text', () => {
    const sorted = ['::1', '10.0.0.10', '9.9.9.9', '10.0.0.9'].map(address).sort(compareAddresses);
    expect(sorted).toEqual(['9.9.9.9', '10.0.0.9', '10.0.0.10', '::1']);
  });
});

describe('prefix', () => {
  test.each(['10.5.1.0/24', '0.0.0.0/0', '10.5.1.7/32', 'fd00:5::/48', '::/0', 'fd00::1/128', '10.128.0.0/9'])(
    'reads %s',
    (text) => {
      expect(parsePrefix(text)).toBe(text);
    },
  );

  test.each([
    '10.5.1.7/24',
    '10.5.1.0',
    '10.5.1.0/33',
    '10.5.1.0/-1',
    '10.5.1.0/ 4',
    '10.5.1.0/',
    '/24',
    'fd00::1/48',
    '::/129',
  ])('refuses %j', (text) => {
    expect(parsePrefix(text)).toBeUndefined();
    expect(() => prefix(text)).toThrow(TypeError);
  });

  test('masks an interface address', () => {
    expect(prefixOf(address('10.5.1.7'), 24)).toBe('10.5.1.0/24');
    expect(prefixOf(address('10.5.255.7'), 17)).toBe('10.5.128.0/17');
    expect(prefixOf(address('fd00:5:1::7'), 47)).toBe('fd00:5::/47');
    expect(prefixOf(address('10.5.1.7'), 33)).toBeUndefined();
    expect(prefixOf(address('10.5.1.7'), 1.5)).toBeUndefined();
  });

  test('knows its addresses', () => {
    const subnet = prefix('10.5.1.0/24');
    expect(prefixLastAddress(subnet)).toBe('10.5.1.255');
    expect(prefixLastAddress(prefix('fd00::/126'))).toBe('fd00::3');
    expect(addressAt(subnet, 1)).toBe('10.5.1.1');
    expect(addressAt(subnet, 256)).toBeUndefined();
    expect(addressAt(subnet, -1)).toBeUndefined();
    expect(prefixContains(subnet, address('10.5.1.255'))).toBe(true);
    expect(prefixContains(subnet, address('10.5.2.0'))).toBe(false);
    expect(prefixContains(prefix('0.0.0.0/0'), address('::'))).toBe(false);
  });

  test('knows what it overlaps', () => {
    expect(prefixesOverlap(prefix('10.5.0.0/16'), prefix('10.5.1.0/24'))).toBe(true);
    expect(prefixesOverlap(prefix('10.5.1.0/24'), prefix('10.5.0.0/16'))).toBe(true);
    expect(prefixesOverlap(prefix('10.5.0.0/24'), prefix('10.5.1.0/24'))).toBe(false);
    expect(prefixesOverlap(prefix('0.0.0.0/0'), prefix('::/0'))).toBe(false);
  });

  test('sorts by family, address, then length', () => {
    const sorted = ['::/0', '10.0.0.0/16', '9.0.0.0/8', '10.0.0.0/8'].map(prefix).sort(comparePrefixes);
    expect(sorted).toEqual(['9.0.0.0/8', '10.0.0.0/8', '10.0.0.0/16', '::/0']);
  });
});

describe('MAC address', () => {
  test('reads both separators and either case', () => {
    expect(parseMac('0E-1F-00-AA-BB-CC')).toBe('0e:1f:00:aa:bb:cc');
    expect(macBytes(mac('0e:1f:00:aa:bb:cc'))).toEqual(Uint8Array.of(0x0e, 0x1f, 0, 0xaa, 0xbb, 0xcc));
  });

  test.each(['', '0e:1f:00:aa:bb', '0e:1f:00:aa:bb:cc:dd', '0e1f.00aa.bbcc', 'g0:00:00:00:00:00', '0e:1f:00:aa:bb:c'])(
    'refuses %j',
    (text) => {
      expect(parseMac(text)).toBeUndefined();
      expect(() => mac(text)).toThrow(TypeError);
    },
  );

  test('made locally is unicast and locally administered', () => {
    expect(localMac(Uint8Array.of(0xff, 1, 2, 3, 4, 5, 6))).toBe('fe:01:02:03:04:05');
    expect(localMac(Uint8Array.of(0x00, 1, 2, 3, 4, 5))).toBe('02:01:02:03:04:05');
    expect(macFromBytes(new Uint8Array(5))).toBeUndefined();
  });
});
