// What a peer says of itself in its OPEN, with a live bgpd: for what is it waited, and nothing is left of what it said before.
// The other side is played: exchange-peer.ts.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { localAttributes } from '../../bgpd/rib/attributes.ts';
import type { Capabilities } from '../../bgpd/session/message.ts';
import type { Family } from '../../lib/net/address.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { BgpdCluster, type BgpdNode, nodeAddress } from './bgpd-cluster.ts';
import { ExchangePeer } from './exchange-peer.ts';

const [P, Q, SIX] = [prefix('10.5.90.0/24'), prefix('10.5.91.0/24'), prefix('fd00:5:90::/64')];
const PATIENCE = { timeoutMs: 30_000, intervalMs: 5 };
const STORM_SESSIONS = 30;

let cluster: BgpdCluster;
let bgpd: BgpdNode;
let port: number;
let peers: ExchangePeer[];

beforeEach(async () => {
  peers = [];
  cluster = await BgpdCluster.start();
  bgpd = await cluster.node(2, [9], ['--sync-wait-seconds=3600']);
  port = await ExchangePeer.register(cluster, bgpd, 9);
});

afterEach(async () => {
  for (const peer of peers) peer.close();
  await cluster.stop();
});

test.each<{ promised: readonly Family[]; waitsForSix: boolean }>([
  { promised: [4], waitsForSix: false },
  { promised: [4, 6], waitsForSix: true },
])('END-OF-RIB promised for $promised, IPv4 sent: the feed waits for IPv6: $waitsForSix', async (row) => {
  const peer = await session(9, { gracefulRestart: graceful(row.promised) });
  peer.announce([P]);
  await eventually('its route is there', () => bgpd.gateways(P) !== undefined, PATIENCE);
  expect(bgpd.view.synced).toBe(false);
  peer.send({ type: 'end-of-rib', family: 4 });
  if (row.waitsForSix) {
    peer.announce([Q]);
    await eventually('the mark was dealt with', () => bgpd.gateways(Q) !== undefined, PATIENCE);
    expect(bgpd.view.synced).toBe(false);
    peer.send({ type: 'end-of-rib', family: 6 });
  }
  await eventually('the feed is in sync', () => bgpd.view.synced, PATIENCE);
});

test('a storm of sessions, each with other capabilities than the last: nothing of it stays, and nobody else loses anything', async () => {
  const at = nodeAddress(8);
  bgpd.setWay(8);
  await ExchangePeer.register(cluster, bgpd, 8);
  const steady = await session(8);
  steady.announce([Q]);
  await eventually('its route is there', () => bgpd.gateways(Q) !== undefined, PATIENCE);
  const lost = new Set<string>();
  bgpd.onChange = ({ prefixes }) => {
    for (const each of prefixes) if (bgpd.view.groupOf(each) === undefined) lost.add(each);
  };
  const longLived = [{ family: 4, preserved: true, staleSeconds: 60 }] as const;
  const storm: readonly Partial<Capabilities>[] = [
    { families: [4] },
    { families: [6] },
    { families: [4, 6], gracefulRestart: graceful([4]) },
    { families: [4], gracefulRestart: graceful([4, 6]), longLived },
    { families: [6], gracefulRestart: graceful([]), enhancedRefresh: true },
    { families: [4, 6], routeRefresh: false, longLived },
  ];
  for (let i = 0; i < STORM_SESSIONS; i++) {
    const capabilities = storm[i % storm.length] ?? {};
    const peer = await session(9, capabilities);
    peer.announce([P]);
    const attributes = { ...localAttributes(nodeAddress(9)), localPref: 100 };
    peer.send({ type: 'update', update: { family: 6, withdrawn: [], announced: [SIX], attributes } });
    peer.send({ type: 'route-refresh', family: capabilities.families?.[0] ?? 4, kind: 'request' });
    if (capabilities.families?.includes(4) === true) {
      await eventually('its route is there', () => bgpd.gateways(P) !== undefined, PATIENCE);
    }
    peer.close();
  }
  const routes = async () => (await bgpd.status()).routes.list.map((each) => each.prefix);
  await eventually('its routes are gone', async () => (await routes()).join() === Q, PATIENCE);
  expect([...lost]).toEqual([P]);
  const status = (await bgpd.status()).peers.find(({ node }) => node === 'node8');
  expect(status).toMatchObject({ state: 'Established', sessions: 1 });
  expect(bgpd.gateways(Q)?.join()).toBe(`10.5.${at.split('.').at(-1)}.0`);
});

async function session(number: number, capabilities: Partial<Capabilities> = {}): Promise<ExchangePeer> {
  const peer = new ExchangePeer(port, number);
  peers.push(peer);
  await peer.establish(capabilities);
  return peer;
}

function graceful(families: readonly Family[]): NonNullable<Capabilities['gracefulRestart']> {
  return { restarted: false, restartTimeSeconds: 60, families, preserved: families, notification: true };
}
