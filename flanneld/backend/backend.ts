// What a backend is: the part of flanneld that knows how packets get to another node.
//
// It owns its device (if it has one), the device's addresses, and the neighbour and FDB entries on it. It owns no route:
// it says by which next hop each peer's subnets are reached, and felix writes that. Peers are given as they change, so
// that one among thousands costs the work of one.

import type { FeedNextHop } from '../../lib/feed/feed.ts';
import type { Kernel } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Clock } from '../../lib/run/clock.ts';
import type { Logger } from '../../lib/run/log.ts';
import type { DataPlane, PlaneRoute } from '../dataplane/data-plane.ts';
import type { Lease, LeaseAttributes } from '../lease/lease.ts';
import type { BackendConfig } from '../lease/network-config.ts';
import type { Underlay } from '../underlay.ts';

export type BackendName = 'vxlan' | 'vxlan-user' | 'udp' | 'ipip' | 'ipip-user' | 'host-gw';

/** A subnet of a peer and its next hop. */
export interface PeerRoute {
  readonly subnet: Prefix;
  readonly hop: FeedNextHop;
}

/** One other node as the backend sees it. */
export interface PeerState {
  readonly lease: Lease;
  /** Underlay address at which it is reached; absent where it is refused. */
  readonly endpoint?: Address;
  /** Empty where it is refused, or until all that its packets need is in place. */
  readonly routes: readonly PeerRoute[];
  /** Device entries are in place. */
  readonly programmed: boolean;
  /** Why the node cannot be reached by this backend, in one line. */
  readonly refused?: string;
}

export interface BackendContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  readonly underlay: Underlay;
  /**
   * Called when a peer, `problem` or `mtuBytes` may have changed. `keys` are the leases whose `peer` may be another now;
   * all of them where it is absent.
   */
  onChange(keys?: readonly string[]): void;
}

/** What of this node a backend must follow while it runs; absent is unchanged. */
export interface NodeChange {
  readonly underlay?: Underlay;
  /** The node's lease, on another subnet. */
  readonly own?: Lease;
  readonly config?: BackendConfig;
}

/** The other nodes, as a backend keeps them. */
export interface BackendPeers {
  /** These are all other nodes. Takes effect soon; `onChange` tells when. */
  setPeers(leases: readonly Lease[]): void;

  /** These leases are new or changed, those are gone. */
  changePeers(put: readonly Lease[], removed: readonly Lease[]): void;

  peers(): readonly PeerState[];

  /** One of them, by the etcd key of its lease. */
  peer(key: string): PeerState | undefined;
}

export interface Backend extends BackendPeers {
  readonly name: BackendName;
  /** Its tunnel device; `undefined` where it needs none. */
  readonly deviceName: string | undefined;
  /** Largest packet that fits the overlay: what pods get. */
  readonly mtuBytes: number;
  /** The driver of a user-space plane that is open, why that one, and what it could switch on. */
  readonly planeIo?: DataPlane['io'] | undefined;

  /**
   * Takes changes of who has which prefix, from the cluster's routing: a user-space plane checks inner sources by it, and
   * forwards by it where it has a TUN. `undefined` where the kernel forwards.
   */
  readonly setRoutes: ((routes: readonly PlaneRoute[]) => void) | undefined;

  /** The backend's part of the node's lease; `before` is the lease that it replaces. */
  leaseData(before: Lease | undefined): Pick<LeaseAttributes, 'backendType' | 'vtep' | 'vtep6'>;

  /** Makes the device for this lease. Throws `ExitError` where this node cannot run the backend. */
  start(lease: Lease): Promise<void>;

  /** What is wrong with the device; `undefined` where all is well. */
  problem(): string | undefined;

  /** Packets that a user-space plane dropped since its start, by reason; `undefined` where the kernel forwards. */
  drops(): Readonly<Record<string, number>> | undefined;

  /** Follows a change of this node without a new start. */
  update(change: NodeChange): void;

  /** Stops; the device stays where it can, a kernel one goes on forwarding. */
  stop(): Promise<void>;
}
