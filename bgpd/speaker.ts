// The speaker: peers on one side, the RIB and the served feed on the other, and what flows between them.
//
//   session up ─▶ Rib.peerUp      update ─▶ Rib.receive ─▶ feed events ─▶ FeedTable
//   session end ─▶ Rib.peerDown ─▶ feed events ─▶ FeedTable      Rib.nextUpdates ─▶ peers that have room
//
// Feed first, then peers: what the own kernel does must not wait for what others are told.

import type { Cause } from '../lib/feed/feed.ts';
import type { Family } from '../lib/net/address.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import type { Causes } from './causes.ts';
import type { NodeRecord } from './mesh/node-record.ts';
import type { BgpdMetrics } from './metrics.ts';
import { PeerSet } from './peer-set.ts';
import type { Rib } from './rib/rib.ts';
import type { RibFeed } from './rib-feed.ts';
import type { Dialler } from './session/connection.ts';
import type { Message, Open } from './session/message.ts';
import type { PeerOwner } from './session/peer.ts';

/** Prefixes in one UPDATE: at most 70 kB, packed in a few milliseconds. */
export const UPDATE_PREFIXES_MAX = 4_096;

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
}

/** What is remembered of a peer across its sessions. */
interface PeerMemory {
  everEstablished: boolean;
  /** END-OF-RIB came for every negotiated family, in some session. */
  everSynced: boolean;
  /** Families whose END-OF-RIB the present session still owes. */
  owed: ReadonlySet<Family>;
  /** The session's start, to which routes of its initial update are due. */
  upCause: Cause | undefined;
  flaws: number;
  lastFlaw: string | undefined;
}

export class Speaker {
  readonly #options: SpeakerOptions;
  readonly #memory = new Map<string, PeerMemory>();
  readonly peers: PeerSet;
  #wakeScheduled = false;

  constructor(options: SpeakerOptions) {
    const { open, dialler, clock, log } = options;
    this.#options = options;
    this.peers = new PeerSet({
      open,
      dialler,
      clock,
      log,
      owner: (record) => this.#ownerOf(record),
      removed: (name) => {
        this.#memory.delete(name);
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

  /** UPDATEs of a peer that were treated as withdraw, and why the last one was. */
  flaws(name: string): { readonly count: number; readonly last: string | undefined } {
    const memory = this.#memory.get(name);
    return { count: memory?.flaws ?? 0, last: memory?.lastFlaw };
  }

  /** Gives every peer what is due to it, once per turn of the event loop. */
  wakePeers(): void {
    if (this.#wakeScheduled) return;
    this.#wakeScheduled = true;
    setImmediate(() => {
      this.#wakeScheduled = false;
      this.peers.wake((name) => this.#options.rib.hasUpdates(name));
    });
  }

  #ownerOf(record: NodeRecord): PeerOwner {
    const { rib, metrics, log } = this.#options;
    const { name } = record;
    const memory: PeerMemory = {
      everEstablished: false,
      everSynced: false,
      owed: new Set(),
      upCause: undefined,
      flaws: 0,
      lastFlaw: undefined,
    };
    this.#memory.set(name, memory);
    return {
      up: (open) => this.#up(record, memory, open),
      down: (reason) => this.#down(name, memory, reason),
      received: (message, flaw) => this.#received(name, memory, message, flaw),
      pull: () => pull(rib, name),
      sent: (type) => metrics.message('sent', type),
      failed: (reason) => log.debug({ peer: name, reason }, 'attempt failed'),
      stateChanged: () => metrics.sessionChanged(),
    };
  }

  #up(record: NodeRecord, memory: PeerMemory, open: Open): void {
    const { rib, causes, log } = this.#options;
    const { name, address, asn } = record;
    const { capabilities } = this.#options.open;
    const families = capabilities.families.filter((family) => open.capabilities.families.includes(family));
    memory.everEstablished = true;
    memory.owed = new Set(families);
    memory.upCause = causes.make('peer-up');
    const kind = asn === this.#options.open.asn ? 'ibgp' : 'ebgp';
    rib.peerUp({ name, kind, asn, routerId: open.routerId, address, families });
    log.info({ peer: name, address, asn }, 'session established');
    this.#options.onSessions();
  }

  #down(name: string, memory: PeerMemory, reason: string): void {
    const { rib, ribFeed, causes, log, metrics } = this.#options;
    const cause = causes.make('peer-down');
    ribFeed.publish(rib.peerDown(name, cause), cause);
    memory.owed = new Set();
    metrics.sessionEnded();
    log.warn({ peer: name, reason, cause: cause.id }, 'session ended');
    this.wakePeers();
    this.#options.onSessions();
    // Later, for the peer is still in the middle of ending.
    setImmediate(() => this.peers.settle(name));
  }

  #received(name: string, memory: PeerMemory, message: Message, flaw: string | undefined): void {
    const { rib, ribFeed, causes, metrics } = this.#options;
    metrics.message('received', message.type);
    if (flaw !== undefined) this.#flawed(name, memory, flaw);
    switch (message.type) {
      case 'update': {
        const { family } = message.update;
        const initial = memory.owed.has(family) ? memory.upCause : undefined;
        const cause = message.update.cause ?? initial ?? causes.make('update-received');
        const { events, refused } = rib.receive(name, message.update, cause);
        ribFeed.publish(events, cause);
        if (refused !== undefined) this.#flawed(name, memory, refused);
        this.wakePeers();
        break;
      }
      case 'end-of-rib':
        memory.owed = new Set([...memory.owed].filter((family) => family !== message.family));
        if (memory.owed.size > 0 || memory.everSynced) break;
        memory.everSynced = true;
        this.#options.onSessions();
        break;
      case 'route-refresh':
        rib.refresh(name, message.family);
        this.wakePeers();
        break;
      case 'open':
      case 'keepalive':
      case 'notification':
        break;
    }
  }

  #flawed(name: string, memory: PeerMemory, flaw: string): void {
    const { log, metrics } = this.#options;
    metrics.flawed();
    memory.flaws++;
    if (memory.lastFlaw !== flaw) log.warn({ peer: name, flaw }, 'an update was treated as withdraw');
    memory.lastFlaw = flaw;
  }
}

function pull(rib: Rib, name: string): readonly Message[] | undefined {
  const next = rib.nextUpdates(name, UPDATE_PREFIXES_MAX);
  if (next === undefined) return undefined;
  const updates = next.updates.map((update) => ({ type: 'update', update }) as const);
  return [...updates, ...next.endOfRib.map((family) => ({ type: 'end-of-rib', family }) as const)];
}
