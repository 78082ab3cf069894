// The routes of this node for people and programs: every prefix with the reason of its choice, or one prefix with every
// candidate and the step at which it lost. What it gives is plain JSON.
//
// A long list is made in slices: keepalives are sent in between.

import { type Address, familyOf, parseAddress } from '../lib/net/address.ts';
import { type Prefix, parsePrefix, prefixOf } from '../lib/net/prefix.ts';
import { localPref, type StepName, type Verdict } from './rib/decision.ts';
import type { Path } from './rib/path.ts';
import type { Rib } from './rib/rib.ts';

/** Routes listed between two turns of the event loop. */
const LIST_SLICE = 1_000;

/** What stands for this node where a peer's name would. */
const THIS_NODE = 'this node';

/** Every route, one entry each. */
export async function listRoutes(rib: Rib): Promise<readonly unknown[]> {
  const list: unknown[] = [];
  // The prefixes as they are now: the table may change between two slices.
  const prefixes = [...rib.prefixes()];
  for (const [i, prefix] of prefixes.entries()) {
    const entry = routeEntry(rib, prefix);
    if (entry !== undefined) list.push(entry);
    if (i % LIST_SLICE === LIST_SLICE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return list;
}

/** The first routes, and how many there are. */
export function firstRoutes(rib: Rib, max: number): unknown {
  const shown: unknown[] = [];
  for (const prefix of rib.prefixes()) {
    if (shown.length === max) break;
    const entry = routeEntry(rib, prefix);
    if (entry !== undefined) shown.push(entry);
  }
  return { count: rib.size, attributeSets: rib.attributeSets, shown: shown.length, list: shown };
}

/** All candidates of a prefix, or of the longest known one that an address is in; `error` where there is none. */
export function explainRoute(rib: Rib, asked: string): unknown {
  const address = parseAddress(asked);
  const prefix = address === undefined ? parsePrefix(asked) : longestKnown(rib, address);
  if (prefix === undefined && address === undefined)
    return { error: `${JSON.stringify(asked)} is no prefix or address` };
  const explanation = prefix && rib.explain(prefix);
  if (explanation === undefined) return { error: `there is no route to ${asked}` };
  const { decision, decidedBy, verdicts } = explanation;
  return {
    prefix,
    reason: reasonOf(decision.best !== undefined, decidedBy),
    candidates: verdicts.map((verdict) => candidate(rib, verdict)),
  };
}

function longestKnown(rib: Rib, address: Address): Prefix | undefined {
  for (let length = familyOf(address) === 4 ? 32 : 128; length >= 0; length--) {
    const prefix = prefixOf(address, length);
    if (prefix !== undefined && rib.explain(prefix) !== undefined) return prefix;
  }
  return undefined;
}

function candidate(rib: Rib, { path, lostAt, multipath }: Verdict): unknown {
  const { source, attributes } = path;
  const { origin, asPath, nextHop, med, weight, originatorId, clusterList, communities, largeCommunities } = attributes;
  const problem = lostAt === 'next hop reachable' ? rib.whyUnreachable(path) : undefined;
  return {
    from: fromOf(path),
    kind: source.kind,
    isBest: lostAt === undefined,
    isUsed: multipath,
    lostAt: lostAt ?? null,
    ...(problem !== undefined && { detail: problem }),
    isStale: source.stale,
    nextHop,
    localPref: localPref(path),
    asPath,
    origin,
    ...(med !== undefined && { med }),
    ...(weight !== undefined && { weight }),
    routerId: originatorId ?? source.routerId,
    clusterList,
    peerAddress: source.address,
    communities: communities.map((value) => `${value >>> 16}:${value & 0xffff}`),
    largeCommunities,
  };
}

function routeEntry(rib: Rib, prefix: Prefix): unknown {
  const explanation = rib.explain(prefix);
  if (explanation === undefined) return undefined;
  const { best, multipath } = explanation.decision;
  return {
    prefix,
    best: best === undefined ? null : { from: fromOf(best), nextHop: best.attributes.nextHop },
    nextHops: multipath.map((path) => path.attributes.nextHop),
    candidates: explanation.verdicts.length,
    reason: reasonOf(best !== undefined, explanation.decidedBy),
  };
}

function fromOf({ source }: Path): string {
  return source.peer || THIS_NODE;
}

function reasonOf(hasBest: boolean, decidedBy: StepName | undefined): string {
  if (!hasBest) return 'no next hop is reachable';
  return decidedBy ?? 'only path';
}
