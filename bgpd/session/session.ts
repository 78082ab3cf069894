// The BGP state machine of one peer (RFC 4271 section 8), pure: step(state, event, now) gives the next state and effects.
//
// One machine holds all connections to the peer (RFC 4271 section 6.8 allows two at a time: both sides dial), so that a
// collision is decided in one place. The peer's state name is that of its furthest connection:
//
//   Idle ──start──▶ Connect ◀──retry── Active          Idle: stopped.   Active: waiting to dial or to be dialled.
//                      │  dialled or accepted ▲
//                      ▼                      │ any error, end or expired timer
//                   OpenSent ──OPEN──▶ OpenConfirm ──KEEPALIVE──▶ Established
//
// Time is a number. The shell (peer.ts) performs effects in order and sends `timer` when `nextDeadlineMs` has come.

import { compareAddresses } from '../../lib/net/address.ts';
import { backoffDelayMs } from '../../lib/run/backoff.ts';
import type { RouterId } from '../rib/attributes.ts';
import type { Ending } from './down-reason.ts';
import type { Message, Open } from './message.ts';
import { type Notification, notification, notificationText } from './notification.ts';
import { checkOpen } from './open-check.ts';
import type { ConnectionState, Direction, Effect, SessionEvent, SessionState, Step } from './session-state.ts';

/** RFC 4271 section 10: KeepaliveTimer is 75 to 100 % of a third of the hold time. */
const KEEPALIVE_JITTER = 0.25;

/** RFC 6608: what to answer to a message that has no place in the phase. */
const UNEXPECTED = {
  Connect: 'unexpectedInOpenSent',
  OpenSent: 'unexpectedInOpenSent',
  OpenConfirm: 'unexpectedInOpenConfirm',
  Established: 'unexpectedInEstablished',
} as const;

type ConnectionEvent = Exclude<SessionEvent, { type: 'start' | 'stop' | 'lost' | 'hurry' | 'timer' | 'accepted' }>;

type Draft = { -readonly [K in keyof SessionState]: SessionState[K] } & { readonly effects: Effect[] };

/** The next state and what is to be done, in order. Never throws; an event about an unknown connection changes nothing. */
export function step(state: SessionState, event: SessionEvent, nowMs: number): Step {
  const draft: Draft = { ...state, effects: [] };
  apply(draft, event, nowMs);
  const { effects, ...next } = draft;
  return { state: next, effects };
}

function apply(draft: Draft, event: SessionEvent, nowMs: number): void {
  switch (event.type) {
    case 'start':
      if (!draft.started) Object.assign(draft, { started: true, retryAtMs: nowMs });
      dialIfDue(draft, nowMs);
      break;
    case 'stop':
      for (const connection of draft.connections) end(draft, connection, event.notification, nowMs);
      Object.assign(draft, { started: false, retryAtMs: undefined, attempts: 0 });
      break;
    case 'lost':
      for (const connection of draft.connections) {
        if (connection.phase === 'Established') end(draft, connection, event.notification, nowMs);
      }
      break;
    case 'hurry':
      if (draft.retryAtMs !== undefined) Object.assign(draft, { retryAtMs: nowMs, attempts: 0 });
      dialIfDue(draft, nowMs);
      break;
    case 'timer':
      for (const connection of draft.connections) expire(draft, connection, nowMs);
      dialIfDue(draft, nowMs);
      break;
    case 'accepted':
      accept(draft, event.connection, nowMs);
      break;
    case 'connected':
    case 'closed':
    case 'message':
    case 'malformed':
    case 'send-blocked':
    case 'send-drained': {
      const connection = draft.connections.find(({ id }) => id === event.connection);
      if (connection !== undefined) onConnection(draft, connection, event, nowMs);
    }
  }
}

function onConnection(draft: Draft, connection: ConnectionState, event: ConnectionEvent, nowMs: number): void {
  switch (event.type) {
    case 'connected':
      if (connection.phase === 'Connect') sendOpen(draft, connection, nowMs);
      break;
    case 'closed':
      lose(draft, connection, { reason: event.reason }, nowMs);
      break;
    case 'malformed':
      end(draft, connection, event.notification, nowMs);
      break;
    case 'send-blocked':
      if (connection.sendHoldAtMs !== undefined) break;
      update(draft, connection, { sendHoldAtMs: nowMs + draft.config.times.sendHoldMs });
      break;
    case 'send-drained':
      update(draft, connection, { sendHoldAtMs: undefined });
      break;
    case 'message':
      receive(draft, connection, event, nowMs);
      break;
  }
}

