// The longest-prefix-match trie: hand-picked shapes of the tree. Agreement with a slow model is a property test.
// The shapes are those where a path-compressed trie can go wrong: forks, roots, full-length keys, removal of each.

import { describe, expect, test } from 'vitest';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { PrefixMap } from '../../../../lib/net/prefix-map.ts';

function mapOf(...prefixes: string[]): PrefixMap<string> {
  const map = new PrefixMap<string>();
  for (const text of prefixes) map.set(prefix(text), text);
  return map;
}

describe('match', () => {
  test('prefers the longer of two nested prefixes, in any order of insertion', () => {
    for (const map of [
      mapOf('10.0.0.0/8', '10.5.0.0/16', '10.5.1.0/24'),
      mapOf('10.5.1.0/24', '10.5.0.0/16', '10.0.0.0/8'),
    ]) {
      expect(map.match(address('10.5.1.9'))).toBe('10.5.1.0/24');
      expect(map.match(address('10.5.2.9'))).toBe('10.5.0.0/16');
      expect(map.match(address('10.6.0.1'))).toBe('10.0.0.0/8');
      expect(map.match(address('11.0.0.1'))).toBeUndefined();
    }
  });

  test('takes a default route where nothing else fits, each family its own', () => {
    const map = mapOf('0.0.0.0/0', '10.5.1.0/24', 'fd00::/8');
    expect(map.match(address('192.0.2.1'))).toBe('0.0.0.0/0');
    expect(map.match(address('fd12::1'))).toBe('fd00::/8');
    expect(map.match(address('2001:db8::1'))).toBeUndefined();
  });

  test('tells neighbours apart down to the last bit', () => {
    const map = mapOf('10.5.1.6/32', '10.5.1.7/32', 'fd00::6/128', 'fd00::7/128');
    expect(map.match(address('10.5.1.7'))).toBe('10.5.1.7/32');
    expect(map.match(address('10.5.1.8'))).toBeUndefined();
    expect(map.match(address('fd00::6'))).toBe('fd00::6/128');
  });

  test('reads bytes in the middle of a packet', () => {
    const map = mapOf('10.5.1.0/24');
    expect(map.matchBytes(4, Uint8Array.of(9, 9, 10, 5, 1, 77, 9), 2)).toBe('10.5.1.0/24');
  });

  test('a fork is not an entry', () => {
    const map = mapOf('10.0.0.0/16', '10.1.0.0/16');
    expect(map.size).toBe(2);
    expect(map.get(prefix('10.0.0.0/15'))).toBeUndefined();
    expect(map.match(address('10.2.0.1'))).toBeUndefined();
    map.set(prefix('10.0.0.0/15'), 'fork');
    expect(map.get(prefix('10.0.0.0/15'))).toBe('fork');
    expect(map.size).toBe(3);
  });
});

describe('set and delete', () => {
  test('set replaces a value and keeps the size', () => {
    const map = mapOf('10.5.1.0/24');
    map.set(prefix('10.5.1.0/24'), 'new');
    expect([map.size, map.get(prefix('10.5.1.0/24'))]).toEqual([1, 'new']);
  });

  test('delete leaves what lies above and below', () => {
    const map = mapOf('10.0.0.0/8', '10.5.0.0/16', '10.5.1.0/24', '10.5.2.0/24');
    expect(map.delete(prefix('10.5.0.0/16'))).toBe(true);
    expect(map.delete(prefix('10.5.0.0/16'))).toBe(false);
    expect(map.match(address('10.5.3.1'))).toBe('10.0.0.0/8');
    expect(map.match(address('10.5.2.1'))).toBe('10.5.2.0/24');
    expect(map.delete(prefix('10.5.1.0/24'))).toBe(true);
    expect(map.match(address('10.5.1.1'))).toBe('10.0.0.0/8');
  });

  test('delete of what was never there changes nothing', () => {
    const map = mapOf('10.5.1.0/24');
    for (const text of ['10.5.0.0/16', '10.5.1.0/25', '0.0.0.0/0', '::/0'])
      expect(map.delete(prefix(text))).toBe(false);
    expect(map.size).toBe(1);
  });

  test('is empty again when everything is deleted', () => {
    const texts = ['0.0.0.0/0', '10.0.0.0/8', '10.5.1.0/24', '10.5.1.1/32', '::/0', 'fd00::/8'];
    const map = mapOf(...texts);
    for (const text of texts) map.delete(prefix(text));
    expect([map.size, ...map.entries()]).toEqual([0]);
  });
});

test('lists by family and address, shorter first', () => {
  const sorted = ['9.0.0.0/8', '10.0.0.0/8', '10.0.0.0/16', '10.5.1.0/24', '::/0', 'fd00::/8'];
  expect([...mapOf(...sorted.toReversed()).entries()].map(([key]) => key)).toEqual(sorted);
});
