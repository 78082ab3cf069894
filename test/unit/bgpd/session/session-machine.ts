// A session's state machine under test: one event at a time, with the effects of the last one, and OPENs to feed it.
// Connection 1 is the one that it dials first.

import type { Message, Open } from '../../../../bgpd/session/message.ts';
import { step } from '../../../../bgpd/session/session.ts';
import {
  type Effect,
  initialSession,
  nextDeadlineMs,
  SESSION_TIMES,
  type SessionConfig,
  type SessionEvent,
  type SessionState,
  stateName,
} from '../../../../bgpd/session/session-state.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';

export const OWN: Open = openOf('a', '10.0.0.5');
export const LOWER: Open = openOf('b', '10.0.0.4');
export const HIGHER: Open = openOf('b', '10.0.0.6');

export const KEEPALIVE: Message = { type: 'keepalive' };
export const UPDATE: Message = {
  type: 'update',
  update: { family: 4, withdrawn: [prefix('10.5.1.0/24')], announced: [] },
};

/** A machine that keeps the effects of its last event. */
export class Machine {
  state: SessionState;
  effects: readonly Effect[] = [];
  nowMs = 1_000_000;

  constructor(config: Partial<SessionConfig> = {}) {
    this.state = initialSession({ open: OWN, peer: { node: 'b', asn: 64_512 }, times: SESSION_TIMES, ...config }, 1);
  }

  get name(): string {
    return stateName(this.state);
  }

  /** Types of the last effects; messages by their type. */
  get did(): string[] {
    return this.effects.map((effect) => (effect.type === 'send' ? effect.message.type : effect.type));
  }

  get sent(): Message | undefined {
    return this.effects.flatMap((effect) => (effect.type === 'send' ? [effect.message] : []))[0];
  }

  on(event: SessionEvent): this {
    ({ state: this.state, effects: this.effects } = step(this.state, event, this.nowMs));
    return this;
  }

  message(connection: number, message: Message): this {
    return this.on({ type: 'message', connection, message });
  }

  /** Lets time pass to the next deadline and fires it; gives the wait in milliseconds. */
  expire(): number {
    const atMs = nextDeadlineMs(this.state) as number;
    const waitedMs = atMs - this.nowMs;
    this.nowMs = atMs;
    this.on({ type: 'timer' });
    return waitedMs;
  }

  /** Dialled, and all OPENs and KEEPALIVEs exchanged. */
  establish(open: Open = HIGHER): this {
    this.on({ type: 'start' }).on({ type: 'connected', connection: 1 });
    return this.message(1, { type: 'open', open }).message(1, KEEPALIVE);
  }
}

export function openSent(machine: Machine): Machine {
  return machine.on({ type: 'start' }).on({ type: 'connected', connection: 1 });
}

export function openConfirm(machine: Machine): Machine {
  return openSent(machine).message(1, { type: 'open', open: HIGHER });
}

export function openOf(node: string, routerId: string): Open {
  return {
    version: 1,
    asn: 64_512,
    holdTimeSeconds: 9,
    routerId: address(routerId),
    node,
    capabilities: { families: [4, 6], routeRefresh: true },
  };
}
