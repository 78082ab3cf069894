// Several feeds as one: of each, the groups of the classes that felix takes from it. Pure; what changes is told in names,
// as a FeedView tells it.
//
// The confusing thing: ids of groups are a feed's own. Here they are that id times the number of feeds, plus the feed's
// place, which for one feed is the id itself.

import type { FeedGroup } from '../../lib/feed/feed.ts';
import type { FeedChange, FeedView } from '../../lib/feed/feed-view.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { classOf, ROUTE_CLASSES, type RouteClass } from './feed-classes.ts';

/** What felix asks of its feeds. */
export interface WantedRoutes {
  readonly groups: { get(id: number): FeedGroup | undefined; values(): Iterable<FeedGroup> };
  groupOf(prefix: Prefix): number | undefined;
  prefixesOf(group: number): Iterable<Prefix>;
  routes(): Iterable<readonly [Prefix, number]>;
}

export interface TakenFeed {
  readonly view: FeedView;
  readonly classes: readonly RouteClass[];
}

const NO_PREFIXES: readonly Prefix[] = [];

export class MergedFeeds implements WantedRoutes {
  readonly groups: WantedRoutes['groups'];
  readonly #feeds: readonly TakenFeed[];
  /** Class of each group that is taken, as it was last told of. */
  readonly #classes = new Map<number, RouteClass>();

  constructor(feeds: readonly TakenFeed[]) {
    this.#feeds = feeds;
    this.groups = { get: (id) => this.#groupAt(id), values: () => this.#values() };
  }

  groupOf(prefix: Prefix): number | undefined {
    let found: number | undefined;
    let rank: number = ROUTE_CLASSES.length;
    for (const [at, { view }] of this.#feeds.entries()) {
      const own = view.groupOf(prefix);
      const id = own === undefined ? undefined : this.#idOf(own, at);
      const group = id === undefined ? undefined : this.#groupAt(id);
      if (group === undefined || ROUTE_CLASSES.indexOf(classOf(group)) >= rank) continue;
      rank = ROUTE_CLASSES.indexOf(classOf(group));
      found = id;
    }
    return found;
  }

  *prefixesOf(id: number): Iterable<Prefix> {
    for (const prefix of this.#allOf(id)) if (this.groupOf(prefix) === id) yield prefix;
  }

  *routes(): Iterable<readonly [Prefix, number]> {
    for (const [at, { view }] of this.#feeds.entries()) {
      for (const [prefix, own] of view.routes()) {
        const id = this.#idOf(own, at);
        if (this.groupOf(prefix) === id) yield [prefix, id];
      }
    }
  }

  /** What a change of the view at this place means here. */
  changed(at: number, { groups, prefixes }: FeedChange): FeedChange {
    const ids = groups.map((own) => this.#idOf(own, at));
    const moved = ids.flatMap((id) => {
      const group = this.#groupAt(id);
      const before = this.#classes.get(id);
      const now = group && classOf(group);
      if (now === undefined) this.#classes.delete(id);
      else this.#classes.set(id, now);
      // Of another class, its routes may be another feed's now.
      return before === now ? NO_PREFIXES : [...this.#allOf(id)];
    });
    return { groups: ids, prefixes: moved.length === 0 ? prefixes : [...prefixes, ...moved] };
  }

  #groupAt(id: number): FeedGroup | undefined {
    const feed = this.#feeds[id % this.#feeds.length];
    const group = feed?.view.groups.get(Math.floor(id / this.#feeds.length));
    return group !== undefined && feed?.classes.includes(classOf(group)) ? group : undefined;
  }

  *#values(): Iterable<FeedGroup> {
    for (const { view, classes } of this.#feeds) {
      for (const group of view.groups.values()) if (classes.includes(classOf(group))) yield group;
    }
  }

  /** The prefixes that the feed itself has in this group. */
  #allOf(id: number): Iterable<Prefix> {
    const count = this.#feeds.length;
    return this.#feeds[id % count]?.view.prefixesOf(Math.floor(id / count)) ?? NO_PREFIXES;
  }

  #idOf(own: number, at: number): number {
    return own * this.#feeds.length + at;
  }
}
