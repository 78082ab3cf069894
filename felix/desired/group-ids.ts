// Which group object of the kernel each group of paths uses: taken over from the kernel where that is safe, else new. Pure.
//
// A freshly started felix finds routes that point at a group object. The group of paths that these routes now belong to
// takes that object over, and no route needs to be written. So does, while felix runs, a group that the feed replaces by
// another with the same routes: one message moves them all.
//
// The confusing thing: taking an object over with *other* next hops moves every route that points at it at once. So that
// is done only where all of these routes belong to the new user; where stale ones do too, only equal content is taken.

import type { TrackedSide } from '../../lib/delta-tracker.ts';
import type { Nexthop } from '../../lib/kernel/kernel.ts';
import type { FibKey, RouteBody } from './fib-entry.ts';
import { groupText } from './fib-entry.ts';
import { idFor } from './nexthop-ids.ts';
import { GROUP_IDS } from './ownership.ts';

/** A group of paths that needs an object. */
export interface GroupClaim {
  /** What a new id follows from. */
  readonly text: string;
  /** The members that the object is to have. */
  readonly group: NonNullable<Nexthop['group']>;
  /** Keys of the routes that will point at it. */
  readonly routes: () => Iterable<FibKey>;
}

/** What is in the kernel, as far as is known. */
export interface GroupWorld {
  readonly routes: TrackedSide<FibKey, RouteBody>;
  readonly nexthops: TrackedSide<number, Nexthop>;
  /** Whether some other group of paths has the id, or an object that is not ours. */
  isTaken(id: number): boolean;
}

/** An id for each claim, in order. */
export function assignGroupIds(claims: readonly GroupClaim[], world: GroupWorld): number[] {
  const ids: (number | undefined)[] = new Array(claims.length).fill(undefined);
  const given = new Set<number>();
  const free = (id: number): boolean => !given.has(id) && !world.isTaken(id);
  const give = (at: number, id: number | undefined): void => {
    if (id === undefined) return;
    ids[at] = id;
    given.add(id);
  };
  const held = [...world.nexthops.values()].filter((nexthop) => nexthop.group !== undefined && free(nexthop.id));
  if (held.length > 0) {
    const users = usersOf(world.routes);
    for (const [at, claim] of claims.entries()) give(at, idInUse(claim, world, users, free));
    const byContent = idsByContent(held);
    for (const [at, claim] of claims.entries()) {
      if (ids[at] === undefined) give(at, byContent.get(groupText(claim))?.find(free));
    }
  }
  for (const [at, claim] of claims.entries()) {
    if (ids[at] !== undefined) continue;
    give(
      at,
      idFor(claim.text, GROUP_IDS, (id) => !free(id) || world.nexthops.has(id)),
    );
  }
  return ids as number[];
}

/** The object that most of the claim's routes point at now, if it may be taken over. */
function idInUse(
  claim: GroupClaim,
  { routes, nexthops }: GroupWorld,
  users: ReadonlyMap<number, number>,
  free: (id: number) => boolean,
): number | undefined {
  const votes = new Map<number, number>();
  for (const key of claim.routes()) {
    const id = routes.get(key)?.nexthopId;
    if (id !== undefined) votes.set(id, (votes.get(id) ?? 0) + 1);
  }
  const wanted = groupText(claim);
  let best: number | undefined;
  for (const [id, count] of votes) {
    const object = nexthops.get(id);
    if (object?.group === undefined || !free(id)) continue;
    if (count !== users.get(id) && groupText(object) !== wanted) continue;
    const bestCount = best === undefined ? 0 : (votes.get(best) ?? 0);
    if (count > bestCount || (count === bestCount && id < (best ?? Number.POSITIVE_INFINITY))) best = id;
  }
  return best;
}

/** How many routes of ours point at each object. */
function usersOf(routes: TrackedSide<FibKey, RouteBody>): Map<number, number> {
  const users = new Map<number, number>();
  for (const { nexthopId } of routes.values()) {
    if (nexthopId !== undefined) users.set(nexthopId, (users.get(nexthopId) ?? 0) + 1);
  }
  return users;
}

function idsByContent(objects: readonly Nexthop[]): Map<string | undefined, number[]> {
  const result = new Map<string | undefined, number[]>();
  for (const object of objects) {
    const content = groupText(object);
    const ids = result.get(content);
    if (ids === undefined) result.set(content, [object.id]);
    else ids.push(object.id);
  }
  return result;
}
