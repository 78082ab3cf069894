// From Loc-RIB to RouteFeed, one family: which path group each prefix is in, and what each group's next hops are.
//
// A group is named by the nodes its packets go to *and* by those they would go to next ("b|c"), so that prefixes that
// share a fate share a group: when b dies the group's next hops are replaced, and no prefix moves (prefix-independent
// convergence). Two groups may come to mean the same after that; they are not merged, they empty as routes change.
//
// The order within one answer keeps packets right at every step: new groups, prefixes that move, groups that change in
// place, prefixes that go, groups that go.

import type { FeedEvent, FeedGroup, FeedNextHop } from '../../lib/feed/feed.ts';
import type { Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { WEIGHT_MAX } from './attributes.ts';
import { type Decision, type DecisionContext, decide } from './decision.ts';
import type { PathList, RibChange } from './loc-rib.ts';
import type { NextHopTable, Resolution } from './next-hops.ts';
import type { Path } from './path.ts';

/** Begins the key of the group of this node's own prefixes: never the key of addresses. */
const LOCAL_KEY = 'local ';

type GroupContent = Omit<FeedGroup, 'id'>;

const LOCAL_CONTENT: GroupContent = { kind: 'blackhole', nextHops: [], local: true, node: '' };

interface Group {
  readonly id: number;
  key: string;
  content: GroupContent;
  readonly lists: Set<PathList>;
}

/** What a list wants: `undefined` where nothing of it is usable. */
interface Plan {
  readonly key: string;
  readonly content: GroupContent;
}

/** What one batch of changes does to the feed. */
class Batch {
  readonly created: Group[] = [];
  readonly routes = new Map<Group, Prefix[]>();
  readonly changed = new Set<Group>();
  readonly withdrawn: Prefix[] = [];
  readonly left = new Set<Group>();

  move(to: Group, prefixes: Iterable<Prefix>): void {
    const moved = this.routes.get(to);
    if (moved === undefined) this.routes.set(to, [...prefixes]);
    else for (const prefix of prefixes) moved.push(prefix);
  }

  withdraw(prefixes: Iterable<Prefix>): void {
    for (const prefix of prefixes) this.withdrawn.push(prefix);
  }
}

export class PathGroups {
  readonly #family: Family;
  readonly #nextHops: NextHopTable;
  readonly #context: DecisionContext;
  readonly #nextId: () => number;
  readonly #groupOf = new Map<PathList, Group>();
  readonly #byKey = new Map<string, Group>();

  /** `nextId` gives ids that are unique in the whole feed. */
  constructor(family: Family, nextHops: NextHopTable, context: DecisionContext, nextId: () => number) {
    this.#family = family;
    this.#nextHops = nextHops;
    this.#context = context;
    this.#nextId = nextId;
  }

  /** What watchers of the feed must be told after one call to the Loc-RIB gave `changes`. */
  apply(changes: readonly RibChange[]): FeedEvent[] {
    const batch = new Batch();
    const decided = new Set<PathList>();
    for (const change of changes) {
      if (change.type === 'decided') decided.add(change.list);
      else this.#applyMove(batch, change.prefixes, change.from, change.to);
    }
    this.#applyDecided(batch, decided);
    return this.#events(batch);
  }

  #applyMove(batch: Batch, prefixes: readonly Prefix[], from: PathList | undefined, to: PathList | undefined): void {
    const before = from && this.#groupOf.get(from);
    const after = to && (this.#groupOf.get(to) ?? this.#assign(batch, to, this.#plan(to)));
    if (after !== undefined && after !== before) batch.move(after, prefixes);
    if (after === undefined && before !== undefined) batch.withdraw(prefixes);
    if (from !== undefined && from.prefixes.size === 0) this.#unassign(batch, from);
  }

  #applyDecided(batch: Batch, lists: ReadonlySet<PathList>): void {
    const groups = new Set<Group>();
    for (const list of lists) {
      const group = this.#groupOf.get(list);
      if (group !== undefined) groups.add(group);
      else this.#reassign(batch, list, this.#plan(list));
    }
    for (const group of groups) this.#replan(batch, group, lists);
  }

  /** The lists of a group may no longer agree: those with the most prefixes keep the group, the others leave it. */
  #replan(batch: Batch, group: Group, decided: ReadonlySet<PathList>): void {
    const current: Plan = { key: group.key, content: group.content };
    const parts = new Map<string, { readonly plan: Plan; readonly lists: PathList[]; prefixes: number }>();
    for (const list of [...group.lists]) {
      const plan = decided.has(list) ? this.#plan(list) : current;
      if (plan === undefined) {
        batch.withdraw(list.prefixes);
        this.#unassign(batch, list);
        continue;
      }
      const part = parts.get(plan.key) ?? { plan, lists: [], prefixes: 0 };
      part.lists.push(list);
      part.prefixes += list.prefixes.size;
      parts.set(plan.key, part);
    }
    const [largest, ...others] = [...parts.values()].sort((a, b) => b.prefixes - a.prefixes);
    if (largest === undefined) return;
    this.#rekey(group, largest.plan.key);
    if (!sameContent(group.content, largest.plan.content)) {
      group.content = largest.plan.content;
      batch.changed.add(group);
    }
    for (const { plan, lists } of others) for (const list of lists) this.#reassign(batch, list, plan);
  }

  #reassign(batch: Batch, list: PathList, plan: Plan | undefined): void {
    this.#unassign(batch, list);
    const group = this.#assign(batch, list, plan);
    if (group !== undefined) batch.move(group, list.prefixes);
  }

  #assign(batch: Batch, list: PathList, plan: Plan | undefined): Group | undefined {
    if (plan === undefined) return undefined;
    let group = this.#byKey.get(plan.key);
    if (group === undefined) {
      group = { id: this.#nextId(), key: plan.key, content: plan.content, lists: new Set() };
      this.#byKey.set(plan.key, group);
      batch.created.push(group);
    }
    group.lists.add(list);
    this.#groupOf.set(list, group);
    return group;
  }

  #unassign(batch: Batch, list: PathList): void {
    const group = this.#groupOf.get(list);
    if (group === undefined) return;
    this.#groupOf.delete(list);
    group.lists.delete(list);
    batch.left.add(group);
  }

  #rekey(group: Group, key: string): void {
    if (group.key === key) return;
    if (this.#byKey.get(group.key) === group) this.#byKey.delete(group.key);
    group.key = key;
    if (!this.#byKey.has(key)) this.#byKey.set(key, group);
  }

  #events(batch: Batch): FeedEvent[] {
    const events: FeedEvent[] = batch.created.map((group) => groupEvent(group));
    for (const [group, prefixes] of batch.routes) events.push({ type: 'routes', group: group.id, prefixes });
    for (const group of batch.changed) events.push(groupEvent(group));
    if (batch.withdrawn.length > 0) events.push({ type: 'withdrawn', prefixes: batch.withdrawn });
    for (const group of batch.left) {
      if (group.lists.size > 0) continue;
      if (this.#byKey.get(group.key) === group) this.#byKey.delete(group.key);
      events.push({ type: 'group-removed', id: group.id });
    }
    return events;
  }

  #plan(list: PathList): Plan | undefined {
    const { best, multipath } = list.decision;
    if (best === undefined) return undefined;
    if (best.source.kind === 'local') {
      const { nextHop } = best.attributes;
      return { key: LOCAL_KEY + nextHop, content: { ...LOCAL_CONTENT, endpoint: nextHop } };
    }
    const key = `${addressesKey(multipath)}|${addressesKey(this.#fallback(list).multipath)}`;
    return {
      key,
      content: contentOf(multipath, (path) => this.#nextHops.resolve(path.attributes.nextHop, this.#family)),
    };
  }

  /** What would be decided if every next hop in use were lost. */
  #fallback(list: PathList): Decision {
    const inUse = new Set(list.decision.multipath.map((path) => path.attributes.nextHop));
    return decide(
      list.paths.filter((path) => !inUse.has(path.attributes.nextHop)),
      this.#context,
    );
  }
}

