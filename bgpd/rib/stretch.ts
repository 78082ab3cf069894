// Packs a stretch of an update group's log into messages: what was withdrawn together, and what has the same attributes
// together. Pure; the log itself, and who has got how far in it, is update-group.ts.

import type { Cause } from '../../lib/feed/feed.ts';
import type { Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Attributes } from './attributes.ts';
import type { Update } from './update.ts';

/** Messages in one stretch: where every prefix has attributes of its own, packing is what takes the time. */
const STRETCH_UPDATES_MAX = 128;

/** What a prefix is told as; one object per path and class of prefixes, so that identity compares. */
export interface Exported {
  readonly attributes: Attributes;
  readonly peer: string;
}

/** One packed stretch of the log, the same for every peer that stands at its start. */
export interface Stretch {
  readonly end: number;
  readonly withdrawn: Update | undefined;
  readonly announced: readonly { readonly update: Update; readonly peer: string; readonly asWithdrawn: Update }[];
}

/** The columns of the log of one family; holes have no prefix, what is withdrawn has no route. */
export interface Log {
  readonly family: Family;
  readonly prefixes: readonly (Prefix | undefined)[];
  readonly routes: readonly (Exported | undefined)[];
  readonly causes: readonly (Cause | undefined)[];
}

/** The messages for at most `maxPrefixes` entries from the index `start` on. */
export function packStretch(log: Log, start: number, maxPrefixes: number, withCauses: boolean): Stretch {
  const { family, prefixes, routes, causes } = log;
  const withdrawn: Prefix[] = [];
  const announced = new Map<Exported, { readonly prefixes: Prefix[]; readonly cause: Cause | undefined }>();
  let withdrawnCause: Cause | undefined;
  let end = start;
  for (let taken = 0; end < prefixes.length && taken < maxPrefixes && announced.size < STRETCH_UPDATES_MAX; end++) {
    const prefix = prefixes[end];
    if (prefix === undefined) continue;
    taken++;
    const exported = routes[end];
    // The log is in order of change: the first cause of a message is its oldest.
    const cause = withCauses ? causes[end] : undefined;
    if (exported === undefined) {
      withdrawn.push(prefix);
      withdrawnCause ??= cause;
      continue;
    }
    const together = announced.get(exported);
    if (together === undefined) announced.set(exported, { prefixes: [prefix], cause });
    else together.prefixes.push(prefix);
  }
  return {
    end,
    withdrawn: withdrawn.length > 0 ? update(family, withdrawnCause, { withdrawn }) : undefined,
    announced: [...announced].map(([{ attributes, peer }, { prefixes: together, cause }]) => ({
      peer,
      update: update(family, cause, { announced: together, attributes }),
      asWithdrawn: update(family, cause, { withdrawn: together }),
    })),
  };
}

function update(family: Family, cause: Cause | undefined, content: Partial<Update>): Update {
  return { family, withdrawn: [], announced: [], ...content, ...(cause !== undefined && { cause }) };
}
