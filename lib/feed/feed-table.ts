// What one daemon offers in its RouteFeed: groups, the prefixes of each, and whether that is all it knows. Pure.
//
// The owner edits it; whoever serves it (feed-server.ts) takes a snapshot and listens. A change that changes nothing
// makes no event, so the owner may set the same thing as often as it likes.
//
// The confusing thing: `markInSync` is about the owner, not about a watcher. Before it, a watcher gets everything but the
// marker, and so deletes nothing; call it once, when the table holds all that the owner knows (leases listed, End-of-RIB).

import type { Prefix } from '../net/prefix.ts';
import type { Cause, FeedAttachment, FeedEvent, FeedGroup } from './feed.ts';
import { GroupedRoutes } from './grouped-routes.ts';

/** Group ids are 32-bit and not 0, which is protobuf's word for "not given". */
const GROUP_ID_MAX = 0xffff_ffff;

export type FeedListener = (event: FeedEvent) => void;

export class FeedTable {
  readonly #groups = new Map<number, FeedGroup>();
  readonly #routes = new GroupedRoutes();
  readonly #listeners = new Set<FeedListener>();
  #inSync = false;

  /** Whether `markInSync` was called. */
  get inSync(): boolean {
    return this.#inSync;
  }

  get routeCount(): number {
    return this.#routes.size;
  }

  /** Every group by its id; a live view. */
  get groups(): ReadonlyMap<number, FeedGroup> {
    return this.#groups;
  }

  /** The group of a prefix. */
  groupOf(prefix: Prefix): number | undefined {
    return this.#routes.groupOf(prefix);
  }

  /** The prefixes of a group; a live view. */
  prefixesOf(group: number): ReadonlySet<Prefix> {
    return this.#routes.prefixesOf(group);
  }

  /**
   * Makes the group or replaces the one with its id; its routes follow it. False where it was the same already.
   * Throws `RangeError` for an id outside 1 to 2^32-1, or next hops on a group that takes none.
   */
  setGroup(group: FeedGroup, cause?: Cause): boolean {
    if (!Number.isInteger(group.id) || group.id < 1 || group.id > GROUP_ID_MAX) {
      throw new RangeError(`group id ${group.id} is not from 1 to ${GROUP_ID_MAX}`);
    }
    if (group.kind !== 'unicast' && group.nextHops.length > 0) {
      throw new RangeError(`a ${group.kind} group takes no next hops`);
    }
    const before = this.#groups.get(group.id);
    if (before !== undefined && sameGroup(before, group)) return false;
    this.#groups.set(group.id, group);
    this.#emit({ type: 'group', group, ...stamp(cause) });
    return true;
  }

  /** Removes the group. False, and nothing is done, while it has routes; true where it is gone or never was. */
  removeGroup(id: number, cause?: Cause): boolean {
    if (this.#routes.prefixesOf(id).size > 0) return false;
    if (this.#groups.delete(id)) this.#emit({ type: 'group-removed', id, ...stamp(cause) });
    return true;
  }

  /** Gives these prefixes to the group, whatever group they had. Throws `RangeError` for a group that is not there. */
  setRoutes(group: number, prefixes: Iterable<Prefix>, cause?: Cause): void {
    if (!this.#groups.has(group)) throw new RangeError(`there is no group ${group}`);
    const changed: Prefix[] = [];
    for (const prefix of prefixes) if (this.#routes.assign(prefix, group)) changed.push(prefix);
    if (changed.length > 0) this.#emit({ type: 'routes', group, prefixes: changed, ...stamp(cause) });
  }

  /** Takes these prefixes back; one that is not offered is ignored. */
  withdraw(prefixes: Iterable<Prefix>, cause?: Cause): void {
    const changed: Prefix[] = [];
    // A copy, because the caller may well pass `prefixesOf`, which shrinks meanwhile.
    for (const prefix of [...prefixes]) if (this.#routes.remove(prefix)) changed.push(prefix);
    if (changed.length > 0) this.#emit({ type: 'withdrawn', prefixes: changed, ...stamp(cause) });
  }

  /** Says that the table now holds all that its owner knows. Later calls do nothing. */
  markInSync(): void {
    if (this.#inSync) return;
    this.#inSync = true;
    this.#emit({ type: 'in-sync' });
  }

  /** Everything as events, in the order in which a watcher must get them; the in-sync marker only if it was given. */
  snapshot(): FeedEvent[] {
    const events: FeedEvent[] = [];
    for (const group of this.#groups.values()) {
      events.push({ type: 'group', group });
      const prefixes = this.#routes.prefixesOf(group.id);
      if (prefixes.size > 0) events.push({ type: 'routes', group: group.id, prefixes: [...prefixes] });
    }
    if (this.#inSync) events.push({ type: 'in-sync' });
    return events;
  }

  /** Calls `listener` for every change from now on, before the changing call returns. The returned function ends it. */
  subscribe(listener: FeedListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(event: FeedEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Whether two groups say the same, the id included; next hops in the same order. */
export function sameGroup(a: FeedGroup, b: FeedGroup): boolean {
  return (
    a.id === b.id &&
    a.kind === b.kind &&
    a.endpoint === b.endpoint &&
    a.local === b.local &&
    a.node === b.node &&
    sameAttachment(a.attachment, b.attachment) &&
    a.nextHops.length === b.nextHops.length &&
    a.nextHops.every((hop, i) => {
      const other = b.nextHops[i];
      return (
        hop.gateway === other?.gateway &&
        hop.device === other?.device &&
        hop.onlink === other?.onlink &&
        hop.weight === other?.weight
      );
    })
  );
}

function sameAttachment(a: FeedAttachment | undefined, b: FeedAttachment | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.device === b.device &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, i) => address === b.addresses[i]) &&
    a.neighbours.length === b.neighbours.length &&
    a.neighbours.every(({ address, mac }, i) => address === b.neighbours[i]?.address && mac === b.neighbours[i]?.mac)
  );
}

function stamp(cause: Cause | undefined): { readonly cause?: Cause } {
  return cause === undefined ? {} : { cause };
}
