// The RIBs as a whole, one story each: what a failure costs in feed events, who is told what, what is refused.
// Any sequence of operations against a model: test/property/rib-model.test.ts.

import { beforeEach, describe, expect, test } from 'vitest';
import { type Attributes, COMMUNITY, localAttributes } from '../../../../bgpd/rib/attributes.ts';
import type { Rib } from '../../../../bgpd/rib/rib.ts';
import type { RibPeer } from '../../../../bgpd/rib/rib-peer.ts';
import type { Cause } from '../../../../lib/feed/feed.ts';
import type { FeedTable } from '../../../../lib/feed/feed-table.ts';
import { address } from '../../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../../lib/net/prefix.ts';
import { B, C, ebgp, ibgp, lp, manyPrefixes, OWN, RibScene, wayTo } from './rib-scene.ts';

const CAUSE: Cause = { id: 'bgpd-1-1', kind: 'peer-down', detectedUnixUs: 1n, decidedUnixUs: 0n };

let scene: RibScene;
let rib: Rib;
let table: FeedTable;

beforeEach(() => {
  scene = new RibScene();
  ({ rib, table } = scene);
});

describe('prefix-independent convergence', () => {
  test('a peer dies and 10,000 prefixes have another path: one group event, no route moves', () => {
    const prefixes = manyPrefixes(10_000);
    scene.up(ibgp('b', B), ibgp('c', C));
    scene.announce('b', prefixes, { ...localAttributes(B), localPref: 200 });
    scene.announce('c', prefixes, { ...localAttributes(C), localPref: 100 });
    expect(scene.gatewaysOf(prefixes[0])).toEqual(['10.5.2.0']);

    const events = scene.publish(rib.peerDown('b', CAUSE));
    expect(events.map(({ type }) => type)).toEqual(['group']);
    expect(scene.gatewaysOf(prefixes[9_999])).toEqual(['10.5.3.0']);
    expect(rib.explain(prefixes[0] as Prefix)?.verdicts).toHaveLength(1);
  });

  test('the way to a node is lost: one group event as well, and back when it returns', () => {
    const prefixes = manyPrefixes(1_000);
    scene.up(ibgp('b', B), ibgp('c', C));
    scene.announce('b', prefixes, { ...localAttributes(B), localPref: 200 });
    scene.announce('c', prefixes, { ...localAttributes(C), localPref: 100 });
    expect(scene.publish(rib.removeNextHop(2, CAUSE)).map(({ type }) => type)).toEqual(['group']);
    expect(scene.gatewaysOf(prefixes[0])).toEqual(['10.5.3.0']);
    expect(scene.publish(rib.setNextHop(wayTo(2, B), CAUSE)).map(({ type }) => type)).toEqual(['group']);
    expect(scene.gatewaysOf(prefixes[0])).toEqual(['10.5.2.0']);
  });

  test('ECMP loses one of its next hops: one group event', () => {
    const prefixes = manyPrefixes(1_000);
    scene.up(ibgp('b', B), ibgp('c', C));
    scene.announce('b', prefixes, lp(localAttributes(B)));
    scene.announce('c', prefixes, lp(localAttributes(C)));
    expect(scene.gatewaysOf(prefixes[0])).toEqual(['10.5.2.0', '10.5.3.0']);
    expect(scene.publish(rib.peerDown('c', CAUSE)).map(({ type }) => type)).toEqual(['group']);
    expect(scene.gatewaysOf(prefixes[0])).toEqual(['10.5.2.0']);
  });

  test('prefixes that only the dead peer had are withdrawn, the others move by their group', () => {
    const both = manyPrefixes(100);
    const only = manyPrefixes(100, 30);
    scene.up(ibgp('b', B), ibgp('c', C));
    scene.announce('b', [...both, ...only], lp(localAttributes(B)));
    scene.announce('c', both, { ...localAttributes(C), localPref: 50 });
    const events = scene.publish(rib.peerDown('b', CAUSE));
    expect(events.map(({ type }) => type)).toEqual(['group', 'withdrawn', 'group-removed']);
    expect(table.routeCount).toBe(100);
    expect(scene.gatewaysOf(both[0])).toEqual(['10.5.3.0']);
  });

  test('a gateway changes: one group event', () => {
    const prefixes = manyPrefixes(10);
    scene.up(ibgp('b', B));
    scene.announce('b', prefixes, lp(localAttributes(B)));
    const moved = { ...wayTo(2, B), nextHops: [{ gateway: address('10.5.99.0'), onlink: true, weight: 1 }] };
    expect(scene.publish(rib.setNextHop(moved, CAUSE)).map(({ type }) => type)).toEqual(['group']);
    expect(scene.gatewaysOf(prefixes[0])).toEqual(['10.5.99.0']);
  });
});

