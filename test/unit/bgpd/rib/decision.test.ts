// The decision process, step by step: each row is decided by exactly the step it names, with all steps before it equal.
// The laws that hold for any candidates are in test/property/best-path-decision.test.ts.

import { describe, expect, test } from 'vitest';
import { COMMUNITY } from '../../../../bgpd/rib/attributes.ts';
import { decide, explain, rank, type StepName } from '../../../../bgpd/rib/decision.ts';
import { PathTable } from '../../../../bgpd/rib/path.ts';
import { type Candidate, contextOf, pathOf } from './candidates.ts';

/** The winner comes first; what comes later in the order of steps favours the loser. */
const DECIDED_BY: Readonly<Record<StepName, readonly [Candidate, Candidate]>> = {
  'next hop reachable': [
    { address: '10.0.0.2', localPref: 1 },
    { address: '10.0.0.1', localPref: 999, nextHop: '10.0.0.99' },
  ],
  'not long-lived stale': [
    { address: '10.0.0.2', localPref: 1, stale: true },
    { address: '10.0.0.1', localPref: 999, communities: [COMMUNITY.longLivedStale] },
  ],
  'not stale': [
    { address: '10.0.0.2', localPref: 1 },
    { address: '10.0.0.1', localPref: 999, stale: true },
  ],
  'local preference': [
    { address: '10.0.0.2', localPref: 101 },
    { address: '10.0.0.1', kind: 'local' },
  ],
  'locally originated': [
    { address: '10.0.0.2', kind: 'local', asPath: [1, 2, 3] },
    { address: '10.0.0.1', asPath: [] },
  ],
  'AS path length': [
    { address: '10.0.0.2', asPath: [7], origin: 'incomplete' },
    { address: '10.0.0.1', asPath: [7, 8], origin: 'igp' },
  ],
  origin: [
    { address: '10.0.0.2', asPath: [7], origin: 'igp', med: 9 },
    { address: '10.0.0.1', asPath: [7], origin: 'egp' },
  ],
  MED: [
    { address: '10.0.0.2', asPath: [7], med: 4 },
    { address: '10.0.0.1', asPath: [7], med: 5, kind: 'ebgp' },
  ],
  'eBGP over iBGP': [
    { address: '10.0.0.2', asPath: [7], kind: 'ebgp', nextHop: '10.0.0.50' },
    { address: '10.0.0.1', asPath: [8], kind: 'ibgp' },
  ],
  'metric to next hop': [{ address: '10.0.0.2' }, { address: '10.0.0.1', nextHop: '10.0.0.50' }],
  'router id': [
    { address: '10.0.0.2', routerId: '1.1.1.9', clusterList: ['9.9.9.9'] },
    { address: '10.0.0.1', routerId: '1.1.1.10' },
  ],
  'cluster list length': [
    { address: '10.0.0.2', originatorId: '1.1.1.1', clusterList: ['9.9.9.9'] },
    { address: '10.0.0.1', originatorId: '1.1.1.1', clusterList: ['9.9.9.9', '8.8.8.8'] },
  ],
  'peer address': [
    { address: '10.0.0.2', originatorId: '1.1.1.1' },
    { address: '10.0.0.10', originatorId: '1.1.1.1' },
  ],
};

const CONTEXT = contextOf({ '10.0.0.99': undefined, '10.0.0.50': 7 });

describe('each step decides', () => {
  test.each(Object.entries(DECIDED_BY))('%s', (step, [winner, loser]) => {
    const table = new PathTable();
    const best = pathOf(table, winner);
    const other = pathOf(table, loser);
    for (const paths of [
      [best, other],
      [other, best],
    ]) {
      const explained = explain(paths, CONTEXT);
      expect(explained.decision.best).toBe(best);
      expect(explained.decidedBy).toBe(step);
      expect(explained.verdicts.find(({ path }) => path === other)?.lostAt).toBe(step);
    }
  });
});

test('two sessions that are equal in everything, the address included: the name decides', () => {
  const table = new PathTable();
  const same = { address: '10.0.0.1', routerId: '1.1.1.1' };
  const [x, y] = [pathOf(table, { ...same, peer: 'x' }), pathOf(table, { ...same, peer: 'y' })];
  expect([decide([x, y], CONTEXT).best, decide([y, x], CONTEXT).best]).toEqual([x, x]);
});

