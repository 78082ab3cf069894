// The state of one peer's session, the events that change it and the effects that they have (RFC 4271 section 8.1).
//
// Values only; session.ts has the transitions. All numbers named `...AtMs` are readings of one monotonic clock.

import type { Backoff } from '../../lib/run/backoff.ts';
import type { Ending } from './down-reason.ts';
import type { Message, Open } from './message.ts';
import type { Notification } from './notification.ts';
import type { ExpectedPeer } from './open-check.ts';

export type StateName = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

export interface SessionConfig {
  /** What we send. */
  readonly open: Open;
  readonly peer: ExpectedPeer;
  readonly times: SessionTimes;
  /** It waits to be dialled. */
  readonly isPassive?: boolean;
}

export interface SessionTimes {
  /** ConnectRetryTimer: grows from attempt to attempt, starts anew after a session that was stable. */
  readonly connectRetry: Backoff;
  /** A dial that takes longer has failed. */
  readonly dialMs: number;
  /** Between the connection and the peer's OPEN (RFC 4271 section 8.2.2 suggests 4 minutes; nodes of one overlay are nearer). */
  readonly openMs: number;
  /** A send that has not drained for this long ends the session (RFC 9687). */
  readonly sendHoldMs: number;
  /** Established for this long counts as stable. */
  readonly stableMs: number;
}

export const SESSION_TIMES: SessionTimes = {
  connectRetry: { firstMs: 100, capMs: 5_000 },
  dialMs: 3_000,
  openMs: 10_000,
  sendHoldMs: 20_000,
  stableMs: 10_000,
};

export type Direction = 'outgoing' | 'incoming';

export interface ConnectionState {
  readonly id: number;
  readonly direction: Direction;
  readonly phase: 'Connect' | 'OpenSent' | 'OpenConfirm' | 'Established';
  /** HoldTimer, or the limit on dialling and on waiting for OPEN; `undefined` where the hold time is 0. */
  readonly holdAtMs: number | undefined;
  readonly keepaliveAtMs: number | undefined;
  /** SendHoldTimer: set while a send waits for room. */
  readonly sendHoldAtMs: number | undefined;
  /** Negotiated; 0 for none. */
  readonly holdTimeSeconds: number;
  readonly peerOpen: Open | undefined;
}

export interface SessionState {
  readonly config: SessionConfig;
  readonly started: boolean;
  readonly connections: readonly ConnectionState[];
  /** ConnectRetryTimer; `undefined` while there is a connection. */
  readonly retryAtMs: number | undefined;
  /** Failed attempts in a row. */
  readonly attempts: number;
  readonly establishedAtMs: number | undefined;
  /** Of the random numbers for jitter, so that a step is a function of its arguments. */
  readonly seed: number;
  readonly lastConnection: number;
}

/** What happens to a session; RFC 4271 section 8.1 names in brackets. An incoming connection gets the id `lastConnection + 1`. */
export type SessionEvent =
  /** ManualStart [1]. */
  | { readonly type: 'start' }
  /** ManualStop [2]: the peers are told why. */
  | { readonly type: 'stop'; readonly notification: Notification }
  /** The peer is dead, by another than the session's own means: what is established ends, and is tried anew. */
  | { readonly type: 'lost'; readonly notification: Notification }
  /** The peer can probably be reached now: dial without waiting for the timer. */
  | { readonly type: 'hurry' }
  /** A deadline has come [9, 10, 11]. */
  | { readonly type: 'timer' }
  /** Tcp_CR_Acked [16]. */
  | { readonly type: 'connected'; readonly connection: number }
  /** TcpConnectionConfirmed [17]: an incoming connection whose OPEN, still to be delivered, names this peer. */
  | { readonly type: 'accepted'; readonly connection: number }
  /** TcpConnectionFails [18]. */
  | { readonly type: 'closed'; readonly connection: number; readonly reason: string }
  /** `flaw`: an UPDATE that was treated as withdraw, and why. */
  | {
      readonly type: 'message';
      readonly connection: number;
      readonly message: Message;
      readonly flaw?: string | undefined;
    }
  /** A message that is wrong beyond repair [21, 22, 28]. */
  | { readonly type: 'malformed'; readonly connection: number; readonly notification: Notification }
  /** A send waits for room; or there is room again. */
  | { readonly type: 'send-blocked' | 'send-drained'; readonly connection: number };

export type Effect =
  | { readonly type: 'dial'; readonly connection: number }
  | { readonly type: 'send'; readonly connection: number; readonly message: Message }
  /** After what was sent; nothing of this connection matters any more. */
  | { readonly type: 'close'; readonly connection: number }
  | { readonly type: 'up'; readonly connection: number; readonly peerOpen: Open; readonly holdTimeSeconds: number }
  /** The established session is over; its routes are gone. */
  | ({ readonly type: 'down' } & Ending)
  /** An attempt failed before it was established. */
  | ({ readonly type: 'failed' } & Ending)
  /** UPDATE, END-OF-RIB or ROUTE-REFRESH of the established session. */
  | { readonly type: 'deliver'; readonly message: Message; readonly flaw: string | undefined };

export interface Step {
  readonly state: SessionState;
  readonly effects: readonly Effect[];
}

/** A stopped session. Different seeds give different jitter. */
export function initialSession(config: SessionConfig, seed: number): SessionState {
  return {
    config,
    started: false,
    connections: [],
    retryAtMs: undefined,
    attempts: 0,
    establishedAtMs: undefined,
    seed,
    lastConnection: 0,
  };
}

/** When `timer` is due; `undefined` where nothing is waited for. */
export function nextDeadlineMs(state: SessionState): number | undefined {
  let earliest = state.retryAtMs;
  for (const { holdAtMs, keepaliveAtMs, sendHoldAtMs } of state.connections) {
    for (const at of [holdAtMs, keepaliveAtMs, sendHoldAtMs]) {
      if (at !== undefined && (earliest === undefined || at < earliest)) earliest = at;
    }
  }
  return earliest;
}

/** Standard name of the state (RFC 4271 section 8.2.2). */
export function stateName(state: SessionState): StateName {
  if (!state.started) return 'Idle';
  const phases = state.connections.map(({ phase }) => phase);
  for (const name of ['Established', 'OpenConfirm', 'OpenSent', 'Connect'] as const) {
    if (phases.includes(name)) return name;
  }
  return 'Active';
}
