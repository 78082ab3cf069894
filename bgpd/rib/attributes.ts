// Path attributes as values (RFC 4271 section 5, RFC 4456 section 8, RFC 1997, RFC 8092).
//
// One attribute set serves many prefixes: `PathTable` interns it, so that equal sets are one object and comparing,
// grouping and caching by identity is right everywhere in the RIBs. Never build one by hand and compare it with `===`.

import type { Address, Family } from '../../lib/net/address.ts';

/** RFC 4271 section 4.3 a: in order of preference, most preferred first. */
export const ORIGINS = ['igp', 'egp', 'incomplete'] as const;
export type Origin = (typeof ORIGINS)[number];

/** RFC 4271 section 9.1.1 leaves the default to the implementation; 100 is what every other one uses. */
export const DEFAULT_LOCAL_PREF = 100;

/** Largest weight of a path: that of a next hop in the kernel. */
export const WEIGHT_MAX = 256;

/** Well-known communities (RFC 1997, RFC 8326, RFC 9494 section 5). */
export const COMMUNITY = {
  gracefulShutdown: 0xffff0000,
  longLivedStale: 0xffff0006,
  noLongLived: 0xffff0007,
  noExport: 0xffffff01,
  noAdvertise: 0xffffff02,
  noExportSubconfed: 0xffffff03,
} as const;

/** BGP identifier: four bytes written as a dotted quad; it need not be an address of the node. */
export type RouterId = Address;

export interface Attributes {
  readonly origin: Origin;
  /** AS_SEQUENCE, nearest first; empty inside one AS. */
  readonly asPath: readonly number[];
  /** Underlay address of the node that announces. */
  readonly nextHop: Address;
  /** Absent on what an external peer sent. */
  readonly localPref?: number;
  readonly med?: number;
  /** Set by a reflector (RFC 4456 section 8). */
  readonly originatorId?: RouterId;
  /** Reflectors passed, nearest first. */
  readonly clusterList: readonly RouterId[];
  /** High 16 bits ASN, low 16 bits value; ascending. */
  readonly communities: readonly number[];
  /** `64512:1:2`; ascending as text. */
  readonly largeCommunities: readonly string[];
  /** Share of the traffic among equal paths, 1 to `WEIGHT_MAX`; it stays inside the AS. */
  readonly weight?: number;
}

/** The attributes of a route that starts on this node (RFC 4271 section 9.2.1.2 leaves them to us: the least that is valid). */
export function localAttributes(nextHop: Address): Attributes {
  return { origin: 'igp', asPath: [], nextHop, clusterList: [], communities: [], largeCommunities: [] };
}

/** AS that sent the route to ours; 0 where it comes from inside (RFC 4271 section 9.1.2.2 c). */
export function neighbourAs(attributes: Attributes): number {
  return attributes.asPath[0] ?? 0;
}

/** The same with one more community. */
export function withCommunity(attributes: Attributes, community: number): Attributes {
  const communities = [...new Set([...attributes.communities, community])].sort((a, b) => a - b);
  return { ...attributes, communities };
}

/** Its sender went away long ago, or passed it on from one that did (RFC 9494 section 4.3). */
export function isLongLivedStale({ communities }: Attributes): boolean {
  return communities.includes(COMMUNITY.longLivedStale);
}

/** Text that is equal exactly where two attribute sets are equal. */
export function attributesKey(attributes: Attributes): string {
  return JSON.stringify([
    attributes.origin,
    attributes.asPath,
    attributes.nextHop,
    attributes.localPref ?? -1,
    attributes.med ?? -1,
    attributes.originatorId ?? '',
    attributes.clusterList,
    attributes.communities,
    attributes.largeCommunities,
    attributes.weight ?? 0,
  ]);
}

/** Both families, in the order in which they are sent. */
export const FAMILIES: readonly Family[] = [4, 6];
