// The kernel's network state as gingham sees it: links, addresses, routes, nexthop objects, rules, neighbours, FDB entries.
//
// This is the interface only. `rtnetlink-kernel.ts` is the real one, `test/fakes/fake-kernel.ts` one with state and
// injectable failures; both pass `test/contract/kernel.contract.ts`. Nothing else touches the kernel's network state.
//
// A neighbour maps an IP address to a MAC address (ARP, NDP); an FDB entry maps a MAC address to the outer IP address of
// the VTEP behind which it lives. They look alike and are both "neighbours" to rtnetlink; here they are two kinds.

import type { Address, Family } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import type { Prefix } from '../net/prefix.ts';

/** `rtm_protocol` and `nh_protocol` of everything that gingham writes: 0x47, 'G'. What carries it is ours. */
export const PROTOCOL_GINGHAM = 71;

/** The main routing table (RT_TABLE_MAIN). */
export const TABLE_MAIN = 254;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** IFLA_INFO_KIND: `vxlan`, `tun`, `bridge`, `veth`, ...; absent for a physical device or loopback. */
  readonly type?: string;
  readonly mac?: Mac;
  readonly mtuBytes: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Up and with carrier (IFF_LOWER_UP). */
  readonly running: boolean;
  readonly alias?: string;
  /** Index of the bridge that this link is a port of. */
  readonly masterIndex?: number;
  readonly vxlan?: VxlanLink;
  readonly ipip?: IpipLink;
}

export interface VxlanLink {
  readonly vni: number;
  /** Source address of outgoing datagrams; also says the underlay's family. */
  readonly local?: Address;
  /** UDP destination port. */
  readonly port: number;
  readonly parentIndex?: number;
  readonly learning: boolean;
  /** Group-based policy extension. */
  readonly gbp: boolean;
}

/** An IP-in-IP device (RFC 2003) without a fixed remote end: each packet goes to its route's gateway. */
export interface IpipLink {
  /** Source address of outgoing packets; absent: that of the route to the gateway. */
  readonly local?: Address;
}

export interface LinkAddress {
  readonly linkIndex: number;
  readonly address: Address;
  readonly prefixLength: number;
  /** The other end of a point-to-point link (IFA_ADDRESS); absent where that is the address itself. */
  readonly peer?: Address;
  /** IPv4: `host` is chosen as the source of no packet that leaves the node; absent: global. */
  readonly scope?: 'link' | 'host';
  /** IFA_PROTO (Linux 5.18): who wrote it; absent: nobody said, or a kernel that does not keep it. */
  readonly protocol?: number;
}

export interface RouteNextHop {
  /** Absent where the device alone decides. */
  readonly gateway?: Address;
  readonly linkIndex?: number;
  /** RTNH_F_ONLINK: do not check that the gateway lies in a subnet of the device. */
  readonly onlink?: boolean;
  /** 1 to 256; absent reads as 1. */
  readonly weight?: number;
}

export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw';

/** What the kernel tells routes apart by. `metric` is RTA_PRIORITY: 0 for IPv4 by default, 1024 for IPv6 (0 reads as 1024). */
export interface RouteKey {
  readonly table: number;
  readonly prefix: Prefix;
  readonly tos: number;
  readonly metric: number;
}

export interface Route extends RouteKey {
  /** rtm_protocol: who wrote it. */
  readonly protocol: number;
  readonly type: RouteType;
  /** Empty for a type that needs none, and for a route that points at a nexthop object. */
  readonly nextHops: readonly RouteNextHop[];
  /** Id of the nexthop object or group in use. */
  readonly nexthopId?: number;
  /** Preferred source address. */
  readonly source?: Address;
  /** RTAX_MTU. */
  readonly mtuBytes?: number;
}

/** A nexthop object (include/uapi/linux/nexthop.h): one hop, a blackhole, or a weighted group of other objects. */
export interface Nexthop {
  readonly id: number;
  readonly protocol: number;
  readonly family: Family;
  readonly hop?: RouteNextHop;
  readonly blackhole?: boolean;
  readonly group?: readonly { readonly id: number; readonly weight: number }[];
}

