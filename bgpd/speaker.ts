// The speaker: peers on one side, the RIB and the served feed on the other, and what flows between them.
//
//   session up ─▶ Rib.peerUp      update ─▶ Rib.receive ─▶ feed events ─▶ FeedTable
//   session end ─▶ Rib.peerDown ─▶ feed events ─▶ FeedTable      Rib.nextUpdates ─▶ peers that have room
//
// Feed first, then peers: what the own kernel does must not wait for what others are told.

import type { Family } from '../lib/net/address.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import { type Causes, type FaultKind, faultOf } from './causes.ts';
import type { BgpdMetrics } from './metrics.ts';
import { nextMessages } from './outgoing.ts';
import { newPeerMemory, type PeerMemory } from './peer-memory.ts';
import { type PeerRecord, PeerSet, type PeerSetOptions } from './peer-set.ts';
import { lookAtLimit, type PrefixLimit } from './prefix-limit.ts';
import { RefusedUpdates } from './refused-updates.ts';
import type { Rib } from './rib/rib.ts';
import type { GroupPolicies } from './rib/rib-peer.ts';
import type { RibFeed } from './rib-feed.ts';
import type { Dialler } from './session/connection.ts';
import type { Message, Open, RefreshKind } from './session/message.ts';
import { type Notification, notification } from './session/notification.ts';
import type { PeerOwner } from './session/peer.ts';
import { keptAfter, StaleRoutes } from './stale-routes.ts';
import { WakeRound } from './wake-round.ts';

/** Long work goes on in the next turn of the event loop after so many steps, or so much time. */
const TURN_STEPS = 8;
const TURN_MS = 5;

export interface SpeakerOptions {
  /** What this node sends. */
  readonly open: Open;
  readonly rib: Rib;
  readonly ribFeed: RibFeed;
  readonly dialler: Dialler;
  readonly clock: Clock;
  readonly causes: Causes;
  readonly log: Logger;
  readonly metrics: BgpdMetrics;
  /** A session came up or ended, or a peer's initial update is complete. */
  readonly onSessions: () => void;
  /** Routes outlive any end of a session that graceful restart covers, not only one that the peer announced. */
  readonly keepsAfterCrash: boolean;
  readonly dynamic: NonNullable<PeerSetOptions['dynamic']>;
  /** Whether END-OF-RIB may be sent: what this node announces is complete. */
  readonly isComplete: () => boolean;
  /** In [0, 1), for jitter. */
  readonly random?: () => number;
}

export class Speaker {
  readonly #options: SpeakerOptions;
  readonly #memory = new Map<string, PeerMemory>();
  readonly peers: PeerSet;
  readonly refused: RefusedUpdates;
  readonly #stale: StaleRoutes;
  #open: Open;
  readonly #round: WakeRound;

