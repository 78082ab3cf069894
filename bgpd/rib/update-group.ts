// Adj-RIB-Out of all peers of equal export rules, one family: what they are told, computed and packed once for all.
//
// It is a log: a map from prefix to what is announced, in order of last change, and each peer has a cursor in it. A slow
// peer is simply behind; when it catches up it gets the newest state of each prefix once, so nothing queues and nothing
// is lost. A withdrawn prefix stays as an entry without route until every cursor has passed it.
//
// A cursor is a live iterator over the map (ECMAScript 24.1.5: it sees what is appended). An iterator that reached the end
// is finished for good, so a cursor never steps past the newest entry, and the newest entry is never purged.

import type { Cause } from '../../lib/feed/feed.ts';
import type { Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Attributes } from './attributes.ts';
import type { LocRib, RibChange } from './loc-rib.ts';
import type { Path } from './path.ts';
import { type ExportRules, exportAttributes } from './route-rules.ts';
import type { Update } from './update.ts';

/** Entries without route beyond which the log is purged, if they are also the majority. */
const PURGE_AT = 1024;

/** Packed stretches kept for the peers that follow. */
const STRETCHES_MAX = 256;

/** What a prefix is told as; one object per path, so that identity compares. */
interface Exported {
  readonly attributes: Attributes;
  readonly peer: string;
}

interface Entry {
  readonly sequence: number;
  readonly exported: Exported | undefined;
  readonly cause: Cause | undefined;
}

/** Where one peer is in the log. Only its group steps it. */
export interface Cursor {
  readonly peer: string;
  readonly iterator: IterableIterator<readonly [Prefix, Entry]>;
  /** Sequence of the last entry that was taken. */
  seen: number;
  /** The initial update ends with this sequence; `undefined` once END-OF-RIB was given. */
  initialEnd: number | undefined;
}

/** What to send next, in this order. */
export interface Outgoing {
  readonly updates: readonly Update[];
  readonly endOfRib: boolean;
}

/** One packed stretch of the log, the same for every peer that stands at its start. */
interface Stretch {
  readonly end: number;
  readonly withdrawn: Update | undefined;
  readonly announced: readonly { readonly update: Update; readonly peer: string; readonly asWithdrawn: Update }[];
}

export class UpdateGroup {
  readonly #family: Family;
  readonly #rules: ExportRules;
  readonly #log = new Map<Prefix, Entry>();
  readonly #cursors = new Set<Cursor>();
  readonly #exported = new WeakMap<Path, Exported | null>();
  /** By `stretchKey`; emptied by every change. */
  readonly #stretches = new Map<number, Stretch>();
  #sequence = 0;
  #withdrawnEntries = 0;

  /** Starts with what the Loc-RIB holds. */
  constructor(family: Family, rules: ExportRules, locRib: LocRib) {
    this.#family = family;
    this.#rules = rules;
    for (const { decision, prefixes } of locRib.lists) {
      const exported = this.#export(decision.best);
      if (exported !== undefined) for (const prefix of prefixes) this.#set(prefix, exported, undefined);
    }
  }

  /** How many prefixes are announced. */
  get size(): number {
    return this.#log.size - this.#withdrawnEntries;
  }

  /** How many peers it serves. */
  get peers(): number {
    return this.#cursors.size;
  }

