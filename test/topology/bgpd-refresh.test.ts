// Route refresh with a live bgpd, both ways and on the wire (RFC 2918, RFC 7313), and who is told of long-lived stale routes.
// The other side is played: exchange-peer.ts.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { COMMUNITY } from '../../bgpd/rib/attributes.ts';
import type { Message } from '../../bgpd/session/message.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { BgpdCluster, type BgpdNode, manyPrefixes } from './bgpd-cluster.ts';
import { ExchangePeer } from './exchange-peer.ts';

const OWN = manyPrefixes(3);
const [P, Q] = [prefix('10.5.90.0/24'), prefix('10.5.91.0/24')];
const PATIENCE = { timeoutMs: 15_000, intervalMs: 5 };
const GRACEFUL = {
  restarted: false,
  restartTimeSeconds: 60,
  families: [4],
  preserved: [4],
  notification: true,
} as const;

let cluster: BgpdCluster;
let bgpd: BgpdNode;
let port: number;
let peer: ExchangePeer;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
  bgpd = await cluster.node(2, [8, 9], ['--reflector']);
  bgpd.originate(OWN);
  port = await ExchangePeer.register(cluster, bgpd, 9);
  peer = new ExchangePeer(port, 9);
});

afterEach(async () => {
  peer.close();
  await cluster.stop();
});

test('asked for its routes it sends them between BoRR and EoRR', async () => {
  await peer.establish({ enhancedRefresh: true });
  await eventually('it has told its routes', () => announced(peer.messages).length === OWN.length, PATIENCE);
  const before = peer.messages.length;
  peer.send({ type: 'route-refresh', family: 4, kind: 'request' });
  const answer = (): readonly Message[] => peer.messages.slice(before).filter(({ type }) => type !== 'end-of-rib');
  await eventually('the refresh has ended', () => answer().some((message) => isMark(message, 'end')), PATIENCE);
  expect(answer().map(({ type }) => type)).toEqual(['route-refresh', 'update', 'route-refresh']);
  expect([answer().at(0), answer().at(-1)].map((message) => message && isMark(message, 'begin'))).toEqual([
    true,
    false,
  ]);
  expect([...announced(answer())].sort()).toEqual([...OWN].sort());
});

test('a peer without the capability gets its routes and no marks', async () => {
  await peer.establish();
  await eventually('it has told its routes', () => announced(peer.messages).length === OWN.length, PATIENCE);
  peer.send({ type: 'route-refresh', family: 4, kind: 'request' });
  await eventually('it has told them again', () => announced(peer.messages).length === 2 * OWN.length, PATIENCE);
  expect(peer.messages.some(({ type }) => type === 'route-refresh')).toBe(false);
});

test('what a peer does not send again between BoRR and EoRR is gone, the rest never was', async () => {
  await peer.establish({ enhancedRefresh: true });
  peer.announce([P, Q]);
  await eventually('both are there', () => bgpd.gateways(P) !== undefined && bgpd.gateways(Q) !== undefined, PATIENCE);
  const lost = new Set<string>();
  bgpd.onChange = ({ prefixes }) => {
    for (const each of prefixes) if (bgpd.view.groupOf(each) === undefined) lost.add(each);
  };
  peer.send({ type: 'route-refresh', family: 4, kind: 'begin' });
  peer.announce([P]);
  peer.send({ type: 'route-refresh', family: 4, kind: 'end' });
  await eventually('the other is gone', () => bgpd.gateways(Q) === undefined, PATIENCE);
  expect([...lost]).toEqual([Q]);
});

test('long-lived stale routes of another are told to a peer that knows of such, and to no other', async () => {
  await ExchangePeer.register(cluster, bgpd, 8);
  const stale = new ExchangePeer(port, 8);
  await stale.establish();
  stale.announce([P], { communities: [COMMUNITY.longLivedStale] });
  stale.announce([Q]);
  await eventually('both are there', () => bgpd.gateways(P) !== undefined && bgpd.gateways(Q) !== undefined, PATIENCE);
  await peer.establish();
  await eventually('it is told of one', () => announced(peer.messages).includes(Q), PATIENCE);
  expect(announced(peer.messages)).not.toContain(P);
  peer.close();
  peer = new ExchangePeer(port, 9);
  const longLived = [{ family: 4, preserved: true, staleSeconds: 60 }] as const;
  await peer.establish({ gracefulRestart: GRACEFUL, longLived });
  await eventually(
    'it is told of both',
    () => [P, Q].every((each) => announced(peer.messages).includes(each)),
    PATIENCE,
  );
  stale.close();
});

function isMark(message: Message, kind: 'begin' | 'end'): boolean {
  return message.type === 'route-refresh' && message.kind === kind;
}

function announced(messages: readonly Message[]): readonly string[] {
  return messages.flatMap((message) => (message.type === 'update' ? message.update.announced : []));
}
