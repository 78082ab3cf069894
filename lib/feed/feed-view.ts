// A watcher's mirror of a RouteFeed: applies events, marks what it holds when a new call begins, sweeps at the in-sync
// marker, and reports what changed. Pure; feed-client.ts feeds it.
//
// Changes are reported as names only (group ids, prefixes): the watcher looks up what they are now, if anything.
//
// The confusing thing: group ids here are the view's own. A server that restarts may number its groups anew; a group that
// is recognisably the same (same content, or same node and endpoint) keeps its id here, and old routes never follow a
// number that now means something else. While one server lives, the ids are the server's.

import type { Prefix } from '../net/prefix.ts';
import type { FeedEvent, FeedGroup } from './feed.ts';
import { sameGroup } from './feed-table.ts';
import { GroupedRoutes } from './grouped-routes.ts';

/** First id for a group whose own id is taken by a group of the server's former life. */
const FIRST_OWN_ID = 0x8000_0000;

/** Names of what one event changed. */
export interface FeedChange {
  /** Groups made, changed or gone: see `groups`. */
  readonly groups: readonly number[];
  /** Prefixes whose group is another than before, or gone: see `groupOf`. */
  readonly prefixes: readonly Prefix[];
}

/** An event that the protocol does not allow here; the view did not change. Open the feed anew. */
export interface FeedViolation {
  readonly error: string;
}

export class FeedView {
  readonly #groups = new Map<number, FeedGroup>();
  readonly #routes = new GroupedRoutes();
  /** Id in this call -> id in this view. */
  readonly #idOf = new Map<number, number>();
  readonly #staleGroups = new Set<number>();
  readonly #stalePrefixes = new Set<Prefix>();
  /** Groups held when the present call began, by what they say and by where they lead. */
  #formerByContent = new Map<string, readonly number[]>();
  #formerByNode = new Map<string, readonly number[]>();
  #nextOwnId = FIRST_OWN_ID;
  #synced = false;

  /** Whether the present call has brought its in-sync marker: false from `beginSync` until then. */
  get synced(): boolean {
    return this.#synced;
  }

  get routeCount(): number {
    return this.#routes.size;
  }

  /** Prefixes held from a former call that this call has not confirmed. */
  get staleCount(): number {
    return this.#stalePrefixes.size;
  }

  /** Every group by its id here; a live view. */
  get groups(): ReadonlyMap<number, FeedGroup> {
    return this.#groups;
  }

  /** Id of the group of a prefix. */
  groupOf(prefix: Prefix): number | undefined {
    return this.#routes.groupOf(prefix);
  }

  /** The prefixes of a group; a live view. */
  prefixesOf(group: number): ReadonlySet<Prefix> {
    return this.#routes.prefixesOf(group);
  }

  /** Every prefix with the id of its group. */
  routes(): IterableIterator<[Prefix, number]> {
    return this.#routes.entries();
  }

