// Peers by the registry: made, replaced and removed, but never while a session is established.
// Two sets face to face over a network in memory.

import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import type { NodeRecord } from '../../../bgpd/mesh/node-record.ts';
import { PeerSet, type PeerSetOptions } from '../../../bgpd/peer-set.ts';
import type { Open } from '../../../bgpd/session/message.ts';
import { NOTIFICATION, notification } from '../../../bgpd/session/notification.ts';
import { address } from '../../../lib/net/address.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeNetwork } from '../../fakes/fake-network.ts';

const A = recordOf('a', 1);
const B = recordOf('b', 2);
const C = recordOf('c', 3);

let clock: FakeClock;
let network: FakeNetwork;
let log: string[];
let a: PeerSet;
let b: PeerSet;

beforeEach(() => {
  clock = new FakeClock();
  network = new FakeNetwork(clock, () => 1);
  log = [];
  a = peerSet(A);
  b = peerSet(B);
  network.listen(A, a.accept);
  network.listen(B, b.accept);
});

test('a session with every other node, none with itself', () => {
  meet();
  expect([...a.members.keys()]).toEqual(['b']);
  expect(a.members.get('b')?.peer.established).toBe(true);
  expect(log.sort()).toEqual(['a: up b', 'b: up a']);
});

test('a node that is gone from the registry: removed at once where there is no session', () => {
  a.setNodes(nodes(A, C));
  a.setNodes(nodes(A));
  expect(a.members.size).toBe(0);
  expect(log).toEqual(['a: removed c']);
});

test('where there is one, it stays until it ends by itself', () => {
  meet();
  a.setNodes(nodes(A));
  clock.advance(60_000);
  expect(a.members.get('b')?.peer.established).toBe(true);
  network.breakAll();
  clock.advance(10);
  expect(log.slice(2).sort()).toEqual(['a: down b', 'b: down a']);
  a.settle('b');
  expect(a.members.size).toBe(0);
});

test('gone and back in the registry: the same session', () => {
  meet();
  a.setNodes(nodes(A));
  a.setNodes(nodes(A, B));
  network.breakAll();
  clock.advance(10_000);
  expect(a.members.get('b')?.peer.status()).toMatchObject({ state: 'Established', sessions: 2 });
});

test('a peer that came back with BFD before its record did: it counts though the session stands, at that address', () => {
  meet();
  expect(a.offersBfd('b')).toBe(false);
  a.setNodes(nodes(A, { ...B, bfd: true }));
  expect(a.offersBfd('b')).toBe(true);
  a.setNodes(nodes(A, { ...B, bfd: true, address: address('10.0.0.99') }));
  expect(a.offersBfd('b')).toBe(false);
});

test('a record that changed: dialled at its new place when the session has ended', () => {
  meet();
  const moved = { ...B, port: 1791 };
  network.stopListening(B);
  network.listen(moved, b.accept);
  a.setNodes(nodes(A, moved));
  expect(a.members.get('b')?.record).toBe(B);
  network.breakAll();
  clock.advance(10);
  a.settle('b');
  expect(a.members.get('b')?.record).toBe(moved);
  clock.advance(10_000);
  expect(a.members.get('b')?.peer.established).toBe(true);
});

test('the new life of a node dials before the session of its former life was seen to end', () => {
  meet();
  const reborn = { ...B, routerId: address('10.0.0.22') };
  // The former life is gone without a word.
  network.silence();
  b = peerSet(reborn);
  network.listen(reborn, b.accept);
  a.setNodes(nodes(A, reborn));
  expect(a.members.get('b')?.record).toBe(B);
  b.setNodes(nodes(A, reborn));
  clock.advance(100);
  expect(a.members.get('b')?.record).toBe(reborn);
  expect(a.members.get('b')?.peer.established).toBe(true);
  expect(log).toContain('a: down b');
});

test('an OPEN of a node that is not registered, and one in our own name, are refused', () => {
  a.setNodes(nodes(A, B));
  const connection = { send: () => true, close: () => undefined };
  expect(a.accept(openOf(C), connection)).toMatchObject(NOTIFICATION.connectionRejected);
  expect(a.accept(openOf(A), connection)).toMatchObject(NOTIFICATION.connectionRejected);
});

test('only peers that have something to get are woken', () => {
  meet();
  const asked: string[] = [];
  a.setNodes(nodes(A, B, C));
  a.wake((name) => {
    asked.push(name);
    return false;
  });
  expect(asked).toEqual(['b']);
});

