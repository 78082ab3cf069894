// The user-space data plane as its backends see it: a device that exists, a socket that is bound, and a table of peers.
//
// The plane owns the device itself, the UDP socket, and what happens to each packet. It does not own what the rest of the
// node sees of the device: its addresses, MTU, MAC, up/down, alias and neighbours are written by the backend through the
// `Kernel` interface, exactly as for a kernel VXLAN device. Nor does it own routes: those are felix's.
//
// The confusing thing: `PlaneConfig.mac` does not set the device's MAC (the backend does, `put link {mac}`); it tells the
// plane which frames from the overlay are for this node.

import type { Address } from '../../lib/net/address.ts';
import type { Mac } from '../../lib/net/mac.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Offload } from './offloads.ts';

/**
 * `vxlan`: a TAP; Ethernet frames in VXLAN (RFC 7348), the peer chosen by the inner destination MAC address.
 * `udp`: a TUN; bare IP packets in UDP (flannel's `udp` backend), the peer chosen by longest-prefix match.
 * `ipip`: a TUN; IPv4 in IPv4 (RFC 2003) and IPv6 in IPv4 (RFC 4213), the peer chosen as for `udp`.
 */
export type PlaneMode = 'vxlan' | 'udp' | 'ipip';

/** Which I/O driver carries the packets; `auto` takes the fastest one that works here and says why. */
export type PlaneIoChoice = 'auto' | PlaneIoName;
export type PlaneIoName = 'tuntap' | 'batched';

interface PlaneConfigBase {
  /** Name that the device will have: `flannel.1`, `flannel0`. Where a link of this name exists, opening fails. */
  readonly deviceName: string;
  /** Underlay address that the UDP socket is bound to; says the underlay's family. */
  readonly localAddress: Address;
  /** UDP port that the socket is bound to; mode `ipip` has no ports, 0. */
  readonly port: number;
  /**
   * Largest IP packet that goes into the tunnel, bytes: the MTU that the backend gives the device. What is larger and
   * may not be fragmented is answered with ICMP; on receipt any size is taken, as by a kernel device.
   */
  readonly mtuBytes: number;
  /**
   * The node's own subnets. What claims to come from them is spoofed and what is sent to them has nowhere to go, also
   * where a peer announces a shorter prefix around them.
   */
  readonly ownSubnets: readonly Prefix[];
}

export interface VxlanPlaneConfig extends PlaneConfigBase {
  readonly mode: 'vxlan';
  /** 24-bit VXLAN network identifier; a datagram with another one is dropped. */
  readonly vni: number;
  /** MAC address of this node's VTEP, as in its lease. */
  readonly mac: Mac;
}

export interface UdpPlaneConfig extends PlaneConfigBase {
  readonly mode: 'udp';
}

/** Its `localAddress` is an IPv4 address: IP in IPv6 (RFC 2473) is another protocol. */
export interface IpipPlaneConfig extends PlaneConfigBase {
  readonly mode: 'ipip';
}

export type PlaneConfig = VxlanPlaneConfig | UdpPlaneConfig | IpipPlaneConfig;

/** One other node. Its name is its identity: `setPeer` with a known name replaces what was known. */
export interface PlanePeer {
  readonly node: string;
  /** Underlay address: datagrams go there, and only from there does the plane take this node's packets. */
  readonly endpoint: Address;
  /** UDP destination port, 0 for `ipip`. The source port of what comes from the peer is not checked (RFC 7348 section 5: any). */
  readonly port: number;
  /** MAC address of the peer's VTEP; mode `vxlan` sends nothing to a peer without one. */
  readonly mac?: Mac;
  /**
   * The node's leased subnets. Modes `udp` and `ipip` forward by them; every mode takes a packet from the node only where
   * its inner source address lies in one of them, or in a prefix that `setRoutes` gave to its endpoint.
   */
  readonly subnets: readonly Prefix[];
}

/**
 * Behind which nodes a prefix lies, as the routing of the cluster has it: it wins over what leases say of the same
 * prefix, but never over the node's own subnets. Nodes are named by endpoint; one that is no peer (yet) gets nothing.
 */
export interface PlaneRoute {
  readonly prefix: Prefix;
  /** Several: each flow takes one of them. None: the route is withdrawn. */
  readonly endpoints: readonly Address[];
}

/**
 * Why a packet was dropped. `tx-` is device to socket, `rx-` socket to device. These are the label values of the drop
 * counters in /metrics; each is explained in `DROP_REASONS`.
 */
export type DropReason = keyof typeof DROP_REASONS;

