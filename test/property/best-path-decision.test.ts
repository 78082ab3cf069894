// The decision process against a slow model written the other way round, and the laws that make it one process:
// one answer for every order of arrival, a total order of all candidates, nothing lost and nothing invented.
//
// The model sorts: within each neighbour AS by every step, then the winners of the groups without MED ("deterministic
// MED" as routers describe it). The real one eliminates. They must agree.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ORIGINS } from '../../bgpd/rib/attributes.ts';
import { type DecisionContext, decide, explain, rank } from '../../bgpd/rib/decision.ts';
import { type Path, PathTable } from '../../bgpd/rib/path.ts';
import { compareAddresses } from '../../lib/net/address.ts';
import { type Candidate, contextOf, pathOf } from '../unit/bgpd/rib/candidates.ts';

const RUNS = { numRuns: 500 };

/** Next hops: one that cannot be reached, one that costs more, the rest at 0. */
const CONTEXT = contextOf({ '10.9.0.1': undefined, '10.9.0.2': 5 }, 3);

/** Small ranges, so that ties happen at every step. */
const candidate = fc.record(
  {
    kind: fc.constantFrom('local', 'ibgp', 'ebgp'),
    stale: fc.boolean(),
    localPref: fc.integer({ min: 99, max: 101 }),
    asPath: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
    origin: fc.constantFrom(...ORIGINS),
    med: fc.integer({ min: 0, max: 2 }),
    nextHop: fc.constantFrom('10.9.0.1', '10.9.0.2', '10.9.0.3', '10.9.0.4', '10.9.0.5'),
    routerId: fc.constantFrom('1.1.1.1', '1.1.1.2', '1.1.1.10'),
    originatorId: fc.constantFrom('1.1.1.1', '1.1.1.3'),
    clusterList: fc.array(fc.constantFrom('9.9.9.1', '9.9.9.2'), { maxLength: 2 }),
  },
  { requiredKeys: ['kind', 'nextHop', 'routerId'] },
);

/** Candidates of one prefix, each from a peer of its own; two of them at one address. */
const candidates = fc
  .array(candidate, { maxLength: 6 })
  .map((list) =>
    list.map((each, i) => ({ ...each, peer: `peer${i}`, address: `192.0.2.${[1, 1, 2, 10, 9, 100][i]}` })),
  );

const scene = candidates.chain((list) =>
  fc.record({ list: fc.constant(list), order: fc.shuffledSubarray([...list.keys()], { minLength: list.length }) }),
);

test('agrees with the sorting model', () => {
  fc.assert(
    fc.property(candidates, (list) => {
      const paths = pathsOf(list);
      expect(decide(paths, CONTEXT)).toEqual(modelDecide(paths, CONTEXT));
    }),
    RUNS,
  );
});

test('does not depend on the order of arrival', () => {
  fc.assert(
    fc.property(scene, ({ list, order }) => {
      const paths = pathsOf(list);
      const shuffled = order.map((i) => paths[i] as Path);
      expect(decide(shuffled, CONTEXT)).toEqual(decide(paths, CONTEXT));
      expect(explain(shuffled, CONTEXT)).toEqual(explain(paths, CONTEXT));
      expect(rank(shuffled, CONTEXT)).toEqual(rank(paths, CONTEXT));
    }),
    RUNS,
  );
});

test('ranks every usable path, each once', () => {
  fc.assert(
    fc.property(candidates, (list) => {
      const paths = pathsOf(list);
      const ranked = rank(paths, CONTEXT);
      const usable = paths.filter((path) => CONTEXT.metric(path) !== undefined);
      expect(new Set(ranked)).toEqual(new Set(usable));
      expect(ranked).toHaveLength(usable.length);
    }),
    RUNS,
  );
});

test('without MED, two at a time is a strict total order, and it is that of the ranking', () => {
  fc.assert(
    fc.property(candidates, (list) => {
      const paths = pathsOf(list.map(({ med: _med, ...rest }) => rest));
      const ranked = rank(paths, CONTEXT);
      for (const [i, better] of ranked.entries()) {
        for (const worse of ranked.slice(i + 1)) expect(decide([worse, better], CONTEXT).best).toBe(better);
      }
    }),
    RUNS,
  );
});