test('LOCAL_PREF that is missing counts as 100', () => {
  const table = new PathTable();
  const missing = pathOf(table, { address: '10.0.0.1' });
  expect(decide([missing, pathOf(table, { address: '10.0.0.2', localPref: 99 })], CONTEXT).best).toBe(missing);
});

test('MED is compared within one neighbour AS only', () => {
  const table = new PathTable();
  const a = pathOf(table, { address: '10.0.0.1', asPath: [7], med: 50 });
  const b = pathOf(table, { address: '10.0.0.2', asPath: [8], med: 10 });
  expect(decide([a, b], CONTEXT)).toEqual({ best: a, multipath: [a, b] });
});

test('a missing MED is the lowest', () => {
  const table = new PathTable();
  const none = pathOf(table, { address: '10.0.0.2', asPath: [7] });
  expect(decide([pathOf(table, { address: '10.0.0.1', asPath: [7], med: 1 }), none], CONTEXT).multipath).toEqual([
    none,
  ]);
});

test('the classic MED cycle has one answer in every order', () => {
  // a beats b by router id, b beats c by metric, c beats a by MED: pairwise comparison would go round for ever.
  const table = new PathTable();
  const a = pathOf(table, { address: '10.0.0.1', asPath: [7], med: 2 });
  const b = pathOf(table, { address: '10.0.0.2', asPath: [8] });
  const c = pathOf(table, { address: '10.0.0.3', asPath: [7], med: 1, nextHop: '10.0.0.50' });
  const orders = [
    [a, b, c],
    [a, c, b],
    [b, a, c],
    [b, c, a],
    [c, a, b],
    [c, b, a],
  ];
  for (const paths of orders) expect(decide(paths, CONTEXT)).toEqual({ best: b, multipath: [b] });
});

describe('ECMP', () => {
  test('equal through the metric: all, best first, whatever the AS numbers', () => {
    const table = new PathTable();
    const paths = [3, 1, 2].map((n) => pathOf(table, { address: `10.0.0.${n}`, asPath: [n] }));
    const { best, multipath } = decide(paths, CONTEXT);
    expect(best).toBe(paths[1]);
    expect(multipath).toEqual([paths[1], paths[2], paths[0]]);
  });

  test('no more than maximumPaths', () => {
    const table = new PathTable();
    const paths = [1, 2, 3, 4].map((n) => pathOf(table, { address: `10.0.0.${n}` }));
    expect(decide(paths, contextOf({}, 2)).multipath).toEqual(paths.slice(0, 2));
    expect(decide(paths, contextOf({}, 1)).multipath).toEqual(paths.slice(0, 1));
  });

  test('one next hop told by two peers is used once', () => {
    const table = new PathTable();
    const paths = [1, 2].map((n) => pathOf(table, { address: `10.0.0.${n}`, nextHop: '10.0.0.9' }));
    expect(decide(paths, CONTEXT).multipath).toEqual([paths[0]]);
  });

  test('explain says which losers forward packets all the same', () => {
    const table = new PathTable();
    const paths = [1, 2].map((n) => pathOf(table, { address: `10.0.0.${n}` }));
    const worse = pathOf(table, { address: '10.0.0.3', localPref: 50 });
    expect(explain([worse, ...paths], CONTEXT).verdicts).toEqual([
      { path: paths[0], lostAt: undefined, multipath: true },
      { path: paths[1], lostAt: 'router id', multipath: true },
      { path: worse, lostAt: 'local preference', multipath: false },
    ]);
  });
});

test('nothing usable: no best, and every candidate lost at the first step', () => {
  const table = new PathTable();
  const paths = [1, 2].map((n) => pathOf(table, { address: `10.0.0.${n}`, nextHop: '10.0.0.99' }));
  for (const candidates of [[], paths.slice(0, 1), paths]) {
    expect(decide(candidates, CONTEXT)).toEqual({ best: undefined, multipath: [] });
    expect(rank(candidates, CONTEXT)).toEqual([]);
    expect(explain(candidates, CONTEXT).verdicts.map(({ lostAt }) => lostAt)).toEqual(
      candidates.map(() => 'next hop reachable'),
    );
  }
});
