// Pods of this node that have routes of their own (the CNI plugin's mode "routed"): local groups of flanneld's feed that
// are no blackholes. They go on to felix as they are, past the RIB: no other node has a say in them.
//
// To the peers they are announced only where the node's own subnets do not cover them (a pod that outlived a change of
// the subnet): the mesh must not grow with the number of pods. What the RIB has for a pod's prefix is hidden by the pod,
// and offered when the pod is gone.

import type { Cause } from '../lib/feed/feed.ts';
import type { FeedTable } from '../lib/feed/feed-table.ts';
import type { FeedChange, FeedView } from '../lib/feed/feed-view.ts';
import { type Prefix, prefixAddress, prefixContains } from '../lib/net/prefix.ts';

export class LocalPods {
  readonly #view: FeedView;
  readonly #table: FeedTable;
  readonly #groups = new Set<number>();
  readonly #prefixes = new Set<Prefix>();
  /** By a pod's prefix: the group that the RIB has for it. */
  readonly #hidden = new Map<Prefix, number>();
  readonly #announced = new Set<Prefix>();
  /** From `follow` to `settle`. */
  readonly #ended = new Set<Prefix>();
  readonly #endedGroups = new Set<number>();
  #touched = false;
  #changed = false;

  /** From flanneld's feed into ours. */
  constructor(view: FeedView, table: FeedTable) {
    this.#view = view;
    this.#table = table;
  }

  /** The prefixes that are no pod's. */
  others(prefixes: readonly Prefix[]): readonly Prefix[] {
    return this.#prefixes.size === 0 ? prefixes : prefixes.filter((prefix) => !this.#prefixes.has(prefix));
  }

  /** The RIB has these in `group`, or has them no more: gives those of which felix is to hear at once. */
  decided(prefixes: readonly Prefix[], group: number | undefined): readonly Prefix[] {
    if (this.#prefixes.size === 0 && this.#ended.size === 0) return prefixes;
    for (const prefix of prefixes) {
      this.#ended.delete(prefix);
      if (group !== undefined && this.#prefixes.has(prefix)) this.#hidden.set(prefix, group);
      else this.#hidden.delete(prefix);
    }
    return this.others(prefixes);
  }

  /** Takes over what one change says of pods that are there; `settle` ends those that are not. */
  follow({ groups, prefixes }: FeedChange, cause: Cause | undefined): void {
    const joined: Prefix[] = [];
    for (const id of groups) {
      const group = this.#view.groups.get(id);
      if (group?.local === true && group.kind === 'unicast') {
        if (!this.#groups.has(id)) joined.push(...this.#view.prefixesOf(id));
        this.#groups.add(id);
        this.#table.setGroup(group, cause);
      } else if (this.#groups.delete(id)) {
        this.#endedGroups.add(id);
      }
    }
    this.#followPrefixes([...joined, ...prefixes], cause);
    for (const id of this.#endedGroups) for (const prefix of this.#table.prefixesOf(id)) this.#end(prefix);
    // A change of the node's subnets may cover pods, or cover them no more.
    this.#changed ||= this.#ended.size > 0 || groups.length > 0 || this.#prefixes.size > 0;
  }

  /** Which pods to announce from now on, and which no longer, given the node's own subnets. */
  announce(subnets: readonly Prefix[]): { readonly begin: readonly Prefix[]; readonly end: readonly Prefix[] } {
    if (!this.#changed) return { begin: [], end: [] };
    this.#changed = false;
    const isCovered = (pod: Prefix): boolean => subnets.some((subnet) => prefixContains(subnet, prefixAddress(pod)));
    const wanted = new Set([...this.#prefixes].filter((pod) => !isCovered(pod)));
    const begin = [...wanted].filter((pod) => !this.#announced.has(pod));
    const end = [...this.#announced].filter((pod) => !wanted.has(pod));
    for (const pod of begin) this.#announced.add(pod);
    for (const pod of end) this.#announced.delete(pod);
    return { begin, end };
  }

  /**
   * Ends the pods that are gone: their prefixes go to what the RIB has for them. After `announce`, so that felix hears
   * of that first and last: not of the announcement of a pod that ends with it. Gives whether pods changed at all.
   */
  settle(cause: Cause | undefined): boolean {
    const touched = this.#touched || this.#ended.size > 0 || this.#endedGroups.size > 0;
    this.#touched = false;
    for (const prefix of this.#ended) {
      const group = this.#hidden.get(prefix);
      this.#hidden.delete(prefix);
      if (group === undefined) this.#table.withdraw([prefix], cause);
      else this.#table.setRoutes(group, [prefix], cause);
    }
    for (const id of this.#endedGroups) this.#table.removeGroup(id, cause);
    this.#ended.clear();
    this.#endedGroups.clear();
    return touched;
  }

  #followPrefixes(prefixes: readonly Prefix[], cause: Cause | undefined): void {
    for (const prefix of prefixes) {
      const group = this.#view.groupOf(prefix);
      if (group !== undefined && this.#groups.has(group)) {
        const before = this.#prefixes.has(prefix) ? undefined : this.#table.groupOf(prefix);
        if (before !== undefined) this.#hidden.set(prefix, before);
        this.#prefixes.add(prefix);
        this.#table.setRoutes(group, [prefix], cause);
        this.#touched = true;
      } else if (this.#prefixes.has(prefix)) {
        this.#end(prefix);
      }
    }
  }

  #end(prefix: Prefix): void {
    this.#prefixes.delete(prefix);
    this.#ended.add(prefix);
  }
}