  /** Follows the Loc-RIB: what one call to it gave. */
  apply(changes: readonly RibChange[], cause: Cause | undefined): void {
    this.#stretches.clear();
    for (const change of changes) {
      const [before, after] =
        change.type === 'moved'
          ? [change.from?.decision.best, change.to?.decision.best]
          : [change.before.best, change.list.decision.best];
      const exported = this.#export(after);
      if (exported === this.#export(before)) continue;
      const prefixes = change.type === 'moved' ? change.prefixes : change.list.prefixes;
      for (const prefix of prefixes) this.#set(prefix, exported, cause);
    }
    if (this.#withdrawnEntries > PURGE_AT && this.#withdrawnEntries > this.#log.size / 2) this.#purge();
  }

  /** A peer that knows nothing yet; it gets everything, then END-OF-RIB. */
  join(peer: string): Cursor {
    const cursor: Cursor = { peer, iterator: this.#log.entries(), seen: 0, initialEnd: this.#sequence };
    this.#cursors.add(cursor);
    return cursor;
  }

  leave(cursor: Cursor): void {
    this.#cursors.delete(cursor);
  }

  /** Whether `next` would give something. */
  hasNext(cursor: Cursor): boolean {
    return cursor.seen < this.#sequence || cursor.initialEnd !== undefined;
  }

  /** The next messages for this peer, from at most `maxPrefixes` entries; `undefined` where it has everything. */
  next(cursor: Cursor, maxPrefixes: number): Outgoing | undefined {
    if (!this.hasNext(cursor)) return undefined;
    const updates: Update[] = [];
    if (cursor.seen < this.#sequence) {
      const known = this.#stretches.get(stretchKey(cursor));
      const stretch = known ?? this.#pack(cursor, maxPrefixes);
      if (known !== undefined) this.#step(cursor, () => cursor.seen < known.end);
      if (stretch.withdrawn !== undefined) updates.push(stretch.withdrawn);
      // A peer is not told its own path, but must forget what it was told before (RFC 4456 section 8 allows either).
      for (const { update, peer, asWithdrawn } of stretch.announced) {
        updates.push(peer === cursor.peer ? asWithdrawn : update);
      }
    }
    const endOfRib = cursor.initialEnd !== undefined && cursor.seen >= cursor.initialEnd;
    if (endOfRib) cursor.initialEnd = undefined;
    return { updates, endOfRib };
  }

  #export(path: Path | undefined): Exported | undefined {
    if (path === undefined) return undefined;
    let exported = this.#exported.get(path);
    if (exported === undefined) {
      const attributes = exportAttributes(path, this.#rules);
      exported = attributes === undefined ? null : { attributes, peer: path.source.peer };
      this.#exported.set(path, exported);
    }
    return exported ?? undefined;
  }

  #set(prefix: Prefix, exported: Exported | undefined, cause: Cause | undefined): void {
    const before = this.#log.get(prefix);
    if (before?.exported === exported) return;
    if (before !== undefined) {
      this.#log.delete(prefix);
      if (before.exported === undefined) this.#withdrawnEntries--;
    }
    if (exported === undefined) this.#withdrawnEntries++;
    this.#log.set(prefix, { sequence: ++this.#sequence, exported, cause });
  }

  /** Takes entries while `more` says so, never past the newest. */
  #step(cursor: Cursor, more: () => boolean, take?: (prefix: Prefix, entry: Entry) => void): void {
    while (cursor.seen < this.#sequence && more()) {
      const { value, done } = cursor.iterator.next();
      if (done) throw new Error('a cursor stepped past the newest entry');
      const [prefix, entry] = value;
      cursor.seen = entry.sequence;
      take?.(prefix, entry);
    }
  }

  #pack(cursor: Cursor, maxPrefixes: number): Stretch {
    const key = stretchKey(cursor);
    // Causes of long ago would be measured as delays: the initial update has none.
    const initial = cursor.initialEnd !== undefined;
    const withdrawn: Prefix[] = [];
    const announced = new Map<Exported, { readonly prefixes: Prefix[]; cause: Cause | undefined }>();
    let withdrawnCause: Cause | undefined;
    let taken = 0;
    this.#step(
      cursor,
      () => taken++ < maxPrefixes,
      (prefix, { exported, cause: stamped }) => {
        const cause = initial ? undefined : stamped;
        if (exported === undefined) {
          withdrawn.push(prefix);
          withdrawnCause ??= cause;
          return;
        }
        const together = announced.get(exported);
        if (together === undefined) announced.set(exported, { prefixes: [prefix], cause });
        else {
          together.prefixes.push(prefix);
          // The log is in order of change: the first cause of a message is its oldest.
          together.cause ??= cause;
        }
      },
    );
    const stretch: Stretch = {
      end: cursor.seen,
      withdrawn: withdrawn.length > 0 ? this.#update(withdrawnCause, { withdrawn }) : undefined,
      announced: [...announced].map(([{ attributes, peer }, { prefixes, cause }]) => ({
        peer,
        update: this.#update(cause, { announced: prefixes, attributes }),
        asWithdrawn: this.#update(cause, { withdrawn: prefixes }),
      })),
    };
    if (this.#stretches.size >= STRETCHES_MAX) this.#stretches.clear();
    if (this.#cursors.size > 1) this.#stretches.set(key, stretch);
    return stretch;
  }

  #update(cause: Cause | undefined, content: Partial<Update>): Update {
    return { family: this.#family, withdrawn: [], announced: [], ...content, ...(cause !== undefined && { cause }) };
  }

  /** Forgets withdrawn prefixes that every peer was told of. The newest entry stays: iterators rest on it. */
  #purge(): void {
    let passed = this.#sequence - 1;
    for (const { seen } of this.#cursors) passed = Math.min(passed, seen);
    for (const [prefix, { sequence, exported }] of this.#log) {
      if (sequence > passed) break;
      if (exported !== undefined) continue;
      this.#log.delete(prefix);
      this.#withdrawnEntries--;
    }
  }
}

/** Cursors of equal key are sent the same: where they stand, and whether it is their initial update. */
function stretchKey({ seen, initialEnd }: Cursor): number {
  return initialEnd === undefined ? seen : -1 - seen;
}