/** A policy rule without a selector: every packet of the family looks into the table, the lowest priority first. */
export interface Rule {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  /** FRA_PROTOCOL: who wrote it. */
  readonly protocol: number;
}

/** A permanent neighbour entry (NUD_PERMANENT); others are not listed, nor are entries to answer for (NTF_PROXY). */
export interface Neighbour {
  readonly linkIndex: number;
  readonly address: Address;
  readonly mac: Mac;
  /** NDA_PROTOCOL (Linux 5.0): who wrote it; absent: nobody said. */
  readonly protocol?: number;
}

/** A permanent entry in the FDB of a VXLAN device (NTF_SELF, NUD_PERMANENT); others are not listed. */
export interface FdbEntry {
  readonly linkIndex: number;
  readonly mac: Mac;
  readonly destination: Address;
}

/** The other end of a veth pair, as it is to be made; it gets the MTU of the first end. */
export interface VethPeer {
  readonly name: string;
  readonly mac?: Mac;
  /** Open file of the network namespace in which it is made; absent: that of the first end. */
  readonly namespaceFd?: number;
}

/** What can be asked of a link that exists or is to be made. A field that is absent is left as it is. */
export interface LinkSpec {
  readonly name: string;
  /** Makes the link with this type where no link has the name: a VXLAN device, an IP-in-IP device, a bridge, a veth pair. */
  readonly create?:
    | { readonly type: 'vxlan'; readonly vxlan: VxlanLink }
    | { readonly type: 'ipip'; readonly ipip: IpipLink }
    | { readonly type: 'bridge' }
    | { readonly type: 'veth'; readonly peer: VethPeer };
  readonly mac?: Mac;
  readonly mtuBytes?: number;
  readonly up?: boolean;
  readonly alias?: string;
  /** Index of the bridge to be a port of. */
  readonly masterIndex?: number;
  /** Of a port of a bridge, which it must be already: whether frames may leave where they came in (IFLA_BRPORT_MODE). */
  readonly hairpin?: boolean;
}

/** Every kind of object, and its value. */
export interface KernelObjects {
  readonly link: Link;
  readonly address: LinkAddress;
  readonly route: Route;
  readonly nexthop: Nexthop;
  readonly rule: Rule;
  readonly neighbour: Neighbour;
  readonly fdb: FdbEntry;
}

export type KernelKind = keyof KernelObjects;

/**
 * The route to delete: its key, and what it must be for it to be the right one. Name protocol and type: the kernel takes
 * metric 0 of an IPv4 deletion as "whatever metric", and would delete a route of another metric where this one is gone.
 */
export interface RouteDeletion extends RouteKey {
  readonly protocol?: number;
  /** Looked at for IPv4 only. */
  readonly type?: RouteType;
}

/**
 * One thing to write. `put` makes the object or replaces the one with its key (for a link: changes what the spec names).
 * `delete` of what is absent is success.
 */
export type KernelChange =
  | { readonly op: 'put'; readonly kind: 'link'; readonly link: LinkSpec }
  | { readonly op: 'delete'; readonly kind: 'link'; readonly name: string }
  | { readonly op: 'put' | 'delete'; readonly kind: 'address'; readonly address: LinkAddress }
  | { readonly op: 'put'; readonly kind: 'route'; readonly route: Route }
  | { readonly op: 'delete'; readonly kind: 'route'; readonly route: RouteDeletion }
  | { readonly op: 'put'; readonly kind: 'nexthop'; readonly nexthop: Nexthop }
  | { readonly op: 'delete'; readonly kind: 'nexthop'; readonly id: number }
  | { readonly op: 'put' | 'delete'; readonly kind: 'rule'; readonly rule: Rule }
  | { readonly op: 'put' | 'delete'; readonly kind: 'neighbour'; readonly neighbour: Neighbour }
  | { readonly op: 'put' | 'delete'; readonly kind: 'fdb'; readonly fdb: FdbEntry };

