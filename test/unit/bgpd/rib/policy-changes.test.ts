// A change of policy that is walked in steps, and everything that may come between two of them.
// Any sequence of policies, each walked to its end: test/property/policy.test.ts. A live bgpd: test/topology/bgpd-slices.test.ts.

import { expect, test } from 'vitest';
import type { Policy } from '../../../../bgpd/rib/policy.ts';
import type { Cause } from '../../../../lib/feed/feed.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { B, C, ibgp, manyPrefixes, OWN, RibScene } from './rib-scene.ts';

const CAUSE: Cause = { id: 'bgpd-1-1', kind: 'policy-changed', detectedUnixUs: 1n, decidedUnixUs: 0n };

test('policies that change while another change is still walked, with routes and peers that come and go: as if the last had always been there', () => {
  const prefixes = manyPrefixes(2_000);
  const by = (name: string, ...within: readonly string[]): Policy => ({
    name,
    statements: [
      {
        name: 's',
        if: { prefixes: within.map((each) => ({ prefix: prefix(each), minLength: 24, maxLength: 24 })) },
        set: { addCommunities: [within.length] },
        action: 'accept',
      },
    ],
    otherwise: 'reject',
  });
  const scene = new RibScene();
  const { rib } = scene;
  scene.up(ibgp('b', B));
  scene.publish(rib.originate(OWN, prefixes, undefined));
  const held = scene.told('b');
  expect(Object.keys(held)).toHaveLength(2_000);

  const first = rib.setPolicies(new Map([['', { export: by('first', '20.0.0.0/14') }]]), CAUSE);
  let steps = 0;
  const walk = (some: Generator<void>, count: number): void => {
    for (let i = 0; i < count && some.next().done !== true; i++) steps++;
  };
  walk(first, 3);
  scene.publish(rib.withdrawLocal(prefixes.slice(0, 100), CAUSE));
  scene.publish(rib.withdrawLocal(prefixes.slice(1_900), CAUSE));
  const last = by('last', '20.4.0.0/16', '20.0.0.0/16');
  const second = rib.setPolicies(new Map([['', { export: last }]]), CAUSE);
  walk(second, 2);
  scene.up(ibgp('c', C));
  scene.publish(rib.originate(OWN, [...prefixes.slice(0, 50), ...manyPrefixes(300, 30)], CAUSE));
  walk(first, 2);
  scene.publish(rib.originate(OWN, prefixes.slice(600, 900), CAUSE, { med: 7 }));
  walk(second, 1_000);
  walk(first, 1_000);
  // The work was cut: several steps of each.
  expect(steps).toBeGreaterThan(10);

  const fresh = new RibScene();
  for (const _ of fresh.rib.setPolicies(new Map([['', { export: last }]]), undefined));
  const left = [...prefixes.slice(100, 600), ...prefixes.slice(900, 1_900), ...prefixes.slice(0, 50)];
  fresh.publish(fresh.rib.originate(OWN, [...left, ...manyPrefixes(300, 30)], undefined));
  fresh.publish(fresh.rib.originate(OWN, prefixes.slice(600, 900), undefined, { med: 7 }));
  fresh.up(ibgp('b', B));
  const wanted = fresh.told('b');
  expect(scene.told('c')).toEqual(wanted);
  expect(scene.told('b', held)).toEqual(wanted);
});
