// Policy: judging by classes of prefixes is judging each prefix, changes of policy under announced routes end where a fresh
// start would, and a policy that lets everything pass changes nothing.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Attributes, localAttributes } from '../../bgpd/rib/attributes.ts';
import { applyPolicy, classOf, judgeImport, type Policy, unused } from '../../bgpd/rib/policy.ts';
import { Rib } from '../../bgpd/rib/rib.ts';
import type { RibPeer } from '../../bgpd/rib/rib-peer.ts';
import { type Address, address } from '../../lib/net/address.ts';
import { type Prefix, prefix, prefixAddress, prefixContains, prefixLength } from '../../lib/net/prefix.ts';

const OWN = address('10.0.0.1');
const PREFIXES = Array.from({ length: 8 }, (_, i) => prefix(i < 4 ? `10.5.${i}.0/24` : `10.${i}.0.0/16`));
const PEER: RibPeer = { name: 'x', kind: 'ebgp', asn: 65_001, routerId: OWN, address: OWN, families: [4] };

const attributes: fc.Arbitrary<Attributes> = fc.record({
  origin: fc.constant('igp' as const),
  asPath: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
  nextHop: fc.constantFrom<Address>(address('10.0.0.2'), address('10.0.0.3')),
  clusterList: fc.constant([]),
  communities: fc.uniqueArray(fc.integer({ min: 1, max: 3 })).map((list) => list.toSorted((a, b) => a - b)),
  largeCommunities: fc.constant([]),
});

const range = fc
  .tuple(
    fc.constantFrom('10.0.0.0/8', '10.5.0.0/16', '10.5.1.0/24', '0.0.0.0/0', 'fd00::/16'),
    fc.integer({ min: 0, max: 32 }),
    fc.nat(16),
  )
  .map(([inside, minLength, more]) => ({ prefix: prefix(inside), minLength, maxLength: minLength + more }));

const statement = fc.record({
  name: fc.constant('s'),
  if: fc.record(
    {
      prefixes: fc.array(range, { maxLength: 2 }),
      communities: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
      neighbours: fc.constantFrom(['x'], ['y']),
      asPath: fc.record({ passes: fc.constantFrom([1], [2, 3]) }),
    },
    { requiredKeys: [] },
  ),
  set: fc.record(
    {
      localPref: fc.constantFrom(50, 200),
      med: fc.constant(7),
      addCommunities: fc.constantFrom([1], [2, 9]),
      removeCommunities: fc.constantFrom([3], [2]),
      prepend: fc.constant({ asn: 5, times: 2 }),
    },
    { requiredKeys: [] },
  ),
  action: fc.constantFrom('accept' as const, 'reject' as const, 'next' as const),
});

const policy: fc.Arbitrary<Policy> = fc.record({
  name: fc.constant('p'),
  statements: fc.array(statement, { maxLength: 4 }),
  otherwise: fc.constantFrom('accept' as const, 'reject' as const),
});

test('an announcement is judged as each of its prefixes would be alone, and none is lost on the way', () => {
  fc.assert(
    fc.property(policy, attributes, fc.constantFrom('x', 'y'), (by, told, neighbour) => {
      const judged = judgeImport(by, neighbour, told, PREFIXES);
      for (const each of PREFIXES) {
        const alone = applyPolicy(by, classOf(by, each), told, neighbour);
        expect(judged.find(({ prefixes }) => prefixes.includes(each))?.attributes).toEqual(alone);
      }
      const passed = judged.flatMap(({ prefixes }) => prefixes);
      expect([...passed, ...unused(PREFIXES, judged)].sort()).toEqual([...PREFIXES].sort());
    }),
  );
});

test('the class of a prefix says of each statement that looks at prefixes whether one of its ranges has it', () => {
  const six = prefix('fd00:5::/48');
  fc.assert(
    fc.property(policy, (by) => {
      for (const each of [...PREFIXES, six]) {
        const inRanges = by.statements.flatMap(({ if: { prefixes } }) => {
          if (prefixes === undefined) return [];
          const length = prefixLength(each);
          return prefixes.some(
            (of) =>
              prefixContains(of.prefix, prefixAddress(each)) &&
              length >= Math.max(of.minLength, prefixLength(of.prefix)) &&
              length <= of.maxLength,
          );
        });
        expect(classOf(by, each)).toBe(inRanges.map((inRange) => (inRange ? '1' : '0')).join(''));
      }
    }),
  );
});

test('without statements everything passes unchanged, or nothing passes', () => {
  fc.assert(
    fc.property(attributes, (told) => {
      const nothing = { name: 'p', statements: [] };
      expect(applyPolicy({ ...nothing, otherwise: 'accept' }, '', told, 'x')).toEqual(told);
      expect(applyPolicy({ ...nothing, otherwise: 'reject' }, '', told, 'x')).toBeUndefined();
    }),
  );
});

test('what a peer holds after any changes of policy is what it would hold had the last one always been there', () => {
  fc.assert(
    fc.property(
      fc.array(policy, { minLength: 1, maxLength: 3 }),
      fc.array(fc.subarray(PREFIXES, { minLength: 1 }), { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      (policies, batches, draining) => {
        const changed = ribWith(batches);
        changed.peerUp(PEER);
        const held = new Map<Prefix, Attributes>();
        for (const by of policies) {
          pull(changed, held, 3);
          finish(changed.setPolicies(new Map([['', { export: by }]]), undefined));
        }
        finish(changed.setDraining(draining, undefined));
        pull(changed, held, 1_000);

        const fresh = ribWith(batches);
        finish(fresh.setPolicies(new Map([['', { export: policies.at(-1) }]]), undefined));
        finish(fresh.setDraining(draining, undefined));
        fresh.peerUp(PEER);
        const wanted = new Map<Prefix, Attributes>();
        pull(fresh, wanted, 1_000);
        expect(Object.fromEntries(held)).toEqual(Object.fromEntries(wanted));
      },
    ),
  );
});

function ribWith(batches: readonly (readonly Prefix[])[]): Rib {
  const rib = new Rib({ asn: 64_512, routerId: OWN, maximumPaths: 1 }, OWN);
  for (const [i, prefixes] of batches.entries()) {
    rib.originate(OWN, prefixes, undefined, { ...localAttributes(OWN), communities: [i + 1] });
  }
  return rib;
}

function finish(work: Generator<void>): void {
  while (work.next().done !== true);
}

function pull(rib: Rib, held: Map<Prefix, Attributes>, maxPrefixes: number): void {
  for (let next = rib.nextUpdates('x', maxPrefixes); next !== undefined; next = rib.nextUpdates('x', maxPrefixes)) {
    for (const { withdrawn, announced, attributes: told } of next.updates) {
      for (const each of withdrawn) held.delete(each);
      for (const each of announced) held.set(each, told as Attributes);
    }
    if (maxPrefixes < 10) return;
  }
}
