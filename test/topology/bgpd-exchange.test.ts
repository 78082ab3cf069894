// Real bgpd processes exchange routes over gRPC: two and three of them, with an etcd and flannelds that the test plays.
// What the cluster is made of: bgpd-cluster.ts.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Cause } from '../../lib/feed/feed.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { EXIT } from '../../lib/run/exit.ts';
import { eventually } from '../eventually.ts';
import { BgpdCluster, type BgpdNode, manyPrefixes } from './bgpd-cluster.ts';

const A = prefix('10.5.2.0/24');
const B = prefix('10.5.3.0/24');

/** Without graceful restart: what is gone is gone. With it: bgpd-graceful.test.ts. */
const AT_ONCE = ['--graceful-restart-seconds=0'];

/** Processes start slowly on a busy machine. */
const START = { timeoutMs: 30_000, intervalMs: 20 };

let cluster: BgpdCluster;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
});

afterEach(() => cluster.stop());

describe('two nodes', () => {
  let a: BgpdNode;
  let b: BgpdNode;

  beforeEach(async () => {
    [a, b] = await Promise.all([cluster.node(2, [3], AT_ONCE), cluster.node(3, [2], AT_ONCE)]);
    a.originate([A]);
    b.originate([B]);
    await hasRoutes(a, b);
  });

  test('announce, withdraw, announce again; own subnet as a blackhole', async () => {
    expect(a.gateways(A)).toEqual([]);
    b.withdraw([B]);
    await eventually('a has lost the route', () => a.gateways(B) === undefined);
    b.originate([B]);
    await eventually('a has it again', () => a.gateways(B)?.join() === '10.5.3.0');
  });

  test('kill -9: withdrawn at once; restarted: back, without help', async () => {
    await a.ready();
    const killedAtMs = performance.now();
    const gone = new Promise<number>((resolve) => {
      a.onChange = ({ prefixes }) => prefixes.includes(B) && resolve(performance.now());
    });
    await b.kill('SIGKILL');
    const tookMs = (await gone) - killedAtMs;
    console.log(`kill -9 to withdrawn in the other node's feed: ${tookMs.toFixed(1)} ms`);
    expect(a.gateways(B)).toBeUndefined();
    expect(tookMs).toBeLessThan(1_000);
    b.start();
    await hasRoutes(a, b);
    await b.ready();
  });

  test('SIGTERM: the peer is told why, the record is gone from etcd, exit code 0 in under 2 s', async () => {
    const startedMs = performance.now();
    expect(await b.kill('SIGTERM')).toBe(EXIT.ok);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    await eventually('a has lost the route', () => a.gateways(B) === undefined);
    expect(a.output).toContain('the peer sent Cease, administrative shutdown: bgpd of node3 is stopping');
    expect(await cluster.etcd.ctl('get', '--keys-only', '--prefix', '/gingham/nodes/')).not.toContain('node3');
    await eventually('the peer is forgotten', async () => (await a.status()).peers.length === 0);
  });

  test('a restart does not say "in sync" before it has the routes again, and changes none of them', async () => {
    const before = [...a.view.routes()].length;
    let lost = 0;
    a.onChange = ({ prefixes }) => {
      lost += prefixes.filter((each) => a.view.groupOf(each) === undefined).length;
    };
    await a.kill('SIGKILL');
    a.start();
    await eventually('its feed is in sync again', () => a.view.synced, START);
    expect([lost, [...a.view.routes()].length]).toEqual([0, before]);
  });

  test('etcd goes away: sessions and routes stay, new routes still come, readiness says from memory', async () => {
    await a.ready();
    await cluster.etcd.kill();
    await eventually('a has noticed', async () => (await a.http('/readyz')).includes('from-memory'), START);
    b.originate([prefix('10.6.0.0/24')]);
    await eventually('a has the new route', () => a.gateways('10.6.0.0/24')?.join() === '10.5.3.0');
    expect(JSON.parse(await a.http('/readyz'))).toMatchObject({ ready: true });
    await cluster.etcd.start();
    await eventually('a is current again', async () => !(await a.http('/readyz')).includes('from-memory'), START);
    expect((await a.status()).peers).toMatchObject([{ state: 'Established', sessions: 1 }]);
  });

  test('the way to the other node is lost and found: withdrawn and back, the session stays', async () => {
    a.removeWay(3);
    await eventually('a has lost the route', () => a.gateways(B) === undefined);
    a.setWay(3, '10.5.33.0');
    await eventually('a has it by another gateway', () => a.gateways(B)?.join() === '10.5.33.0');
    expect((await a.status()).peers).toMatchObject([{ state: 'Established', sessions: 1 }]);
  });

  test('a cause travels from the other flanneld to this feed', async () => {
    const cause: Cause = { id: 'flanneld-1-1', kind: 'lease-added', detectedUnixUs: 7n, decidedUnixUs: 8n };
    const seen = new Promise<Cause | undefined>((resolve) => {
      a.onChange = (_, why) => resolve(why);
    });
    b.originate([prefix('10.6.0.0/24')], cause);
    expect(await seen).toMatchObject({ id: 'flanneld-1-1', kind: 'lease-added', detectedUnixUs: 7n });
    expect((await seen)?.decidedUnixUs).toBeGreaterThan(1_700_000_000_000_000n);
  });
});

