// Unequal shares among equal paths: the weight of a path becomes that of its next hop in the served group.
// How the kernel gets it: test/unit/felix; where a weight comes from: policy and the configuration file.

import { expect, test } from 'vitest';
import { COMMUNITY } from '../../../../bgpd/rib/attributes.ts';
import { applyPolicy } from '../../../../bgpd/rib/policy.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { B, C, ebgp, ibgp, RibScene, via, wayTo } from './rib-scene.ts';

const P = prefix('10.5.9.0/24');

function weightsOf(scene: RibScene): Record<string, number> | undefined {
  const group = scene.table.groups.get(scene.table.groupOf(P) ?? 0);
  return group && Object.fromEntries(group.nextHops.map(({ gateway, weight }) => [gateway, weight]));
}

test('every path has one: shares follow; one has none: equal shares', () => {
  const scene = new RibScene();
  scene.up(ibgp('b', B), ibgp('c', C));
  scene.announce('b', [P], via(B, { weight: 3 }));
  scene.announce('c', [P], via(C, { weight: 1 }));
  expect(weightsOf(scene)).toEqual({ '10.5.2.0': 3, '10.5.3.0': 1 });
  scene.announce('c', [P], via(C));
  expect(weightsOf(scene)).toEqual({ '10.5.2.0': 1, '10.5.3.0': 1 });
});

test('a weight decides nothing', () => {
  const scene = new RibScene();
  scene.up(ibgp('b', B), ibgp('c', C));
  scene.announce('b', [P], via(B, { weight: 1 }));
  scene.announce('c', [P], via(C, { weight: 256 }));
  expect(scene.rib.explain(P)).toMatchObject({ decidedBy: 'router id', decision: { best: { source: { peer: 'b' } } } });
});

test('prefixes to the same nodes with other weights are in another group; a lost next hop leaves the rest', () => {
  const scene = new RibScene();
  const q = prefix('10.5.10.0/24');
  scene.up(ibgp('b', B), ibgp('c', C));
  scene.announce('b', [P], via(B, { weight: 3 }));
  scene.announce('b', [q], via(B, { weight: 2 }));
  scene.announce('c', [P, q], via(C, { weight: 1 }));
  expect(scene.table.groupOf(P)).not.toBe(scene.table.groupOf(q));
  scene.publish(scene.rib.removeNextHop(2, undefined));
  expect([scene.gatewaysOf(P), scene.gatewaysOf(q)]).toEqual([['10.5.3.0'], ['10.5.3.0']]);
});

test("flanneld's weight and the path's are multiplied, up to what the kernel takes", () => {
  const scene = new RibScene();
  const way = wayTo(2, B);
  scene.publish(
    scene.rib.setNextHop({ ...way, nextHops: way.nextHops.map((hop) => ({ ...hop, weight: 2 })) }, undefined),
  );
  scene.up(ibgp('b', B), ibgp('c', C));
  scene.announce('b', [P], via(B, { weight: 200 }));
  scene.announce('c', [P], via(C, { weight: 5 }));
  expect(weightsOf(scene)).toEqual({ '10.5.2.0': 256, '10.5.3.0': 5 });
});

test('told inside the AS, never outside, and not believed from outside', () => {
  const scene = new RibScene({ clusterId: B });
  scene.up({ ...ibgp('c', C), client: true }, ebgp('x', 65_001), ebgp('y', 65_002));
  scene.announce('x', [P], { ...via(B, { weight: 9 }), asPath: [65_001] });
  expect(scene.told('c')[P]).not.toHaveProperty('weight');
  const q = prefix('10.5.10.0/24');
  scene.announce('c', [q], via(C, { weight: 9 }));
  expect(scene.told('y')[q]).not.toHaveProperty('weight');
  scene.up({ ...ibgp('d', C), client: true });
  expect(scene.told('d')[q]).toMatchObject({ weight: 9 });
});

test('a policy sets it', () => {
  const statement = {
    name: 's',
    if: { communities: [COMMUNITY.noExport] },
    set: { weight: 7 },
    action: 'accept',
  } as const;
  const policy = { name: 'p', statements: [statement], otherwise: 'accept' } as const;
  expect(applyPolicy(policy, '', via(B, { communities: [COMMUNITY.noExport] }), 'b')).toMatchObject({ weight: 7 });
  expect(applyPolicy(policy, '', via(B), 'b')).not.toHaveProperty('weight');
});
