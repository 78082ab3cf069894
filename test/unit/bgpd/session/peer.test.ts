// A peer between its state machine and its connections: what it performs, when it pulls, how late timers are treated.
// The connections are the test's own; the state machine is the real one.

import { beforeEach, expect, test } from 'vitest';
import type { Connection, ConnectionListener, Dialler } from '../../../../bgpd/session/connection.ts';
import type { Message, Open } from '../../../../bgpd/session/message.ts';
import { notification } from '../../../../bgpd/session/notification.ts';
import { Peer, type PeerOwner } from '../../../../bgpd/session/peer.ts';
import { SESSION_TIMES } from '../../../../bgpd/session/session-state.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { eventually } from '../../../eventually.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const PEER_OPEN: Open = {
  version: 1,
  asn: 64_512,
  holdTimeSeconds: 9,
  routerId: address('10.0.0.2'),
  node: 'b',
  capabilities: { families: [4], routeRefresh: true },
};
const OWN_OPEN: Open = { ...PEER_OPEN, routerId: address('10.0.0.1'), node: 'a' };

/** A connection whose other end is the test. */
class FakeConnection implements Connection {
  readonly sent: string[] = [];
  room = true;
  closed = false;

  send(...messages: readonly Message[]): boolean {
    this.sent.push(...messages.map(({ type }) => type));
    return this.room;
  }

  close(): void {
    this.closed = true;
  }
}

let clock: FakeClock;
let dialled: { connection: FakeConnection; listener: ConnectionListener }[];
let log: string[];
/** What the owner still has to send. */
let due: Message[][];
let peer: Peer;

beforeEach(() => {
  clock = new FakeClock();
  dialled = [];
  log = [];
  // Its own for each test: a pump of the last test may still be due.
  const dueHere: Message[][] = [];
  due = dueHere;
  const dialler: Dialler = {
    dial(_, listener) {
      const connection = new FakeConnection();
      dialled.push({ connection, listener });
      return connection;
    },
  };
  const owner: PeerOwner = {
    up: (open) => log.push(`up ${open.node}`),
    down: (reason) => log.push(`down: ${reason}`),
    received: (message, flaw) => log.push(flaw === undefined ? message.type : `${message.type} (${flaw})`),
    pull() {
      const messages = dueHere.shift();
      return messages && { messages, more: dueHere.length > 0 };
    },
    sent: () => undefined,
    failed: (reason) => log.push(`failed: ${reason}`),
    stateChanged: () => undefined,
  };
  peer = new Peer({
    config: { open: OWN_OPEN, peer: { node: 'b' }, times: SESSION_TIMES },
    endpoint: { address: address('10.0.0.2'), port: 1790 },
    dialler,
    clock,
    owner,
    seed: 1,
  });
});

test('comes up, delivers, goes down with the reason, and dials again', () => {
  const { connection, listener } = establish();
  listener.message({ message: { type: 'end-of-rib', family: 4 } });
  listener.message({ message: { type: 'update', update: update() }, flaw: 'no attributes' });
  expect(peer.status()).toMatchObject({ state: 'Established', sessions: 1, holdTimeSeconds: 9 });
  listener.closed('the connection broke');
  expect(log).toEqual(['up b', 'end-of-rib', 'update (no attributes)', 'down: the connection broke']);
  expect(peer.status()).toMatchObject({ state: 'Active', whyDown: 'the connection broke' });
  expect(connection.sent).toEqual(['open', 'keepalive']);
  clock.advance(SESSION_TIMES.connectRetry.firstMs);
  expect(dialled).toHaveLength(2);
  dialled[1]?.listener.closed('connection refused');
  expect(peer.status()).toMatchObject({ whyDown: 'the connection broke', lastFailure: 'connection refused' });
});

test('the process of the peer ended: down, as by a connection that broke; a session since then stays', () => {
  const { connection } = establish();
  const upUs = clock.unixMicros();
  peer.broken('the process of the peer ended', upUs - 1n);
  expect(peer.established).toBe(true);
  peer.broken('the process of the peer ended', upUs + 1n);
  expect(log).toEqual(['up b', 'down: the process of the peer ended']);
  expect([connection.closed, connection.sent]).toEqual([true, ['open', 'keepalive']]);
  expect(peer.status()).toMatchObject({ state: 'Active', down: { kind: 'connection-lost' } });
  peer.broken('again', upUs + 2n);
  expect(log).toHaveLength(2);
});

