// One peer: performs the effects of its state machine (session.ts) with connections and timers, and sends what is due.
//
// Routes are pulled, never pushed: while the connection has room the peer asks its owner for the next messages, one batch
// a turn of the event loop, so that a big table delays nobody's keepalives and a slow reader costs no memory.
//
// A timer that fires late (the process was stopped, the machine was busy) waits one more turn: what arrived meanwhile is
// still unread, and a keepalive among it counts.

import type { Clock } from '../../lib/run/clock.ts';
import type { Connection, ConnectionListener, Dialler, Endpoint } from './connection.ts';
import { type DownReason, downReason, type Ending } from './down-reason.ts';
import type { Decoded } from './exchange-codec.ts';
import type { Message, Open } from './message.ts';
import type { Notification } from './notification.ts';
import { step } from './session.ts';
import {
  type Effect,
  initialSession,
  nextDeadlineMs,
  type SessionConfig,
  type SessionEvent,
  type SessionState,
  type StateName,
  stateName,
} from './session-state.ts';

/** A timer later than this gets its extra turn. */
const LATE_MS = 100;

/** The least that a timer of Node.js waits; the event loop reads its sockets in between. */
const EXTRA_TURN_MS = 1;

/** What a peer asks of its owner; all are called synchronously and must not throw. */
export interface PeerOwner {
  /** The session is established. */
  up(open: Open): void;
  /** It is over. `why`: the NOTIFICATION that ended it, whoever sent it; without one the connection broke. */
  down(reason: string, why: Notification | undefined): void;
  /** A message of the established session; `flaw` says why an UPDATE was treated as withdraw. */
  received(message: Message, flaw: string | undefined): void;
  /** The next messages to send, and whether there are more already; `undefined` where the peer has everything. */
  pull(): { readonly messages: readonly Message[]; readonly more: boolean } | undefined;
  /** Messages of one type were sent. */
  sent(type: Message['type'], count: number): void;
  failed(reason: string): void;
  /** The state may have another name now. */
  stateChanged(): void;
}

export interface PeerOptions {
  readonly config: SessionConfig;
  readonly endpoint: Endpoint;
  readonly dialler: Dialler;
  readonly clock: Clock;
  readonly owner: PeerOwner;
  /** For jitter. */
  readonly seed: number;
}

/** For `/status`. */
export interface PeerStatus {
  readonly state: StateName;
  /** When it got into this state, microseconds since the Unix epoch. */
  readonly sinceUnixUs: bigint;
  /** Why the last session ended; before the first, why the last attempt failed. Absent while one is established. */
  readonly whyDown?: string;
  /** Why the last attempt failed; absent while a session is established. */
  readonly lastFailure?: string;
  /** The same two in the vocabulary of down-reason.ts; absent where the texts are. */
  readonly down?: DownReason;
  readonly lastAttempt?: DownReason;
  /** Since when there is no session, microseconds since the Unix epoch; absent while one is established. */
  readonly downSinceUnixUs?: bigint;
  /** Sessions that were established. */
  readonly sessions: number;
  /** Negotiated, while established. */
  readonly holdTimeSeconds?: number;
  /** When the last session was established and when it ended, microseconds since the Unix epoch; absent: never. */
  readonly lastUpUnixUs?: bigint;
  readonly lastDownUnixUs?: bigint;
  readonly messages: { readonly sent: MessageCounts; readonly received: MessageCounts };
}

/** Messages since the peer is known, by type; END-OF-RIB apart from the UPDATE that it is in BGP. */
export type MessageCounts = Partial<Record<Message['type'], number>>;

