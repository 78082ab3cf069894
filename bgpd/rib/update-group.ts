// Adj-RIB-Out of all peers of equal export rules, one family: what they are told, computed and packed once for all.
//
// It is a log in order of last change, and each peer has a position in it. A slow peer is simply behind; when it catches
// up it gets the newest state of each prefix once, so nothing queues and nothing is lost. A prefix that changes again
// leaves a hole and goes to the end; a withdrawn one stays as an entry without route until every peer has passed it.
//
// What a change of the Loc-RIB means for each prefix is worked out when the log is next looked at, or changes again: this
// node's own kernel, which needs a path group and not the prefixes, does not wait for that.
//
//   index     0    1    2    3    4    5        b has been sent 0 to 2, c everything
//   prefix   p1    -   p3   p4   p2   p5        "-": p2 changed and moved to 4
//   route     x         x   (withdrawn)  y  x
//                       b▲                  c▲

import type { Cause } from '../../lib/feed/feed.ts';
import type { Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Attributes } from './attributes.ts';
import type { LocRib, RibChange } from './loc-rib.ts';
import type { Path } from './path.ts';
import { applyPolicy, classOf, looksAtPrefixes, type Policy } from './policy.ts';
import { type ExportRules, exportAttributes } from './route-rules.ts';
import { type Exported, packStretch, type Stretch } from './stretch.ts';
import type { Update } from './update.ts';

/** Useless entries beyond which the log is compacted, if they are also the majority: so it costs little per change. */
const COMPACT_AT = 64;

/** Packed stretches kept for the peers that follow. */
const STRETCHES_MAX = 1_024;

/** What decides what the peers of a group are told. */
export interface GroupRules extends ExportRules {
  /** Export policy; `undefined` lets everything pass. It sees the peer that the route came from as neighbour. */
  readonly policy?: Policy | undefined;
}

/** Where one peer is in the log. Only its group steps it. */
export interface Cursor {
  readonly peer: string;
  /** Index of the next entry. */
  position: number;
  /** The initial update ends before this index; `undefined` once END-OF-RIB was given. */
  initialEnd: number | undefined;
}

/** What to send next, in this order. */
export interface Outgoing {
  readonly updates: readonly Update[];
  readonly endOfRib: boolean;
}

/** What to send to a peer next over all families, in this order. */
export interface PeerOutgoing {
  readonly updates: readonly Update[];
  readonly endOfRib: readonly Family[];
}

/** Prefixes that are to be told as what is best for them now. */
interface Owed {
  readonly prefixes: Iterable<Prefix>;
  readonly best: Path | undefined;
}

export class UpdateGroup {
  readonly #family: Family;
  readonly #locRib: LocRib;
  #rules: GroupRules;
  readonly #cursors = new Set<Cursor>();
  #exported = new WeakMap<Path, Map<string, Exported | null>>();
  /** By `stretchKey`: what was packed and still is what the log says there. */
  readonly #stretches = new Map<number, Stretch>();
  /** Those that reach to the end of the log: they are longer once something is added. */
  readonly #openStretches = new Set<number>();
  /** The log: three columns, and where each prefix stands in it. */
  #prefixes: (Prefix | undefined)[] = [];
  #routes: (Exported | undefined)[] = [];
  #causes: (Cause | undefined)[] = [];
  readonly #indexOf = new Map<Prefix, number>();
  /** Prefixes that stand there as withdrawn. */
  #withdrawn = 0;
  /** What one call to the Loc-RIB changed that is not in the log yet. */
  #owed: { readonly parts: readonly Owed[]; readonly cause: Cause | undefined } | undefined;

  /** Starts with what the Loc-RIB holds. */
  constructor(family: Family, rules: GroupRules, locRib: LocRib) {
    this.#family = family;
    this.#rules = rules;
    this.#locRib = locRib;
    for (const { decision, prefixes } of locRib.lists) this.#setAll(prefixes, decision.best, undefined);
  }