  /** A new call begins: all that is held stays, marked, until the call confirms it or brings its in-sync marker. */
  beginSync(): void {
    this.#synced = false;
    this.#idOf.clear();
    for (const id of this.#groups.keys()) this.#staleGroups.add(id);
    this.#formerByContent = idsBy(this.#groups, contentText);
    this.#formerByNode = idsBy(this.#groups, nodeText);
    for (const [prefix] of this.#routes.entries()) this.#stalePrefixes.add(prefix);
  }

  /** Applies one event of the present call. */
  apply(event: FeedEvent): FeedChange | FeedViolation {
    switch (event.type) {
      case 'group':
        return this.#setGroup(event.group);
      case 'group-removed':
        return this.#removeGroup(event.id);
      case 'routes': {
        const group = this.#idOf.get(event.group);
        if (group === undefined) return { error: `routes of group ${event.group}, which was not sent` };
        const changed = event.prefixes.filter((prefix) => {
          this.#stalePrefixes.delete(prefix);
          return this.#routes.assign(prefix, group);
        });
        return { groups: [], prefixes: changed };
      }
      case 'withdrawn': {
        const changed = event.prefixes.filter((prefix) => {
          this.#stalePrefixes.delete(prefix);
          return this.#routes.remove(prefix);
        });
        return { groups: [], prefixes: changed };
      }
      case 'in-sync':
        return this.#sweep();
    }
  }

  #setGroup(sent: FeedGroup): FeedChange {
    const id = this.#idOf.get(sent.id) ?? this.#formerId(sent) ?? this.#freeId(sent.id);
    const group = id === sent.id ? sent : { ...sent, id };
    const before = this.#groups.get(id);
    this.#idOf.set(sent.id, id);
    this.#staleGroups.delete(id);
    if (before !== undefined && sameGroup(before, group)) return { groups: [], prefixes: [] };
    this.#groups.set(id, group);
    return { groups: [id], prefixes: [] };
  }

  #removeGroup(sentId: number): FeedChange | FeedViolation {
    const id = this.#idOf.get(sentId);
    if (id === undefined) return { error: `removal of group ${sentId}, which was not sent` };
    const prefixes = this.#routes.prefixesOf(id);
    for (const prefix of prefixes) {
      if (!this.#stalePrefixes.has(prefix)) return { error: `removal of group ${sentId}, which has routes` };
    }
    this.#idOf.delete(sentId);
    if (prefixes.size > 0) {
      // Only routes of a former call use it: they go at the in-sync marker, and the group with them.
      this.#staleGroups.add(id);
      return { groups: [], prefixes: [] };
    }
    this.#groups.delete(id);
    return { groups: [id], prefixes: [] };
  }

  #sweep(): FeedChange {
    const prefixes = [...this.#stalePrefixes];
    const groups = [...this.#staleGroups];
    for (const prefix of prefixes) this.#routes.remove(prefix);
    for (const id of groups) this.#groups.delete(id);
    this.#stalePrefixes.clear();
    this.#staleGroups.clear();
    this.#synced = true;
    return { groups, prefixes };
  }

  /** The marked group that the server's former life knew as this one: by content first, then by node and endpoint. */
  #formerId(sent: FeedGroup): number | undefined {
    const node = nodeText(sent);
    return (
      this.#stillMarked(this.#formerByContent.get(contentText(sent)), sent.id) ??
      (node === undefined ? undefined : this.#stillMarked(this.#formerByNode.get(node), sent.id))
    );
  }

  #stillMarked(ids: readonly number[] | undefined, preferred: number): number | undefined {
    const marked = ids?.filter((id) => this.#staleGroups.has(id)) ?? [];
    return marked.includes(preferred) ? preferred : marked[0];
  }

  #freeId(wanted: number): number {
    if (!this.#groups.has(wanted)) return wanted;
    while (this.#groups.has(this.#nextOwnId)) this.#nextOwnId++;
    return this.#nextOwnId++;
  }
}

function idsBy(
  groups: ReadonlyMap<number, FeedGroup>,
  textOf: (group: FeedGroup) => string | undefined,
): Map<string, readonly number[]> {
  const result = new Map<string, number[]>();
  for (const [id, group] of groups) {
    const text = textOf(group);
    if (text === undefined) continue;
    const ids = result.get(text);
    if (ids === undefined) result.set(text, [id]);
    else ids.push(id);
  }
  return result;
}

function contentText({ kind, local, node, endpoint, nextHops, attachment }: FeedGroup): string {
  const hops = nextHops.map(({ gateway, device, onlink, weight }) => [gateway, device, onlink, weight]);
  return JSON.stringify([kind, local, node, endpoint, hops, attachment]);
}

function nodeText({ kind, local, node, endpoint }: FeedGroup): string | undefined {
  return node === '' && endpoint === undefined ? undefined : JSON.stringify([kind, local, node, endpoint]);
}