/** Names of the kernel's error numbers that callers decide on; any other is given by its own name or `E<number>`. */
export type ErrnoName =
  | 'EPERM'
  | 'ENOENT'
  | 'ESRCH'
  | 'EINTR'
  | 'EAGAIN'
  | 'ENOMEM'
  | 'EBUSY'
  | 'EEXIST'
  | 'ENODEV'
  | 'EINVAL'
  | 'EOPNOTSUPP'
  | 'ENETDOWN'
  | 'ENETUNREACH'
  | 'EHOSTUNREACH'
  | 'ENOBUFS'
  | (string & {});

/** Why the kernel refused one message, with its extended acknowledgement text where it gave one. */
export interface KernelFailure {
  readonly code: ErrnoName;
  readonly errno: number;
  /** What was asked, for logs: `put route 10.5.1.0/24`. */
  readonly what: string;
  /** NLMSGERR_ATTR_MSG. */
  readonly message?: string;
}

/**
 * A request that failed as a whole. `dump-interrupted`: the table changed while it was listed, after all retries.
 * `socket`: the netlink socket failed (closed, overrun, truncated or foreign reply); the next call opens a new one.
 */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly code: 'dump-interrupted' | 'socket' | 'unsupported' | 'permission';

  constructor(code: KernelError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What narrows a listing; the kernel filters where it can, the rest is filtered here. */
export interface ListFilter {
  readonly family?: Family;
  readonly table?: number;
  readonly protocol?: number;
  readonly linkIndex?: number;
  /** Of links: the one with this name, which the kernel then looks up instead of listing all. */
  readonly linkName?: string;
}

/**
 * Something changed, whoever did it, this process included. `resync` means that notifications were lost (ENOBUFS) or
 * the socket was reopened: list everything again. Link events carry the link as it now is (or last was, when deleted).
 */
export type KernelEvent =
  | { readonly type: 'put' | 'delete'; readonly kind: 'link'; readonly object: Link }
  | { readonly type: 'put' | 'delete'; readonly kind: 'address'; readonly object: LinkAddress }
  | { readonly type: 'put' | 'delete'; readonly kind: 'route'; readonly object: Route }
  | { readonly type: 'put' | 'delete'; readonly kind: 'nexthop'; readonly object: Nexthop }
  | { readonly type: 'put' | 'delete'; readonly kind: 'rule'; readonly object: Rule }
  | { readonly type: 'put' | 'delete'; readonly kind: 'neighbour'; readonly object: Neighbour }
  | { readonly type: 'put' | 'delete'; readonly kind: 'fdb'; readonly object: FdbEntry }
  | { readonly type: 'resync' };

export interface Kernel {
  /**
   * Whether subscribers hear nothing of the routes that `apply` of this handle writes (the kernel is asked to leave them
   * out). Absent reads as false: they hear of everything.
   */
  readonly mutesOwnRoutes?: boolean;

  /** Every object of one kind that passes the filter, in a fresh array. Throws `KernelError`. */
  list<K extends KernelKind>(kind: K, filter?: ListFilter): Promise<KernelObjects[K][]>;

  /**
   * Writes in order, many messages per system call; one refusal does not stop the rest. The result has one entry per
   * change: `undefined` where it was done. Throws `KernelError` only where nothing can be known (the socket failed).
   */
  apply(changes: readonly KernelChange[]): Promise<readonly (KernelFailure | undefined)[]>;

  /**
   * Calls `listener` for every change of these kinds from the moment the promise resolves: subscribe first, then list.
   * The listener must not block; the returned function ends the subscription.
   *
   * Some things the kernel does in silence; who needs to know of them listens to links and nexthops as well. When a link
   * goes down or away, its nexthop objects go without an event, and so do IPv4 routes through it; likewise IPv4 routes
   * whose nexthop object is deleted. For IPv6, `delete` of a route may mean that it lost one of several next hops.
   * `delete` of a neighbour or FDB entry means that there is no permanent one (any more).
   */
  subscribe(kinds: readonly KernelKind[], listener: (event: KernelEvent) => void): Promise<() => void>;

  /** The route that the kernel would take to this address, or `undefined` where it has none. */
  routeTo(
    address: Address,
  ): Promise<{ readonly linkIndex: number; readonly gateway?: Address; readonly source?: Address } | undefined>;

  /** Ends every subscription and closes the sockets. */
  close(): Promise<void>;
}