  /**
   * Takes other rules. What peers were told under the old ones is brought in line by the steps of the returned iterator,
   * each about `sliceSize` prefixes; routes that change meanwhile follow the new rules at once.
   */
  *setRules(rules: GroupRules, sliceSize: number, cause: Cause | undefined): Generator<void> {
    this.#settle();
    this.#rules = rules;
    this.#exported = new WeakMap();
    this.#forgetStretches();
    let done = 0;
    // A prefix that comes meanwhile is exported by the new rules already: walking over it twice does nothing.
    for (const prefix of this.#locRib.prefixes()) {
      this.#setAll([prefix], this.#locRib.list(prefix)?.decision.best, cause);
      if (++done % sliceSize === 0) yield;
    }
  }

  /** How many prefixes are announced. */
  get size(): number {
    this.#settle();
    return this.#indexOf.size - this.#withdrawn;
  }

  /** Prefixes that are announced, or withdrawn with a peer still to be told. */
  prefixes(): IterableIterator<Prefix> {
    return this.#indexOf.keys();
  }

  /** What this peer is told of a prefix; `undefined` where nothing, for instance because it is its own path. */
  announced(prefix: Prefix, peer: string): Attributes | undefined {
    const exported = this.#routes[this.#indexOf.get(prefix) ?? -1];
    return exported?.peer === peer ? undefined : exported?.attributes;
  }

  /** How many peers it serves. */
  get peers(): number {
    return this.#cursors.size;
  }

  /** Follows the Loc-RIB: what one call to it gave. */
  apply(changes: readonly RibChange[], cause: Cause | undefined): void {
    // A prefix that has moved since was in no list that the former change still knows: it is looked at whatever it moved to.
    const wasOwed = this.#settle();
    const parts: Owed[] = [];
    for (const change of changes) {
      const [before, best] =
        change.type === 'moved'
          ? [change.from?.decision.best, change.to?.decision.best]
          : [change.before.best, change.list.decision.best];
      if (before === best && !wasOwed) continue;
      parts.push({ prefixes: change.type === 'moved' ? change.prefixes : change.list.prefixes, best });
    }
    if (parts.length > 0) this.#owed = { parts, cause };
  }

  /** Puts into the log what the last change owes it; whether there was anything. */
  #settle(): boolean {
    if (this.#owed === undefined) return false;
    const { parts, cause } = this.#owed;
    this.#owed = undefined;
    for (const { prefixes, best } of parts) this.#setAll(prefixes, best, cause);
    const useless = this.#prefixes.length - this.size;
    if (useless > COMPACT_AT && useless > this.size) this.#compact();
    return true;
  }

  /** A peer that knows nothing yet; it gets everything, then END-OF-RIB. */
  join(peer: string): Cursor {
    this.#settle();
    const cursor: Cursor = { peer, position: 0, initialEnd: this.#prefixes.length };
    this.#cursors.add(cursor);
    return cursor;
  }

  leave(cursor: Cursor): void {
    this.#cursors.delete(cursor);
  }

  /** Whether `next` would give something. */
  hasNext(cursor: Cursor): boolean {
    this.#settle();
    return cursor.position < this.#prefixes.length || cursor.initialEnd !== undefined;
  }

  /** The next messages for this peer, from at most `maxPrefixes` entries; `undefined` where it has everything. */
  next(cursor: Cursor, maxPrefixes: number): Outgoing | undefined {
    if (!this.hasNext(cursor)) return undefined;
    const updates: Update[] = [];
    if (cursor.position < this.#prefixes.length) {
      const stretch = this.#stretch(cursor, maxPrefixes);
      cursor.position = stretch.end;
      if (stretch.withdrawn !== undefined) updates.push(stretch.withdrawn);
      // A peer is not told its own path, but must forget what it was told before (RFC 4456 section 8 allows either).
      for (const { update, peer, asWithdrawn } of stretch.announced) {
        updates.push(peer === cursor.peer ? asWithdrawn : update);
      }
    }
    const endOfRib = cursor.initialEnd !== undefined && cursor.position >= cursor.initialEnd;
    if (endOfRib) cursor.initialEnd = undefined;
    return { updates, endOfRib };
  }

  #setAll(prefixes: Iterable<Prefix>, best: Path | undefined, cause: Cause | undefined): void {
    const { policy } = this.#rules;
    if (policy !== undefined && looksAtPrefixes(policy)) {
      for (const prefix of prefixes) this.#set(prefix, this.#export(best, classOf(policy, prefix)), cause);
      return;
    }
    const exported = this.#export(best, '');
    for (const prefix of prefixes) this.#set(prefix, exported, cause);
  }

