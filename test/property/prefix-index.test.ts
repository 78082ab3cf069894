// Longest-prefix match agrees with a model that looks at every prefix, over any sequence of changes.
// Prefixes are drawn from a small part of the address space, so that they nest, share bits and collide.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NO_PREFIX, PrefixIndex } from '../../flanneld/dataplane/prefix-index.ts';
import { PREFIX_WORDS, prefixWords } from '../../flanneld/dataplane/table-changes.ts';
import { type Address, address, addressBytes, addressFromBytes, type Family, familyOf } from '../../lib/net/address.ts';
import { type Prefix, prefix, prefixContains, prefixLength, prefixOf } from '../../lib/net/prefix.ts';

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
  .map(([of, length]) => prefixOf(of, length) as Prefix);

const change = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('set' as const), prefix: anyPrefix }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), prefix: anyPrefix }) },
);

function slowMatch(model: ReadonlyMap<Prefix, number>, of: Address): number {
  const around = [...model.keys()].filter((each) => prefixContains(each, of));
  const longest = around.sort((a, b) => prefixLength(b) - prefixLength(a))[0];
  return longest === undefined ? NO_PREFIX : (model.get(longest) as number);
}

function add(index: PrefixIndex, each: Prefix): number {
  const [family = 0, length = 0] = prefixWords(each);
  return index.add(family as Family, length, Int32Array.from(prefixWords(each)), PREFIX_WORDS.address);
}

function find(index: PrefixIndex, each: Prefix): number {
  const [family = 0, length = 0] = prefixWords(each);
  return index.find(family as Family, length, Int32Array.from(prefixWords(each)), PREFIX_WORDS.address);
}

/** In the midst of other bytes. */
function match(index: PrefixIndex, of: Address): number {
  return index.match(familyOf(of), Uint8Array.of(9, 9, ...addressBytes(of), 9), 2);
}

test('agrees with a list of prefixes on every look-up and on the size', () => {
  const scenario = fc.record({
    changes: fc.array(change, { maxLength: 60 }),
    deleteAgain: fc.array(fc.nat(), { maxLength: 20 }),
    probes: fc.array(anyAddress, { minLength: 1, maxLength: 20 }),
  });
  fc.assert(
    fc.property(scenario, ({ changes, deleteAgain, probes }) => {
      const index = new PrefixIndex();
      const model = new Map<Prefix, number>();
      const remove = (each: Prefix): void => {
        expect(find(index, each)).toBe(model.get(each) ?? NO_PREFIX);
        if (model.has(each)) index.remove(model.get(each) as number);
        model.delete(each);
      };
      for (const { op, prefix: each } of changes) {
        if (op === 'delete') remove(each);
        else model.set(each, add(index, each));
      }
      // Deletes that hit: a random prefix is seldom one that is there.
      for (const number of deleteAgain) {
        const present = [...model.keys()];
        if (present.length > 0) remove(present[number % present.length] as Prefix);
      }
      expect(index.size).toBe(model.size);
      // Each has a number of its own.
      expect(new Set(model.values()).size).toBe(model.size);
      for (const [each, number] of model) expect(find(index, each)).toBe(number);
      for (const of of probes) expect(match(index, of)).toBe(slowMatch(model, of));
    }),
    { numRuns: 400 },
  );
});

test('20,000 prefixes, half of them removed again: each is found by itself, numbers are used again', () => {
  const index = new PrefixIndex();
  const texts = Array.from({ length: 20_000 }, (_, i) => [`10.${i >> 8}.${i & 255}.0`, `fd00:${i.toString(16)}::`]);
  const numbers = texts.map(([four, six]) => [add(index, prefix(`${four}/24`)), add(index, prefix(`${six}/48`))]);
  const first = numbers.flat();
  expect(new Set(first).size).toBe(40_000);
  for (const [i, [four = 0, six = 0]] of numbers.entries())
    if (i % 2 === 0) for (const id of [four, six]) index.remove(id);
  expect(index.size).toBe(20_000);
  for (const i of [0, 1, 2, 9_999, 19_998, 19_999]) {
    const [four = '', six = ''] = texts[i] ?? [];
    const expected = i % 2 === 0 ? [NO_PREFIX, NO_PREFIX] : numbers[i];
    expect([match(index, address(four.replace(/0$/, '7'))), match(index, address(`${six}7`))]).toEqual(expected);
  }
  const again = Array.from({ length: 20_000 }, (_, i) => add(index, prefix(`172.${i >> 8}.${i & 255}.1/32`)));
  expect(Math.max(...again)).toBeLessThan(40_000);
});
