// The three RIBs of one speaker, wired: peers and local routes go in, RouteFeed events and messages for peers come out.
//
//   update ─▶ checks ─▶ Adj-RIB-In, Loc-RIB ─▶ path groups ─▶ feed events (returned at once)
//   local routes ──────────▶          │     └─▶ update groups (Adj-RIB-Out) ─▶ messages (pulled by `nextUpdates`)
//   next hops ─────────────────▶ decide again
//
// The returned events carry no cause: the caller gave it and stamps it. Pure and synchronous: the same object serves a
// real node and a simulated one. Families never mix, so each has its own RIBs; path group ids are unique over both.

import type { Cause, FeedEvent, FeedGroup } from '../../lib/feed/feed.ts';
import type { Address, Family } from '../../lib/net/address.ts';
import { type Prefix, prefixFamily } from '../../lib/net/prefix.ts';
import { type Attributes, COMMUNITY, FAMILIES, localAttributes, withCommunity } from './attributes.ts';
import { type Explanation, explain } from './decision.ts';
import { FamilyRib } from './family-rib.ts';
import type { LocRib, RibChange } from './loc-rib.ts';
import { NextHopTable } from './next-hops.ts';
import { LOCAL_PEER, type Path, type PathSource, PathTable } from './path.ts';
import { judgeImport, unused } from './policy.ts';
import { type GroupMember, type GroupPolicies, isFrom, type RibPeer, sourceOf } from './rib-peer.ts';
import { importAttributes, refuseImport, type Speaker } from './route-rules.ts';
import type { Received, Update } from './update.ts';
import type { Cursor, GroupRules, PeerOutgoing, UpdateGroup } from './update-group.ts';

/** Prefixes judged anew in one step of long work. */
const SLICE_PREFIXES = 256;

export interface RibSettings extends Speaker {
  /** Equal paths used at once (ECMP); 1 for none. */
  readonly maximumPaths: number;
}

interface PeerState {
  readonly peer: RibPeer;
  /** By family: a refresh begins a new one, to tell what was sent again from what was not. */
  readonly sources: Map<Family, PathSource>;
  readonly out: Map<Family, { readonly group: UpdateGroup; readonly cursor: Cursor }>;
}

export class Rib {
  readonly #settings: RibSettings;
  readonly #paths = new PathTable();
  readonly #nextHops = new NextHopTable();
  readonly #families: ReadonlyMap<Family, FamilyRib>;
  readonly #peers = new Map<string, PeerState>();
  readonly #local: PathSource;
  #policies: ReadonlyMap<string, GroupPolicies> = new Map();
  #draining = false;
  #lastGroupId = 0;
  /** Told every change of the Loc-RIB, before anybody else. */
  onChange: (changes: readonly RibChange[]) => void = () => undefined;

