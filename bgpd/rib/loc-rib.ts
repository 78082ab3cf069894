// Adj-RIBs-In and Loc-RIB of one family: which candidate path each peer gave for each prefix, and what was decided
// (RFC 4271 section 3.2). One structure holds both: the candidates of a prefix *are* its entries in the Adj-RIBs-In.
//
// Prefixes with the same candidates share one `PathList` and one decision. A peer that dies costs one decision per list,
// not per prefix: its paths are taken out of the lists in place and the prefixes never move. That may leave two lists of
// equal content; sharing is an economy, never a promise. Every method returns what changed, in order.
//
//   prefix ──▶ PathList ──▶ paths (one per peer) ──▶ decision (best, multipath)
//      ▲___________│ prefixes

import type { Prefix } from '../../lib/net/prefix.ts';
import { type Decision, type DecisionContext, decide } from './decision.ts';
import type { Path } from './path.ts';

/** The candidates that some prefixes have in common. Changed in place by its Loc-RIB only. */
export interface PathList {
  readonly prefixes: ReadonlySet<Prefix>;
  /** In order of path id. */
  readonly paths: readonly Path[];
  readonly decision: Decision;
}

/**
 * `moved`: these prefixes left one list for another (`undefined`: had none, have none). `decided`: the prefixes stayed, the
 * list's paths or what was decided on them changed; `before` is the old decision.
 */
export type RibChange =
  | {
      readonly type: 'moved';
      readonly prefixes: readonly Prefix[];
      readonly from: PathList | undefined;
      readonly to: PathList | undefined;
    }
  | { readonly type: 'decided'; readonly list: PathList; readonly before: Decision };

/** The same list, as only its Loc-RIB may see it. */
interface OwnedList extends PathList {
  readonly prefixes: Set<Prefix>;
  paths: readonly Path[];
  decision: Decision;
}

export class LocRib {
  readonly #context: DecisionContext;
  readonly #destinations = new Map<Prefix, OwnedList>();
  /** Every list that has prefixes. */
  readonly #lists = new Set<OwnedList>();
  /** One list per content, the one to which prefixes are added. */
  readonly #byContent = new Map<string, OwnedList>();
  /** Size of each peer's Adj-RIB-In. */
  readonly #counts = new Map<string, number>();

  constructor(context: DecisionContext) {
    this.#context = context;
  }

  /** How many prefixes have a candidate. */
  get size(): number {
    return this.#destinations.size;
  }