describe('three nodes', () => {
  test('one prefix from two nodes: both next hops; one dies: the other, in place', async () => {
    const nodes = await Promise.all([
      cluster.node(2, [3, 4], AT_ONCE),
      cluster.node(3, [2, 4], AT_ONCE),
      cluster.node(4, [2, 3], AT_ONCE),
    ]);
    const [a, b, c] = nodes;
    const anycast = prefix('10.99.0.0/24');
    b.originate([anycast]);
    c.originate([anycast]);
    await eventually('a has both', () => a.gateways(anycast)?.join() === '10.5.3.0,10.5.4.0', START);
    const group = a.view.groupOf(anycast);
    await b.kill('SIGKILL');
    await eventually('a has the other', () => a.gateways(anycast)?.join() === '10.5.4.0');
    expect(a.view.groupOf(anycast)).toBe(group);
    const { list } = (await a.status()).routes;
    expect(list.find((each) => each.prefix === anycast)).toMatchObject({
      nextHops: ['127.0.0.4'],
      reason: 'only path',
    });
  });
});

test('two nodes of one name: the second gives up and names the first', async () => {
  const first = await cluster.node(2, []);
  await first.ready();
  const second = await cluster.node(3, [], ['--node-name=node2']);
  expect(await second.exit()).toBe(EXIT.conflict);
  expect(second.output).toMatch(/node name node2 is in use.*127\.0\.0\.2/);
});

test('two nodes of one router id: both say so, and have no session', async () => {
  const [a, b] = await Promise.all([
    cluster.node(2, [3], ['--router-id=10.9.9.9']),
    cluster.node(3, [2], ['--router-id=10.9.9.9']),
  ]);
  for (const [node, other] of [
    [a, 'node3'],
    [b, 'node2'],
  ] as const) {
    await eventually('it is said', async () => (await node.http('/readyz')).includes(`is that of ${other} too`), START);
  }
  const refused = async () => (await a.status()).peers[0]?.whyDown?.includes('bad router id');
  await eventually('the session is refused for it', refused, START);
});

test('a malformed record of another node: skipped, counted, the others work', async () => {
  await cluster.etcd.ctl('put', '/gingham/nodes/evil', '{"name":"evil","address":"nowhere"}');
  const [a, b] = await Promise.all([cluster.node(2, [3]), cluster.node(3, [2])]);
  a.originate([A]);
  b.originate([B]);
  await hasRoutes(a, b);
  expect(await a.http('/metrics')).toContain('gingham_bgpd_node_records_malformed_total 1');
  expect(a.output).toContain('a node record is malformed: skipped');
});

test('external peers: AS path and no way around a loop', async () => {
  const [a, b] = await Promise.all([cluster.node(2, [3], ['--asn=65001']), cluster.node(3, [2], ['--asn=65002'])]);
  a.originate([A]);
  b.originate([B]);
  await hasRoutes(a, b);
});

test('an address that cannot be listened on: one line, exit code 4', async () => {
  const node = await cluster.node(2, [], ['--listen-address=192.0.2.1']);
  expect(await node.exit()).toBe(EXIT.environment);
  expect(node.output).toMatch(/cannot listen on 192\.0\.2\.1 port 0 \(--listen-address, --listen-port\)/);
});

test('no flanneld yet: it waits and says for what', async () => {
  const node = await cluster.node(2, []);
  await node.end();
  node.start();
  await eventually(
    'it says so',
    async () => (await node.http('/readyz')).includes('no --address, and no local group'),
    START,
  );
  expect(JSON.parse(await node.http('/readyz'))).toMatchObject({ ready: false });
});

test('100,000 routes: time, memory, and no session that flaps', async () => {
  const flags = ['--hold-time-seconds=9', ...AT_ONCE];
  const [a, b] = await Promise.all([cluster.node(2, [3], flags), cluster.node(3, [2], flags)]);
  await Promise.all([a.ready(), b.ready()]);
  const prefixes = manyPrefixes(100_000);
  const announcedMs = await timed(a, prefixes.length, () => b.originate(prefixes));
  for (let i = 0; i < 5; i++) {
    await timed(a, 0, () => b.withdraw(prefixes));
    await timed(a, prefixes.length, () => b.originate(prefixes));
  }
  expect((await a.status()).peers).toMatchObject([{ state: 'Established', sessions: 1 }]);
  const [receiverMb, senderMb] = await Promise.all([a.peakRssMb(), b.peakRssMb()]);
  const withdrawnMs = await timed(a, 0, () => b.kill('SIGKILL'));
  const restartedMs = await timed(a, prefixes.length, () => b.start());
  console.log(
    JSON.stringify({ routes: prefixes.length, announcedMs, withdrawnMs, restartedMs, receiverMb, senderMb }, rounded),
  );
  expect((await a.status()).peers).toMatchObject([{ state: 'Established', routesReceived: prefixes.length }]);
});

/** Milliseconds from `cause` until the node's feed has `count` routes. */
async function timed(node: BgpdNode, count: number, cause: () => unknown): Promise<number> {
  const startedMs = performance.now();
  const done = new Promise<number>((resolve) => {
    node.onChange = () => node.view.routeCount === count && resolve(performance.now() - startedMs);
  });
  cause();
  return await done;
}

function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value) : value;
}

/** Both have the other's route, over the tunnel. */
async function hasRoutes(a: BgpdNode, b: BgpdNode): Promise<void> {
  await eventually('a has the route to b', () => a.gateways(B)?.join() === '10.5.3.0', START);
  await eventually('b has the route to a', () => b.gateways(A)?.join() === '10.5.2.0', START);
}
