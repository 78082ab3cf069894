// felix as a process on the real kernel: what it programs, what it repairs and how fast.
//
// And that a restart, however rude, changes nothing: `ip monitor` watches.

import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { ecmpGroup, endOf, FelixNode, localGroup, vtepGroup } from './felix-node.ts';

/** Repairs take some milliseconds; a busy machine may take its time. */
const REPAIR = { timeoutMs: 2_000, intervalMs: 2 };

let node: FelixNode;

beforeEach(async () => {
  node = await FelixNode.make();
});
afterEach(() => node.remove());

/** The feed of a node with two others, one ECMP group and one IPv6 group; served, and programmed by a felix. */
async function programmed(flags: readonly string[] = []): Promise<void> {
  const { feed } = node;
  feed.setGroup(localGroup(1));
  feed.setRoutes(1, [prefix('10.5.1.0/24'), prefix('fd00:5:1::/64')]);
  for (const id of [2, 3]) {
    feed.setGroup(vtepGroup(id));
    feed.setRoutes(id, [prefix(`10.5.${id}.0/24`)]);
  }
  feed.setGroup(ecmpGroup(4, '192.0.2.2', '192.0.2.3'));
  feed.setRoutes(4, [prefix('10.5.4.0/24'), prefix('10.5.5.0/24')]);
  feed.setGroup(ecmpGroup(5, '2001:db8::2', '2001:db8::3'));
  feed.setRoutes(5, [prefix('fd00:5:5::/64')]);
  feed.markInSync();
  await node.serve();
  node.startFelix(flags);
  await node.ready();
}