/** What each reason says, for `status` and the documentation. */
export const DROP_REASONS = {
  'tx-malformed': 'the frame from the device is truncated or is no valid Ethernet, IPv4 or IPv6',
  'tx-unsupported-type': 'neither IPv4 nor IPv6 nor ARP',
  'tx-multicast': 'broadcast or multicast: the overlay does not flood, its neighbour entries are static',
  'tx-unknown-mac': 'no peer has this inner destination MAC address',
  'tx-no-route': 'no peer has a prefix with this inner destination address; answered with ICMP unreachable',
  'tx-ttl-expired': 'TTL or hop limit 0; answered with ICMP time exceeded',
  'tx-too-big': "larger than the tunnel's MTU and may not be fragmented; answered with ICMP",
  'tx-queue-full': 'too many datagrams wait for the socket',
  'tx-send-failed': 'the kernel refused the datagram: no route on the underlay, link down',
  'rx-unknown-sender': 'the outer source address belongs to no peer',
  'rx-truncated': 'the datagram is too short for its headers',
  'rx-vxlan-flags': 'the I flag of the VXLAN header is clear (RFC 7348 section 5)',
  'rx-wrong-vni': 'another VXLAN network identifier',
  'rx-malformed': 'what is inside is no valid Ethernet, IPv4 or IPv6',
  'rx-unsupported-type': 'neither IPv4 nor IPv6 nor ARP is inside',
  'rx-multicast': 'the inner destination is broadcast or multicast: the overlay does not flood',
  'rx-foreign-mac': "the inner destination MAC address is not this node's",
  'rx-spoofed-source': 'the inner source address does not belong to the node that sent it',
  'rx-congestion-unmarkable':
    'marked by a congested router on the underlay, and what is inside knows no ECN (RFC 6040 section 4.2)',
  'rx-ttl-expired': 'inner TTL or hop limit 0 (RFC 2003 section 3.1: a decapsulator must discard it)',
  'rx-socket':
    'dropped by the kernel at the socket: its queue was full, the outer checksum wrong, or the filter against floods was on, of whose victims 1 in 512 passes and is counted under its reason (ipip: the kernel does not tell what the filter dropped)',
  'rx-device-refused': 'the kernel did not take the frame: the device is down or its queue is full',
} as const;

/** Packets and bytes that went all the way, one direction. Bytes are those of the inner packet or frame. */
export interface PlaneTraffic {
  readonly packets: number;
  readonly bytes: number;
}

/** Counters since the plane was opened; they never go back. */
export interface PlaneStats {
  /** Device to socket. */
  readonly tx: PlaneTraffic;
  /** Socket to device. */
  readonly rx: PlaneTraffic;
  readonly drops: Readonly<Record<DropReason, number>>;
  /** ICMP messages of the plane's own, and those that the rate limit held back. */
  readonly icmpSent: number;
  readonly icmpLimited: number;
  /** Entries in the table right now. */
  readonly peers: number;
  readonly prefixes: number;
}

/** An open plane. Its device exists and its socket is bound; it forwards from the moment it is open. */
export interface DataPlane {
  /** The driver in use, and why that one, in a few words for the log and the status page. */
  readonly io: { readonly name: PlaneIoName; readonly why: string };

  /** Adds the peer, or replaces the one with its name. Packets see the old entry or the new one, never neither. */
  setPeer(peer: PlanePeer): void;

  /** Forgets the peer of this name; of an unknown name is success. */
  removePeer(node: string): void;

  /**
   * Adds, replaces or withdraws routes, each by itself: packets see the old or the new one. Takes any number; they are in
   * effect a little later, and forwarding goes on meanwhile.
   */
  setRoutes(routes: readonly PlaneRoute[]): void;

  /** Takes a new tunnel MTU, bytes: the backend calls it when it changes the device's. */
  setMtu(mtuBytes: number): void;

  /** A fresh snapshot of the counters; under traffic it may be a tenth of a second old. */
  stats(): PlaneStats;

  /**
   * The device outlives the plane from now on, and the process: addresses and routes stay while another one starts. To be
   * called once the device carries the mark by which it is known as ours. The tuntap driver cannot, and does nothing.
   */
  persist(): void;

  /** Closes socket and device; the device is gone afterwards, unless it was told to persist. */
  close(): Promise<void>;
}

export interface PlaneTuning {
  /** Offloads that are not to be used, as if the kernel had none. */
  readonly without?: readonly Offload[];
  /** Threads, each with a queue of the device and a socket of its own; 1 where absent. */
  readonly workers?: number;
  /** For how long a thread looks again and again before it sleeps, microseconds; 0 where absent. */
  readonly busyPollUs?: number;
  /** UDP source ports per thread, of which the inner flow takes one; where absent or 0, 8 for `vxlan` and 1 (the plane's own) for `udp`. */
  readonly sourcePorts?: number;
  /** Sends UDP over IPv4 without checksum, and thus without UDP_SEGMENT. */
  readonly zeroChecksum?: boolean;
}

export interface OpenOptions {
  readonly io: PlaneIoChoice;
  /** How the batched driver goes about it; the other one has no such choices. */
  readonly tuning?: PlaneTuning;
  /**
   * A device of this name that an earlier plane left (`persist`) is ours, and is taken over with its addresses and routes.
   * Without this, opening fails where a link has the name.
   */
  readonly adopt?: boolean;
  /**
   * Called at most once, after opening: the plane can carry no more packets (somebody deleted the device, the socket
   * broke). The owner closes it and opens another.
   */
  onFailure(error: Error): void;
}

/**
 * Opens a plane; `openDataPlane` of open-data-plane.ts is the real one. Rejects with `ExitError` (environment) where
 * this machine cannot have it: no /dev/net/tun, no NET_ADMIN, the addon was not compiled, the port is taken, a link of
 * that name exists.
 */
export type OpenDataPlane = (config: PlaneConfig, options: OpenOptions) => Promise<DataPlane>;
