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
import { FAMILIES, localAttributes, type RouterId } from './attributes.ts';
import { type DecisionContext, type Explanation, explain } from './decision.ts';
import { LocRib, type RibChange } from './loc-rib.ts';
import { NextHopTable } from './next-hops.ts';
import { LOCAL_PEER, type PathSource, PathTable, type SourceKind } from './path.ts';
import { PathGroups } from './path-groups.ts';
import { importAttributes, type Refusal, refuseImport, type Speaker } from './route-rules.ts';
import type { Update } from './update.ts';
import { type Cursor, UpdateGroup } from './update-group.ts';

export interface RibSettings extends Speaker {
  /** Equal paths used at once (ECMP); 1 for none. */
  readonly maximumPaths: number;
}

/** A peer whose session is established. */
export interface RibPeer {
  /** Unique; the node's name. */
  readonly name: string;
  readonly kind: Exclude<SourceKind, 'local'>;
  readonly asn: number;
  readonly routerId: RouterId;
  readonly address: Address;
  /** Families that both sides offered. */
  readonly families: readonly Family[];
}

/** What a received update led to. */
export interface Received {
  readonly events: FeedEvent[];
  /** Announced prefixes that were treated as withdrawn because of this. */
  readonly refused: Refusal | undefined;
}

/** What to send to a peer next, in this order. */
export interface PeerOutgoing {
  readonly updates: readonly Update[];
  readonly endOfRib: readonly Family[];
}

/** RIBs of one family. */
interface FamilyRib {
  readonly locRib: LocRib;
  readonly context: DecisionContext;
  readonly pathGroups: PathGroups;
  readonly updateGroups: Map<RibPeer['kind'], UpdateGroup>;
}

interface PeerState {
  readonly peer: RibPeer;
  readonly source: PathSource;
  readonly out: Map<Family, { readonly group: UpdateGroup; readonly cursor: Cursor }>;
}

export class Rib {
  readonly #settings: RibSettings;
  readonly #paths = new PathTable();
  readonly #nextHops = new NextHopTable();
  readonly #families: ReadonlyMap<Family, FamilyRib>;
  readonly #peers = new Map<string, PeerState>();
  readonly #local: PathSource;
  #lastGroupId = 0;

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
    const source: PathSource = {
      peer: peer.name,
      kind: peer.kind,
      routerId: peer.routerId,
      address: peer.address,
      stale: false,
    };
    const out = peer.families.map((family) => {
      const group = this.#updateGroup(family, peer.kind);
      return [family, { group, cursor: group.join(peer.name) }] as const;
    });
    this.#peers.set(peer.name, { peer, source, out: new Map(out) });
  }

  /** A session ended: its routes are gone. */
  peerDown(name: string, cause: Cause | undefined): FeedEvent[] {
    const state = this.#peers.get(name);
    if (state === undefined) return [];
    this.#peers.delete(name);
    for (const [family, { group, cursor }] of state.out) {
      group.leave(cursor);
      if (group.peers === 0) this.#family(family).updateGroups.delete(state.peer.kind);
    }
    return state.peer.families.flatMap((family) =>
      this.#follow(family, this.#family(family).locRib.removePeer(name), cause),
    );
  }

  /** An UPDATE of an established peer, already valid as a message. */
  receive(name: string, update: Update, cause: Cause | undefined): Received {
    const state = this.#peers.get(name);
    if (!state?.out.has(update.family)) return { events: [], refused: undefined };
    const { locRib } = this.#family(update.family);
    const { announced } = update;
    const attributes = update.attributes && importAttributes(update.attributes, state.peer.kind);
    const refused = attributes === undefined ? undefined : refuseImport(attributes, state.peer, this.#settings);
    const gone = refused === undefined ? update.withdrawn : [...update.withdrawn, ...announced];
    const changes = locRib.replace(name, undefined, gone);
    if (attributes === undefined || refused !== undefined) {
      return { events: this.#follow(update.family, changes, cause), refused };
    }
    const path = this.#paths.path(state.source, attributes);
    const events = this.#follow(update.family, changes, cause);
    const news = locRib.replace(name, path, announced);
    return { events: [...events, ...this.#follow(update.family, news, cause)], refused };
  }

  /** Routes that start here, of any family: packets for them end on this node. */
  originate(nextHop: Address, prefixes: readonly Prefix[], cause: Cause | undefined): FeedEvent[] {
    const path = this.#paths.path(this.#local, localAttributes(nextHop));
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

  /** Every known prefix, one family after the other. */
  *prefixes(): IterableIterator<Prefix> {
    for (const { locRib } of this.#families.values()) yield* locRib.prefixes();
  }

  #familyRib(family: Family): FamilyRib {
    const context: DecisionContext = {
      maximumPaths: this.#settings.maximumPaths,
      metric: ({ source, attributes }) =>
        source.kind === 'local' || this.#nextHops.resolve(attributes.nextHop, family) !== undefined ? 0 : undefined,
    };
    const pathGroups = new PathGroups(family, this.#nextHops, context, () => ++this.#lastGroupId);
    return { locRib: new LocRib(context), context, pathGroups, updateGroups: new Map() };
  }

  #family(family: Family): FamilyRib {
    return this.#families.get(family) as FamilyRib;
  }

  #updateGroup(family: Family, kind: RibPeer['kind']): UpdateGroup {
    const { updateGroups, locRib } = this.#family(family);
    let group = updateGroups.get(kind);
    if (group === undefined) {
      group = new UpdateGroup(family, { kind, speaker: this.#settings }, locRib);
      updateGroups.set(kind, group);
    }
    return group;
  }

  #replaceLocal(
    prefixes: readonly Prefix[],
    path: Parameters<LocRib['replace']>[1],
    cause: Cause | undefined,
  ): FeedEvent[] {
    return FAMILIES.flatMap((family) => {
      const ofFamily = prefixes.filter((prefix) => prefixFamily(prefix) === family);
      return this.#follow(family, this.#family(family).locRib.replace(LOCAL_PEER, path, ofFamily), cause);
    });
  }

  #redecide(endpoints: ReadonlySet<Address>, cause: Cause | undefined): FeedEvent[] {
    if (endpoints.size === 0) return [];
    return FAMILIES.flatMap((family) => {
      const { locRib } = this.#family(family);
      const changes = locRib.redecide(
        ({ source, attributes }) => source.kind !== 'local' && endpoints.has(attributes.nextHop),
      );
      return this.#follow(family, changes, cause);
    });
  }

  /** Path groups and update groups follow a change of the Loc-RIB. */
  #follow(family: Family, changes: readonly RibChange[], cause: Cause | undefined): FeedEvent[] {
    if (changes.length === 0) return [];
    const { pathGroups, updateGroups } = this.#family(family);
    const events = pathGroups.apply(changes);
    for (const group of updateGroups.values()) group.apply(changes, cause);
    return events;
  }
}
