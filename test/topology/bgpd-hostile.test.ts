// A live bgpd and a hostile peer that the test plays over gRPC: every UPDATE of the table gets its verdict, and the daemon
// lives on. No sleeps: a sentinel route that comes after each message tells that the message was dealt with.

import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { MessageSchema } from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import { eventually } from '../eventually.ts';
import {
  HOSTILE_FIRST,
  HOSTILE_IN_CONTEXT,
  HOSTILE_MESSAGES,
  HOSTILE_UPDATES,
  type HostileCase,
  type HostileVerdict,
} from '../unit/bgpd/session/hostile-messages.ts';
import { BgpdCluster, type BgpdNode } from './bgpd-cluster.ts';
import { ExchangePeer } from './exchange-peer.ts';

const isOpen = ({ message }: HostileCase): boolean => message.body?.case === 'open';
const isEnd = ({ message }: HostileCase): boolean => message.body?.case === 'notification';
const [OPENS, OTHERS] = [HOSTILE_MESSAGES.filter(isOpen), HOSTILE_MESSAGES.filter((each) => !isOpen(each))];
const FIRST = [...HOSTILE_FIRST, ...OPENS];
const ESTABLISHED = [...HOSTILE_UPDATES, ...HOSTILE_IN_CONTEXT, ...OTHERS];
const TARGET = prefix('10.5.9.0/24');
const PATIENCE = { timeoutMs: 15_000, intervalMs: 2 };

let cluster: BgpdCluster;
let bgpd: BgpdNode;
let port: number;
let evil: ExchangePeer;
let sentinels = 0;

beforeAll(async () => {
  cluster = await BgpdCluster.start();
  bgpd = await cluster.node(2, [9]);
  // Nobody listens there: it dials, bgpd cannot.
  const b = { name: 'b', address: '127.0.0.8', port: 1, asn: 64_512, routerId: '10.0.0.2' };
  await cluster.etcd.ctl('put', '/gingham/nodes/b', JSON.stringify(b));
  port = await ExchangePeer.register(cluster, bgpd, 9);
  evil = await connected();
});

afterAll(async () => {
  evil.close();
  await cluster.stop();
});

test('the table is long enough', () => {
  expect(FIRST.length + ESTABLISHED.length).toBeGreaterThanOrEqual(75);
});

test.each(FIRST)('first: $name', async ({ message, verdict }) => {
  const peer = new ExchangePeer(port, 9);
  peer.sendRaw(create(MessageSchema, message));
  if (typeof verdict === 'object') {
    await eventually('it is ended', () => peer.ended, PATIENCE);
    expect(peer.got.at(-1)).toMatchObject({ case: 'notification', value: verdict });
  } else {
    await eventually('it is confirmed', () => peer.got.some(({ case: type }) => type === 'keepalive'), PATIENCE);
  }
  peer.close();
  // The session of the other peer is none the worse.
  await dealtWith();
});

test.each(ESTABLISHED)('established: $name', async (hostile) => {
  const { message, verdict } = hostile;
  if (evil.ended) evil = await connected();
  evil.announce([TARGET]);
  await dealtWith();
  expect(bgpd.gateways(TARGET)).toEqual(['10.5.9.0']);
  evil.sendRaw(create(MessageSchema, message));
  if (typeof verdict === 'object') {
    await eventually('the session is reset', () => evil.ended, PATIENCE);
    expect(evil.got.at(-1)).toMatchObject({ case: 'notification', value: verdict });
    await eventually('its routes are gone', () => bgpd.gateways(TARGET) === undefined, PATIENCE);
    return;
  }
  if (isEnd(hostile)) {
    await eventually('the session is over', () => evil.ended, PATIENCE);
    return;
  }
  await dealtWith();
  if (verdict === 'withdraw' || verdict === 'loop') expect(bgpd.gateways(TARGET)).toBeUndefined();
  expect(evil.ended).toBe(false);
});

test('it is all counted, and the daemon is as ready as ever', async () => {
  const count = (of: HostileVerdict): number => ESTABLISHED.filter(({ verdict }) => verdict === of).length;
  const metrics = await bgpd.http('/metrics');
  expect(metrics).toMatch(new RegExp(`gingham_bgpd_updates_flawed_total ${count('withdraw')}\\b`));
  expect(metrics).toMatch(new RegExp(`gingham_bgpd_updates_looped_total ${count('loop')}\\b`));
  expect((await bgpd.status()).peers.map(({ node }) => node).toSorted()).toEqual(['b', 'node9']);
});

async function connected(): Promise<ExchangePeer> {
  const fresh = new ExchangePeer(port, 9);
  await fresh.establish();
  return fresh;
}

/** All that was sent before has been dealt with: a route that comes after it is there. */
async function dealtWith(): Promise<void> {
  const sentinel = prefix(`10.77.${sentinels++ & 255}.0/24`);
  evil.announce([sentinel]);
  await eventually(`the sentinel ${sentinel} is there`, () => bgpd.gateways(sentinel) !== undefined, PATIENCE);
}
