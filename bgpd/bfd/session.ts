// The BFD state machine of one session (RFC 5880 section 6.8), pure: step(session, event, now) gives the next and effects.
//
//          ┌───────── Init or Up came ─────────┐
//   Down ──Down came──▶ Init ──Init, Up came──▶ Up          AdminDown: switched off here; packets are not looked at.
//    ▲ ◀──── silence ────┘                      │
//    └──── silence, Down came, AdminDown came ──┘
//
// Asynchronous mode, active role, no echo, no authentication, no demand mode of our own. A change of our intervals while Up
// is polled for; one that would leave the peer waiting, or us, is in force only when the peer has answered (section 6.8.3).

import { BFD_DIAGNOSTIC, type BfdPacket, type BfdState } from '../../lib/wire/bfd.ts';
import {
  type BfdConfig,
  type BfdEffect,
  type BfdEvent,
  type BfdSession,
  type BfdStep,
  detectionTimeUs,
  SLOW_TX_US,
  transmitIntervalUs,
} from './session-state.ts';

/** Section 6.8.7: 75 to 100 % of the interval, and at most 90 % where one lost packet is one too many. */
const JITTER = { share: 0.25, shareOfOne: 0.15, leastOfOne: 0.1 } as const;

type Draft = { -readonly [K in keyof BfdSession]: BfdSession[K] } & { readonly effects: BfdEffect[] };

/** The next session and what is to be done, in order. Never throws. */
export function stepBfd(session: BfdSession, event: BfdEvent, nowMs: number): BfdStep {
  const draft: Draft = { ...session, effects: [] };
  switch (event.type) {
    case 'packet':
      receive(draft, event.packet, nowMs);
      break;
    case 'timer':
      if (draft.detectAtMs !== undefined && nowMs >= draft.detectAtMs) fallSilent(draft, nowMs);
      if (draft.transmitAtMs !== undefined && nowMs >= draft.transmitAtMs) transmit(draft, false, nowMs);
      break;
    case 'configure':
      configure(draft, event.timings, nowMs);
      break;
    case 'disable':
      move(draft, 'AdminDown', BFD_DIAGNOSTIC.administrativelyDown, nowMs);
      break;
    case 'enable':
      if (draft.state === 'AdminDown') move(draft, 'Down', BFD_DIAGNOSTIC.none, nowMs);
      break;
  }
  const { effects, ...next } = draft;
  return { session: next, effects };
}

/** Section 6.8.6, from where the session was found. */
function receive(draft: Draft, packet: BfdPacket, nowMs: number): void {
  const intervalUs = transmitIntervalUs(draft);
  draft.remoteDiscriminator = packet.myDiscriminator;
  draft.remoteState = packet.state;
  draft.remoteMinRxUs = packet.requiredMinRxUs;
  draft.remoteDesiredTxUs = packet.desiredMinTxUs;
  draft.remoteMultiplier = packet.multiplier;
  draft.remoteDemand = packet.demand;
  draft.remoteIndependent = packet.independent;
  draft.remoteIsNew = packet.yourDiscriminator === 0;
  if (packet.final && draft.polling) endPoll(draft);
  draft.detectAtMs = nowMs + detectionTimeUs(draft) / 1000;
  if (draft.state === 'AdminDown') return;
  const next = nextState(draft.state, packet.state);
  if (next !== draft.state) {
    const isDown = next === 'Down';
    move(draft, next, isDown ? BFD_DIAGNOSTIC.neighborSignaledDown : BFD_DIAGNOSTIC.none, nowMs);
  }
  // The Final bit answers a Poll at once, whatever the timer says (section 6.5).
  if (packet.poll) transmit(draft, true, nowMs);
  if (transmitIntervalUs(draft) !== intervalUs || mayTransmit(draft) !== (draft.transmitAtMs !== undefined)) {
    schedule(draft, nowMs);
  }
}

function configure(draft: Draft, timings: Omit<BfdConfig, 'discriminator'>, nowMs: number): void {
  const { config } = draft;
  if (
    timings.transmitUs === config.transmitUs &&
    timings.receiveUs === config.receiveUs &&
    timings.multiplier === config.multiplier
  )
    return;
  draft.config = { ...config, ...timings };
  const isUp = draft.state === 'Up';
  draft.desiredTxUs = desiredTxUs(draft, draft.state);
  draft.usedTxUs = isUp ? Math.min(draft.usedTxUs, draft.desiredTxUs) : draft.desiredTxUs;
  draft.usedRxUs = isUp ? Math.max(draft.usedRxUs, timings.receiveUs) : timings.receiveUs;
  // The peer may take its time from now on.
  if (draft.detectAtMs !== undefined)
    draft.detectAtMs = Math.max(draft.detectAtMs, nowMs + detectionTimeUs(draft) / 1000);
  draft.polling = isUp;
  if (isUp) transmit(draft, false, nowMs);
  else schedule(draft, nowMs);
}