  constructor(settings: RibSettings, ownAddress: Address) {
    this.#settings = settings;
    this.#local = {
      peer: LOCAL_PEER,
      kind: 'local',
      routerId: settings.routerId,
      address: ownAddress,
      stale: false,
    };
    this.#families = new Map(FAMILIES.map((family) => [family, this.#familyRib(family)] as const));
  }

  /** Prefixes with a candidate, both families. */
  get size(): number {
    return FAMILIES.reduce((sum, family) => sum + this.#family(family).locRib.size, 0);
  }

  /** How many prefixes start here, both families. */
  get originated(): number {
    return FAMILIES.reduce((sum, family) => sum + this.#family(family).locRib.count(LOCAL_PEER), 0);
  }

  get attributeSets(): number {
    return this.#paths.attributeSets;
  }

  /** A session was established: the peer will be sent everything, from `nextUpdates`. */
  peerUp(peer: RibPeer): void {
    const sources = peer.families.map((family) => [family, sourceOf(peer)] as const);
    const out = peer.families.map((family) => [family, this.#family(family).join(peer)] as const);
    this.#peers.set(peer.name, { peer, sources: new Map(sources), out: new Map(out) });
  }

  /**
   * A session ended: its routes are gone, but for those of the families `kept`, which become stale (RFC 4724 section 4.2):
   * used only where there is no other path. What was stale already is gone, but in families that are `longLived`.
   */
  peerDown(
    name: string,
    cause: Cause | undefined,
    kept: readonly Family[] = [],
    longLived: readonly Family[] = [],
  ): FeedEvent[] {
    const state = this.#peers.get(name);
    if (state === undefined) return [];
    this.#peers.delete(name);
    for (const [family, { cursor }] of state.out) this.#family(family).leave(state.peer, cursor);
    const events = FAMILIES.flatMap((family) =>
      longLived.includes(family)
        ? []
        : this.#family(family).remove((path) => isOldFor(path, state, family, kept), cause),
    );
    for (const family of kept) {
      const source = state.sources.get(family);
      if (source === undefined) continue;
      source.stale = true;
      const ribs = this.#family(family);
      const changes = ribs.locRib.redecide((path) => isFrom(path, name));
      events.push(...ribs.follow(changes, cause));
    }
    return events;
  }

  /**
   * Stale routes of a peer are kept for long, as the very last choice of everybody who may know of them; not those that
   * forbid it (RFC 9494 section 4.2).
   */
  keepLong(name: string, families: readonly Family[], cause: Cause | undefined): FeedEvent[] {
    return families.flatMap((family) => {
      const ribs = this.#family(family);
      const changes = ribs.locRib.rewritePaths((path) => {
        const { source, attributes } = path;
        if (!isFrom(path, name) || !source.stale) return path;
        if (attributes.communities.includes(COMMUNITY.noLongLived)) return undefined;
        return this.#paths.path(source, withCommunity(attributes, COMMUNITY.longLivedStale));
      });
      return ribs.follow(changes, cause);
    });
  }

  /** Stale routes of a peer are gone: it sent END-OF-RIB without them, or did not come back in time. */
  dropStale(name: string, families: readonly Family[], cause: Cause | undefined): FeedEvent[] {
    return families.flatMap((family) =>
      this.#family(family).remove((path) => isFrom(path, name) && path.source.stale, cause),
    );
  }

  /** An UPDATE of an established peer, already valid as a message. */
  receive(name: string, update: Update, cause: Cause | undefined): Received {
    const state = this.#peers.get(name);
    if (!state?.out.has(update.family)) return { events: [], refused: undefined };
    const ribs = this.#family(update.family);
    const attributes = update.attributes && importAttributes(update.attributes, state.peer.kind);
    const refused = attributes === undefined ? undefined : refuseImport(attributes, state.peer, this.#settings);
    const policy = this.#policies.get(state.peer.group ?? '')?.import;
    const used =
      attributes === undefined || refused !== undefined
        ? []
        : judgeImport(policy, state.peer.name, attributes, this.#withinLimit(state.peer, update));
    const gone = [...update.withdrawn, ...unused(update.announced, used)];
    const events = ribs.follow(ribs.locRib.replace(name, undefined, gone), cause);
    for (const { attributes: own, prefixes } of used) {
      const path = this.#paths.path(state.sources.get(update.family) as PathSource, own);
      events.push(...ribs.follow(ribs.locRib.replace(name, path, prefixes), cause));
    }
    return { events, refused };
  }

  /** Policies by group of peers from now on; the iterator's steps bring what was announced in line (see UpdateGroup). */
  *setPolicies(policies: ReadonlyMap<string, GroupPolicies>, cause: Cause | undefined): Generator<void> {
    this.#policies = policies;
    yield* this.#setRules(cause);
  }

  /** Announces everything as the last choice (RFC 8326), or as usual again; steps as `setPolicies`. */
  *setDraining(draining: boolean, cause: Cause | undefined): Generator<void> {
    this.#draining = draining;
    yield* this.#setRules(cause);
  }

  get draining(): boolean {
    return this.#draining;
  }

  *#setRules(cause: Cause | undefined): Generator<void> {
    for (const ribs of this.#families.values()) yield* ribs.renewRules(SLICE_PREFIXES, cause);
  }

  /** BoRR (RFC 7313 section 4): what the peer does not send again until `refreshEnd` is gone then. */
  refreshBegin(name: string, family: Family): void {
    const state = this.#peers.get(name);
    if (state?.sources.has(family)) state.sources.set(family, sourceOf(state.peer));
  }

  /** EoRR. */
  refreshEnd(name: string, family: Family, cause: Cause | undefined): FeedEvent[] {
    const source = this.#peers.get(name)?.sources.get(family);
    if (source === undefined) return [];
    return this.#family(family).remove(
      (path) => isFrom(path, name) && path.source !== source && !path.source.stale,
      cause,
    );
  }

  /** Routes that start here, of any family: packets for them end on this node. */
  originate(
    nextHop: Address,
    prefixes: readonly Prefix[],
    cause: Cause | undefined,
    set: Partial<Attributes> = {},
  ): FeedEvent[] {
    const path = this.#paths.path(this.#local, { ...localAttributes(nextHop), ...set });
    return this.#replaceLocal(prefixes, path, cause);
  }

  withdrawLocal(prefixes: readonly Prefix[], cause: Cause | undefined): FeedEvent[] {
    return this.#replaceLocal(prefixes, undefined, cause);
  }

  /** A group of flanneld's feed as it now is: how the node at its endpoint is reached. */
  setNextHop(group: FeedGroup, cause: Cause | undefined): FeedEvent[] {
    return this.#redecide(this.#nextHops.set(group), cause);
  }

  removeNextHop(groupId: number, cause: Cause | undefined): FeedEvent[] {
    return this.#redecide(this.#nextHops.remove(groupId), cause);
  }

  /** The kernel cannot reach the node at an endpoint because of this; `undefined`: it can, or nobody knows. */
  setUnreachable(endpoint: Address, reason: string | undefined, cause: Cause | undefined): FeedEvent[] {
    return this.#redecide(this.#nextHops.setUnreachable(endpoint, reason), cause);
  }

  /** Whether `nextUpdates` would give something. */
  hasUpdates(name: string): boolean {
    const state = this.#peers.get(name);
    return state !== undefined && [...state.out.values()].some(({ group, cursor }) => group.hasNext(cursor));
  }

  /** The next messages for a peer, at most about `maxPrefixes` prefixes; `undefined` where it has everything. */
  nextUpdates(name: string, maxPrefixes: number): PeerOutgoing | undefined {
    for (const [family, { group, cursor }] of this.#peers.get(name)?.out ?? []) {
      const next = group.next(cursor, maxPrefixes);
      if (next !== undefined) return { updates: next.updates, endOfRib: next.endOfRib ? [family] : [] };
    }
    return undefined;
  }

  /** ROUTE-REFRESH (RFC 2918): the peer will be sent everything of a family again. */
  refresh(name: string, family: Family): void {
    const out = this.#peers.get(name)?.out;
    const served = out?.get(family);
    if (out === undefined || served === undefined) return;
    served.group.leave(served.cursor);
    out.set(family, { group: served.group, cursor: served.group.join(name) });
  }

  /** Prefixes received from and announced to a peer; `undefined` where its session is not established. */
  counts(name: string): { readonly received: number; readonly advertised: number } | undefined {
    const state = this.#peers.get(name);
    if (state === undefined) return undefined;
    let received = 0;
    let advertised = 0;
    for (const [family, { group }] of state.out) {
      received += this.#family(family).locRib.count(name);
      advertised += group.size;
    }
    return { received, advertised };
  }

  /** Every candidate of a prefix and the step at which each lost; `undefined` for an unknown prefix. */
  explain(prefix: Prefix): Explanation | undefined {
    const { locRib, context } = this.#family(prefixFamily(prefix));
    const list = locRib.list(prefix);
    return list && explain(list.paths, context);
  }

  /** Why the next hop of a path is of no use, in words; `undefined` where it is of use. */
  whyUnreachable({ source, attributes }: Path): string | undefined {
    return source.kind === 'local' ? undefined : this.#nextHops.problem(attributes.nextHop);
  }

  /** Every known prefix, one family after the other. */
  *prefixes(): IterableIterator<Prefix> {
    for (const { locRib } of this.#families.values()) yield* locRib.prefixes();
  }

  /** The candidates of one family: to look at. */
  table(family: Family): Pick<LocRib, 'size' | 'pathCount' | 'prefixes' | 'list' | 'count'> {
    return this.#family(family).locRib;
  }

  /** What an established peer is told of one family: to look at. */
  adjOut(name: string, family: Family): Pick<UpdateGroup, 'size' | 'prefixes' | 'announced'> | undefined {
    return this.#peers.get(name)?.out.get(family)?.group;
  }

  #familyRib(family: Family): FamilyRib {
    return new FamilyRib({
      family,
      nextHops: this.#nextHops,
      maximumPaths: this.#settings.maximumPaths,
      nextGroupId: () => ++this.#lastGroupId,
      rules: (of) => this.#rules(of),
      onChange: (changes) => this.onChange(changes),
    });
  }

  #family(family: Family): FamilyRib {
    return this.#families.get(family) as FamilyRib;
  }

  #rules({ kind, client = false, longLived = false, group = '' }: GroupMember): GroupRules {
    const policy = this.#policies.get(group)?.export;
    return { kind, client, longLived, speaker: this.#settings, draining: this.#draining, policy };
  }

  /** Prefixes that the peer's limit leaves room for; those that it has already are not new. */
  #withinLimit({ name, maxPrefixes }: RibPeer, { family, announced }: Update): readonly Prefix[] {
    if (maxPrefixes === undefined) return announced;
    const { locRib } = this.#family(family);
    let room = maxPrefixes - FAMILIES.reduce((sum, each) => sum + this.#family(each).locRib.count(name), 0);
    return announced.filter((prefix) => locRib.list(prefix)?.paths.some((path) => isFrom(path, name)) || room-- > 0);
  }

  #replaceLocal(prefixes: readonly Prefix[], path: Path | undefined, cause: Cause | undefined): FeedEvent[] {
    return FAMILIES.flatMap((family) => {
      const ofFamily = prefixes.filter((prefix) => prefixFamily(prefix) === family);
      const ribs = this.#family(family);
      return ribs.follow(ribs.locRib.replace(LOCAL_PEER, path, ofFamily), cause);
    });
  }

  #redecide(endpoints: ReadonlySet<Address>, cause: Cause | undefined): FeedEvent[] {
    if (endpoints.size === 0) return [];
    return FAMILIES.flatMap((family) => {
      const ribs = this.#family(family);
      // A stale route whose next hop died must not come back with the next hop: nobody vouches for it any more.
      const dead = ribs.remove(
        ({ source, attributes: { nextHop } }) =>
          source.stale && endpoints.has(nextHop) && this.#nextHops.resolve(nextHop, family) === undefined,
        cause,
      );
      const changes = ribs.locRib.redecide(
        ({ source, attributes }) => source.kind !== 'local' && endpoints.has(attributes.nextHop),
      );
      return [...dead, ...ribs.follow(changes, cause)];
    });
  }
}

/** Not of the session that ends now, or of a family that is not kept. */
function isOldFor({ source }: Path, state: PeerState, family: Family, kept: readonly Family[]): boolean {
  return source.peer === state.peer.name && (source !== state.sources.get(family) || !kept.includes(family));
}
