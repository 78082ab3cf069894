// Which address comes next, by a slow model beside the fast one, and which are never given.
// Where the addresses in use are kept is address-store.test.ts's.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isInRange, pickAddress, rangeOf, rangeSize } from '../../../cni/pick-address.ts';
import { type Address, address } from '../../../lib/net/address.ts';
import { addressAt, prefix } from '../../../lib/net/prefix.ts';

const SUBNET = prefix('10.5.7.0/28');

describe('the range', () => {
  it.each([
    ['10.5.7.0/24', 252n, '10.5.7.3', '10.5.7.254'],
    ['10.5.7.0/29', 4n, '10.5.7.3', '10.5.7.6'],
    ['10.5.7.0/30', 0n, undefined, undefined],
    ['10.5.7.0/32', 0n, undefined, undefined],
    ['fd00:5:0:7::/64', (1n << 64n) - 3n, 'fd00:5:0:7::3', 'fd00:5:0:7:ffff:ffff:ffff:ffff'],
  ])('of %s has %s addresses', (text, size, first, last) => {
    const range = rangeOf(prefix(text));
    expect(rangeSize(range)).toBe(size);
    expect(pickAddress(range, () => false, undefined)).toBe(first);
    if (last !== undefined) expect(isInRange(range, address(last))).toBe(true);
    for (const never of [0, 1, 2]) {
      const reserved = addressAt(prefix(text), never);
      if (reserved !== undefined) expect(isInRange(range, reserved)).toBe(false);
    }
  });

  it('has neither the broadcast address nor one of another subnet or family', () => {
    for (const text of ['10.5.7.15', '10.5.8.3', 'fd00::3'])
      expect(isInRange(rangeOf(SUBNET), address(text))).toBe(false);
  });
});

describe('pickAddress', () => {
  it('gives what a list of all addresses, turned to the one after the last, gives', () => {
    const all = Array.from({ length: 12 }, (_, at) => addressAt(SUBNET, at + 3) as Address);
    const anyState = fc.record({
      taken: fc.subarray(all),
      previous: fc.option(fc.constantFrom(...all, address('10.9.9.9')), { nil: undefined }),
    });
    fc.assert(
      fc.property(anyState, ({ taken, previous }) => {
        const at = previous === undefined ? -1 : all.indexOf(previous);
        const turned = [...all.slice(at + 1), ...all.slice(0, at + 1)];
        const expected = turned.find((candidate) => !taken.includes(candidate));
        expect(pickAddress(rangeOf(SUBNET), (each) => taken.includes(each), previous)).toBe(expected);
      }),
    );
  });
});