export class Peer {
  readonly #options: PeerOptions;
  #state: SessionState;
  readonly #connections = new Map<number, Connection>();
  readonly #events: SessionEvent[] = [];
  #dispatching = false;
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;
  #pumpScheduled = false;
  #blocked = false;
  #name: StateName = 'Idle';
  #sinceUnixUs: bigint;
  readonly #madeUnixUs: bigint;
  #whyDown: Ending | undefined;
  #lastFailure: Ending | undefined;
  #sessions = 0;
  #lastUpUnixUs: bigint | undefined;
  #lastDownUnixUs: bigint | undefined;
  readonly #sent: MessageCounts = {};
  readonly #received: MessageCounts = {};

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#state = initialSession(options.config, options.seed);
    this.#sinceUnixUs = options.clock.unixMicros();
    this.#madeUnixUs = this.#sinceUnixUs;
  }

  get established(): boolean {
    return this.#name === 'Established';
  }

  /** What the peer said in the OPEN of the established session. */
  get open(): Open | undefined {
    return this.#established()?.peerOpen;
  }

  status(): PeerStatus {
    const connection = this.#established();
    const whyDown = this.#whyDown ?? this.#lastFailure;
    return {
      state: this.#name,
      sinceUnixUs: this.#sinceUnixUs,
      sessions: this.#sessions,
      messages: { sent: { ...this.#sent }, received: { ...this.#received } },
      ...(this.#lastUpUnixUs !== undefined && { lastUpUnixUs: this.#lastUpUnixUs }),
      ...(this.#lastDownUnixUs !== undefined && { lastDownUnixUs: this.#lastDownUnixUs }),
      ...(whyDown !== undefined && { whyDown: whyDown.reason, down: downReason(whyDown) }),
      ...(this.#lastFailure !== undefined && {
        lastFailure: this.#lastFailure.reason,
        lastAttempt: downReason(this.#lastFailure),
      }),
      ...(!this.established && { downSinceUnixUs: this.#lastDownUnixUs ?? this.#madeUnixUs }),
      ...(connection !== undefined && { holdTimeSeconds: connection.holdTimeSeconds }),
    };
  }

  start(): void {
    this.#dispatch({ type: 'start' });
  }

  /** Ends the session; the peer is told `why`. */
  stop(why: Notification): void {
    this.#dispatch({ type: 'stop', notification: why });
  }

  /** The peer is known to be dead: ends the established session, telling it `why`, and dials again. */
  lost(why: Notification): void {
    this.#dispatch({ type: 'lost', notification: why });
  }

  /** The process of the peer ended at that time: a session from before then is broken, whatever it looks like. */
  broken(reason: string, detectedUnixUs: bigint): void {
    const established = this.#established();
    if (established === undefined || (this.#lastUpUnixUs ?? 0n) > detectedUnixUs) return;
    this.#connections.get(established.id)?.close();
    this.#connections.delete(established.id);
    this.#dispatch({ type: 'closed', connection: established.id, reason });
  }

  /** Dials now if it is waiting to. */
  hurry(): void {
    this.#dispatch({ type: 'hurry' });
  }

  /** What to say from the next OPEN on. */
  setOpen(open: Open): void {
    this.#state = { ...this.#state, config: { ...this.#state.config, open } };
  }

  /** Ends what stands, tells the peer `why` and dials again by and by. */
  reset(why: Notification): void {
    for (const { id } of this.#state.connections) {
      this.#dispatch({ type: 'malformed', connection: id, notification: why });
    }
  }

  /** Takes an incoming connection whose OPEN names this peer. */
  accept(open: Open, connection: Connection): ConnectionListener {
    const id = this.#state.lastConnection + 1;
    this.#connections.set(id, connection);
    countMessage(this.#received, 'open');
    this.#dispatch({ type: 'accepted', connection: id });
    this.#dispatch({ type: 'message', connection: id, message: { type: 'open', open } });
    return this.#listener(id);
  }

  /** There may be something to send. */
  wake(): void {
    if (this.#pumpScheduled || this.#blocked || !this.established) return;
    this.#pumpScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    const connection = this.#established();
    if (connection === undefined || this.#blocked) return;
    const next = this.#options.owner.pull();
    if (next === undefined) return;
    if (next.messages.length > 0) this.#send(connection.id, ...next.messages);
    if (next.more) this.wake();
  }

  #listener(id: number): ConnectionListener {
    return {
      connected: () => this.#dispatch({ type: 'connected', connection: id }),
      message: (decoded) => this.#take(id, decoded),
      drained: () => this.#drained(id),
      closed: (reason) => {
        this.#connections.delete(id);
        this.#dispatch({ type: 'closed', connection: id, reason });
      },
    };
  }

  #take(id: number, decoded: Decoded): void {
    if ('reset' in decoded) {
      this.#dispatch({ type: 'malformed', connection: id, notification: decoded.reset });
      return;
    }
    countMessage(this.#received, decoded.message.type);
    this.#dispatch({ type: 'message', connection: id, message: decoded.message, flaw: decoded.flaw });
  }

  #drained(id: number): void {
    if (this.#established()?.id === id) this.#blocked = false;
    this.#dispatch({ type: 'send-drained', connection: id });
    this.wake();
  }

  /** Events that come up while effects are performed wait their turn. */
  #dispatch(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#dispatching) return;
    this.#dispatching = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      const { state, effects } = step(this.#state, next, this.#options.clock.monotonicMs());
      this.#state = state;
      this.#rename();
      for (const effect of effects) this.#perform(effect);
    }
    this.#dispatching = false;
    this.#arm();
  }

  #perform(effect: Effect): void {
    const { owner, dialler, endpoint } = this.#options;
    switch (effect.type) {
      case 'dial':
        this.#connections.set(effect.connection, dialler.dial(endpoint, this.#listener(effect.connection)));
        break;
      case 'send':
        this.#send(effect.connection, effect.message);
        break;
      case 'close':
        this.#connections.get(effect.connection)?.close();
        this.#connections.delete(effect.connection);
        break;
      case 'up':
        this.#sessions++;
        this.#lastUpUnixUs = this.#options.clock.unixMicros();
        this.#whyDown = undefined;
        this.#lastFailure = undefined;
        this.#blocked = false;
        owner.up(effect.peerOpen);
        this.wake();
        break;
      case 'down':
        this.#whyDown = effect;
        this.#lastDownUnixUs = this.#options.clock.unixMicros();
        owner.down(effect.reason, effect.notification);
        break;
      case 'failed':
        this.#lastFailure = effect;
        owner.failed(effect.reason);
        break;
      case 'deliver':
        owner.received(effect.message, effect.flaw);
        break;
    }
  }

  #send(id: number, ...messages: readonly Message[]): void {
    const room = this.#connections.get(id)?.send(...messages) ?? true;
    this.#count(messages);
    if (room) return;
    if (this.#established()?.id === id) this.#blocked = true;
    this.#dispatch({ type: 'send-blocked', connection: id });
  }

  /** Most batches are of one type. */
  #count(messages: readonly Message[]): void {
    let from = 0;
    for (let at = 1; at <= messages.length; at++) {
      const type = messages[from]?.type;
      if (type === undefined || messages[at]?.type === type) continue;
      this.#options.owner.sent(type, at - from);
      countMessage(this.#sent, type, at - from);
      from = at;
    }
  }

  #established(): SessionState['connections'][number] | undefined {
    return this.#state.connections.find(({ phase }) => phase === 'Established');
  }

  #rename(): void {
    const name = stateName(this.#state);
    if (name === this.#name) return;
    this.#name = name;
    this.#sinceUnixUs = this.#options.clock.unixMicros();
    this.#options.owner.stateChanged();
  }

  /** A timer that is set too early stays: it finds nothing due and is set anew. */
  #arm(): void {
    const atMs = nextDeadlineMs(this.#state);
    if (atMs === undefined) {
      this.#timer?.cancel();
      this.#timer = undefined;
      return;
    }
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.cancel();
    this.#setTimer(atMs, false);
  }

  #setTimer(atMs: number, isExtraTurn: boolean): void {
    const { clock } = this.#options;
    const delayMs = isExtraTurn ? EXTRA_TURN_MS : Math.max(0, atMs - clock.monotonicMs());
    const cancel = clock.after(delayMs, () => {
      this.#timer = undefined;
      if (!isExtraTurn && clock.monotonicMs() - atMs > LATE_MS) this.#setTimer(atMs, true);
      else this.#dispatch({ type: 'timer' });
    });
    this.#timer = { atMs, cancel };
  }
}

function countMessage(counts: MessageCounts, type: Message['type'], count = 1): void {
  counts[type] = (counts[type] ?? 0) + count;
}
