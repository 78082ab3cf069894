// The tables of `gingham routes`: what stands in them, and that they fit a terminal. The command itself runs on a live
// cluster in test/topology/bgpd-felix.test.ts.

import { expect, test } from 'vitest';
import { explanationLines, routeLines, type ShownExplanation } from '../../../ctl/routes.ts';
import { TABLE_WIDTH } from '../../../ctl/table.ts';

const CANDIDATE: ShownExplanation['candidates'][number] = {
  from: 'node3',
  kind: 'ibgp',
  isBest: true,
  isUsed: true,
  lostAt: null,
  nextHop: '192.0.2.3',
  localPref: 100,
  asPath: [],
};

test('a route: where its best path is from, what is used, and why', () => {
  const nextHops = ['192.0.2.3', '192.0.2.4'];
  const best = { from: 'node3', nextHop: '192.0.2.3' };
  expect(
    routeLines([
      { prefix: '10.5.3.0/24', best, nextHops, candidates: 3, reason: 'router id' },
      { prefix: '10.5.4.0/24', best: null, nextHops: [], candidates: 1, reason: 'no next hop is reachable' },
    ]),
  ).toEqual([
    'PREFIX       BEST FROM  NEXT HOPS            PATHS  DECIDED BY',
    '10.5.3.0/24  node3      192.0.2.3,192.0.2.4      3  router id',
    '10.5.4.0/24  -          -                        1  no next hop is reachable',
  ]);
});

test('candidates: the best, an equal one, and one that lost with what stands in its way', () => {
  const explanation: ShownExplanation = {
    prefix: '10.5.3.0/24',
    reason: 'router id',
    candidates: [
      { ...CANDIDATE, weight: 3 },
      { ...CANDIDATE, from: 'node4', isBest: false, lostAt: 'router id', nextHop: '192.0.2.4' },
      {
        ...CANDIDATE,
        from: 'node5',
        isBest: false,
        isUsed: false,
        lostAt: 'next hop reachable',
        detail: 'flannel.1 is down',
        nextHop: '192.0.2.5',
        asPath: [65_001, 65_002],
        med: 7,
      },
    ],
  };
  expect(explanationLines(explanation)).toEqual([
    '10.5.3.0/24',
    'FROM   NEXT HOP   PREF  AS PATH      MED  WEIGHT  USED   LOST AT',
    'node3  192.0.2.3   100  -            -    3       best   -',
    'node4  192.0.2.4   100  -            -    -       equal  router id',
    'node5  192.0.2.5   100  65001 65002  7    -       no     next hop reachable',
    'node5: flannel.1 is down',
  ]);
});

test('long names and lists are cut', () => {
  const nextHops = Array.from({ length: 16 }, (_, i) => `2001:db8:1234::${i}`);
  const long = { prefix: '2001:db8:1234:5678::/64', candidates: 16, reason: 'cluster list length' };
  const best = { from: 'n'.repeat(60), nextHop: '2001:db8::1' };
  const asPath = new Array<number>(40).fill(4_200_000_001);
  const wide = [
    ...routeLines([{ ...long, best, nextHops }]),
    ...explanationLines({ ...long, candidates: [{ ...CANDIDATE, ...best, asPath }] }),
  ];
  expect(Math.max(...wide.map((line) => line.length))).toBe(TABLE_WIDTH);
});
