// Which of the leases in etcd this node can exchange packets with, and under what address. Pure.
//
// A lease is another node's word. What contradicts this node's own lease is refused with a reason; the rest go on. What
// contradicts another peer's lease is seen where all of them are (peer-book.ts).

import type { Address } from '../../lib/net/address.ts';
import { familyOf } from '../../lib/net/address.ts';
import type { Mac } from '../../lib/net/mac.ts';
import { prefixesOverlap } from '../../lib/net/prefix.ts';
import { type Lease, leaseSubnets } from '../lease/lease.ts';
import type { Underlay } from '../underlay.ts';

export interface GoodPeer {
  readonly lease: Lease;
  /** Underlay address of our family. */
  readonly endpoint: Address;
  /** MAC address of its VTEP; only for vxlan. */
  readonly mac?: Mac;
}

export interface RefusedPeer {
  readonly lease: Lease;
  readonly reason: string;
}

export interface PeerRules {
  readonly own: Lease;
  readonly underlay: Underlay;
  /** The `BackendType` to expect. */
  readonly backendType: string;
  /** Expected, for vxlan. */
  readonly vni?: number;
}

/** Why a peer is refused whose VTEP MAC address is that of `twin`, at another address. */
export function twinReason(mac: Mac | undefined, twin: GoodPeer): string {
  return `its VTEP MAC ${mac} is that of ${nameOf(twin.lease)} at ${twin.endpoint}`;
}

/** What a node is called in messages. */
export function nameOf(lease: Lease): string {
  return lease.nodeName || lease.publicIp || lease.publicIp6 || lease.key;
}

/** One lease by itself: a peer, or why it cannot be one. */
export function checkPeer(lease: Lease, { own, underlay, backendType, vni }: PeerRules): GoodPeer | string {
  // flannel's udp backend writes no type.
  if (lease.backendType !== backendType && !(backendType === 'udp' && lease.backendType === '')) {
    return `it runs the backend ${lease.backendType || '(none)'}, this node ${backendType}`;
  }
  const family = familyOf(underlay.local);
  const endpoint = family === 4 ? lease.publicIp : lease.publicIp6;
  if (endpoint === undefined) return `it has no IPv${family} address, which this node's underlay needs`;
  if (endpoint === underlay.local || endpoint === underlay.publicIp) {
    return `it claims this node's address ${endpoint}`;
  }
  const clash = leaseSubnets(lease).find((subnet) => leaseSubnets(own).some((ours) => prefixesOverlap(ours, subnet)));
  if (clash !== undefined) return `its subnet ${clash} overlaps this node's`;
  if (backendType !== 'vxlan') return { lease, endpoint };
  const vtep = lease.vtep ?? lease.vtep6;
  if (vtep?.vni !== vni) return `its VNI is ${vtep?.vni}, this node's ${vni}`;
  return vtep === undefined ? 'it names no VTEP' : { lease, endpoint, mac: vtep.mac };
}
