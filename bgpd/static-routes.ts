// Routes that start here besides flanneld's: those of the configuration file (static ones, and aggregates that are there
// while a longer prefix within them is known), and those that were added while running, which end with this run.
//
// All are originated as local routes: they end on this node, in the feed's blackhole group, so that an aggregate without a
// longer match is discarded here and loops nowhere (RFC 4632 section 5.1). A prefix starts here once: the file
// wins over what was added, and nothing may be added where flanneld has a subnet.

import type { FeedEvent } from '../lib/feed/feed.ts';
import type { Address } from '../lib/net/address.ts';
import { type Prefix, prefixAddress, prefixContains, prefixFamily, prefixLength } from '../lib/net/prefix.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { OriginAttributes, StaticRoute } from './peering-file.ts';
import type { Attributes } from './rib/attributes.ts';
import type { Rib } from './rib/rib.ts';

/** Routes that may be added while running. */
export const ADDED_ROUTES_MAX = 100_000;

export interface StaticRoutesOptions {
  readonly rib: Pick<Rib, 'originate' | 'withdrawLocal' | 'prefixes'>;
  readonly clock: Clock;
  readonly publish: (events: readonly FeedEvent[]) => void;
  /** NEXT_HOP of routes that name none. */
  readonly address: () => Address;
  /** flanneld says that this prefix starts here. */
  readonly isLeased: (prefix: Prefix) => boolean;
  /** There is something to tell peers. */
  readonly changed: () => void;
}

export class StaticRoutes {
  readonly #options: StaticRoutesOptions;
  #file: readonly StaticRoute[] = [];
  #active: readonly StaticRoute[] = [];
  readonly #added = new Map<Prefix, Partial<Attributes>>();
  #lookScheduled = false;

  constructor(options: StaticRoutesOptions) {
    this.#options = options;
  }

  /** What was added while running, with what each was given. */
  get added(): ReadonlyMap<Prefix, Partial<Attributes>> {
    return this.#added;
  }

  /** Takes the routes of the file in place of those before. */
  setFile(routes: readonly StaticRoute[]): void {
    this.#file = routes;
    for (const { prefix } of routes) this.#added.delete(prefix);
    this.#follow();
  }

  /** Many changes of the routes, one look at the aggregates. */
  tableChanged(): void {
    if (this.#lookScheduled || !this.#file.some(({ isAggregate }) => isAggregate)) return;
    this.#lookScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#lookScheduled = false;
      this.#follow();
    });
  }

  /** The address of this node is another now. */
  moved(): void {
    for (const route of this.#active) this.#originate(route.prefix, originAttributes(route));
    for (const [prefix, attributes] of this.#added) this.#originate(prefix, attributes);
  }

  /** Originates a prefix, or again with other attributes. Why it cannot be; `undefined` where it was done. */
  add(prefix: Prefix, attributes: Partial<Attributes>): string | undefined {
    if (!this.#added.has(prefix)) {
      if (this.#file.some((route) => route.prefix === prefix)) return `${prefix} is a route of the configuration file`;
      if (this.#options.isLeased(prefix)) return `${prefix} is a subnet of this node`;
      if (this.#added.size >= ADDED_ROUTES_MAX) return `${ADDED_ROUTES_MAX} routes were added: no more are taken`;
    }
    this.#added.set(prefix, attributes);
    this.#originate(prefix, attributes);
    this.#options.changed();
    return undefined;
  }

  /** Takes back what was added; other prefixes are not touched. */
  remove(prefixes: readonly Prefix[]): void {
    const gone = prefixes.filter((prefix) => this.#added.delete(prefix) && !this.#options.isLeased(prefix));
    this.#options.publish(this.#options.rib.withdrawLocal(gone, undefined));
    this.#options.changed();
  }

  #follow(): void {
    const { rib, publish, changed } = this.#options;
    const before = this.#active;
    const now = activeRoutes(this.#file, rib.prefixes());
    this.#active = now;
    const kept = new Set(now.map(({ prefix }) => prefix));
    const gone = before.filter(({ prefix }) => !kept.has(prefix)).map(({ prefix }) => prefix);
    if (gone.length > 0) publish(rib.withdrawLocal(gone, undefined));
    const fresh = now.filter((route) => !before.includes(route));
    for (const route of fresh) this.#originate(route.prefix, originAttributes(route));
    if (fresh.length > 0 || gone.length > 0) changed();
  }

  #originate(prefix: Prefix, attributes: Partial<Attributes>): void {
    const { rib, publish, address } = this.#options;
    publish(rib.originate(address(), [prefix], undefined, attributes));
  }
}

/** Routes that are to be announced now: all but the aggregates that nothing known is within. */
export function activeRoutes(routes: readonly StaticRoute[], known: Iterable<Prefix>): readonly StaticRoute[] {
  const active = new Set(routes.filter(({ isAggregate }) => !isAggregate));
  const waiting = new Set(routes.filter(({ isAggregate }) => isAggregate));
  if (waiting.size > 0) {
    for (const prefix of known) {
      for (const route of waiting) {
        if (!isWithin(prefix, route.prefix)) continue;
        active.add(route);
        waiting.delete(route);
      }
      if (waiting.size === 0) break;
    }
  }
  return routes.filter((route) => active.has(route));
}

/** The attributes that they set. */
export function originAttributes({ communities, localPref, med, weight }: OriginAttributes): Partial<Attributes> {
  return {
    communities: [...new Set(communities)].sort((a, b) => a - b),
    ...(localPref !== undefined && { localPref }),
    ...(med !== undefined && { med }),
    ...(weight !== undefined && { weight }),
  };
}

function isWithin(prefix: Prefix, aggregate: Prefix): boolean {
  return (
    prefixFamily(prefix) === prefixFamily(aggregate) &&
    prefixLength(prefix) > prefixLength(aggregate) &&
    prefixContains(aggregate, prefixAddress(prefix))
  );
}