function groupEvent(group: Group): FeedEvent {
  return { type: 'group', group: { id: group.id, ...group.content } };
}

/** A set of next hops as text; the order in which the decision names equals does not matter to packets. */
function addressesKey(paths: readonly Path[]): string {
  return paths
    .map((path) => `${path.attributes.nextHop}*${weightAmong(paths, path)}`)
    .sort()
    .join(',');
}

/** Unequal shares need a weight on every path: where one has none, all are equal (draft-ietf-idr-link-bandwidth section 4). */
function weightAmong(paths: readonly Path[], { attributes }: Path): number {
  return paths.some((path) => path.attributes.weight === undefined) ? 1 : (attributes.weight ?? 1);
}

function contentOf(paths: readonly Path[], resolve: (path: Path) => Resolution | undefined): GroupContent {
  const ordered = paths.toSorted((a, b) => (a.attributes.nextHop < b.attributes.nextHop ? -1 : 1));
  const nextHops = new Map<string, FeedNextHop>();
  let node = '';
  for (const path of ordered) {
    const found = resolve(path);
    node = found?.node ?? '';
    for (const nextHop of found?.nextHops ?? []) {
      const weight = Math.min(WEIGHT_MAX, nextHop.weight * weightAmong(paths, path));
      nextHops.set(`${nextHop.gateway}%${nextHop.device}`, { ...nextHop, weight });
    }
  }
  const [only] = paths;
  return {
    kind: 'unicast',
    nextHops: [...nextHops.values()],
    local: false,
    node: paths.length === 1 ? node : '',
    ...(paths.length === 1 && only !== undefined && { endpoint: only.attributes.nextHop }),
  };
}

function sameContent(a: GroupContent, b: GroupContent): boolean {
  return (
    a.kind === b.kind &&
    a.local === b.local &&
    a.node === b.node &&
    a.endpoint === b.endpoint &&
    a.nextHops.length === b.nextHops.length &&
    a.nextHops.every((nextHop, i) => sameNextHop(nextHop, b.nextHops[i]))
  );
}

function sameNextHop(a: FeedNextHop, b: FeedNextHop | undefined): boolean {
  return (
    b !== undefined &&
    a.gateway === b.gateway &&
    a.device === b.device &&
    a.onlink === b.onlink &&
    a.weight === b.weight
  );
}
