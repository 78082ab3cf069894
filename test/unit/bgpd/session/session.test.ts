// The state machine of a peer, event by event (RFC 4271 section 8): states, messages, timers, collisions, errors.

import { describe, expect, test } from 'vitest';
import type { Message, Open } from '../../../../bgpd/session/message.ts';
import { NOTIFICATION, notification } from '../../../../bgpd/session/notification.ts';
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

const OWN: Open = openOf('a', '10.0.0.5');
const LOWER: Open = openOf('b', '10.0.0.4');
const HIGHER: Open = openOf('b', '10.0.0.6');

const KEEPALIVE: Message = { type: 'keepalive' };
const UPDATE: Message = {
  type: 'update',
  update: { family: 4, withdrawn: [prefix('10.5.1.0/24')], announced: [] },
};

/** A machine that keeps the effects of its last event. */
class Machine {
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

describe('the way up', () => {
  test('dial, OPEN, KEEPALIVE, established', () => {
    const machine = new Machine();
    expect(machine.name).toBe('Idle');
    expect(machine.on({ type: 'start' }).did).toEqual(['dial']);
    expect(machine.name).toBe('Connect');
    expect(machine.on({ type: 'connected', connection: 1 }).sent).toEqual({ type: 'open', open: OWN });
    expect(machine.name).toBe('OpenSent');
    expect(machine.message(1, { type: 'open', open: HIGHER }).did).toEqual(['keepalive']);
    expect(machine.name).toBe('OpenConfirm');
    expect(machine.message(1, KEEPALIVE).effects).toEqual([
      { type: 'up', connection: 1, peerOpen: HIGHER, holdTimeSeconds: 9 },
    ]);
    expect(machine.name).toBe('Established');
  });

  test('accepted instead of dialled', () => {
    const machine = new Machine().on({ type: 'start' });
    machine.on({ type: 'closed', connection: 1, reason: 'refused' });
    expect(machine.name).toBe('Active');
    expect(machine.on({ type: 'accepted', connection: 2 }).did).toEqual(['open']);
    expect(machine.message(2, { type: 'open', open: LOWER }).did).toEqual(['keepalive']);
    expect(machine.message(2, KEEPALIVE).did).toEqual(['up']);
    expect(machine.state.retryAtMs).toBeUndefined();
  });

  test('nothing is accepted before the start', () => {
    expect(new Machine().on({ type: 'accepted', connection: 1 }).did).toEqual(['close']);
  });

  test('established: messages for the RIB are delivered', () => {
    const machine = new Machine().establish();
    for (const message of [UPDATE, { type: 'end-of-rib', family: 4 }, { type: 'route-refresh', family: 6 }] as const) {
      expect(machine.message(1, message).effects).toEqual([{ type: 'deliver', message, flaw: undefined }]);
    }
    expect(machine.message(1, KEEPALIVE).effects).toEqual([]);
  });
});

describe('timers', () => {
  test('dialling grows slower, up to a cap, and never waits longer than it says', () => {
    const machine = new Machine().on({ type: 'start' });
    for (let attempt = 0; attempt < 12; attempt++) {
      machine.on({ type: 'closed', connection: machine.state.lastConnection, reason: 'refused' });
      expect(machine.did).toEqual(['failed']);
      const nominal = Math.min(SESSION_TIMES.connectRetry.capMs, SESSION_TIMES.connectRetry.firstMs * 2 ** attempt);
      const waitedMs = machine.expire();
      expect(waitedMs).toBeGreaterThanOrEqual(nominal / 2);
      expect(waitedMs).toBeLessThanOrEqual(nominal);
      expect(machine.did).toEqual(['dial']);
    }
  });

  test('a hint that the peer is there cuts the wait short', () => {
    const machine = new Machine().on({ type: 'start' }).on({ type: 'closed', connection: 1, reason: 'refused' });
    expect(machine.on({ type: 'hurry' }).did).toEqual(['dial']);
    expect(machine.on({ type: 'hurry' }).did).toEqual([]);
  });

  test('a dial that hangs is given up', () => {
    const machine = new Machine().on({ type: 'start' });
    expect(machine.expire()).toBe(SESSION_TIMES.dialMs);
    expect(machine.did).toEqual(['close', 'failed']);
    expect(machine.name).toBe('Active');
  });

  test('a peer that never says OPEN is given up', () => {
    const machine = new Machine().on({ type: 'start' }).on({ type: 'connected', connection: 1 });
    expect(machine.expire()).toBe(SESSION_TIMES.openMs);
    expect(machine.sent).toEqual({ type: 'notification', notification: notification('holdTimerExpired') });
  });

  test('keepalives come at 75 to 100 % of a third of the hold time', () => {
    const machine = new Machine().establish();
    for (let i = 0; i < 50; i++) {
      const waitedMs = machine.expire();
      expect(machine.did).toEqual(['keepalive']);
      expect(waitedMs).toBeGreaterThan(2_249);
      expect(waitedMs).toBeLessThanOrEqual(3_000);
      machine.message(1, KEEPALIVE);
    }
  });

  test('the hold timer ends a silent session, and only then', () => {
    const machine = new Machine().establish();
    const startMs = machine.nowMs;
    while (machine.name === 'Established') machine.expire();
    expect(machine.nowMs - startMs).toBe(9_000);
    expect(machine.did).toEqual(['notification', 'close', 'down']);
    expect(machine.sent).toMatchObject({ notification: NOTIFICATION.holdTimerExpired });
  });

  test('any message restarts the hold timer', () => {
    const machine = new Machine().establish();
    machine.nowMs += 8_000;
    machine.message(1, UPDATE);
    machine.nowMs += 8_999;
    expect(machine.on({ type: 'timer' }).did).not.toContain('down');
    machine.nowMs += 1;
    expect(machine.on({ type: 'timer' }).did).toContain('down');
  });

  test.each([
    [9, 3, 3],
    [9, 30, 9],
    [9, 0, 0],
    [0, 9, 0],
  ])('hold time: ours %i, theirs %i, used %i', (ours, theirs, used) => {
    const machine = new Machine({ open: { ...OWN, holdTimeSeconds: ours } });
    machine.establish({ ...HIGHER, holdTimeSeconds: theirs });
    expect(machine.effects).toMatchObject([{ type: 'up', holdTimeSeconds: used }]);
    expect(nextDeadlineMs(machine.state) === undefined).toBe(used === 0);
  });

  test('a send that never drains ends the session (RFC 9687); one that does drain does not', () => {
    const machine = new Machine({ open: { ...OWN, holdTimeSeconds: 0 } });
    machine.establish().on({ type: 'send-blocked', connection: 1 });
    machine.on({ type: 'send-drained', connection: 1 });
    expect(nextDeadlineMs(machine.state)).toBeUndefined();
    machine.on({ type: 'send-blocked', connection: 1 });
    machine.nowMs += 5_000;
    machine.on({ type: 'send-blocked', connection: 1 });
    expect(machine.expire()).toBe(SESSION_TIMES.sendHoldMs - 5_000);
    expect(machine.did).toEqual(['notification', 'close', 'down']);
  });
});

describe('the way down', () => {
  test('the connection ends: down at once, and dialled again', () => {
    const machine = new Machine().establish();
    machine.on({ type: 'closed', connection: 1, reason: 'reset' });
    expect(machine.effects).toEqual([{ type: 'down', reason: 'reset', notification: undefined }]);
    expect(machine.expire()).toBeLessThanOrEqual(SESSION_TIMES.connectRetry.firstMs);
    expect(machine.did).toEqual(['dial']);
  });

  test('the peer says why', () => {
    const machine = new Machine().establish();
    machine.message(1, { type: 'notification', notification: notification('administrativeShutdown', 'maintenance') });
    expect(machine.effects).toMatchObject([
      { type: 'close' },
      { type: 'down', reason: 'the peer sent Cease, administrative shutdown: maintenance' },
    ]);
  });

  test('stop tells the peer and dials no more', () => {
    const machine = new Machine().establish();
    machine.on({ type: 'stop', notification: notification('administrativeShutdown') });
    expect(machine.did).toEqual(['notification', 'close', 'down']);
    expect(machine.name).toBe('Idle');
    expect(nextDeadlineMs(machine.state)).toBeUndefined();
  });

  test('a session that was stable starts the back-off anew, one that was not does not', () => {
    const machine = new Machine().establish();
    for (let i = 0; i < 5; i++) {
      machine.on({ type: 'closed', connection: machine.state.lastConnection, reason: 'reset' });
      machine.expire();
      machine.on({ type: 'connected', connection: machine.state.lastConnection });
      machine.message(machine.state.lastConnection, { type: 'open', open: HIGHER });
      machine.message(machine.state.lastConnection, KEEPALIVE);
    }
    expect(machine.state.attempts).toBe(5);
    machine.nowMs += SESSION_TIMES.stableMs;
    machine.on({ type: 'closed', connection: machine.state.lastConnection, reason: 'reset' });
    expect(machine.state.attempts).toBe(1);
  });

  test('events about connections that are gone change nothing', () => {
    const machine = new Machine().establish();
    const before = machine.state;
    for (const type of ['connected', 'send-blocked', 'send-drained'] as const) {
      expect(machine.on({ type, connection: 99 }).effects).toEqual([]);
    }
    machine.on({ type: 'closed', connection: 99, reason: '' });
    machine.message(99, KEEPALIVE).on({ type: 'malformed', connection: 99, notification: notification('badRouterId') });
    expect(machine.state).toEqual(before);
  });
});

describe('messages out of place reset the session (RFC 6608)', () => {
  const ROWS: readonly [string, (machine: Machine) => Machine, Message, keyof typeof NOTIFICATION][] = [
    ['KEEPALIVE before OPEN', openSent, KEEPALIVE, 'unexpectedInOpenSent'],
    ['UPDATE before OPEN', openSent, UPDATE, 'unexpectedInOpenSent'],
    ['END-OF-RIB before OPEN', openSent, { type: 'end-of-rib', family: 4 }, 'unexpectedInOpenSent'],
    ['UPDATE before KEEPALIVE', openConfirm, UPDATE, 'unexpectedInOpenConfirm'],
    ['OPEN twice', openConfirm, { type: 'open', open: HIGHER }, 'unexpectedInOpenConfirm'],
    ['OPEN when established', (m) => m.establish(), { type: 'open', open: HIGHER }, 'unexpectedInEstablished'],
  ];

  test.each(ROWS)('%s', (_, prepare, message, kind) => {
    const machine = prepare(new Machine()).message(1, message);
    expect(machine.sent).toMatchObject({ type: 'notification', notification: NOTIFICATION[kind] });
    expect(machine.did.slice(1)).toEqual(['close', kind === 'unexpectedInEstablished' ? 'down' : 'failed']);
    expect(machine.name).toBe('Active');
  });

  test('what the codec could not read', () => {
    const machine = new Machine().establish();
    machine.on({ type: 'malformed', connection: 1, notification: notification('invalidNetworkField', 'x') });
    expect(machine.did).toEqual(['notification', 'close', 'down']);
  });
});

describe('an OPEN that is not acceptable', () => {
  const ROWS: readonly [string, Partial<Open>, keyof typeof NOTIFICATION][] = [
    ['version', { version: 2 }, 'unsupportedVersion'],
    ['AS 0', { asn: 0 }, 'badPeerAs'],
    ['another AS', { asn: 64_513 }, 'badPeerAs'],
    ['our own router id', { routerId: OWN.routerId }, 'badRouterId'],
    ['another router id than registered', { routerId: address('9.9.9.9') }, 'badRouterId'],
    ['another node', { node: 'c' }, 'connectionRejected'],
    ['hold time 1', { holdTimeSeconds: 1 }, 'unacceptableHoldTime'],
    ['hold time 2', { holdTimeSeconds: 2 }, 'unacceptableHoldTime'],
    ['hold time too long', { holdTimeSeconds: 65_536 }, 'unacceptableHoldTime'],
    ['no family in common', { capabilities: { families: [], routeRefresh: true } }, 'unsupportedCapability'],
  ];

  test.each(ROWS)('%s', (_, wrong, kind) => {
    const peer = { node: 'b', asn: 64_512, routerId: HIGHER.routerId };
    const machine = openSent(new Machine({ peer })).message(1, { type: 'open', open: { ...HIGHER, ...wrong } });
    expect(machine.sent).toMatchObject({ type: 'notification', notification: NOTIFICATION[kind] });
    expect(machine.name).toBe('Active');
  });
});

describe('collision (RFC 4271 section 6.8)', () => {
  test('both connections stand: the one that the higher router id dialled stays', () => {
    const lower = openSent(new Machine()).on({ type: 'accepted', connection: 2 });
    lower.message(2, { type: 'open', open: HIGHER });
    expect(lower.state.connections).toMatchObject([{ id: 2, phase: 'OpenConfirm' }]);

    const higher = openSent(new Machine()).on({ type: 'accepted', connection: 2 });
    higher.message(2, { type: 'open', open: LOWER });
    expect(higher.sent).toMatchObject({ notification: NOTIFICATION.connectionCollision });
    expect(higher.state.connections).toMatchObject([{ id: 1, phase: 'OpenSent' }]);
  });

  test('a dial that does not stand yet gives way, whoever is higher', () => {
    for (const open of [LOWER, HIGHER]) {
      const machine = new Machine().on({ type: 'start' }).on({ type: 'accepted', connection: 2 });
      machine.message(2, { type: 'open', open });
      expect(machine.did).toEqual(['close', 'keepalive']);
      expect(machine.state.connections).toMatchObject([{ id: 2, phase: 'OpenConfirm' }]);
    }
  });

  test('a new connection that the peer completes means that it lost the established session', () => {
    const machine = new Machine().establish(LOWER).on({ type: 'accepted', connection: 2 });
    expect(machine.message(2, { type: 'open', open: LOWER }).did).toEqual(['keepalive']);
    expect(machine.name).toBe('Established');
    expect(machine.message(2, KEEPALIVE).did).toEqual(['notification', 'close', 'down', 'up']);
    expect(machine.state.connections).toMatchObject([{ id: 2, phase: 'Established' }]);
  });

  test('a new connection that the peer gives up changes nothing: its OPEN was on its way since before', () => {
    const machine = new Machine().establish(LOWER).on({ type: 'accepted', connection: 2 });
    machine.message(2, { type: 'open', open: LOWER });
    expect(machine.on({ type: 'closed', connection: 2, reason: 'ended' }).did).toEqual(['failed']);
    expect(machine.state.connections).toMatchObject([{ id: 1, phase: 'Established' }]);
    expect(machine.state.retryAtMs).toBeUndefined();
  });

  test('an impostor does not end the established session', () => {
    const peer = { node: 'b', asn: 64_512, routerId: LOWER.routerId };
    const machine = new Machine({ peer }).establish(LOWER).on({ type: 'accepted', connection: 2 });
    machine.message(2, { type: 'open', open: { ...LOWER, routerId: address('9.9.9.9') } });
    expect(machine.did).toEqual(['notification', 'close', 'failed']);
    expect(machine.name).toBe('Established');
  });

  test('a peer that dials again has given up its first attempt', () => {
    const machine = new Machine().on({ type: 'start' }).on({ type: 'closed', connection: 1, reason: 'refused' });
    machine.on({ type: 'accepted', connection: 2 }).on({ type: 'accepted', connection: 3 });
    expect(machine.did).toEqual(['close', 'open']);
    expect(machine.state.connections).toMatchObject([{ id: 3 }]);
  });
});

function openSent(machine: Machine): Machine {
  return machine.on({ type: 'start' }).on({ type: 'connected', connection: 1 });
}

function openConfirm(machine: Machine): Machine {
  return openSent(machine).message(1, { type: 'open', open: HIGHER });
}

function openOf(node: string, routerId: string): Open {
  return {
    version: 1,
    asn: 64_512,
    holdTimeSeconds: 9,
    routerId: address(routerId),
    node,
    capabilities: { families: [4, 6], routeRefresh: true },
  };
}
