// Graceful restart, drain and reflection with real bgpd processes: what the nodes' feeds say meanwhile, at every moment.
// What the cluster is made of: bgpd-cluster.ts.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { BgpdCluster, type BgpdNode, manyPrefixes } from './bgpd-cluster.ts';

const PREFIXES = manyPrefixes(500);
const ANYCAST = prefix('10.99.0.0/24');
const KEEPS = ['--graceful-restart-for=any'];
const START = { timeoutMs: 30_000, intervalMs: 20 };

let cluster: BgpdCluster;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
});

afterEach(() => cluster.stop());

test.each(['SIGKILL', 'SIGTERM'] as const)('a restart by %s loses no route on any node', async (signal) => {
  const [a, b] = await pair();
  const lost = losses(a);
  await b.kill(signal);
  await eventually('a has noticed', async () => (await a.status()).peers[0]?.state !== 'Established', START);
  expect(a.view.routeCount).toBe(PREFIXES.length);
  expect((await a.status()).peers).toMatchObject([{ staleFamilies: [4, 6] }]);
  // What is not sent again goes at END-OF-RIB, and only that.
  b.flanneld.withdraw(PREFIXES.slice(0, 1));
  b.start();
  await eventually('a has what b announces now', () => a.view.routeCount === PREFIXES.length - 1, START);
  await eventually('b is in sync', () => b.view.synced, START);
  await eventually('nothing is stale', async () => (await a.status()).peers[0]?.staleFamilies?.length === 0, START);
  expect([...lost]).toEqual(PREFIXES.slice(0, 1));
});

test('it never comes back: its routes go when its restart time is up', async () => {
  const [a, b] = await pair(['--graceful-restart-seconds=1']);
  await b.kill('SIGKILL');
  const killedAtMs = performance.now();
  await eventually('a has dropped them', () => a.view.routeCount === 0, START);
  expect(performance.now() - killedAtMs).toBeGreaterThan(800);
});

test('its next hop dies meanwhile: its routes go at once, and do not come back with the next hop', async () => {
  const [a, b] = await pair();
  await b.kill('SIGKILL');
  await eventually('a has noticed', async () => (await a.status()).peers[0]?.state !== 'Established', START);
  a.removeWay(3);
  await eventually('a has dropped them', () => a.view.routeCount === 0, START);
  a.setWay(3);
  a.originate([ANYCAST]);
  await eventually('a has dealt with it', () => a.gateways(ANYCAST) !== undefined, START);
  expect(a.view.routeCount).toBe(1);
});

test('drained: traffic moves to the other node before the routes go, and at no moment is there none', async () => {
  const nodes = [cluster.node(2, [3, 4]), cluster.node(3, [2, 4]), cluster.node(4, [2, 3])];
  const [a, b, c] = (await Promise.all(nodes)) as [BgpdNode, BgpdNode, BgpdNode];
  for (const node of [b, c]) node.originate([ANYCAST]);
  await eventually('a has both', () => a.gateways(ANYCAST)?.length === 2, START);
  const lost = losses(a);
  await b.post('/drain');
  await eventually('a uses the other', () => a.gateways(ANYCAST)?.join() === '10.5.4.0', START);
  await b.post('/undrain');
  await eventually('a has both again', () => a.gateways(ANYCAST)?.length === 2, START);
  await b.post('/drain');
  await eventually('a uses the other', () => a.gateways(ANYCAST)?.join() === '10.5.4.0', START);
  await b.kill('SIGTERM');
  await eventually('b is forgotten', async () => (await a.status()).peers.length === 1, START);
  expect(lost.size).toBe(0);
});

test('a reflector: clients have one session each and everybody has every route, with equal paths', async () => {
  const others = (own: number): number[] => [2, 3, 4, 5].filter((number) => number !== own);
  const reflector = await cluster.node(2, others(2), ['--reflector']);
  await reflector.ready();
  const clients = await Promise.all([3, 4, 5].map((number) => cluster.node(number, others(number))));
  for (const [i, client] of clients.entries()) client.originate([prefix(`10.5.${i + 3}.0/24`)]);
  for (const client of clients) {
    await eventually(`${client.name} has all routes`, () => client.view.routeCount === 3, START);
    expect((await client.status()).peers.map(({ node }) => node)).toEqual(['node2']);
  }
  expect(clients[0]?.gateways('10.5.5.0/24')).toEqual(['10.5.5.0']);
  expect((await reflector.status()).peers).toHaveLength(3);
});

