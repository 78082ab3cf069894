// The longest-prefix-match trie agrees with a model that looks at every prefix, over any sequence of changes.
// Prefixes are drawn from a small part of the address space, so that they nest, share bits and collide.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Address, addressFromBytes, type Family } from '../../lib/net/address.ts';
import { comparePrefixes, type Prefix, prefixContains, prefixLength, prefixOf } from '../../lib/net/prefix.ts';
import { PrefixMap } from '../../lib/net/prefix-map.ts';

/** Few distinct bytes, so that prefixes meet. */
const byte = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0, 1, 10, 128, 255) },
  { weight: 1, arbitrary: fc.nat(255) },
);

function addressOf(family: Family): fc.Arbitrary<Address> {
  const length = family === 4 ? 4 : 16;
  return fc
    .array(byte, { minLength: length, maxLength: length })
    .map((bytes) => addressFromBytes(Uint8Array.from(bytes)) as Address);
}

const anyAddress = fc.constantFrom<Family>(4, 6).chain(addressOf);
const anyPrefix = fc
  .constantFrom<Family>(4, 6)
  .chain((family) => fc.tuple(addressOf(family), fc.nat(family === 4 ? 32 : 128)))
  .map(([address, length]) => prefixOf(address, length) as Prefix);

const change = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('set' as const), prefix: anyPrefix, value: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), prefix: anyPrefix, value: fc.nat() }) },
);

function slowMatch(model: ReadonlyMap<Prefix, number>, address: Address): number | undefined {
  const around = [...model.keys()].filter((prefix) => prefixContains(prefix, address));
  const longest = around.sort((a, b) => prefixLength(b) - prefixLength(a))[0];
  return longest === undefined ? undefined : model.get(longest);
}

test('agrees with a list of prefixes on every look-up, size and listing', () => {
  const scenario = fc.record({
    changes: fc.array(change, { maxLength: 60 }),
    deleteAgain: fc.array(fc.nat(), { maxLength: 20 }),
    probes: fc.array(anyAddress, { minLength: 1, maxLength: 20 }),
  });
  fc.assert(
    fc.property(scenario, ({ changes, deleteAgain, probes }) => {
      const map = new PrefixMap<number>();
      const model = new Map<Prefix, number>();
      const remove = (prefix: Prefix): void => expect(map.delete(prefix)).toBe(model.delete(prefix));
      for (const { op, prefix, value } of changes) {
        if (op === 'delete') remove(prefix);
        else {
          map.set(prefix, value);
          model.set(prefix, value);
        }
      }
      // Deletes that hit: a random prefix is seldom one that is there.
      for (const index of deleteAgain) {
        const present = [...model.keys()];
        if (present.length > 0) remove(present[index % present.length] as Prefix);
      }
      expect(map.size).toBe(model.size);
      const sorted = [...model].sort(([a], [b]) => comparePrefixes(a, b));
      expect([...map.entries()]).toEqual(sorted);
      for (const [prefix, value] of model) expect(map.get(prefix)).toBe(value);
      for (const address of probes) expect(map.match(address)).toBe(slowMatch(model, address));
    }),
    { numRuns: 400 },
  );
});
