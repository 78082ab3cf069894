// The nexthop objects of this node: ours under a delta tracker, everybody else's by id only, so that no id of theirs is
// used. Not the choice of ids (desired/).
//
// The confusing thing: deleting an object deletes, in silence, every route that uses it, and takes it out of every group.
// So an object goes last, and only when nothing in the kernel uses it, whoever that belongs to.

import type { KernelEvent, Nexthop } from '../../lib/kernel/kernel.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { sameNexthop } from '../desired/fib-entry.ts';
import { isOurs } from '../desired/ownership.ts';
import { type Drift, KernelTable } from './kernel-table.ts';

type NexthopEvent = Extract<KernelEvent, { readonly kind: 'nexthop' }>;

/** What one notification means for felix. */
export interface NexthopNews {
  readonly drift?: Drift;
  /** Routes went with an object, in silence: list them. */
  readonly unclear?: boolean;
}

export class NexthopTable {
  readonly table: KernelTable<number, Nexthop>;
  readonly #foreign = new Set<number>();
  /** Members of groups that are not ours. */
  readonly #foreignMembers = new Map<number, readonly number[]>();

  constructor(clock: Clock) {
    this.table = new KernelTable({
      clock,
      same: sameNexthop,
      put: (nexthop) => ({ op: 'put', kind: 'nexthop', nexthop }),
      remove: ({ id }) => ({ op: 'delete', kind: 'nexthop', id }),
    });
  }

  /** Whether an object that is not ours has this id. */
  isForeign(id: number): boolean {
    return this.#foreign.has(id);
  }

  /** Ids of the objects that are members of groups, foreign ones too. */
  membersInUse(): Set<number> {
    const ids = new Set<number>();
    for (const { group } of this.table.tracker.dataplane.values()) for (const { id } of group ?? []) ids.add(id);
    for (const members of this.#foreignMembers.values()) for (const id of members) ids.add(id);
    return ids;
  }

  /** Takes in one notification. */
  seen({ type, object }: NexthopEvent): NexthopNews {
    const { id } = object;
    const isHeld = this.table.tracker.dataplane.has(id);
    // Ids know no second object: one of another protocol where ours was is ours, changed in place.
    if (!isOurs(object) && !isHeld) {
      if (type === 'put') this.#addForeign(object);
      else this.#forgetForeign(id);
      return {};
    }
    this.#forgetForeign(id);
    const what = this.table.seen(id, type === 'put' ? object : undefined);
    if (what === 'ours') return {};
    return { unclear: type === 'delete', ...(what === undefined ? {} : { drift: what }) };
  }

  /** Takes in a complete listing. */
  replace(nexthops: readonly Nexthop[], isFirst: boolean): Drift[] {
    const { dataplane } = this.table.tracker;
    const ours = new Map<number, Nexthop>();
    this.#foreign.clear();
    this.#foreignMembers.clear();
    for (const nexthop of nexthops) {
      if (isOurs(nexthop) || dataplane.has(nexthop.id)) ours.set(nexthop.id, nexthop);
      else this.#addForeign(nexthop);
    }
    return this.table.replace(ours, isFirst);
  }

  #addForeign({ id, group }: Nexthop): void {
    this.#foreign.add(id);
    if (group !== undefined)
      this.#foreignMembers.set(
        id,
        group.map((member) => member.id),
      );
  }

  #forgetForeign(id: number): void {
    this.#foreign.delete(id);
    this.#foreignMembers.delete(id);
  }
}
