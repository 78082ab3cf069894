// Prefixes and the one group that each belongs to, readable from both ends. Pure; shared by the feed's two sides.
//
// It holds group ids only: what a group is, and whether it exists, is the owner's business.

import type { Prefix } from '../net/prefix.ts';

const NO_PREFIXES: ReadonlySet<Prefix> = new Set();

export class GroupedRoutes {
  readonly #groupOf = new Map<Prefix, number>();
  readonly #prefixesOf = new Map<number, Set<Prefix>>();

  /** Number of prefixes. */
  get size(): number {
    return this.#groupOf.size;
  }

  /** The group of a prefix; `undefined` for one that is not held. */
  groupOf(prefix: Prefix): number | undefined {
    return this.#groupOf.get(prefix);
  }

  /** The prefixes of a group: a live view, not a copy. */
  prefixesOf(group: number): ReadonlySet<Prefix> {
    return this.#prefixesOf.get(group) ?? NO_PREFIXES;
  }

  /** Every prefix with its group. */
  entries(): IterableIterator<[Prefix, number]> {
    return this.#groupOf.entries();
  }

  /** Gives the prefix to the group, whatever group it had; false where it had this one already. */
  assign(prefix: Prefix, group: number): boolean {
    const before = this.#groupOf.get(prefix);
    if (before === group) return false;
    if (before !== undefined) this.#leave(prefix, before);
    this.#groupOf.set(prefix, group);
    const members = this.#prefixesOf.get(group);
    if (members === undefined) this.#prefixesOf.set(group, new Set([prefix]));
    else members.add(prefix);
    return true;
  }

  /** Forgets the prefix; false where it was not held. */
  remove(prefix: Prefix): boolean {
    const group = this.#groupOf.get(prefix);
    if (group === undefined) return false;
    this.#groupOf.delete(prefix);
    this.#leave(prefix, group);
    return true;
  }

  #leave(prefix: Prefix, group: number): void {
    const members = this.#prefixesOf.get(group);
    members?.delete(prefix);
    if (members?.size === 0) this.#prefixesOf.delete(group);
  }
}