test('a disabled peer: told why, at every attempt, and it stays so when its record is another, until it is enabled', () => {
  meet();
  a.disable('b', notification('administrativeShutdown', 'maintenance'));
  clock.advance(60_000);
  expect(a.members.get('b')?.peer.status().state).toBe('Idle');
  expect(b.members.get('a')?.peer.status()).toMatchObject({
    sessions: 1,
    lastFailure: 'the peer sent Cease, administrative shutdown: maintenance',
  });
  a.setNodes(nodes(A));
  a.setNodes(nodes(A, B));
  clock.advance(60_000);
  expect([a.isDisabled('b'), a.members.get('b')?.peer.established]).toEqual([true, false]);
  a.enable('b');
  clock.advance(10_000);
  expect([a.isDisabled('b'), a.members.get('b')?.peer.established]).toEqual([false, true]);
});

test('a restart: told why, apart for the time that was said whoever dials, and back by itself', () => {
  meet();
  a.restart('b', notification('prefixLimitReached', '11 prefixes: at most 10'), 30_000);
  clock.advance(29_000);
  expect(a.members.get('b')?.peer.status()).toMatchObject({ state: 'Idle', sessions: 1 });
  expect(b.members.get('a')?.peer.status().whyDown).toContain('prefix limit reached: 11 prefixes');
  clock.advance(10_000);
  expect(a.members.get('b')?.peer.status()).toMatchObject({ state: 'Established', sessions: 2 });
});

test('a disabled peer is not started by the end of a prefix limit', () => {
  meet();
  a.restart('b', notification('prefixLimitReached'), 1_000);
  a.disable('b', notification('administrativeShutdown'));
  clock.advance(60_000);
  expect(a.members.get('b')?.peer.status().state).toBe('Idle');
});

test('a disabled peer that came from a range stays known until it is enabled, and may come again then', () => {
  a = peerSet(A, ({ node: name }, remote) => ({ name, address: remote, port: 0, asn: 64_512, isPassive: true }));
  network.listen(A, (open, connection) => a.accept(open, Object.assign(connection, { remote: B.address })));
  b.setNodes(nodes(A, B));
  clock.advance(5_000);
  a.disable('b', notification('administrativeShutdown'));
  clock.advance(10_000);
  a.settle('b');
  expect([a.members.has('b'), a.members.get('b')?.peer.established]).toEqual([true, false]);
  a.enable('b');
  clock.advance(10_000);
  expect(a.members.get('b')?.peer.established).toBe(true);
});

test('what is not there cannot be disabled', () => {
  a.disable('nobody', notification('administrativeShutdown'));
  expect(a.isDisabled('nobody')).toBe(false);
});

test('stop ends every session with the reason', () => {
  meet();
  a.stop(notification('administrativeShutdown', 'bye'));
  clock.advance(10);
  expect(b.members.get('a')?.peer.status().whyDown).toBe('the peer sent Cease, administrative shutdown: bye');
});

function meet(): void {
  a.setNodes(nodes(A, B));
  b.setNodes(nodes(A, B));
  clock.advance(5_000);
}

function peerSet(own: NodeRecord, dynamic?: PeerSetOptions['dynamic']): PeerSet {
  const { name } = own;
  return new PeerSet({
    open: openOf(own),
    dialler: network.dialler(),
    clock,
    log: pino({ level: 'silent' }),
    owner: (record) => ({
      up: () => log.push(`${name}: up ${record.name}`),
      down: () => log.push(`${name}: down ${record.name}`),
      received: () => undefined,
      pull: () => undefined,
      sent: () => undefined,
      failed: () => undefined,
      stateChanged: () => undefined,
    }),
    removed: (peer) => log.push(`${name}: removed ${peer}`),
    ...(dynamic !== undefined && { dynamic }),
  });
}

function nodes(...records: readonly NodeRecord[]): ReadonlyMap<string, NodeRecord> {
  return new Map(records.map((record) => [record.name, record]));
}

function recordOf(name: string, n: number): NodeRecord {
  const at = address(`10.0.0.${n}`);
  return { name, address: at, port: 1790, asn: 64_512, routerId: at };
}

function openOf({ name, asn, routerId }: NodeRecord): Open {
  const capabilities = { families: [4], routeRefresh: true } as const;
  return { version: 1, asn, holdTimeSeconds: 9, routerId, node: name, capabilities };
}