  #export(path: Path | undefined, prefixClass: string): Exported | undefined {
    if (path === undefined) return undefined;
    let ofPath = this.#exported.get(path);
    if (ofPath === undefined) {
      ofPath = new Map();
      this.#exported.set(path, ofPath);
    }
    let exported = ofPath.get(prefixClass);
    if (exported === undefined) {
      exported = this.#judge(path, prefixClass);
      ofPath.set(prefixClass, exported);
    }
    return exported ?? undefined;
  }

  #judge(path: Path, prefixClass: string): Exported | null {
    const { policy } = this.#rules;
    const { peer } = path.source;
    const told = exportAttributes(path, this.#rules);
    const attributes = told && policy !== undefined ? applyPolicy(policy, prefixClass, told, peer) : told;
    return attributes === undefined ? null : { attributes, peer };
  }

  #set(prefix: Prefix, exported: Exported | undefined, cause: Cause | undefined): void {
    const before = this.#indexOf.get(prefix);
    if (before === undefined) {
      if (exported === undefined) return;
      this.#closeStretches();
    } else {
      if (this.#routes[before] === exported) return;
      this.#forgetStretches();
      if (this.#routes[before] === undefined) this.#withdrawn--;
      this.#prefixes[before] = undefined;
    }
    if (exported === undefined) this.#withdrawn++;
    this.#indexOf.set(prefix, this.#prefixes.length);
    this.#prefixes.push(prefix);
    this.#routes.push(exported);
    this.#causes.push(cause);
  }

  #stretch(cursor: Cursor, maxPrefixes: number): Stretch {
    const key = stretchKey(cursor);
    const known = this.#stretches.get(key);
    if (known !== undefined) return known;
    // Causes of long ago would be measured as delays: the initial update has none.
    const log = { family: this.#family, prefixes: this.#prefixes, routes: this.#routes, causes: this.#causes };
    const stretch = packStretch(log, cursor.position, maxPrefixes, cursor.initialEnd === undefined);
    if (this.#stretches.size >= STRETCHES_MAX) this.#forgetStretches();
    if (this.#cursors.size > 1) this.#stretches.set(key, stretch);
    if (stretch.end === this.#prefixes.length) this.#openStretches.add(key);
    return stretch;
  }

  /** An entry is added at the end of the log. */
  #closeStretches(): void {
    if (this.#openStretches.size === 0) return;
    for (const key of this.#openStretches) this.#stretches.delete(key);
    this.#openStretches.clear();
  }

  /** An entry was changed, moved or given other rules. */
  #forgetStretches(): void {
    if (this.#stretches.size > 0) this.#stretches.clear();
    this.#openStretches.clear();
  }

  /** Closes the holes and forgets the withdrawn prefixes that every peer was told of; positions follow. */
  #compact(): void {
    const told = Math.min(this.#prefixes.length, ...[...this.#cursors].map(({ position }) => position));
    const [prefixes, routes, causes] = [this.#prefixes, this.#routes, this.#causes];
    const newIndex = new Int32Array(prefixes.length + 1);
    this.#forgetStretches();
    this.#prefixes = [];
    this.#routes = [];
    this.#causes = [];
    for (const [index, prefix] of prefixes.entries()) {
      newIndex[index] = this.#prefixes.length;
      if (prefix === undefined) continue;
      if (routes[index] === undefined && index < told) {
        this.#indexOf.delete(prefix);
        this.#withdrawn--;
        continue;
      }
      this.#indexOf.set(prefix, this.#prefixes.length);
      this.#prefixes.push(prefix);
      this.#routes.push(routes[index]);
      this.#causes.push(causes[index]);
    }
    newIndex[prefixes.length] = this.#prefixes.length;
    for (const cursor of this.#cursors) {
      cursor.position = newIndex[cursor.position] as number;
      if (cursor.initialEnd !== undefined) cursor.initialEnd = newIndex[cursor.initialEnd];
    }
  }
}

/** Cursors of equal key are sent the same: where they stand, and whether it is their initial update. */
function stretchKey({ position, initialEnd }: Cursor): number {
  return initialEnd === undefined ? position : -1 - position;
}