  constructor(options: SpeakerOptions) {
    const { open, dialler, clock, log, random = Math.random } = options;
    this.#options = options;
    this.#open = open;
    this.refused = new RefusedUpdates(log, options.metrics);
    this.#round = new WakeRound(clock, () => this.peers.wake((name) => options.rib.hasUpdates(name)));
    this.#stale = new StaleRoutes({
      clock,
      drop: (name, families, why) => this.#dropStale(name, families, why),
      keepLong: (name, families) => this.#keepLong(name, families),
    });
    this.peers = new PeerSet({
      open,
      dialler,
      clock,
      log,
      random,
      owner: (record) => this.#ownerOf(record),
      dynamic: options.dynamic,
      isKept: (name) => this.keepsStale(name),
      removed: (name) => {
        this.#memory.delete(name);
        this.refused.forget(name);
        options.onSessions();
      },
    });
  }

  /** Names of known peers that have not sent their whole table yet, in any session. */
  unsynced(): readonly string[] {
    return [...this.peers.members.keys()].filter((name) => !this.#memory.get(name)?.everSynced);
  }

  /** Names of known peers with which no session was ever established. */
  neverEstablished(): readonly string[] {
    return [...this.peers.members.keys()].filter((name) => !this.#memory.get(name)?.everEstablished);
  }

  /** Families of which routes of this peer are kept though its session ended, or that it has not refreshed yet. */
  staleFamilies(name: string): readonly Family[] {
    return this.#stale.families(name);
  }

  /** What this node says in an OPEN now. */
  get open(): Open {
    return this.#open;
  }

  /** Whether routes of this peer are kept, as `staleFamilies` says. */
  keepsStale(name: string): boolean {
    return this.#stale.families(name).length > 0;
  }

  /** Of these, the ones whose routes are long-lived stale (RFC 9494). */
  longLivedFamilies(name: string): readonly Family[] {
    return this.#stale.longLived(name);
  }

  /** What to say of this node from the next OPEN on. */
  setOpen(open: Open): void {
    this.#open = open;
    this.peers.setOpen(open);
  }

  /** What this node announces may be complete now. */
  checkComplete(): void {
    if (!this.#options.isComplete()) return;
    for (const [name, { endOfRibDue }] of this.#memory) {
      if (endOfRibDue.size > 0) this.peers.members.get(name)?.peer.wake();
    }
  }

  /** This node is about to leave, or stays after all: told to every peer without ending a session (RFC 8326). */
  async setDraining(draining: boolean): Promise<void> {
    await this.#inSlices(this.#options.rib.setDraining(draining, this.#options.causes.make('policy-changed')));
  }

  /** Policies by group of peers. Peers of `importChanged` are asked for their routes again (RFC 2918). */
  async setPolicies(policies: ReadonlyMap<string, GroupPolicies>, importChanged: ReadonlySet<string>): Promise<void> {
    const work = this.#inSlices(this.#options.rib.setPolicies(policies, this.#options.causes.make('policy-changed')));
    for (const [name, { record }] of this.peers.members) {
      if (importChanged.has(record.group ?? '')) this.askAgain(name);
    }
    await work;
  }

  /** Asks an established peer for its routes again (RFC 2918); false where it cannot be asked. */
  askAgain(name: string): boolean {
    const memory = this.#memory.get(name);
    if (memory?.open?.capabilities.routeRefresh !== true) return false;
    for (const family of this.#commonFamilies(memory.open)) {
      memory.first.push({ type: 'route-refresh', family, kind: 'request' });
    }
    this.peers.members.get(name)?.peer.wake();
    return true;
  }

  /** Sends an established peer everything again; false where there is no session. */
  tellAgain(name: string): boolean {
    const memory = this.#memory.get(name);
    if (memory?.open === undefined) return false;
    for (const family of this.#commonFamilies(memory.open)) this.#refresh(name, memory, family, 'request');
    return true;
  }

  /** Nothing is dropped any more: the daemon stops. */
  stop(why: Notification): void {
    this.#stale.stop();
    this.peers.stop(why);
  }

  /**
   * The peer is dead, or out of reach, since `detectedUnixUs`: its session ends as one change, and what was kept of a former
   * one goes. BFD has a subcode for it (RFC 9384), a link that is gone keeps nothing (RFC 8538), a dead process says nothing.
   */
  lost(name: string, kind: FaultKind, detail: string, detectedUnixUs: bigint): void {
    const memory = this.#memory.get(name);
    if (memory === undefined) return;
    memory.downCause = this.#options.causes.make(kind, detectedUnixUs);
    const peer = this.peers.members.get(name)?.peer;
    if (kind === 'stream-ended') peer?.broken(detail, detectedUnixUs);
    else peer?.lost(notification(kind === 'bfd-down' ? 'bfdDown' : 'hardReset', detail));
    if (kind !== 'stream-ended') this.#stale.end(name, detail);
    memory.downCause = undefined;
  }

  /** Gives every peer what is due to it, soon. */
  wakePeers(): void {
    this.#round.schedule();
  }

  /** Long work, some steps a turn, so that keepalives are sent in between. */
  async #inSlices(work: Generator<void>): Promise<void> {
    const { clock } = this.#options;
    for (let done = false; !done; ) {
      const startedMs = clock.monotonicMs();
      for (let steps = 0; !done && steps < TURN_STEPS && clock.monotonicMs() - startedMs < TURN_MS; steps++) {
        done = work.next().done === true;
      }
      this.wakePeers();
      if (!done) await new Promise<void>((resolve) => clock.nextTurn(resolve));
    }
  }

  #commonFamilies(open: Open): readonly Family[] {
    return this.#open.capabilities.families.filter((family) => open.capabilities.families.includes(family));
  }

  #ownerOf(record: PeerRecord): PeerOwner {
    const { metrics, log } = this.#options;
    const { name } = record;
    const memory = newPeerMemory();
    this.#memory.set(name, memory);
    return {
      up: (open) => this.#up(record, memory, open),
      down: (reason, why) => this.#down(name, memory, reason, why),
      received: (message, flaw) => this.#received(record, memory, message, flaw),
      pull: () => nextMessages(this.#options.rib, name, memory, this.#options.isComplete()),
      sent: (type, count) => metrics.message('sent', type, count),
      failed: (reason) => log.debug({ peer: name, reason }, 'attempt failed'),
      stateChanged: () => metrics.sessionChanged(),
    };
  }

  #up(record: PeerRecord, memory: PeerMemory, open: Open): void {
    const { rib, causes, log } = this.#options;
    const { name, address, client = false, group = '', prefixLimit } = record;
    const { asn, routerId, capabilities } = open;
    const families = this.#commonFamilies(open);
    memory.everEstablished = true;
    // A family for which the peer promises no END-OF-RIB is not waited for.
    const promised = capabilities.gracefulRestart?.families ?? families;
    memory.owed = new Set(families.filter((family) => promised.includes(family)));
    memory.everSynced ||= memory.owed.size === 0;
    memory.upCause = causes.make('peer-up');
    memory.open = open;
    memory.limitWarned = false;
    memory.first.length = 0;
    memory.endOfRibDue.clear();
    memory.refreshing.clear();
    const kind = asn === this.#open.asn ? 'ibgp' : 'ebgp';
    const maxPrefixes = prefixLimit?.action === 'block' ? { maxPrefixes: prefixLimit.max } : {};
    const longLived = capabilities.longLived !== undefined && capabilities.gracefulRestart !== undefined;
    rib.peerUp({ name, kind, asn, routerId, address, families, client, longLived, group, ...maxPrefixes });
    this.#stale.back(name, open);
    log.info({ peer: name, address, asn }, 'session established');
    this.#options.onSessions();
  }

  /** The one way in which a session ends. `whyDown`: the NOTIFICATION of either side; none where the connection broke. */
  #down(name: string, memory: PeerMemory, reason: string, whyDown: Notification | undefined): void {
    const { rib, ribFeed, causes, log, metrics } = this.#options;
    const cause = memory.downCause ?? causes.make(faultOf(whyDown));
    const kept = keptAfter(this.#open, memory.open, whyDown, this.#options.keepsAfterCrash);
    const long = this.#stale.longLived(name).filter((family) => kept.families.includes(family));
    ribFeed.publish(rib.peerDown(name, cause, kept.families, long), cause);
    this.#stale.keep(name, kept);
    memory.owed = new Set();
    memory.open = undefined;
    metrics.sessionEnded();
    log.warn({ peer: name, reason, cause: cause.id, keptSeconds: kept.seconds }, 'session ended');
    this.wakePeers();
    this.#options.onSessions();
    // Later, for the peer is still in the middle of ending.
    this.#options.clock.nextTurn(() => this.peers.settle(name));
  }

  #dropStale(name: string, families: readonly Family[], why: string): void {
    const { rib, ribFeed, causes, log } = this.#options;
    const cause = this.#memory.get(name)?.downCause ?? causes.make('stale-dropped');
    const events = rib.dropStale(name, families, cause);
    ribFeed.publish(events, cause);
    if (events.length > 0) log.info({ peer: name, families, why, cause: cause.id }, 'stale routes dropped');
    this.wakePeers();
    this.#options.clock.nextTurn(() => this.peers.settle(name));
  }

  #keepLong(name: string, families: readonly Family[]): void {
    const { rib, ribFeed, causes, log } = this.#options;
    const cause = causes.make('kept-long');
    ribFeed.publish(rib.keepLong(name, families, cause), cause);
    log.info({ peer: name, families, cause: cause.id }, 'stale routes are kept for long, as the last choice');
    this.wakePeers();
  }

  #received(record: PeerRecord, memory: PeerMemory, message: Message, flaw: string | undefined): void {
    const { rib, ribFeed, causes, metrics } = this.#options;
    const { name } = record;
    metrics.message('received', message.type);
    if (flaw !== undefined) this.refused.flawed(name, flaw);
    switch (message.type) {
      case 'update': {
        const { family } = message.update;
        const initial = memory.owed.has(family) ? memory.upCause : undefined;
        const cause = message.update.cause ?? initial ?? causes.make('update-received');
        const { events, refused } = rib.receive(name, message.update, cause);
        ribFeed.publish(events, cause);
        if (refused !== undefined) this.refused.refused(name, refused);
        if (record.prefixLimit !== undefined) this.#checkLimit(name, record.prefixLimit, memory);
        this.wakePeers();
        break;
      }
      case 'end-of-rib':
        this.#stale.complete(name, message.family);
        memory.owed = new Set([...memory.owed].filter((family) => family !== message.family));
        if (memory.owed.size > 0 || memory.everSynced) break;
        memory.everSynced = true;
        this.#options.onSessions();
        break;
      case 'route-refresh':
        this.#refresh(name, memory, message.family, message.kind);
        break;
      default:
        break;
    }
  }

  #refresh(name: string, memory: PeerMemory, family: Family, kind: RefreshKind): void {
    const { rib, ribFeed, causes } = this.#options;
    if (kind === 'begin') {
      rib.refreshBegin(name, family);
    } else if (kind === 'end') {
      const cause = causes.make('update-received');
      ribFeed.publish(rib.refreshEnd(name, family, cause), cause);
    } else {
      if (memory.open?.capabilities.enhancedRefresh === true && !memory.refreshing.has(family)) {
        memory.first.push({ type: 'route-refresh', family, kind: 'begin' });
        memory.refreshing.add(family);
      }
      rib.refresh(name, family);
    }
    this.wakePeers();
  }

  #checkLimit(name: string, limit: PrefixLimit, memory: PeerMemory): void {
    const received = this.#options.rib.counts(name)?.received ?? 0;
    const { isNear, end } = lookAtLimit(limit, received);
    if (isNear && !memory.limitWarned) {
      memory.limitWarned = true;
      const { max, action } = limit;
      this.#options.log.warn({ peer: name, received, max, action }, 'the prefix limit of a peer is near or reached');
    }
    // Later, for the peer is still in the middle of receiving.
    if (end === undefined) return;
    this.#options.clock.nextTurn(() => this.peers.restart(name, end, limit.restartSeconds * 1_000));
  }
}
