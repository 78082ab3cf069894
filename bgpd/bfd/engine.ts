// All BFD sessions of this node: which packet is whose, and when each session's timer is due. Sockets are its caller's.
//
// A timer that finds a detection time over waits until what has arrived meanwhile is read: on a busy machine packets and
// timers become due together, and the event loop fires timers first. Silence is only what the socket confirms.

import type { Address } from '../../lib/net/address.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { BFD_DIAGNOSTIC, BFD_LENGTH, type BfdPacket, type BfdState, decodeBfd, writeBfd } from '../../lib/wire/bfd.ts';
import type { BfdCounts, BfdHops, BfdReport } from './messages.ts';
import { stepBfd } from './session.ts';
import {
  type BfdConfig,
  type BfdEvent,
  type BfdSession,
  detectionTimeUs,
  initialBfdSession,
  nextBfdDeadlineMs,
  transmitIntervalUs,
} from './session-state.ts';
import type { BfdTimings } from './settings.ts';

/** Turns of the event loop for which a verdict of silence may be put off while packets keep coming. */
const EXTRA_TURNS_MAX = 64;

export interface EngineOptions {
  /** Of sessions without timings of their own, in both directions. */
  readonly intervalMs: number;
  readonly multiplier: number;
  readonly clock: Clock;
  /** Sends one packet; `bytes` are only valid during the call. */
  readonly send: (peer: Address, hops: BfdHops, bytes: Uint8Array) => void;
  readonly changed: (from: BfdState, report: BfdReport) => void;
  /** A session began, or what was negotiated for it is something else. */
  readonly negotiated: (report: BfdReport) => void;
  /** Calls back once the sockets have been read. */
  readonly afterReading: (callback: () => void) => void;
  /** In [0, 1): for discriminators and seeds. */
  readonly random: () => number;
}

interface Member {
  readonly peer: Address;
  readonly hops: BfdHops;
  session: BfdSession;
  timer: { readonly atMs: number; readonly cancel: () => void } | undefined;
  /** The verdict of silence waits for the sockets. */
  waiting: boolean;
}

export class BfdEngine {
  readonly #options: EngineOptions;
  readonly #byPeer = new Map<Address, Member>();
  readonly #byDiscriminator = new Map<number, Member>();
  #timings: ReadonlyMap<Address, BfdTimings> = new Map();
  readonly #buffer = new Uint8Array(BFD_LENGTH);
  #sent = 0;
  #received = 0;
  #discarded = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  get counts(): Omit<BfdCounts, 'sendErrors' | 'refused'> {
    return { sent: this.#sent, received: this.#received, discarded: this.#discarded };
  }

  /** Whether the session with this peer is Up. */
  isUp(peer: Address): boolean {
    return this.#byPeer.get(peer)?.session.state === 'Up';
  }

  /**
   * Sessions with exactly these peers: new ones begin, others are told that they are switched off, and end. A session that
   * is Up stays of the kind that it is: its packets arrive.
   */
  setPeers(wanted: ReadonlyMap<Address, BfdHops>): void {
    for (const [peer, member] of this.#byPeer) {
      const hops = wanted.get(peer);
      if (hops === undefined || (hops !== member.hops && member.session.state !== 'Up')) this.#remove(member);
    }
    for (const [peer, hops] of wanted) if (!this.#byPeer.has(peer)) this.#add(peer, hops);
  }

  /** Sessions with these peers, present and to come, have timings of their own; all others those of the options. */
  setTimings(timings: ReadonlyMap<Address, BfdTimings>): void {
    this.#timings = timings;
    for (const member of this.#byPeer.values()) {
      this.#step(member, { type: 'configure', timings: this.#timingsOf(member.peer) });
    }
  }

  /** A datagram that came from `peer` to the port of this kind, with a TTL that will do. */
  receive(peer: Address, hops: BfdHops, bytes: Uint8Array): void {
    this.#received++;
    const packet = decodeBfd(bytes);
    const member = typeof packet === 'string' ? undefined : this.#memberOf(peer, packet);
    if (typeof packet === 'string' || member?.hops !== hops) {
      this.#discarded++;
      return;
    }
    this.#step(member, { type: 'packet', packet });
  }

  /** RFC 5880 section 6.8.6: by Your Discriminator, and only without one by the address (RFC 5881 section 3, RFC 5883 section 4). */
  #memberOf(peer: Address, { yourDiscriminator }: BfdPacket): Member | undefined {
    if (yourDiscriminator === 0) return this.#byPeer.get(peer);
    const member = this.#byDiscriminator.get(yourDiscriminator);
    return member?.peer === peer ? member : undefined;
  }