test('a path whose next hop nobody leads to is not used, until somebody does', () => {
  scene.up(ibgp('d', address('10.0.0.9')));
  scene.announce('d', [prefix('10.5.9.0/24')], lp(localAttributes(address('10.0.0.9'))));
  expect(table.routeCount).toBe(0);
  scene.publish(rib.setNextHop(wayTo(9, address('10.0.0.9')), undefined));
  expect(scene.gatewaysOf(prefix('10.5.9.0/24'))).toEqual(['10.5.9.0']);
  scene.publish(rib.removeNextHop(9, undefined));
  expect(table.routeCount).toBe(0);
  expect(table.groups.size).toBe(0);
});

test('each family is resolved by a gateway of its own', () => {
  scene.up({ ...ibgp('b', B), families: [4, 6] });
  const six = prefix('fd00:5::/64');
  scene.receive('b', { family: 6, withdrawn: [], announced: [six], attributes: lp(localAttributes(B)) });
  expect(table.groupOf(six)).toBeUndefined();
  const gateway = address('fd00:5:2::');
  scene.publish(rib.setNextHop({ ...wayTo(22, B), nextHops: [{ gateway, onlink: true, weight: 1 }] }, undefined));
  expect(scene.gatewaysOf(six)).toEqual(['fd00:5:2::']);
});

