// The decision process (RFC 4271 section 9.1.2, RFC 4456 section 9): from the paths of one prefix, the best and its equals.
//
// It eliminates: each step keeps the most preferred of what the step before it left. That makes MED deterministic (it
// compares only within one neighbour AS) and the result independent of the order of arrival; a chain of pairwise
// comparisons would not be. There is no step for age. What is left after the metric is the ECMP set; the steps after it
// only pick the one path that is told to peers.

import { type Address, compareAddresses } from '../../lib/net/address.ts';
import { DEFAULT_LOCAL_PREF, isLongLivedStale, neighbourAs, ORIGINS, type RouterId } from './attributes.ts';
import type { Path } from './path.ts';

/** The steps in order. `explain` names the one at which a path lost. */
export const STEPS = [
  'next hop reachable',
  'not long-lived stale',
  'not stale',
  'local preference',
  'locally originated',
  'AS path length',
  'origin',
  'MED',
  'eBGP over iBGP',
  'metric to next hop',
  'router id',
  'cluster list length',
  'peer address',
] as const;
export type StepName = (typeof STEPS)[number];

export interface DecisionContext {
  /** Cost of reaching the next hop of the path; `undefined` where it cannot be reached. */
  metric(path: Path): number | undefined;
  /** At most this many equal paths are used at once; at least 1. */
  readonly maximumPaths: number;
}

export interface Decision {
  /** What is told to peers; `undefined` where no path is usable. */
  readonly best: Path | undefined;
  /** What packets use: `best` first, then its equals through the metric step with other next hops, most preferred first. */
  readonly multipath: readonly Path[];
}

/** Why one candidate is or is not used. */
export interface Verdict {
  readonly path: Path;
  /** Step at which it lost; `undefined` for the best. */
  readonly lostAt: StepName | undefined;
  /** It forwards packets: it is the best, or lost only after the ECMP cut. */
  readonly multipath: boolean;
}

export interface Explanation {
  readonly decision: Decision;
  /** Every candidate: the best, then the losers, the latest to lose first. */
  readonly verdicts: readonly Verdict[];
  /** Step at which the last other candidate lost to the best; `undefined` where there was none to beat. */
  readonly decidedBy: StepName | undefined;
}

type Keep = (paths: readonly Path[], context: DecisionContext) => readonly Path[];

const NOTHING: Decision = { best: undefined, multipath: [] };

/** Decides between the paths of one prefix, at most one per peer, in any order. */
export function decide(paths: readonly Path[], context: DecisionContext): Decision {
  const [only] = paths;
  if (only === undefined) return NOTHING;
  if (paths.length === 1) return context.metric(only) === undefined ? NOTHING : { best: only, multipath: [only] };
  const equal = BEFORE_ECMP_CUT.reduce((left, step) => KEEP[step](left, context), paths);
  const ranked = rankEqual(equal, context);
  const [best] = ranked;
  if (best === undefined) return NOTHING;
  const distinct = ranked.filter((path, i) => ranked.findIndex((other) => sameNextHop(other, path)) === i);
  return { best, multipath: distinct.slice(0, Math.max(1, context.maximumPaths)) };
}

/** As `decide`, with the step at which each other candidate lost. */
export function explain(paths: readonly Path[], context: DecisionContext): Explanation {
  const decision = decide(paths, context);
  const verdicts: Verdict[] = [];
  let left = paths;
  let decidedBy: StepName | undefined;
  for (const step of STEPS) {
    const kept = KEEP[step](left, context);
    if (kept.length === left.length) continue;
    const lost = left.filter((path) => !kept.includes(path)).sort(byPeerName);
    verdicts.unshift(
      ...lost.map((path) => ({ path, lostAt: step, multipath: decision.multipath.includes(path) }) as const),
    );
    decidedBy = step;
    left = kept;
  }
  verdicts.unshift(...left.map((path) => ({ path, lostAt: undefined, multipath: true }) as const));
  return { decision, verdicts, decidedBy };
}

/** Every usable path, most preferred first: the best, then the best of the rest, and so on. */
export function rank(paths: readonly Path[], context: DecisionContext): readonly Path[] {
  const ranked: Path[] = [];
  let left = paths;
  for (;;) {
    const { best } = decide(left, context);
    if (best === undefined) return ranked;
    ranked.push(best);
    left = left.filter((path) => path !== best);
  }
}

