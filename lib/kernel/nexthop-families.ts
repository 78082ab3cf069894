// The family of each nexthop object, which the kernel does not tell for groups: theirs is that of their members.
// Not a copy of the objects: only what is needed to complete those that the kernel tells of.

import type { Family } from '../net/address.ts';
import type { DecodedNexthop } from '../wire/rtnetlink-nexthops.ts';
import type { Nexthop } from './kernel.ts';

export class NexthopFamilies {
  readonly #families = new Map<number, Family>();
  readonly #lookUp: (id: number) => Family | undefined;

  /** `lookUp` asks the kernel about one object. */
  constructor(lookUp: (id: number) => Family | undefined) {
    this.#lookUp = lookUp;
  }

  /** Remembers what an object that is not a group says about itself. */
  learn({ id, family }: DecodedNexthop): void {
    if (family !== undefined) this.#families.set(id, family);
  }

  forget(id: number): void {
    this.#families.delete(id);
  }

  /** The object with its family: 4 where nothing is known, as for a group whose members went with it. */
  complete(nexthop: DecodedNexthop): Nexthop {
    this.learn(nexthop);
    return { ...nexthop, family: nexthop.family ?? this.#familyOfGroup(nexthop) };
  }

  #familyOfGroup({ id, group = [] }: DecodedNexthop): Family {
    for (const member of group) {
      const family = this.#families.get(member.id) ?? this.#lookUp(member.id);
      if (family === undefined) continue;
      this.#families.set(member.id, family);
      this.#families.set(id, family);
      return family;
    }
    return this.#families.get(id) ?? 4;
  }
}