/** What was made known is in force. */
function endPoll(draft: Draft): void {
  draft.polling = false;
  draft.usedTxUs = draft.desiredTxUs;
  draft.usedRxUs = draft.config.receiveUs;
}

/** Section 6.8.3: slow while not Up. */
function desiredTxUs({ config }: Draft, state: BfdState): number {
  return state === 'Up' ? config.transmitUs : Math.max(SLOW_TX_US, config.transmitUs);
}

/** The state machine of section 6.2. */
function nextState(state: BfdState, received: BfdState): BfdState {
  if (received === 'AdminDown') return 'Down';
  switch (state) {
    case 'Down':
      return received === 'Down' ? 'Init' : received === 'Init' ? 'Up' : 'Down';
    case 'Init':
      return received === 'Down' ? 'Init' : 'Up';
    case 'Up':
      return received === 'Down' ? 'Down' : 'Up';
    case 'AdminDown':
      return 'AdminDown';
  }
}

/** A detection time without a packet (section 6.8.4): what the peer said before is void (section 6.8.1). */
function fallSilent(draft: Draft, nowMs: number): void {
  Object.assign(draft, {
    detectAtMs: undefined,
    remoteDiscriminator: 0,
    remoteState: 'Down',
    remoteMinRxUs: 1,
    remoteDemand: false,
    remoteIsNew: false,
  });
  if (draft.state === 'Up' || draft.state === 'Init') {
    move(draft, 'Down', BFD_DIAGNOSTIC.detectionTimeExpired, nowMs);
  } else if (draft.transmitAtMs === undefined) {
    schedule(draft, nowMs);
  }
}

function move(draft: Draft, to: BfdState, diagnostic: number, nowMs: number): void {
  const from = draft.state;
  if (from === to) return;
  const intervalUs = desiredTxUs(draft, to);
  // Section 6.8.3: a change of our intervals is made known by a Poll Sequence, which only makes sense while Up.
  const polling = to === 'Up' && intervalUs !== draft.desiredTxUs;
  draft.state = to;
  draft.diagnostic = diagnostic;
  draft.desiredTxUs = intervalUs;
  // Faster once Up, slower where it is not Up: in force at once.
  endPoll(draft);
  draft.polling = polling;
  draft.effects.push({ type: 'changed', from, to });
  // Section 6.8.7: a packet that says something new need not wait for its time.
  transmit(draft, false, nowMs);
}

function transmit(draft: Draft, final: boolean, nowMs: number): void {
  const { state, diagnostic, config, remoteDiscriminator, desiredTxUs } = draft;
  const packet: BfdPacket = {
    state,
    diagnostic,
    // Section 6.5: never both.
    poll: draft.polling && !final,
    final,
    independent: false,
    demand: false,
    multiplier: config.multiplier,
    myDiscriminator: config.discriminator,
    yourDiscriminator: remoteDiscriminator,
    desiredMinTxUs: desiredTxUs,
    requiredMinRxUs: config.receiveUs,
  };
  draft.effects.push({ type: 'send', packet });
  draft.transmittedAtMs = nowMs;
  schedule(draft, nowMs);
}

/** Plans the next periodic packet: so long after the last one, with jitter. */
function schedule(draft: Draft, nowMs: number): void {
  if (!mayTransmit(draft)) {
    draft.transmitAtMs = undefined;
    return;
  }
  const intervalMs = transmitIntervalUs(draft) / 1000;
  const least = draft.config.multiplier === 1 ? JITTER.leastOfOne : 0;
  const share = draft.config.multiplier === 1 ? JITTER.shareOfOne : JITTER.share;
  const jittered = intervalMs * (1 - least - share * random(draft));
  draft.transmitAtMs = Math.max(nowMs, draft.transmittedAtMs + jittered);
}

/** Section 6.8.7: not where the peer wants no packets, nor in its demand mode while both are Up and nothing is polled. */
function mayTransmit({ remoteMinRxUs, remoteDemand, remoteState, state, polling }: Draft): boolean {
  return remoteMinRxUs !== 0 && !(remoteDemand && state === 'Up' && remoteState === 'Up' && !polling);
}

/** A number in [0, 1): a linear congruential generator (Numerical Recipes' constants), good enough to spread timers. */
function random(draft: Draft): number {
  draft.seed = (Math.imul(draft.seed, 1_664_525) + 1_013_904_223) >>> 0;
  return draft.seed / 2 ** 32;
}
