// What a backend is: the part of flanneld that knows how packets get to another node.
//
// It owns its device (if it has one), the device's addresses, and the neighbour and FDB entries on it. It owns no route:
// it says by which next hop each peer's subnets are reached, and felix writes that. Everything about peers is
// level-triggered: `setPeers` takes all of them, `peers` says how each stands.

import type { FeedNextHop } from '../../lib/feed/feed.ts';
import type { Kernel } from '../../lib/kernel/kernel.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Clock } from '../../lib/run/clock.ts';
import type { Logger } from '../../lib/run/log.ts';
import type { Lease, LeaseAttributes } from '../lease/lease.ts';
import type { Underlay } from '../underlay.ts';

export type BackendName = 'vxlan' | 'vxlan-user' | 'udp' | 'host-gw';

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
  /** Called when `peers`, `problem` or `mtuBytes` may have changed. */
  onChange(): void;
}

export interface Backend {
  readonly name: BackendName;
  /** Its tunnel device; `undefined` where it needs none. */
  readonly deviceName: string | undefined;
  /** Largest packet that fits the overlay: what pods get. */
  readonly mtuBytes: number;

  /** The backend's part of the node's lease; `before` is the lease that it replaces. */
  leaseData(before: Lease | undefined): Pick<LeaseAttributes, 'backendType' | 'vtep' | 'vtep6'>;

  /** Makes the device for this lease. Throws `ExitError` where this node cannot run the backend. */
  start(lease: Lease): Promise<void>;

  /** These are all other nodes. Takes effect soon; `onChange` tells when. */
  setPeers(leases: readonly Lease[]): void;

  peers(): readonly PeerState[];

  /** What is wrong with the device; `undefined` where all is well. */
  problem(): string | undefined;

  /** Packets that a user-space plane dropped since its start, by reason; `undefined` where the kernel forwards. */
  drops(): Readonly<Record<string, number>> | undefined;

  /** The underlay's MTU has changed. */
  setUnderlayMtu(mtuBytes: number): void;

  /** Stops; a kernel device stays and goes on forwarding, a user-space one goes. */
  stop(): Promise<void>;
}