function receive(
  draft: Draft,
  connection: ConnectionState,
  { message, flaw }: Extract<SessionEvent, { type: 'message' }>,
  nowMs: number,
): void {
  const { phase } = connection;
  if (message.type === 'notification') {
    draft.effects.push({ type: 'close', connection: connection.id });
    const reason = `the peer sent ${notificationText(message.notification)}`;
    lose(draft, connection, { reason, notification: message.notification, by: 'peer' }, nowMs);
  } else if (phase === 'OpenSent' && message.type === 'open') {
    receiveOpen(draft, connection, message.open, nowMs);
  } else if (phase === 'OpenConfirm' && message.type === 'keepalive') {
    establish(draft, connection, nowMs);
  } else if (phase === 'Established' && message.type !== 'open') {
    restartHold(draft, connection, nowMs);
    if (message.type !== 'keepalive') draft.effects.push({ type: 'deliver', message, flaw });
  } else {
    end(draft, connection, notification(UNEXPECTED[phase], `${message.type} in ${phase}`), nowMs);
  }
}

function receiveOpen(draft: Draft, connection: ConnectionState, open: Open, nowMs: number): void {
  const { config } = draft;
  const problem = checkOpen(open, config.open, config.peer);
  const refusal =
    problem ??
    (winsCollisions(draft, connection, open.routerId, nowMs) ? undefined : notification('connectionCollision'));
  if (refusal !== undefined) {
    end(draft, connection, refusal, nowMs);
    return;
  }
  // RFC 4271 section 4.2: the smaller of the two; 0 from either side turns it off.
  const holdTimeSeconds = Math.min(config.open.holdTimeSeconds, open.holdTimeSeconds);
  const confirmed: ConnectionState = { ...connection, phase: 'OpenConfirm', peerOpen: open, holdTimeSeconds };
  update(draft, connection, confirmed);
  send(draft, connection, { type: 'keepalive' });
  restartHold(draft, confirmed, nowMs);
  restartKeepalive(draft, confirmed, nowMs);
}

/**
 * RFC 4271 section 6.8: of two connections that collide, the one that the higher router id dialled stays. Two deviations,
 * both because the peer is known by name: a dial that does not stand yet gives way at once; an established session gives
 * way once the new one is established too (see `establish`).
 */
function winsCollisions(draft: Draft, connection: ConnectionState, peerId: RouterId, nowMs: number): boolean {
  const others = draft.connections.filter(({ id, phase }) => id !== connection.id && phase !== 'Established');
  const ours = compareAddresses(draft.config.open.routerId, peerId) > 0 ? 'outgoing' : 'incoming';
  const loses = others.some(
    ({ phase, direction }) => phase !== 'Connect' && direction === ours && connection.direction !== ours,
  );
  if (loses) return false;
  for (const other of others) {
    if (other.phase === 'Connect') drop(draft, other);
    else end(draft, other, notification('connectionCollision'), nowMs);
  }
  return true;
}

function establish(draft: Draft, connection: ConnectionState, nowMs: number): void {
  const { peerOpen, holdTimeSeconds, id } = connection;
  if (peerOpen === undefined) return;
  update(draft, connection, { phase: 'Established' });
  restartHold(draft, connection, nowMs);
  // A peer that completes another connection has lost the established one (RFC 4724 section 4.2). Its OPEN alone does not
  // say so: it may have been on its way since before.
  for (const other of draft.connections.filter((each) => each.id !== id)) {
    end(draft, other, notification('connectionCollision', 'the peer completed another connection'), nowMs);
  }
  Object.assign(draft, { establishedAtMs: nowMs, retryAtMs: undefined });
  draft.effects.push({ type: 'up', connection: id, peerOpen, holdTimeSeconds });
}

function accept(draft: Draft, id: number, nowMs: number): void {
  if (!draft.started) {
    draft.effects.push({ type: 'close', connection: id });
    return;
  }
  // The peer gave up on an older attempt: it would not dial twice.
  const older = draft.connections.filter(({ direction, phase }) => direction === 'incoming' && phase !== 'Established');
  for (const connection of older) drop(draft, connection);
  const connection = newConnection(id, 'incoming', nowMs + draft.config.times.openMs);
  draft.connections = [...draft.connections, connection];
  Object.assign(draft, { lastConnection: Math.max(draft.lastConnection, id), retryAtMs: undefined });
  sendOpen(draft, connection, nowMs);
}

function sendOpen(draft: Draft, connection: ConnectionState, nowMs: number): void {
  send(draft, connection, { type: 'open', open: draft.config.open });
  update(draft, connection, { phase: 'OpenSent', holdAtMs: nowMs + draft.config.times.openMs });
}

