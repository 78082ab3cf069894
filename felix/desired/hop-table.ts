// The single next hops that some group uses, each with the id of its nexthop object; counted, so that the last user of
// one removes it. Pure: it edits the desired side of the tracker and nothing else.

import type { DeltaTracker } from '../../lib/delta-tracker.ts';
import { type Nexthop, PROTOCOL_GINGHAM } from '../../lib/kernel/kernel.ts';
import { hopText } from './fib-entry.ts';
import { idFor } from './nexthop-ids.ts';
import { HOP_IDS } from './ownership.ts';
import type { PlannedHop } from './path-plan.ts';

interface HeldHop {
  readonly id: number;
  content: string;
  users: number;
  /** The kernel does not take it: groups go on without. */
  refused: boolean;
}

export class HopTable {
  readonly #nexthops: DeltaTracker<number, Nexthop>;
  readonly #isForeign: (id: number) => boolean;
  readonly #byName = new Map<string, HeldHop>();
  readonly #byId = new Map<number, HeldHop>();
  /** Our objects in the kernel that no hop has taken over yet, by content; made when first needed. */
  #adoptable: Map<string, number> | undefined;

  /** `isForeign` says whether an id is taken by an object that is not ours. */
  constructor(nexthops: DeltaTracker<number, Nexthop>, isForeign: (id: number) => boolean) {
    this.#nexthops = nexthops;
    this.#isForeign = isForeign;
  }

  get size(): number {
    return this.#byName.size;
  }

  /** The id of a hop that is held and that the kernel has not refused. */
  usableId(name: string): number | undefined {
    const held = this.#byName.get(name);
    return held?.refused ? undefined : held?.id;
  }

  /** The kernel refused the object, or takes it after all; whether that is news. */
  setRefused(id: number, refused: boolean): boolean {
    const held = this.#byId.get(id);
    if (held === undefined || held.refused === refused) return false;
    held.refused = refused;
    return true;
  }

  /** One user more for this hop, whose content is made what it is now (a device made anew has another index). */
  acquire({ name, family, hop }: PlannedHop): void {
    const content = hopText(family, hop);
    let held = this.#byName.get(name);
    if (held === undefined) {
      held = { id: this.#newId(name, content), content, users: 0, refused: false };
      this.#byName.set(name, held);
      this.#byId.set(held.id, held);
    }
    held.users++;
    if (held.content !== content) {
      held.content = content;
      held.refused = false;
    }
    this.#nexthops.setDesired(held.id, { id: held.id, protocol: PROTOCOL_GINGHAM, family, hop });
  }

  /** One user less; the hop without users goes. */
  release(name: string): void {
    const held = this.#byName.get(name);
    if (held === undefined || --held.users > 0) return;
    this.#byName.delete(name);
    this.#byId.delete(held.id);
    this.#nexthops.deleteDesired(held.id);
  }

  /** What is in the kernel may have changed since the last id was given. */
  forgetAdoptable(): void {
    this.#adoptable = undefined;
  }

  #newId(name: string, content: string): number {
    this.#adoptable ??= this.#findAdoptable();
    const adopted = this.#adoptable.get(content);
    if (adopted !== undefined && !this.#byId.has(adopted)) return adopted;
    const { dataplane } = this.#nexthops;
    return idFor(name, HOP_IDS, (id) => this.#byId.has(id) || dataplane.has(id) || this.#isForeign(id));
  }

  #findAdoptable(): Map<string, number> {
    const found = new Map<string, number>();
    for (const [id, nexthop] of this.#nexthops.dataplane) {
      if (nexthop.hop !== undefined && !this.#byId.has(id)) found.set(hopText(nexthop.family, nexthop.hop), id);
    }
    return found;
  }
}