  /** How many candidates all prefixes have together. */
  get pathCount(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  get lists(): ReadonlySet<PathList> {
    return this.#lists;
  }

  list(prefix: Prefix): PathList | undefined {
    return this.#destinations.get(prefix);
  }

  /** How many prefixes have a path of this peer. */
  count(peer: string): number {
    return this.#counts.get(peer) ?? 0;
  }

  /** Prefixes in order of first appearance. */
  prefixes(): IterableIterator<Prefix> {
    return this.#destinations.keys();
  }

  /** Makes `path` the path of `peer` for these prefixes, in place of any it had; `undefined` takes it away. */
  replace(peer: string, path: Path | undefined, prefixes: Iterable<Prefix>): RibChange[] {
    const targets = new Map<OwnedList | undefined, { to: OwnedList | undefined; moved: Prefix[] }>();
    for (const prefix of prefixes) {
      const from = this.#destinations.get(prefix);
      let target = targets.get(from);
      if (target === undefined) {
        target = { to: this.#successor(from, peer, path), moved: [] };
        targets.set(from, target);
      }
      if (target.to === from) continue;
      this.#move(prefix, from, target.to);
      target.moved.push(prefix);
    }
    const changes: RibChange[] = [];
    for (const [from, { to, moved }] of targets) {
      if (moved.length === 0) continue;
      if (from !== undefined) this.#dropIfEmpty(from);
      const change = (path === undefined ? 0 : moved.length) - (hasPathOf(from, peer) ? moved.length : 0);
      if (change !== 0) this.#count(peer, change);
      changes.push({ type: 'moved', prefixes: moved, from, to });
    }
    return changes;
  }

  /**
   * Replaces every path by what `change` makes of it, itself for no change, `undefined` to take it away: a decision per
   * list; only prefixes that are left without a path are touched one by one.
   */
  rewritePaths(change: (path: Path) => Path | undefined): RibChange[] {
    const changes: RibChange[] = [];
    for (const list of this.#lists) {
      const paths: Path[] = [];
      let same = true;
      for (const path of list.paths) {
        const now = change(path);
        same &&= now === path;
        if (now === undefined) this.#count(path.source.peer, -list.prefixes.size);
        else paths.push(now);
      }
      if (same) continue;
      paths.sort((a, b) => a.id - b.id);
      if (paths.length === 0) {
        changes.push({ type: 'moved', prefixes: this.#discard(list), from: list, to: undefined });
        continue;
      }
      const before = list.decision;
      this.#forgetContent(list);
      list.paths = paths;
      list.decision = decide(paths, this.#context);
      this.#rememberContent(list);
      changes.push({ type: 'decided', list, before });
    }
    return changes;
  }

  /** Decides again on every list with a path for which `affected` holds: a next hop changed, a source became stale. */
  redecide(affected: (path: Path) => boolean): RibChange[] {
    const changes: RibChange[] = [];
    for (const list of this.#lists) {
      if (!list.paths.some(affected)) continue;
      const before = list.decision;
      list.decision = decide(list.paths, this.#context);
      changes.push({ type: 'decided', list, before });
    }
    return changes;
  }

  #count(peer: string, change: number): void {
    const count = this.count(peer) + change;
    if (count === 0) this.#counts.delete(peer);
    else this.#counts.set(peer, count);
  }

  /** The list that has the paths of `from` with that of `peer` replaced; `undefined` where none are left. */
  #successor(from: OwnedList | undefined, peer: string, path: Path | undefined): OwnedList | undefined {
    const others = from?.paths.filter((other) => other.source.peer !== peer) ?? [];
    const paths = path === undefined ? others : [...others, path].sort((a, b) => a.id - b.id);
    if (from !== undefined && contentKey(paths) === contentKey(from.paths)) return from;
    if (paths.length === 0) return undefined;
    const known = this.#byContent.get(contentKey(paths));
    if (known !== undefined) return known;
    const list: OwnedList = { prefixes: new Set(), paths, decision: decide(paths, this.#context) };
    this.#lists.add(list);
    this.#rememberContent(list);
    return list;
  }

  #move(prefix: Prefix, from: OwnedList | undefined, to: OwnedList | undefined): void {
    from?.prefixes.delete(prefix);
    to?.prefixes.add(prefix);
    if (to === undefined) this.#destinations.delete(prefix);
    else this.#destinations.set(prefix, to);
  }

  #dropIfEmpty(list: OwnedList): void {
    if (list.prefixes.size > 0) return;
    this.#lists.delete(list);
    this.#forgetContent(list);
  }

  #discard(list: OwnedList): readonly Prefix[] {
    const prefixes = [...list.prefixes];
    for (const prefix of prefixes) this.#destinations.delete(prefix);
    list.prefixes.clear();
    this.#dropIfEmpty(list);
    return prefixes;
  }

  #rememberContent(list: OwnedList): void {
    const key = contentKey(list.paths);
    if (!this.#byContent.has(key)) this.#byContent.set(key, list);
  }

  #forgetContent(list: OwnedList): void {
    const key = contentKey(list.paths);
    if (this.#byContent.get(key) === list) this.#byContent.delete(key);
  }
}

function contentKey(paths: readonly Path[]): string {
  return paths.map((path) => path.id).join(' ');
}

function hasPathOf(list: PathList | undefined, peer: string): boolean {
  return list?.paths.some((path) => path.source.peer === peer) ?? false;
}
