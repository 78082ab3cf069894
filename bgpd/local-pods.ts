// Pods of this node that have routes of their own (the CNI plugin's mode "routed"): local groups of flanneld's feed that
// are no blackholes. They go on to felix as they are, past the RIB: no other node has a say in them.
//
// To the peers they are announced only where the node's own subnets do not cover them (a pod that outlived a change of
// the subnet): the mesh must not grow with the number of pods.

import type { Cause } from '../lib/feed/feed.ts';
import type { FeedTable } from '../lib/feed/feed-table.ts';
import type { FeedChange, FeedView } from '../lib/feed/feed-view.ts';
import { type Prefix, prefixAddress, prefixContains } from '../lib/net/prefix.ts';

export class LocalPods {
  readonly #view: FeedView;
  readonly #table: FeedTable;
  readonly #groups = new Set<number>();
  readonly #prefixes = new Set<Prefix>();
  readonly #announced = new Set<Prefix>();
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

  /** Takes over what one change says of pods; gives whether it said anything. */
  follow({ groups, prefixes }: FeedChange, cause: Cause | undefined): boolean {
    const gone: number[] = [];
    const joined: Prefix[] = [];
    for (const id of groups) {
      const group = this.#view.groups.get(id);
      if (group?.local === true && group.kind === 'unicast') {
        if (!this.#groups.has(id)) joined.push(...this.#view.prefixesOf(id));
        this.#groups.add(id);
        this.#table.setGroup(group, cause);
      } else if (this.#groups.delete(id)) {
        gone.push(id);
      }
    }
    const touched = this.#followPrefixes([...joined, ...prefixes], cause);
    for (const id of gone) {
      for (const prefix of this.#table.prefixesOf(id)) this.#prefixes.delete(prefix);
      this.#table.withdraw(this.#table.prefixesOf(id), cause);
      this.#table.removeGroup(id, cause);
    }
    // A change of the node's subnets may cover pods, or cover them no more.
    this.#changed ||= touched || gone.length > 0 || groups.length > 0 || this.#prefixes.size > 0;
    return touched || gone.length > 0;
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

  #followPrefixes(prefixes: readonly Prefix[], cause: Cause | undefined): boolean {
    let touched = false;
    for (const prefix of prefixes) {
      const group = this.#view.groupOf(prefix);
      if (group !== undefined && this.#groups.has(group)) {
        this.#prefixes.add(prefix);
        this.#table.setRoutes(group, [prefix], cause);
        touched = true;
      } else if (this.#prefixes.delete(prefix)) {
        this.#table.withdraw([prefix], cause);
        touched = true;
      }
    }
    return touched;
  }
}