describe('who is told', () => {
  test('internal peers: own routes with LOCAL_PREF; not what another internal peer said', () => {
    scene.up(ibgp('b', B), ibgp('c', C));
    scene.publish(rib.originate(OWN, [prefix('10.5.1.0/24')], undefined));
    scene.announce('b', [prefix('10.5.2.0/24')], lp(localAttributes(B)));
    expect(scene.told('c')).toEqual({ '10.5.1.0/24': { ...localAttributes(OWN), localPref: 100 } });
  });

  test('external peers: everything, with our AS in front, NEXT_HOP untouched, and nothing that is internal', () => {
    scene.up(ibgp('b', B), ebgp('x', 65_001));
    const med = { ...localAttributes(B), localPref: 300, med: 9, originatorId: C, clusterList: [C], communities: [5] };
    scene.announce('b', [prefix('10.5.2.0/24')], med);
    expect(scene.told('x')).toEqual({ '10.5.2.0/24': { ...localAttributes(B), asPath: [64_512], communities: [5] } });
  });

  test('well-known communities hold routes back', () => {
    scene.up(ibgp('b', B), ebgp('x', 65_001), ebgp('y', 65_002));
    const from = { ...localAttributes(C), asPath: [65_001] };
    scene.announce('x', [prefix('10.6.0.0/24')], { ...from, communities: [COMMUNITY.noExport] });
    scene.announce('x', [prefix('10.6.1.0/24')], { ...from, communities: [COMMUNITY.noAdvertise] });
    scene.announce('x', [prefix('10.6.2.0/24')], from);
    expect(Object.keys(scene.told('y'))).toEqual(['10.6.2.0/24']);
    expect(Object.keys(scene.told('b')).sort()).toEqual(['10.6.0.0/24', '10.6.2.0/24']);
  });

  test('a peer that comes later is told everything, then END-OF-RIB, and no causes of long ago', () => {
    scene.publish(rib.originate(OWN, manyPrefixes(10), CAUSE));
    scene.up(ibgp('b', B));
    const messages = scene.drain('b', 4);
    expect(messages.map(({ updates }) => updates.flatMap(({ announced }) => announced).length)).toEqual([4, 4, 2]);
    expect(messages.map(({ endOfRib }) => endOfRib)).toEqual([[], [], [4]]);
    expect(messages.flatMap(({ updates }) => updates).some(({ cause }) => cause !== undefined)).toBe(false);
    scene.publish(rib.originate(OWN, [prefix('10.5.1.0/24')], CAUSE));
    expect(rib.nextUpdates('b', 10)?.updates).toMatchObject([{ cause: CAUSE }]);
  });

  test('a slow peer gets the newest state of each prefix once', () => {
    scene.up(ibgp('b', B));
    scene.drain('b');
    const flapping = prefix('10.5.1.0/24');
    for (let i = 0; i < 100; i++) {
      scene.publish(rib.originate(OWN, [flapping], CAUSE));
      scene.publish(rib.withdrawLocal([flapping], CAUSE));
    }
    expect(rib.nextUpdates('b', 1_000)).toEqual({
      updates: [{ family: 4, withdrawn: [flapping], announced: [], cause: CAUSE }],
      endOfRib: [],
    });
    expect(rib.hasUpdates('b')).toBe(false);
  });

  test('withdrawn prefixes are forgotten in the end, and a peer that comes then is told what is left', () => {
    scene.up(ibgp('b', B));
    const prefixes = manyPrefixes(5_000);
    scene.publish(rib.originate(OWN, prefixes, undefined));
    scene.drain('b');
    scene.publish(rib.withdrawLocal(prefixes.slice(1), undefined));
    expect(scene.drain('b').flatMap(({ updates }) => updates.flatMap(({ withdrawn }) => withdrawn))).toHaveLength(
      4_999,
    );
    scene.publish(rib.originate(OWN, [prefix('10.5.1.0/24')], undefined));
    scene.up(ibgp('c', C));
    expect(scene.drain('c').flatMap(({ updates }) => updates.flatMap(({ withdrawn }) => withdrawn))).toHaveLength(0);
    expect(Object.keys(scene.told('b')).sort()).toEqual(['10.5.1.0/24']);
  });

  test('what was packed for one peer is not sent to another when it is out of date', () => {
    scene.up(ibgp('b', B), ibgp('c', C));
    scene.publish(rib.originate(OWN, manyPrefixes(200), undefined));
    scene.drain('b');
    scene.publish(rib.withdrawLocal(manyPrefixes(150), undefined));
    expect(Object.keys(scene.told('c'))).toHaveLength(50);
    expect(scene.drain('b').flatMap(({ updates }) => updates.flatMap(({ withdrawn }) => withdrawn))).toHaveLength(150);
  });

  test('prefixes that have nothing in common come in batches of a bounded number of messages', () => {
    scene.up(ibgp('b', B), ebgp('x', 65_001));
    const prefixes = manyPrefixes(300);
    for (const [i, each] of prefixes.entries()) {
      scene.announce('x', [each], { ...localAttributes(C), asPath: [65_001], communities: [i] });
    }
    expect(scene.drain('b', 4_096).map(({ updates }) => updates.length)).toEqual([128, 128, 44]);
  });

  test('ROUTE-REFRESH: everything again', () => {
    scene.up(ibgp('b', B));
    scene.publish(rib.originate(OWN, [prefix('10.5.1.0/24')], undefined));
    scene.drain('b');
    rib.refresh('b', 4);
    rib.refresh('b', 6);
    expect(Object.keys(scene.told('b'))).toEqual(['10.5.1.0/24']);
  });

  test('peers of equal rules get the very same message', () => {
    scene.publish(rib.originate(OWN, manyPrefixes(10), undefined));
    scene.up(ibgp('b', B), ibgp('c', C));
    expect(rib.nextUpdates('b', 100)?.updates[0]).toBe(rib.nextUpdates('c', 100)?.updates[0]);
  });
});

