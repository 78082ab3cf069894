// Leases as a data plane in flanneld sees them: one peer per node, however many leases the node has at one address.
// Keeps the grouping up to date one change at a time.

import type { PlanePeer } from '../dataplane/data-plane.ts';
import { leaseSubnets } from '../lease/lease.ts';
import type { PeerChanges } from './peer-book.ts';
import { type GoodPeer, nameOf } from './peer-check.ts';

export class PlanePeers {
  readonly #port: number;
  readonly #nodeOf = new Map<string, string>();
  readonly #byNode = new Map<string, Map<string, GoodPeer>>();

  /** `port` is where all nodes listen; 0 where the protocol has none. */
  constructor(port: number) {
    this.#port = port;
  }

  /** What the plane must be told: peers to set, and the `node` of those that are gone. */
  change({ good, refused, gone }: PeerChanges): {
    readonly put: readonly PlanePeer[];
    readonly gone: readonly string[];
  } {
    const touched = new Set<string>();
    for (const key of [...gone, ...refused.map(({ lease }) => lease.key)]) this.#leave(key, touched);
    for (const peer of good) {
      const { key } = peer.lease;
      this.#leave(key, touched);
      const node = nodeOf(peer);
      this.#nodeOf.set(key, node);
      this.#byNode.set(node, (this.#byNode.get(node) ?? new Map<string, GoodPeer>()).set(key, peer));
      touched.add(node);
    }
    const left = [...touched].filter((node) => !this.#byNode.has(node));
    const put = [...touched].flatMap((node) => this.#peerOf(node) ?? []);
    return { put, gone: left };
  }

  #leave(key: string, touched: Set<string>): void {
    const node = this.#nodeOf.get(key);
    if (node === undefined) return;
    this.#nodeOf.delete(key);
    const leases = this.#byNode.get(node);
    leases?.delete(key);
    if (leases?.size === 0) this.#byNode.delete(node);
    touched.add(node);
  }

  #peerOf(node: string): PlanePeer | undefined {
    const peers = [...(this.#byNode.get(node)?.values() ?? [])];
    const [first] = peers;
    if (first === undefined) return undefined;
    const { endpoint, mac } = first;
    return {
      node,
      endpoint,
      port: this.#port,
      ...(mac && { mac }),
      subnets: peers.flatMap(({ lease }) => leaseSubnets(lease)),
    };
  }
}

function nodeOf({ lease, endpoint, mac }: GoodPeer): string {
  return `${nameOf(lease)} ${endpoint}${mac === undefined ? '' : ` ${mac}`}`;
}
