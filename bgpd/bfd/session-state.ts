// The state of one BFD session, the events that change it and the effects they have (RFC 5880 section 6.8.1). Values only.
//
// `...AtMs` are readings of one monotonic clock; `...Us` are microseconds as they stand in packets.

import type { BfdPacket, BfdState } from '../../lib/wire/bfd.ts';

/** While a session is not Up its packets are at least this far apart (RFC 5880 section 6.8.3). */
export const SLOW_TX_US = 1_000_000;

export interface BfdConfig {
  /** Between our packets, once Up, unless the peer wants fewer: DesiredMinTxInterval. */
  readonly transmitUs: number;
  /** Between the peer's packets, unless it would like to send fewer: RequiredMinRxInterval. */
  readonly receiveUs: number;
  /** Intervals without a packet after which the peer shall take us for dead. */
  readonly multiplier: number;
  /** Ours, unique among the sessions of this node, not 0. */
  readonly discriminator: number;
}

export interface BfdSession {
  readonly config: BfdConfig;
  readonly state: BfdState;
  /** Why the state is what it is; sent with each packet. */
  readonly diagnostic: number;
  /** As the last packet said; `Down` before the first. */
  readonly remoteState: BfdState;
  /** 0 until a packet came, and again once a detection time went by in silence. */
  readonly remoteDiscriminator: number;
  /** 1 until a packet came (section 6.8.1). */
  readonly remoteMinRxUs: number;
  readonly remoteDesiredTxUs: number;
  readonly remoteMultiplier: number;
  readonly remoteDemand: boolean;
  /** The peer's BFD does not share the fate of its control plane. */
  readonly remoteIndependent: boolean;
  /** Its last packet knew nothing of us (Your Discriminator 0): it began anew. */
  readonly remoteIsNew: boolean;
  /** Our DesiredMinTxInterval as it is sent. */
  readonly desiredTxUs: number;
  /** The same two intervals as they are in force: where a peer must know first, only after its Final (section 6.8.3). */
  readonly usedTxUs: number;
  readonly usedRxUs: number;
  /** A Poll Sequence is under way (section 6.5). */
  readonly polling: boolean;
  /** The next periodic packet; `undefined` where none may be sent. */
  readonly transmitAtMs: number | undefined;
  readonly transmittedAtMs: number;
  /** When the silence has lasted too long; `undefined` while nothing is known of the peer. */
  readonly detectAtMs: number | undefined;
  /** Of the random numbers for jitter, so that a step is a function of its arguments. */
  readonly seed: number;
}

export type BfdEvent =
  /** A deadline has come. */
  | { readonly type: 'timer' }
  /** A packet that is for this session. */
  | { readonly type: 'packet'; readonly packet: BfdPacket }
  /** Other intervals and multiplier from now on. */
  | { readonly type: 'configure'; readonly timings: Omit<BfdConfig, 'discriminator'> }
  /** Section 6.8.16. */
  | { readonly type: 'disable' }
  | { readonly type: 'enable' };

export type BfdEffect =
  | { readonly type: 'send'; readonly packet: BfdPacket }
  | { readonly type: 'changed'; readonly from: BfdState; readonly to: BfdState };

export interface BfdStep {
  readonly session: BfdSession;
  readonly effects: readonly BfdEffect[];
}

/** A session that is about to send its first packet. Different seeds give different jitter. */
export function initialBfdSession(config: BfdConfig, seed: number, nowMs: number): BfdSession {
  const desiredTxUs = Math.max(SLOW_TX_US, config.transmitUs);
  return {
    config,
    state: 'Down',
    diagnostic: 0,
    remoteState: 'Down',
    remoteDiscriminator: 0,
    remoteMinRxUs: 1,
    remoteDesiredTxUs: 0,
    remoteMultiplier: 0,
    remoteDemand: false,
    remoteIndependent: false,
    remoteIsNew: false,
    desiredTxUs,
    usedTxUs: desiredTxUs,
    usedRxUs: config.receiveUs,
    polling: false,
    transmitAtMs: nowMs,
    transmittedAtMs: nowMs,
    detectAtMs: undefined,
    seed,
  };
}

/** When `timer` is due; `undefined` where nothing is waited for. */
export function nextBfdDeadlineMs({ transmitAtMs, detectAtMs }: BfdSession): number | undefined {
  if (transmitAtMs === undefined || detectAtMs === undefined) return transmitAtMs ?? detectAtMs;
  return Math.min(transmitAtMs, detectAtMs);
}

/** Between our packets before jitter (section 6.8.7), microseconds. */
export function transmitIntervalUs({ usedTxUs, remoteMinRxUs }: BfdSession): number {
  return Math.max(usedTxUs, remoteMinRxUs);
}

/** Silence after which the peer is dead (section 6.8.4), microseconds; 0 before its first packet. */
export function detectionTimeUs({ usedRxUs, remoteMultiplier, remoteDesiredTxUs }: BfdSession): number {
  return remoteMultiplier * Math.max(usedRxUs, remoteDesiredTxUs);
}