describe('felix on the real kernel', () => {
  it('programs VTEP, ECMP and blackhole routes of both families, and turns on forwarding', async () => {
    await node.run('sysctl -q -w net.ipv4.ip_forward=0');
    await programmed();
    expect(await node.routes()).toEqual([
      expect.objectContaining({ dst: '10.5.1.0/24', type: 'blackhole', metric: 32767 }),
      expect.objectContaining({ dst: '10.5.2.0/24', gateway: '10.5.2.0', dev: 'flannel.1', flags: ['onlink'] }),
      expect.objectContaining({ dst: '10.5.3.0/24', gateway: '10.5.3.0', dev: 'flannel.1', flags: ['onlink'] }),
      ...['10.5.4.0/24', '10.5.5.0/24'].map((dst) =>
        expect.objectContaining({
          dst,
          nexthops: [
            expect.objectContaining({ gateway: '192.0.2.2', dev: 'u0', weight: 3 }),
            expect.objectContaining({ gateway: '192.0.2.3', dev: 'u0', weight: 1 }),
          ],
        }),
      ),
    ]);
    expect(await node.routes(6)).toEqual([
      expect.objectContaining({ dst: 'fd00:5:1::/64', type: 'blackhole', metric: 32767 }),
      expect.objectContaining({ dst: 'fd00:5:5::/64', nexthops: [expect.anything(), expect.anything()] }),
    ]);
    expect((await node.run('sysctl -n net.ipv4.ip_forward')).trim()).toBe('1');
    expect((await node.run('sysctl -n net.ipv6.conf.all.forwarding')).trim()).toBe('1');
    expect((await stat(join(node.runFolder, 'felix.http'))).mode & 0o777).toBe(0o600);
    const status = JSON.parse((await node.http('/status')).body) as { routes: object; nexthops: object };
    expect(status.routes).toMatchObject({ wanted: 7, programmed: 7, waiting: 0, refused: 0 });
    expect(status.nexthops).toEqual({ objects: true, hops: 6, inKernel: 10 });
  });

  it('a group that loses a next hop costs two kernel messages for all its routes', async () => {
    await programmed();
    const routes = Array.from({ length: 500 }, (_, i) => prefix(`10.${6 + (i >> 8)}.${i & 255}.0/24`));
    node.feed.setRoutes(4, routes);
    await eventually('all are programmed', async () => (await node.metric('routes_programmed')) === 507);
    const writes = 'kernel_writes_total{kind="nexthop",op="put"}';
    const before = {
      routes: await node.metric('kernel_writes_total{kind="route",op="put"}'),
      nexthops: await node.metric(writes),
    };
    const cause = {
      id: 'test-1-1',
      kind: 'peer-down',
      detectedUnixUs: BigInt(Date.now()) * 1000n,
      decidedUnixUs: BigInt(Date.now()) * 1000n,
    };
    node.feed.setGroup(ecmpGroup(4, '192.0.2.3'), cause);
    await eventually('the group has one next hop', async () =>
      (await node.routes()).every(({ dst, gateway }) => !dst.startsWith('10.6.') || gateway === '192.0.2.3'),
    );
    await eventually('the pass is over', () => node.logged.some((line) => line['cause'] === 'test-1-1'));
    expect(await node.metric(writes)).toBe((before.nexthops ?? 0) + 1);
    expect(await node.metric('kernel_writes_total{kind="route",op="put"}')).toBe(before.routes);
    const line = node.logged.find((each) => each['cause'] === 'test-1-1');
    expect(line).toMatchObject({
      msg: 'fib changed',
      kind: 'peer-down',
      nexthopsPut: 1,
      nexthopsDeleted: 1,
      routesPut: 0,
    });
    expect(line?.['totalUs']).toBeTypeOf('number');
    expect(await node.metric('failure_to_fib_seconds_count{stage="total"}')).toBe(1);
    // An unused hop is gone; what is left is what is used.
    expect(await node.ip('nexthop show proto 71')).not.toContain('192.0.2.2 ');
  });

  it.each([
    ['a deleted route', 'route del 10.5.2.0/24'],
    ['a deleted ECMP route', 'route del 10.5.4.0/24'],
    ['a deleted IPv6 route', '-6 route del fd00:5:5::/64'],
    ['a deleted blackhole', 'route del blackhole 10.5.1.0/24'],
    ['a route replaced by another program', 'route replace 10.5.2.0/24 via 192.0.2.9'],
    ['a route modified in place', 'route replace 10.5.3.0/24 via 192.0.2.9 proto 71'],
    ['an IPv6 route modified in place', '-6 route replace fd00:5:5::/64 via 2001:db8::9 proto 71'],
    ['an added route with our protocol', 'route add 10.99.0.0/16 via 192.0.2.9 proto 71'],
    ['an added route in another table', 'route add 10.99.0.0/16 via 192.0.2.9 table 77 proto 71'],
    ['another device', 'route replace 10.5.2.0/24 via 10.5.2.0 dev u0 onlink proto 71'],
    ['another MTU', 'route replace 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink mtu 1300 proto 71'],
    ['another source address', 'route replace 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink src 10.5.1.0 proto 71'],
    ['a second route of another metric', 'route add 10.5.2.0/24 via 192.0.2.9 metric 5 proto 71'],
    ['another route type', 'route replace unreachable 10.5.2.0/24 proto 71'],
    ['an added nexthop object', 'nexthop add id 4711 via 192.0.2.9 dev u0 proto 71'],
  ])('repairs %s', async (_, change) => {
    await programmed();
    const before = await node.fib();
    const startedMs = performance.now();
    await node.ip(change);
    await eventually('it is as before', async () => (await node.fib()) === before, REPAIR);
    const tookMs = performance.now() - startedMs;
    console.info(`repaired "ip ${change}" within ${tookMs.toFixed(0)} ms, the listings of the test included`);
    expect((await node.http('/metrics')).body).toMatch(/repaired_total\{object="(route|nexthop)",kind="\w+"\} [1-9]/);
  });

  it('leaves 10,000 routes of others alone, and is not kept from its work by them', async () => {
    await programmed();
    const before = await node.fib();
    const file = join(node.runFolder, 'foreign');
    const lines = Array.from(
      { length: 10_000 },
      (_, i) => `route add 30.0.${i >> 8}.${i & 255}/32 via 192.0.2.9 proto 99`,
    );
    await writeFile(file, `${lines.join('\n')}\n`);
    await node.run(`ip -batch ${file}`);
    await node.ip('route del 10.5.2.0/24');
    await eventually('it is as before', async () => (await node.fib()) === before, REPAIR);
    expect((await node.ip('route show proto 99')).trim().split('\n')).toHaveLength(10_000);
    expect(await node.metric('kernel_writes_total{kind="route",op="delete"}')).toBe(0);
  });

  it('repairs what the kernel removes in silence: all nexthop objects deleted by hand', async () => {
    await programmed();
    const before = await node.fib();
    await node.ip('nexthop flush proto 71');
    await eventually('it is as before', async () => (await node.fib()) === before, REPAIR);
  });

  it('puts the routes back when their device was down, and when it was made anew', async () => {
    await programmed();
    const before = await node.fib();
    await node.ip('link set flannel.1 down');
    await eventually('the routes wait', async () => (await node.metric('routes_failed{reason="waiting"}')) === 2);
    expect((await node.http('/readyz')).status).toBe(200);
    await node.ip('link set flannel.1 up');
    await eventually('it is as before', async () => (await node.fib()) === before, REPAIR);
    await node.ip('link del flannel.1');
    await eventually('the routes wait', async () => (await node.metric('routes_failed{reason="waiting"}')) === 2);
    await node.makeVtep();
    await eventually('it is as before', async () => (await node.fib()) === before, REPAIR);
    expect(node.logged.filter(({ msg }) => msg.includes('refused'))).toEqual([]);
  });

  it('touches no route of others, and gives way to one that has the key of a wanted route', async () => {
    await node.ip('route add 10.5.3.0/24 via 192.0.2.77 proto static');
    await node.ip('route add 10.5.2.0/24 via 192.0.2.77 metric 9 proto static');
    await node.ip('nexthop add id 9 via 192.0.2.77 dev u0');
    const others = await node.ip('route show proto static');
    const { feed } = node;
    for (const id of [2, 3]) {
      feed.setGroup(vtepGroup(id));
      feed.setRoutes(id, [prefix(`10.5.${id}.0/24`)]);
    }
    feed.markInSync();
    await node.serve();
    node.startFelix();
    await node.ready();
    expect((await node.routes()).map(({ dst }) => dst)).toEqual(['10.5.2.0/24']);
    expect(await node.ip('route show proto static')).toBe(others);
    expect(await node.ip('nexthop show id 9')).toContain('192.0.2.77');
    await node.ip('route del 10.5.3.0/24 proto static');
    await eventually('the wanted route is there', async () => node.hasRoute('10.5.3.0/24'), REPAIR);
  });
});