test('a message that cannot be read: answered, closed, down', () => {
  const { connection, listener } = establish();
  listener.message({ reset: notification('invalidNetworkField', 'announced: truncated') });
  expect(connection.sent.at(-1)).toBe('notification');
  expect(connection.closed).toBe(true);
  expect(log.at(-1)).toBe('down: UPDATE error, invalid network field: announced: truncated');
});

test('keepalives are sent, and a silent peer is down after the hold time', () => {
  const { connection } = establish();
  clock.advance(8_999);
  expect(connection.sent.filter((type) => type === 'keepalive').length).toBeGreaterThanOrEqual(3);
  expect(peer.established).toBe(true);
  clock.advance(1);
  expect(log.at(-1)).toBe('down: hold timer expired');
});

test('the process was stopped for longer than the hold time: what arrived meanwhile counts first', () => {
  const { listener } = establish();
  // A stopped process: time goes on, no timer fires; then the late timer does, and after it the socket is read.
  clock.stall(20_000);
  clock.advance(0);
  expect(peer.established).toBe(true);
  listener.message({ message: { type: 'keepalive' } });
  clock.advance(1);
  expect(peer.established).toBe(true);
});

test('the process was stopped and nothing arrived meanwhile: down, one turn later', () => {
  establish();
  clock.stall(20_000);
  clock.advance(0);
  clock.advance(1);
  expect(log.at(-1)).toBe('down: hold timer expired');
});

test('pulls while there is room, one batch a turn, and not before it is established', async () => {
  due.push([keepalive(), keepalive()], [keepalive()]);
  peer.wake();
  const { connection } = establish();
  expect(connection.sent).toEqual(['open', 'keepalive']);
  await eventually('all is sent', () => due.length === 0 && connection.sent.length === 5);
});

test('no room: it stops pulling, and goes on when there is room', async () => {
  const { connection, listener } = establish();
  connection.room = false;
  due.push([keepalive()], [keepalive()]);
  peer.wake();
  await eventually('the first batch is sent', () => connection.sent.length === 3);
  peer.wake();
  await new Promise((resolve) => setImmediate(resolve));
  expect(due).toHaveLength(1);
  connection.room = true;
  listener.drained();
  await eventually('the second is', () => connection.sent.length === 4);
});

test('a reader that stays blocked ends the session (RFC 9687)', async () => {
  const { connection, listener } = establish();
  connection.room = false;
  due.push([keepalive()]);
  peer.wake();
  await eventually('it is blocked', () => connection.sent.length === 3);
  for (let waitedMs = 0; waitedMs < SESSION_TIMES.sendHoldMs; waitedMs += 1_000) {
    listener.message({ message: { type: 'keepalive' } });
    clock.advance(1_000);
  }
  expect(log.at(-1)).toContain('send hold timer expired');
});

test('an incoming connection that is accepted', () => {
  peer.start();
  dialled[0]?.listener.closed('connection refused');
  const connection = new FakeConnection();
  const listener = peer.accept(PEER_OPEN, connection);
  expect(connection.sent).toEqual(['open', 'keepalive']);
  listener.message({ message: { type: 'keepalive' } });
  expect(log).toEqual(['failed: connection refused', 'up b']);
});

test('stop tells the peer, and nothing is left running', () => {
  const { connection } = establish();
  peer.stop(notification('administrativeShutdown', 'bye'));
  expect(connection.sent.at(-1)).toBe('notification');
  expect(connection.closed).toBe(true);
  expect(log.at(-1)).toBe('down: Cease, administrative shutdown: bye');
  expect(clock.pending).toBe(0);
  expect(peer.status().state).toBe('Idle');
});

function establish() {
  peer.start();
  const first = dialled[0];
  if (first === undefined) throw new Error('it did not dial');
  first.listener.connected();
  first.listener.message({ message: { type: 'open', open: PEER_OPEN } });
  first.listener.message({ message: { type: 'keepalive' } });
  return first;
}

function keepalive(): Message {
  return { type: 'keepalive' };
}

function update() {
  return { family: 4, withdrawn: [prefix('10.5.1.0/24')], announced: [] } as const;
}
