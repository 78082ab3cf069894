// The state machine of a peer, event by event (RFC 4271 section 8): the way up, timers, the way down.
// Errors and collisions: session-errors.test.ts.

import { describe, expect, test } from 'vitest';
import { NOTIFICATION, notification } from '../../../../bgpd/session/notification.ts';
import { nextDeadlineMs, SESSION_TIMES } from '../../../../bgpd/session/session-state.ts';
import { HIGHER, KEEPALIVE, LOWER, Machine, OWN, openSent, UPDATE } from './session-machine.ts';

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
    for (const message of [
      UPDATE,
      { type: 'end-of-rib', family: 4 },
      { type: 'route-refresh', family: 6, kind: 'request' },
    ] as const) {
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

  test('lost by another means: the peer is told with its code, and dialled again', () => {
    const machine = new Machine().establish();
    machine.on({ type: 'lost', notification: notification('bfdDown', 'detection time expired') });
    expect(machine.did).toEqual(['notification', 'close', 'down']);
    expect(machine.sent).toMatchObject({ notification: { code: 6, subcode: 10 } });
    expect(machine.name).toBe('Active');
    expect(machine.expire()).toBeLessThanOrEqual(SESSION_TIMES.connectRetry.firstMs);
    expect(machine.did).toEqual(['dial']);
  });

  test('lost before it was established: the attempt goes on', () => {
    const machine = openSent(new Machine());
    const before = machine.state;
    machine.on({ type: 'lost', notification: notification('bfdDown') });
    expect([machine.did, machine.state]).toEqual([[], before]);
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