describe('what is refused', () => {
  const good = lp(localAttributes(B));
  const ROWS: readonly [string, RibPeer, Attributes][] = [
    ['as-loop', ibgp('b', B), { ...good, asPath: [65_001, 64_512] }],
    ['own-originator-id', ibgp('b', B), { ...good, originatorId: OWN }],
    ['own-cluster-id', ibgp('b', B), { ...good, clusterList: [C, OWN] }],
    ['no-local-pref', ibgp('b', B), localAttributes(B)],
    ['wrong-first-as', ebgp('b', 65_001), { ...good, asPath: [65_002, 65_001] }],
    ['wrong-first-as', ebgp('b', 65_001), good],
  ];

  test.each(ROWS)('%s: treated as withdraw', (refusal, peer, attributes) => {
    const target = prefix('10.5.2.0/24');
    scene.up(peer);
    scene.announce('b', [target], peer.kind === 'ibgp' ? good : { ...good, asPath: [65_001] });
    expect(table.routeCount).toBe(1);
    const update = { family: 4, withdrawn: [], announced: [target], attributes } as const;
    const { events, refused } = rib.receive('b', update, undefined);
    scene.publish(events);
    expect(refused).toBe(refusal);
    expect(table.routeCount).toBe(0);
    expect(rib.counts('b')?.received).toBe(0);
  });

  test('what only internal peers may say is dropped from an external one', () => {
    scene.up(ebgp('x', 65_001));
    const said = { ...localAttributes(B), asPath: [65_001], localPref: 999, originatorId: OWN, clusterList: [C] };
    scene.announce('x', [prefix('10.5.2.0/24')], said);
    const { attributes } = rib.explain(prefix('10.5.2.0/24'))?.decision.best ?? {};
    expect(attributes).toEqual({ ...localAttributes(B), asPath: [65_001] });
  });

  test('a family that was not negotiated, a peer that is not up: nothing happens', () => {
    scene.up(ibgp('b', B));
    const six = {
      family: 6,
      withdrawn: [],
      announced: [prefix('fd00::/64')],
      attributes: lp(localAttributes(B)),
    } as const;
    expect(rib.receive('b', six, undefined)).toEqual({ events: [], refused: undefined });
    expect(rib.receive('nobody', { ...six, family: 4 }, undefined).events).toEqual([]);
    expect(rib.peerDown('nobody', undefined)).toEqual([]);
    expect(rib.size).toBe(0);
  });
});

test('an announcement that says nothing new makes no event', () => {
  scene.up(ibgp('b', B));
  scene.announce('b', manyPrefixes(10), lp(localAttributes(B)));
  expect(scene.announce('b', manyPrefixes(10), lp(localAttributes(B)))).toEqual([]);
});

test('own routes win, are served as a blackhole, and give way again', () => {
  const target = prefix('10.5.2.0/24');
  scene.up(ibgp('b', B));
  scene.announce('b', [target], lp(localAttributes(B)));
  scene.publish(rib.originate(OWN, [target], undefined));
  expect(table.groups.get(table.groupOf(target) ?? 0)).toMatchObject({ kind: 'blackhole', local: true, endpoint: OWN });
  scene.publish(rib.withdrawLocal([target], undefined));
  expect(scene.gatewaysOf(target)).toEqual(['10.5.2.0']);
});

test('attribute sets are shared', () => {
  scene.up(ibgp('b', B));
  for (const each of manyPrefixes(50)) scene.announce('b', [each], lp(localAttributes(B)));
  expect(rib.attributeSets).toBe(1);
});