  #add(peer: Address, hops: BfdHops): void {
    const { clock, random } = this.#options;
    let discriminator = 0;
    while (discriminator === 0 || this.#byDiscriminator.has(discriminator)) {
      discriminator = Math.floor(random() * 2 ** 32);
    }
    const config = { ...this.#timingsOf(peer), discriminator };
    const session = initialBfdSession(config, Math.floor(random() * 2 ** 32), clock.monotonicMs());
    const member: Member = { peer, hops, session, timer: undefined, waiting: false };
    this.#byPeer.set(peer, member);
    this.#byDiscriminator.set(discriminator, member);
    this.#options.negotiated(reportOf(member));
    this.#step(member, { type: 'timer' });
  }

  #timingsOf(peer: Address): Omit<BfdConfig, 'discriminator'> {
    const { intervalMs, multiplier: usual } = this.#options;
    const { transmitMs, receiveMs, multiplier } = this.#timings.get(peer) ?? {
      transmitMs: intervalMs,
      receiveMs: intervalMs,
      multiplier: usual,
    };
    return { transmitUs: transmitMs * 1000, receiveUs: receiveMs * 1000, multiplier };
  }

  #remove(member: Member): void {
    this.#byPeer.delete(member.peer);
    this.#byDiscriminator.delete(member.session.config.discriminator);
    this.#step(member, { type: 'disable' });
    member.timer?.cancel();
    member.timer = undefined;
  }

  #step(member: Member, event: BfdEvent): void {
    const before = member.session;
    const { session, effects } = stepBfd(before, event, this.#options.clock.monotonicMs());
    member.session = session;
    for (const effect of effects) {
      if (effect.type === 'changed') this.#options.changed(effect.from, reportOf(member));
      else this.#send(member, effect.packet);
    }
    const sameIntervals =
      transmitIntervalUs(before) === transmitIntervalUs(session) &&
      detectionTimeUs(before) === detectionTimeUs(session);
    const sameRemote = before.remoteState === session.remoteState;
    if (!(sameIntervals && sameRemote)) this.#options.negotiated(reportOf(member));
    this.#arm(member);
  }

  #send({ peer, hops }: Member, packet: BfdPacket): void {
    this.#sent++;
    writeBfd(packet, this.#buffer);
    this.#options.send(peer, hops, this.#buffer);
  }

  /** A timer that is set too early stays: it finds nothing due and is set anew. */
  #arm(member: Member): void {
    const { clock } = this.#options;
    const atMs = nextBfdDeadlineMs(member.session);
    if (atMs === undefined || this.#byPeer.get(member.peer) !== member) return;
    if (member.timer !== undefined && member.timer.atMs <= atMs) return;
    member.timer?.cancel();
    const cancel = clock.after(Math.max(0, atMs - clock.monotonicMs()), () => {
      member.timer = undefined;
      this.#due(member);
    });
    member.timer = { atMs, cancel };
  }

  #due(member: Member): void {
    const { detectAtMs } = member.session;
    if (detectAtMs === undefined || this.#options.clock.monotonicMs() < detectAtMs) {
      this.#step(member, { type: 'timer' });
    } else if (!member.waiting) {
      member.waiting = true;
      this.#judge(member, EXTRA_TURNS_MAX);
    }
  }

  /** Looks again once the sockets were read, and again while they give packets. */
  #judge(member: Member, turns: number): void {
    const received = this.#received;
    this.#options.afterReading(() => {
      if (this.#received !== received && turns > 0) {
        this.#judge(member, turns - 1);
        return;
      }
      member.waiting = false;
      if (this.#byPeer.get(member.peer) === member) this.#step(member, { type: 'timer' });
    });
  }
}

function reportOf({ peer, hops, session }: Member): BfdReport {
  const { state, remoteState, diagnostic, remoteIndependent, remoteIsNew } = session;
  return {
    peer,
    hops,
    state,
    remoteState,
    diagnostic: state === 'Up' ? BFD_DIAGNOSTIC.none : diagnostic,
    remoteIndependent,
    remoteIsNew,
    transmitIntervalMs: transmitIntervalUs(session) / 1000,
    detectionTimeMs: detectionTimeUs(session) / 1000,
  };
}