function expire(draft: Draft, connection: ConnectionState, nowMs: number): void {
  const { phase, holdAtMs, keepaliveAtMs, sendHoldAtMs } = connection;
  if (sendHoldAtMs !== undefined && nowMs >= sendHoldAtMs) {
    end(draft, connection, notification('sendHoldTimerExpired', 'a message was not taken in time'), nowMs);
  } else if (holdAtMs !== undefined && nowMs >= holdAtMs && phase === 'Connect') {
    draft.effects.push({ type: 'close', connection: connection.id });
    lose(draft, connection, { reason: 'dialling took too long' }, nowMs);
  } else if (holdAtMs !== undefined && nowMs >= holdAtMs) {
    end(draft, connection, notification('holdTimerExpired'), nowMs);
  } else if (keepaliveAtMs !== undefined && nowMs >= keepaliveAtMs) {
    send(draft, connection, { type: 'keepalive' });
    restartKeepalive(draft, connection, nowMs);
  }
}

function dialIfDue(draft: Draft, nowMs: number): void {
  if (!draft.started || draft.retryAtMs === undefined || nowMs < draft.retryAtMs) return;
  if (draft.config.isPassive === true) {
    draft.retryAtMs = undefined;
    return;
  }
  const id = draft.lastConnection + 1;
  draft.connections = [...draft.connections, newConnection(id, 'outgoing', nowMs + draft.config.times.dialMs)];
  Object.assign(draft, { lastConnection: id, retryAtMs: undefined });
  draft.effects.push({ type: 'dial', connection: id });
}

/** Tells the peer why and gives the connection up. */
function end(draft: Draft, connection: ConnectionState, why: Notification, nowMs: number): void {
  if (connection.phase !== 'Connect') send(draft, connection, { type: 'notification', notification: why });
  draft.effects.push({ type: 'close', connection: connection.id });
  lose(draft, connection, { reason: notificationText(why), notification: why, by: 'us' }, nowMs);
}

/** Gives a connection up in silence: another one of the same peer takes its place. */
function drop(draft: Draft, connection: ConnectionState): void {
  draft.connections = draft.connections.filter(({ id }) => id !== connection.id);
  draft.effects.push({ type: 'close', connection: connection.id });
}

/** A connection is over: the session may be, and the next attempt is planned. */
function lose(draft: Draft, connection: ConnectionState, ending: Ending, nowMs: number): void {
  draft.connections = draft.connections.filter(({ id }) => id !== connection.id);
  if (connection.phase === 'Established') {
    draft.effects.push({ type: 'down', ...ending });
    const { establishedAtMs } = draft;
    if (establishedAtMs !== undefined && nowMs - establishedAtMs >= draft.config.times.stableMs) draft.attempts = 0;
    draft.establishedAtMs = undefined;
  } else {
    draft.effects.push({ type: 'failed', ...ending });
  }
  if (!draft.started || draft.connections.length > 0) return;
  draft.retryAtMs = nowMs + backoffDelayMs(draft.config.times.connectRetry, draft.attempts, random(draft));
  draft.attempts++;
}

function send(draft: Draft, connection: ConnectionState, message: Message): void {
  draft.effects.push({ type: 'send', connection: connection.id, message });
}

function restartHold(draft: Draft, connection: ConnectionState, nowMs: number): void {
  const { holdTimeSeconds } = connection;
  update(draft, connection, { holdAtMs: holdTimeSeconds === 0 ? undefined : nowMs + holdTimeSeconds * 1000 });
}

function restartKeepalive(draft: Draft, connection: ConnectionState, nowMs: number): void {
  const thirdMs = (connection.holdTimeSeconds * 1000) / 3;
  const delayMs = thirdMs * (1 - KEEPALIVE_JITTER * random(draft));
  update(draft, connection, { keepaliveAtMs: connection.holdTimeSeconds === 0 ? undefined : nowMs + delayMs });
}

function update(draft: Draft, { id }: ConnectionState, change: Partial<ConnectionState>): void {
  draft.connections = draft.connections.map((each) => (each.id === id ? { ...each, ...change } : each));
}

function newConnection(id: number, direction: Direction, holdAtMs: number): ConnectionState {
  const none = { keepaliveAtMs: undefined, sendHoldAtMs: undefined, holdTimeSeconds: 0, peerOpen: undefined };
  return { id, direction, phase: 'Connect', holdAtMs, ...none };
}

/** A number in [0, 1): a linear congruential generator (Numerical Recipes' constants), good enough to spread timers. */
function random(draft: Draft): number {
  draft.seed = (Math.imul(draft.seed, 1_664_525) + 1_013_904_223) >>> 0;
  return draft.seed / 2 ** 32;
}
