// The RouteFeed in gingham's own types: what flanneld and bgpd offer, what bgpd and felix watch.
//
// The protobuf form lives only in feed-codec.ts. Groups carry next hops, routes carry a group's id: see
// proto/gingham/routefeed/v1/routefeed.proto for why.

import type { Address } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import type { Prefix } from '../net/prefix.ts';

export interface FeedNextHop {
  /** Absent where the device alone decides (a TUN). */
  readonly gateway?: Address;
  /** Interface name; absent: the one through which the kernel reaches the gateway. */
  readonly device?: string;
  readonly onlink: boolean;
  /** 1 to 256. */
  readonly weight: number;
}

/** What an interface of this node needs besides routes, for what is plugged in behind it. */
export interface FeedAttachment {
  /** Interface name. */
  readonly device: string;
  /** Addresses that the node has on the interface, each alone in its subnet: what the other end calls its gateways. */
  readonly addresses: readonly Address[];
  /** Who is at the other end: permanent neighbour entries. */
  readonly neighbours: readonly { readonly address: Address; readonly mac: Mac }[];
}

export type FeedGroupKind = 'unicast' | 'blackhole' | 'unreachable';

export interface FeedGroup {
  readonly id: number;
  readonly kind: FeedGroupKind;
  readonly nextHops: readonly FeedNextHop[];
  /** Underlay address of the one node that this group leads to. */
  readonly endpoint?: Address;
  /** Its routes end on this node: bgpd originates them. */
  readonly local: boolean;
  /** Name of the one node that this group leads to; empty where there are several. */
  readonly node: string;
  readonly attachment?: FeedAttachment;
}

/** A fault or change, stamped where it was first seen. */
export interface Cause {
  /** `<daemon>-<pid>-<number>`. */
  readonly id: string;
  readonly kind: string;
  readonly detectedUnixUs: bigint;
  /** When the sender had its decision ready. */
  readonly decidedUnixUs: bigint;
}

export type FeedEvent =
  | { readonly type: 'group'; readonly group: FeedGroup; readonly cause?: Cause }
  | { readonly type: 'group-removed'; readonly id: number; readonly cause?: Cause }
  | { readonly type: 'routes'; readonly group: number; readonly prefixes: readonly Prefix[]; readonly cause?: Cause }
  | { readonly type: 'withdrawn'; readonly prefixes: readonly Prefix[]; readonly cause?: Cause }
  | { readonly type: 'in-sync' };