describe('a restart of felix', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('by %s changes nothing in the kernel', async (signal) => {
    await programmed();
    // In-place changes, so that ids do not simply follow from the content.
    node.feed.setGroup(ecmpGroup(4, '192.0.2.3', '192.0.2.4'));
    await eventually('the change is there', async () => (await node.fib()).includes('192.0.2.4'));
    const before = await node.fib();
    const monitor = await node.monitor();
    const stoppedMs = performance.now();
    const code = await node.endFelix(signal);
    expect(performance.now() - stoppedMs).toBeLessThan(2_000);
    expect(code).toBe(signal === 'SIGTERM' ? 0 : null);
    node.startFelix();
    await node.ready();
    expect(await monitor.stop()).toEqual([]);
    expect(await node.fib()).toBe(before);
  });

  it('removes what went stale meanwhile, and only after the feed is in sync', async () => {
    await programmed();
    await node.endFelix('SIGKILL');
    await node.endFeed();
    node.feed = new FeedTable();
    node.feed.setGroup(vtepGroup(2));
    node.feed.setRoutes(2, [prefix('10.5.2.0/24')]);
    await node.serve();
    const before = await node.fib();
    const monitor = await node.monitor();
    node.startFelix();
    await eventually('felix has the feed', () => node.logged.some(({ msg }) => msg.includes('nexthop objects')));
    await eventually('and its routes', async () => {
      const { feed } = JSON.parse((await node.http('/status')).body) as { feed: { state: string; routes: number } };
      return feed.state === 'syncing' && feed.routes === 1;
    });
    expect((await node.http('/readyz')).status).toBe(503);
    expect(await node.fib()).toBe(before);
    node.feed.markInSync();
    await node.ready();
    expect((await node.routes()).map(({ dst }) => dst)).toEqual(['10.5.2.0/24']);
    expect(await node.routes(6)).toEqual([]);
    // The route that stayed was not written again.
    const told = await monitor.stop();
    expect(told.filter((line) => !line.startsWith('Deleted') && line.includes('10.5.2.0/24'))).toEqual([]);
  });

  it('a feed that is away changes nothing; its daemon that comes back empty is believed only with its marker', async () => {
    await programmed();
    const before = await node.fib();
    await node.endFeed();
    await eventually('stale', async () => (await node.metric('feed_state{feed="flanneld",state="stale"}')) === 1);
    expect((await node.http('/readyz')).status).toBe(503);
    node.feed = new FeedTable();
    await node.serve();
    await eventually('syncing', async () => (await node.metric('feed_state{feed="flanneld",state="syncing"}')) === 1);
    expect(await node.fib()).toBe(before);
    node.feed.markInSync();
    await eventually('empty', async () => (await node.fib()) === '');
  });
});

describe('what felix cannot do', () => {
  it('without NET_ADMIN it says so on one line and ends with 4', async () => {
    const child = node.startFelix([], ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin']);
    expect(await endOf(child)).toBe(4);
    expect(node.logged).toContainEqual(
      expect.objectContaining({ level: 60, exitCode: 4, msg: expect.stringContaining('NET_ADMIN') }),
    );
  });

  it('without a feed it waits, and says so in /readyz', async () => {
    node.startFelix();
    const body = await eventually('an answer', async () => (await node.http('/readyz')).body, { timeoutMs: 15_000 });
    expect(JSON.parse(body)).toMatchObject({ ready: false });
    expect(body).toContain('flanneld-feed');
  });
});
