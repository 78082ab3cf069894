// An operator's policy: which routes pass between this node and a peer, and with what attributes. Pure.
//
// Statements are tried in order. One that matches changes the attributes and then accepts, rejects or lets the next one
// look ("next"). Every condition of a statement must hold; of the values of one condition any one is enough. After the
// rules of BGP itself (route-rules.ts), never in place of them.
//
// Prefixes enter only through `classOf`: prefixes of one class match the same prefix sets, so a path is judged once per class.

import type { Address, Family } from '../../lib/net/address.ts';
import { type Prefix, prefixAddress, prefixFamily, prefixLength, prefixOf } from '../../lib/net/prefix.ts';
import { type Attributes, neighbourAs } from './attributes.ts';

/** Prefixes within `prefix` whose length is in the range. */
export interface PrefixRange {
  readonly prefix: Prefix;
  readonly minLength: number;
  readonly maxLength: number;
}

export interface Conditions {
  readonly prefixes?: readonly PrefixRange[];
  readonly communities?: readonly number[];
  readonly largeCommunities?: readonly string[];
  /** Names of peers. */
  readonly neighbours?: readonly string[];
  readonly asPath?: AsPathCondition;
}

export interface AsPathCondition {
  /** The AS that sent it to ours. */
  readonly from?: readonly number[];
  /** The AS where it starts. */
  readonly originatedIn?: readonly number[];
  readonly passes?: readonly number[];
  readonly maxLength?: number;
}

export interface Changes {
  readonly localPref?: number;
  readonly med?: number;
  readonly nextHop?: Address;
  readonly addCommunities?: readonly number[];
  readonly removeCommunities?: readonly number[];
  readonly addLargeCommunities?: readonly string[];
  readonly removeLargeCommunities?: readonly string[];
  readonly weight?: number;
  readonly prepend?: { readonly asn: number; readonly times: number };
}

export interface Statement {
  readonly name: string;
  readonly if: Conditions;
  readonly set: Changes;
  readonly action: 'accept' | 'reject' | 'next';
}

export interface Policy {
  readonly name: string;
  readonly statements: readonly Statement[];
  /** What becomes of a route that no statement accepted or rejected. */
  readonly otherwise: 'accept' | 'reject';
}

/** The prefix sets of a policy, to be looked up: what it costs depends on how many lengths they have, not on their size. */
interface PrefixSets {
  /** How many statements look at prefixes. */
  readonly count: number;
  readonly lengths: Readonly<Record<Family, readonly number[]>>;
  readonly ranges: ReadonlyMap<Prefix, readonly (PrefixRange & { readonly set: number })[]>;
}

const prefixSetsOf = new WeakMap<Policy, PrefixSets>();

/** Prefixes of equal class are judged alike by this policy; '' where it does not look at prefixes. */
export function classOf(policy: Policy, prefix: Prefix): string {
  let sets = prefixSetsOf.get(policy);
  if (sets === undefined) {
    sets = indexed(policy);
    prefixSetsOf.set(policy, sets);
  }
  const length = prefixLength(prefix);
  const address = prefixAddress(prefix);
  const isIn = new Array<'0' | '1'>(sets.count).fill('0');
  for (const shorter of sets.lengths[prefixFamily(prefix)]) {
    if (shorter > length) continue;
    const around = shorter === length ? prefix : prefixOf(address, shorter);
    for (const { set, minLength, maxLength } of sets.ranges.get(around ?? prefix) ?? []) {
      if (length >= minLength && length <= maxLength) isIn[set] = '1';
    }
  }
  return isIn.join('');
}

/** Whether `classOf` can differ between prefixes. */
export function looksAtPrefixes(policy: Policy): boolean {
  return policy.statements.some(({ if: { prefixes } }) => prefixes !== undefined);
}

/** The attributes with which prefixes of this class pass; `undefined` where they do not. `neighbour`: the peer's name. */
export function applyPolicy(
  policy: Policy,
  prefixClass: string,
  attributes: Attributes,
  neighbour: string,
): Attributes | undefined {
  let current = attributes;
  let prefixConditions = 0;
  for (const { if: conditions, set, action } of policy.statements) {
    const inSet = conditions.prefixes === undefined || prefixClass[prefixConditions++] === '1';
    if (!inSet || !holds(conditions, current, neighbour)) continue;
    if (action === 'reject') return undefined;
    current = change(current, set);
    if (action === 'accept') return current;
  }
  return policy.otherwise === 'accept' ? current : undefined;
}

