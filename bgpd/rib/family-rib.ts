// The RIBs of one family, wired: what the Loc-RIB changes, path groups turn into feed events and update groups into
// messages. Which paths come and go is the business of rib.ts, which holds one of these for each family.

import type { Cause, FeedEvent } from '../../lib/feed/feed.ts';
import type { Family } from '../../lib/net/address.ts';
import type { DecisionContext } from './decision.ts';
import { LocRib, type RibChange } from './loc-rib.ts';
import type { NextHopTable } from './next-hops.ts';
import type { Path } from './path.ts';
import { PathGroups } from './path-groups.ts';
import { type GroupMember, groupKey } from './rib-peer.ts';
import { type Cursor, type GroupRules, UpdateGroup } from './update-group.ts';

export interface FamilyRibOptions {
  readonly family: Family;
  readonly nextHops: NextHopTable;
  /** As in the decision. */
  readonly maximumPaths: number;
  /** Gives path group ids that are unique over all families. */
  readonly nextGroupId: () => number;
  /** Export rules of a peer, as of now. */
  readonly rules: (of: GroupMember) => GroupRules;
  /** Before anybody is told. */
  readonly onChange: (changes: readonly RibChange[]) => void;
}

export class FamilyRib {
  readonly #options: FamilyRibOptions;
  readonly #pathGroups: PathGroups;
  /** By `groupKey`. */
  readonly #updateGroups = new Map<string, { readonly rulesOf: GroupMember; readonly group: UpdateGroup }>();
  readonly locRib: LocRib;
  readonly context: DecisionContext;

  constructor(options: FamilyRibOptions) {
    const { family, nextHops, maximumPaths, nextGroupId } = options;
    this.#options = options;
    this.context = {
      maximumPaths,
      metric: ({ source, attributes }) =>
        source.kind === 'local' || nextHops.resolve(attributes.nextHop, family) !== undefined ? 0 : undefined,
    };
    this.locRib = new LocRib(this.context);
    this.#pathGroups = new PathGroups(family, nextHops, this.context, nextGroupId);
  }

  /** A peer is told of this family from now on. */
  join(peer: GroupMember & { readonly name: string }): { readonly group: UpdateGroup; readonly cursor: Cursor } {
    const key = groupKey(peer);
    let known = this.#updateGroups.get(key);
    if (known === undefined) {
      const { family, rules } = this.#options;
      known = { rulesOf: peer, group: new UpdateGroup(family, rules(peer), this.locRib) };
      this.#updateGroups.set(key, known);
    }
    return { group: known.group, cursor: known.group.join(peer.name) };
  }

  leave(peer: GroupMember, cursor: Cursor): void {
    const group = this.#updateGroups.get(groupKey(peer))?.group;
    group?.leave(cursor);
    if (group?.peers === 0) this.#updateGroups.delete(groupKey(peer));
  }

  /** The export rules are others now: steps of about `sliceSize` prefixes bring what was announced in line. */
  *renewRules(sliceSize: number, cause: Cause | undefined): Generator<void> {
    for (const { rulesOf, group } of [...this.#updateGroups.values()]) {
      yield* group.setRules(this.#options.rules(rulesOf), sliceSize, cause);
      yield;
    }
  }

  /** Takes away every path for which `gone` holds. */
  remove(gone: (path: Path) => boolean, cause: Cause | undefined): FeedEvent[] {
    return this.follow(
      this.locRib.rewritePaths((path) => (gone(path) ? undefined : path)),
      cause,
    );
  }

  /** Path groups and update groups follow what one call to the Loc-RIB gave. */
  follow(changes: readonly RibChange[], cause: Cause | undefined): FeedEvent[] {
    if (changes.length === 0) return [];
    this.#options.onChange(changes);
    const events = this.#pathGroups.apply(changes);
    for (const { group } of this.#updateGroups.values()) group.apply(changes, cause);
    return events;
  }
}