test('two clusters, one of them with two reflectors: every route everywhere, and one reflector dies without loss', async () => {
  const [one, two] = ['10.0.0.1', '10.0.0.2'];
  const all = [2, 3, 4, 5, 6];
  const others = (own: number): number[] => all.filter((number) => number !== own);
  const add = (number: number, ...flags: readonly string[]): Promise<BgpdNode> => {
    return cluster.node(number, others(number), ['--graceful-restart-seconds=0', ...flags]);
  };
  const reflectors = await Promise.all([
    add(2, '--reflector', `--cluster-id=${one}`),
    add(3, '--reflector', `--cluster-id=${one}`),
    add(4, '--reflector', `--cluster-id=${two}`),
  ]);
  await Promise.all(reflectors.map((reflector) => reflector.ready()));
  const [b, c] = await Promise.all([add(5, `--cluster-id=${one}`), add(6, `--cluster-id=${two}`)]);
  b.originate([prefix('10.5.5.0/24')]);
  c.originate([prefix('10.5.6.0/24')]);
  for (const node of [b, c]) await eventually(`${node.name} has both`, () => node.view.routeCount === 2, START);
  const sessions = await Promise.all([b, c].map(async (node) => (await node.status()).peers.map((peer) => peer.node)));
  expect(sessions.map((names) => names.toSorted())).toEqual([['node2', 'node3'], ['node4']]);
  const candidates = async (): Promise<number | undefined> => {
    const explained = JSON.parse(await b.post('/explain?prefix=10.5.6.0/24')) as { candidates?: unknown[] };
    return explained.candidates?.length;
  };
  await eventually('b has it from both', async () => (await candidates()) === 2, START);
  // What the two tell each other has passed both: no mistake of anybody (RFC 4456 section 8).
  for (const [at, other] of [
    [0, 'node3'],
    [1, 'node2'],
  ] as const) {
    const said = async () => (await reflectors[at].status()).peers.find(({ node }) => node === other);
    await eventually(
      `the loop through ${other} is refused`,
      async () => ((await said())?.updatesLooped ?? 0) > 0,
      START,
    );
    expect((await said())?.updatesFlawed).toBe(0);
  }
  const lost = [losses(b), losses(c)];
  await reflectors[0].kill('SIGKILL');
  await eventually('b has noticed', async () => (await candidates()) === 1, START);
  expect(lost.map(({ size }) => size)).toEqual([0, 0]);
});

test('long-lived: after the restart time its routes are the last choice, and still there; back, they are as before', async () => {
  const flags = [...KEEPS, '--graceful-restart-seconds=1', '--long-lived-stale-seconds=3600'];
  const nodes = [cluster.node(2, [3, 4], flags), cluster.node(3, [2, 4], flags), cluster.node(4, [2, 3], flags)];
  const [a, b, c] = (await Promise.all(nodes)) as [BgpdNode, BgpdNode, BgpdNode];
  b.originate([...PREFIXES, ANYCAST]);
  await eventually('a has the routes', () => a.view.routeCount === PREFIXES.length + 1, START);
  await Promise.all([a.ready(), b.ready(), c.ready()]);
  const lost = losses(a);
  const stateOfB = async () => (await a.status()).peers.find(({ node }) => node === 'node3');
  await b.kill('SIGKILL');
  await eventually('they are long-lived', async () => (await stateOfB())?.longLivedFamilies?.length === 2, START);
  expect(await a.post(`/explain?prefix=${ANYCAST}`)).toContain('65535:6');
  c.originate([ANYCAST]);
  await eventually('any other path wins', () => a.gateways(ANYCAST)?.join() === '10.5.4.0', START);
  b.start();
  await eventually('nothing is stale', async () => (await stateOfB())?.staleFamilies?.length === 0, START);
  await eventually('a has both', () => a.gateways(ANYCAST)?.length === 2, START);
  expect(lost.size).toBe(0);
});

/** With `any`, for a process that is killed announces nothing. */
async function pair(flags: readonly string[] = []): Promise<readonly [BgpdNode, BgpdNode]> {
  const [a, b] = await Promise.all([
    cluster.node(2, [3], [...KEEPS, ...flags]),
    cluster.node(3, [2], [...KEEPS, ...flags]),
  ]);
  b.originate(PREFIXES);
  await eventually('a has the routes', () => a.view.routeCount === PREFIXES.length, START);
  if (flags.length > 0) return [a, b];
  await Promise.all([a.ready(), b.ready()]);
  return [a, b];
}

/** Prefixes that the node's feed has lost at any moment from now on. */
function losses(node: BgpdNode): ReadonlySet<string> {
  const lost = new Set<string>();
  node.onChange = ({ prefixes }) => {
    for (const each of prefixes) if (node.view.groupOf(each) === undefined) lost.add(each);
  };
  return lost;
}