test('taking away a path that was not best changes the best only through MED', () => {
  fc.assert(
    fc.property(candidates, fc.nat(), (list, n) => {
      const paths = pathsOf(list.map(({ med: _med, ...rest }) => rest));
      const { best } = decide(paths, CONTEXT);
      const others = paths.filter((path) => path !== best);
      const gone = others[n % Math.max(1, others.length)];
      expect(
        decide(
          paths.filter((path) => path !== gone),
          CONTEXT,
        ).best,
      ).toBe(best);
    }),
    RUNS,
  );
});

test('explain names each candidate once, and what it names is what was decided', () => {
  fc.assert(
    fc.property(candidates, (list) => {
      const paths = pathsOf(list);
      const { decision, verdicts } = explain(paths, CONTEXT);
      expect(decision).toEqual(decide(paths, CONTEXT));
      expect(verdicts).toHaveLength(paths.length);
      expect(new Set(verdicts.map(({ path }) => path))).toEqual(new Set(paths));
      expect(verdicts.filter(({ lostAt }) => lostAt === undefined).map(({ path }) => path)).toEqual(
        decision.best === undefined ? [] : [decision.best],
      );
      expect(new Set(verdicts.filter(({ multipath }) => multipath).map(({ path }) => path))).toEqual(
        new Set(decision.multipath),
      );
    }),
    RUNS,
  );
});

function pathsOf(list: readonly Candidate[]): readonly Path[] {
  const table = new PathTable();
  return list.map((each) => pathOf(table, each));
}

/** Scores before the MED step and after it, lowest first; then the tie-breaks. */
function scores({ source, attributes }: Path, context: DecisionContext) {
  return {
    before: [
      source.stale ? 1 : 0,
      -(attributes.localPref ?? 100),
      source.kind === 'local' ? 0 : 1,
      attributes.asPath.length,
      ['igp', 'egp', 'incomplete'].indexOf(attributes.origin),
    ],
    med: attributes.med ?? 0,
    after: [source.kind === 'ibgp' ? 1 : 0, context.metric({ source, attributes, id: 0 }) as number],
  };
}

function modelDecide(paths: readonly Path[], context: DecisionContext) {
  const usable = paths.filter((path) => context.metric(path) !== undefined);
  const groups = new Map<number, Path[]>();
  for (const path of usable) {
    const from = path.attributes.asPath[0] ?? 0;
    groups.set(from, [...(groups.get(from) ?? []), path]);
  }
  // Of each group those that nobody in the group beats through MED; then all of them without MED.
  const survivors = [...groups.values()].flatMap((group) => {
    const keys = group.map((path) => [...scores(path, context).before, scores(path, context).med]);
    return group.filter((_, i) => keys.every((key) => lexical(keys[i] as number[], key) <= 0));
  });
  const key = (path: Path): number[] => [...scores(path, context).before, ...scores(path, context).after];
  const equal = survivors.filter((path) => survivors.every((other) => lexical(key(path), key(other)) <= 0));
  const ranked = [...equal].sort(tieBreak);
  const multipath = ranked.filter(
    (path, i) => ranked.findIndex((other) => other.attributes.nextHop === path.attributes.nextHop) === i,
  );
  return { best: ranked[0], multipath: multipath.slice(0, context.maximumPaths) };
}

function tieBreak(a: Path, b: Path): number {
  return (
    compareAddresses(a.attributes.originatorId ?? a.source.routerId, b.attributes.originatorId ?? b.source.routerId) ||
    a.attributes.clusterList.length - b.attributes.clusterList.length ||
    compareAddresses(a.source.address, b.source.address) ||
    (a.source.peer < b.source.peer ? -1 : 1)
  );
}

function lexical(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - (b[i] as number);
  return 0;
}
