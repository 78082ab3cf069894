// Routes of the configuration file: static ones, and aggregates that are there while a longer prefix within them is known.
//
// Both are originated as local routes: they end on this node, in the feed's blackhole group, so that an aggregate without a
// longer match is discarded here and loops nowhere (RFC 4632 section 5.1).

import { type Prefix, prefixAddress, prefixContains, prefixFamily, prefixLength } from '../lib/net/prefix.ts';
import type { StaticRoute } from './peering-file.ts';
import type { Attributes } from './rib/attributes.ts';

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

/** Attributes that a route sets. */
export function routeAttributes({ communities, localPref, med }: StaticRoute): Partial<Attributes> {
  return {
    communities: [...new Set(communities)].sort((a, b) => a - b),
    ...(localPref !== undefined && { localPref }),
    ...(med !== undefined && { med }),
  };
}

function isWithin(prefix: Prefix, aggregate: Prefix): boolean {
  return (
    prefixFamily(prefix) === prefixFamily(aggregate) &&
    prefixLength(prefix) > prefixLength(aggregate) &&
    prefixContains(aggregate, prefixAddress(prefix))
  );
}