/** LOCAL_PREF as the decision sees it. */
export function localPref(path: Path): number {
  return path.attributes.localPref ?? DEFAULT_LOCAL_PREF;
}

/** ORIGINATOR_ID where a reflector set one, else the router id of the peer (RFC 4456 section 9). */
export function originatorOf(path: Path): RouterId {
  return path.attributes.originatorId ?? path.source.routerId;
}

const KEEP: Readonly<Record<StepName, Keep>> = {
  'next hop reachable': (paths, context) => paths.filter((path) => context.metric(path) !== undefined),
  'not long-lived stale': lowest((path) => (isLongLivedStale(path.attributes) ? 1 : 0)),
  'not stale': lowest((path) => (path.source.stale ? 1 : 0)),
  'local preference': lowest((path) => -localPref(path)),
  'locally originated': lowest((path) => (path.source.kind === 'local' ? 0 : 1)),
  'AS path length': lowest((path) => path.attributes.asPath.length),
  origin: lowest((path) => ORIGINS.indexOf(path.attributes.origin)),
  MED: keepLowestMed,
  'eBGP over iBGP': lowest((path) => (path.source.kind === 'ibgp' ? 1 : 0)),
  'metric to next hop': lowest((path, context) => context.metric(path) ?? Number.POSITIVE_INFINITY),
  'router id': (paths) => keepLowestAddress(paths, originatorOf),
  'cluster list length': lowest((path) => path.attributes.clusterList.length),
  'peer address': (paths) =>
    keepLowestAddress(paths, (path) => path.source.address)
      .toSorted(byPeerName)
      .slice(0, 1),
};

const BEFORE_ECMP_CUT = STEPS.slice(0, STEPS.indexOf('router id'));
const AFTER_ECMP_CUT = STEPS.slice(STEPS.indexOf('router id'));

/** Keeps the paths of the lowest score. */
function lowest(score: (path: Path, context: DecisionContext) => number): Keep {
  return (paths, context) => {
    let least = Number.POSITIVE_INFINITY;
    let same = true;
    for (const path of paths) {
      const value = score(path, context);
      if (value !== least && least !== Number.POSITIVE_INFINITY) same = false;
      if (value < least) least = value;
    }
    return same ? paths : paths.filter((path) => score(path, context) === least);
  };
}

/** RFC 4271 section 9.1.2.2 c: within each neighbour AS, the lowest MED; a missing one counts as the lowest, 0. */
function keepLowestMed(paths: readonly Path[]): readonly Path[] {
  const least = new Map<number, number>();
  for (const { attributes } of paths) {
    const from = neighbourAs(attributes);
    least.set(from, Math.min(least.get(from) ?? Number.POSITIVE_INFINITY, attributes.med ?? 0));
  }
  return paths.filter(({ attributes }) => (attributes.med ?? 0) === least.get(neighbourAs(attributes)));
}

function keepLowestAddress(paths: readonly Path[], of: (path: Path) => Address): readonly Path[] {
  const [first, ...others] = paths.map(of);
  if (first === undefined) return paths;
  const least = others.reduce((a, b) => (compareAddresses(a, b) <= 0 ? a : b), first);
  return paths.filter((path) => of(path) === least);
}

function sameNextHop(a: Path, b: Path): boolean {
  return a.attributes.nextHop === b.attributes.nextHop;
}

/** Two sessions of one address (several daemons on one machine): the name decides, so that the order is total. */
function byPeerName(a: Path, b: Path): number {
  return a.source.peer < b.source.peer ? -1 : a.source.peer > b.source.peer ? 1 : 0;
}

function rankEqual(paths: readonly Path[], context: DecisionContext): readonly Path[] {
  if (paths.length < 2) return paths;
  const ranked: Path[] = [];
  let left = paths;
  while (left.length > 0) {
    const [best] = AFTER_ECMP_CUT.reduce((kept, step) => KEEP[step](kept, context), left);
    if (best === undefined) break;
    ranked.push(best);
    left = left.filter((path) => path !== best);
  }
  return ranked;
}