/** Prefixes of an announcement that pass with the same attributes. */
export interface Judged {
  readonly attributes: Attributes;
  readonly prefixes: readonly Prefix[];
}

/** What of an announcement passes an import policy, and as what; `undefined` lets everything pass as it is. */
export function judgeImport(
  policy: Policy | undefined,
  neighbour: string,
  attributes: Attributes,
  prefixes: readonly Prefix[],
): readonly Judged[] {
  if (policy === undefined) return [{ attributes, prefixes }];
  const classes = new Map<string, Prefix[]>();
  for (const prefix of prefixes) {
    const key = classOf(policy, prefix);
    const same = classes.get(key);
    if (same === undefined) classes.set(key, [prefix]);
    else same.push(prefix);
  }
  return [...classes].flatMap(([key, ofClass]) => {
    const passed = applyPolicy(policy, key, attributes, neighbour);
    return passed === undefined ? [] : [{ attributes: passed, prefixes: ofClass }];
  });
}

/** Prefixes of an announcement of which nothing passed. */
export function unused(announced: readonly Prefix[], judged: readonly Judged[]): readonly Prefix[] {
  const passed = judged.flatMap(({ prefixes }) => prefixes);
  if (passed.length === announced.length) return [];
  const used = new Set(passed);
  return announced.filter((prefix) => !used.has(prefix));
}

function holds(
  { communities, largeCommunities, neighbours, asPath }: Conditions,
  attributes: Attributes,
  name: string,
): boolean {
  return (
    (communities === undefined || communities.some((each) => attributes.communities.includes(each))) &&
    (largeCommunities === undefined || largeCommunities.some((each) => attributes.largeCommunities.includes(each))) &&
    (neighbours === undefined || neighbours.includes(name)) &&
    (asPath === undefined || asPathHolds(asPath, attributes))
  );
}

function asPathHolds({ from, originatedIn, passes, maxLength }: AsPathCondition, attributes: Attributes): boolean {
  const { asPath } = attributes;
  return (
    (from === undefined || from.includes(neighbourAs(attributes))) &&
    (originatedIn === undefined || originatedIn.includes(asPath.at(-1) ?? 0)) &&
    (passes === undefined || passes.some((asn) => asPath.includes(asn))) &&
    (maxLength === undefined || asPath.length <= maxLength)
  );
}

function change(attributes: Attributes, set: Changes): Attributes {
  const { localPref, med, nextHop, weight, prepend } = set;
  const communities = edited(attributes.communities, set.addCommunities, set.removeCommunities);
  const largeCommunities = edited(attributes.largeCommunities, set.addLargeCommunities, set.removeLargeCommunities);
  return {
    ...attributes,
    communities: communities.toSorted((a, b) => a - b),
    largeCommunities: largeCommunities.toSorted(),
    ...(localPref !== undefined && { localPref }),
    ...(med !== undefined && { med }),
    ...(nextHop !== undefined && { nextHop }),
    ...(weight !== undefined && { weight }),
    ...(prepend !== undefined && {
      asPath: [...new Array<number>(prepend.times).fill(prepend.asn), ...attributes.asPath],
    }),
  };
}

function edited<T>(values: readonly T[], add: readonly T[] = [], remove: readonly T[] = []): T[] {
  return [...new Set([...values.filter((value) => !remove.includes(value)), ...add])];
}

function indexed(policy: Policy): PrefixSets {
  const sets = policy.statements.flatMap(({ if: { prefixes } }) => (prefixes === undefined ? [] : [prefixes]));
  const ranges = new Map<Prefix, (PrefixRange & { readonly set: number })[]>();
  const lengths = { 4: new Set<number>(), 6: new Set<number>() };
  for (const [set, each] of sets.entries()) {
    for (const range of each) {
      const same = ranges.get(range.prefix) ?? [];
      same.push({ ...range, set });
      ranges.set(range.prefix, same);
      lengths[prefixFamily(range.prefix)].add(prefixLength(range.prefix));
    }
  }
  return { count: sets.length, lengths: { 4: [...lengths[4]], 6: [...lengths[6]] }, ranges };
}
