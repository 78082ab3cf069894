// Next-hop resolution: from the NEXT_HOP of a path (a node's underlay address) to how packets get there.
//
// flanneld's feed has one group per node with the node's underlay address as `endpoint`; that group's next hops are the
// answer. What no group leads to is unreachable, and so is what felix says that the kernel cannot reach: a path to it is
// not used. With two families on one endpoint the group whose gateways are of the prefix's family wins; a device without
// gateway (a TUN) serves both.

import type { FeedGroup, FeedNextHop } from '../../lib/feed/feed.ts';
import { type Address, type Family, familyOf } from '../../lib/net/address.ts';

export interface Resolution {
  readonly nextHops: readonly FeedNextHop[];
  /** Name of the node there; empty where it is not known. */
  readonly node: string;
}

export class NextHopTable {
  readonly #groups = new Map<number, FeedGroup>();
  readonly #byEndpoint = new Map<Address, Set<number>>();
  /** Why the kernel cannot reach an endpoint; absent where it can, or nobody said. */
  readonly #unreachable = new Map<Address, string>();

  /** Takes a group as it now is. Gives the endpoints whose resolution may have changed. */
  set(group: FeedGroup): ReadonlySet<Address> {
    const affected = new Set(this.remove(group.id));
    if (group.endpoint === undefined || group.local || group.kind !== 'unicast' || group.nextHops.length === 0) {
      return affected;
    }
    this.#groups.set(group.id, group);
    const sharing = this.#byEndpoint.get(group.endpoint) ?? new Set();
    this.#byEndpoint.set(group.endpoint, sharing.add(group.id));
    return affected.add(group.endpoint);
  }

  /** Forgets a group; as `set`. */
  remove(id: number): ReadonlySet<Address> {
    const group = this.#groups.get(id);
    this.#groups.delete(id);
    if (group?.endpoint === undefined) return new Set();
    const sharing = this.#byEndpoint.get(group.endpoint);
    sharing?.delete(id);
    if (sharing?.size === 0) this.#byEndpoint.delete(group.endpoint);
    return new Set([group.endpoint]);
  }

  /** The kernel cannot reach an endpoint because of this, or can (`undefined`). Gives what is affected, as `set`. */
  setUnreachable(endpoint: Address, reason: string | undefined): ReadonlySet<Address> {
    const was = this.#unreachable.has(endpoint);
    if (reason === undefined) this.#unreachable.delete(endpoint);
    else this.#unreachable.set(endpoint, reason);
    return new Set(was === (reason !== undefined) ? [] : [endpoint]);
  }

  /** Why prefixes do not get to the node at `endpoint`, in words; `undefined` where nothing stands in the way. */
  problem(endpoint: Address): string | undefined {
    if (!this.#byEndpoint.has(endpoint)) return `flanneld has no way to ${endpoint}`;
    return this.#unreachable.get(endpoint);
  }

  /** How prefixes of `family` get to the node at `endpoint`; `undefined` where they cannot. */
  resolve(endpoint: Address, family: Family): Resolution | undefined {
    if (this.#unreachable.has(endpoint)) return undefined;
    const ids = this.#byEndpoint.get(endpoint);
    if (ids === undefined) return undefined;
    let found: FeedGroup | undefined;
    for (const id of ids) {
      const group = this.#groups.get(id);
      if (group === undefined || !serves(group, family)) continue;
      // The lowest id, so that the answer does not depend on the order of arrival.
      if (found === undefined || group.id < found.id) found = group;
    }
    return found === undefined ? undefined : { nextHops: found.nextHops, node: found.node };
  }
}

/** Every gateway is of the family; an IPv4 prefix over an IPv6 gateway (RFC 8950) is not offered by any backend. */
function serves(group: FeedGroup, family: Family): boolean {
  return group.nextHops.every(({ gateway }) => gateway === undefined || familyOf(gateway) === family);
}
