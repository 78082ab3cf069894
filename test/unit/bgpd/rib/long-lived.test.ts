// Long-lived stale routes in the RIBs (RFC 9494): marked, the very last choice, told only to those who know of them.
// When they become so, and for how long: test/unit/bgpd/stale-routes.test.ts.

import { beforeEach, expect, test } from 'vitest';
import { COMMUNITY } from '../../../../bgpd/rib/attributes.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { B, C, ebgp, ibgp, RibScene, via } from './rib-scene.ts';

const P = prefix('10.5.9.0/24');
const Q = prefix('10.5.10.0/24');
const STALE = [COMMUNITY.longLivedStale];

let scene: RibScene;

beforeEach(() => {
  scene = new RibScene();
  scene.up(ibgp('b', B), ibgp('c', C));
});

/** b goes away, its routes are kept for long. */
function lose(): void {
  const { rib } = scene;
  scene.publish(rib.peerDown('b', undefined, [4]));
  scene.publish(rib.keepLong('b', [4], undefined));
}

test('they stay where there is no other path, and lose to any other that comes', () => {
  scene.announce('b', [P], via(B, { localPref: 500 }));
  lose();
  expect(scene.gatewaysOf(P)).toEqual(['10.5.2.0']);
  expect(scene.rib.explain(P)?.decision.best?.attributes.communities).toEqual(STALE);
  scene.announce('c', [P], via(C, { localPref: 1 }));
  expect(scene.gatewaysOf(P)).toEqual(['10.5.3.0']);
  expect(scene.rib.explain(P)).toMatchObject({ decidedBy: 'not long-lived stale' });
});

test('what forbids it is gone', () => {
  scene.announce('b', [P], via(B, { communities: [COMMUNITY.noLongLived] }));
  scene.announce('b', [Q], via(B));
  lose();
  expect([scene.gatewaysOf(P), scene.gatewaysOf(Q)]).toEqual([undefined, ['10.5.2.0']]);
});

test('only peers with the capability are told, with the mark; the others hear of a withdrawal', () => {
  scene.announce('b', [P], via(B));
  scene.up({ ...ebgp('knows', 65_001), longLived: true }, ebgp('not', 65_002));
  const heard = ['knows', 'not'].map((peer) => Object.keys(scene.told(peer)));
  expect(heard).toEqual([[P], [P]]);
  lose();
  expect(scene.told('knows')[P]?.communities).toEqual(STALE);
  expect(scene.drain('not').flatMap(({ updates }) => updates)).toMatchObject([{ withdrawn: [P], announced: [] }]);
  scene.up(ebgp('later', 65_003));
  expect(scene.told('later')).toEqual({});
});

test('one that a peer passes on is the last choice here too, and keeps its mark', () => {
  scene.announce('b', [P], via(B, { communities: STALE, localPref: 500 }));
  scene.announce('c', [P], via(C));
  expect(scene.gatewaysOf(P)).toEqual(['10.5.3.0']);
  scene.receive('c', { family: 4, withdrawn: [P], announced: [] });
  expect(scene.gatewaysOf(P)).toEqual(['10.5.2.0']);
  scene.up({ ...ebgp('x', 65_001), longLived: true });
  expect(scene.told('x')[P]?.communities).toEqual(STALE);
});

test('the peer is back: what it sends again is fresh, the rest goes with END-OF-RIB', () => {
  scene.announce('b', [P, Q], via(B));
  lose();
  scene.up(ibgp('b', B));
  scene.announce('b', [P], via(B));
  expect(scene.rib.explain(P)?.decision.best?.attributes.communities).toEqual([]);
  scene.publish(scene.rib.dropStale('b', [4], undefined));
  expect([scene.gatewaysOf(P), scene.gatewaysOf(Q)]).toEqual([['10.5.2.0'], undefined]);
});

test('away again before it sent everything: what is long-lived since before stays with what is so now', () => {
  scene.announce('b', [P, Q], via(B));
  lose();
  scene.up(ibgp('b', B));
  scene.announce('b', [P], via(B));
  scene.publish(scene.rib.peerDown('b', undefined, [4], [4]));
  scene.publish(scene.rib.keepLong('b', [4], undefined));
  for (const each of [P, Q]) {
    expect(scene.rib.explain(each)?.decision.best).toMatchObject({
      source: { stale: true },
      attributes: { communities: STALE },
    });
  }
});
