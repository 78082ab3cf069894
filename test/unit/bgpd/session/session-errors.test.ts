// The state machine of a peer where things go wrong: messages out of place, OPENs that are refused, collisions.
// The ordinary life of a session: session.test.ts.

import { describe, expect, test } from 'vitest';
import type { Message, Open } from '../../../../bgpd/session/message.ts';
import { NOTIFICATION, notification } from '../../../../bgpd/session/notification.ts';
import { address } from '../../../../lib/net/address.ts';
import { HIGHER, KEEPALIVE, LOWER, Machine, OWN, openConfirm, openSent, UPDATE } from './session-machine.ts';

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
