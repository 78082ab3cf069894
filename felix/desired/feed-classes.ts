// Which kinds of routes there are, which feed offers which, and what `--feed` may say of them. Pure.
//
//   local     the node's own subnet                        flanneld, bgpd
//   nodes     what lies behind other nodes                 flanneld, bgpd
//   network   what of the cluster network no node has      flanneld
//
// The order is that of precedence: where two classes want one prefix, the upper one has it. Two feeds with one class
// would be two opinions of one route, so that is refused before anything is touched.

import type { FeedGroup } from '../../lib/feed/feed.ts';

/** In order of precedence. */
export const ROUTE_CLASSES = ['local', 'nodes', 'network'] as const;

export type RouteClass = (typeof ROUTE_CLASSES)[number];

/** What each feed has to offer. */
const OFFERS = {
  flanneld: ['local', 'nodes', 'network'],
  bgpd: ['local', 'nodes'],
} as const satisfies Readonly<Record<string, readonly RouteClass[]>>;

export type FeedName = keyof typeof OFFERS;

/** One feed, and the classes that felix takes from it. */
export interface FeedClaim {
  readonly feed: FeedName;
  readonly classes: readonly RouteClass[];
}

/** The class of a group's routes. */
export function classOf({ kind, local }: FeedGroup): RouteClass {
  if (kind === 'unreachable') return 'network';
  return local ? 'local' : 'nodes';
}

/** Reads `bgpd,flanneld:network`: feeds, each with the classes after a colon, `+` between them; none: all that it offers. */
export function parseFeedClaim(text: string): FeedClaim | undefined {
  const [name = '', classes, ...more] = text.split(':');
  if (!isFeed(name) || more.length > 0) return undefined;
  const offered: readonly RouteClass[] = OFFERS[name];
  if (classes === undefined) return { feed: name, classes: offered };
  const named = classes.split('+').map((word) => offered.find((each) => each === word));
  return named.every((each) => each !== undefined) ? { feed: name, classes: named } : undefined;
}

/** What is wrong with these claims together, in words; `undefined` where nothing is. */
export function conflictOf(claims: readonly FeedClaim[]): string | undefined {
  if (claims.length === 0) return 'names no feed';
  for (const [at, { feed, classes }] of claims.entries()) {
    for (const other of claims.slice(0, at)) {
      if (other.feed === feed) return `names ${feed} twice`;
      const both = classes.filter((each) => other.classes.includes(each));
      if (both.length > 0) return `gives ${both.join(' and ')} to both ${other.feed} and ${feed}`;
    }
  }
  return undefined;
}

function isFeed(name: string): name is FeedName {
  return Object.hasOwn(OFFERS, name);
}
