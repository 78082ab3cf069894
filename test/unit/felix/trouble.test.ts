// felix against the fake kernel when things go wrong: devices that go, writes that are refused, feeds that are lost.
//
// All being well: programming.test.ts; other writers and restarts: drift.test.ts.

import { describe, expect, it } from 'vitest';
import { countRoutes } from '../../../felix/status.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import type { Route } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';
import { ExitError } from '../../../lib/run/exit.ts';
import { FakeKernel } from '../../fakes/fake-kernel.ts';
import {
  ETH0,
  ecmpGroup,
  foreignRoute,
  forwarding,
  localGroup,
  meshFeed,
  nodeKernel,
  startBench,
  subnet,
  vtepGroup,
  written,
} from './felix-bench.ts';

describe('devices', () => {
  it('a route waits for a device that is not there, without an error', async () => {
    const kernel = new FakeKernel();
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle();
    expect(forwarding(kernel)).toEqual(['blackhole 10.5.1.0/24 metric 32767']);
    expect(countRoutes(bench.reconciler)).toMatchObject({ wanted: 2, programmed: 1, waiting: 1, refused: 0 });
    expect([...bench.reconciler.desired.plans()].map((plan) => plan.waitingFor)).toContain(
      'device flannel.1 does not exist',
    );
    kernel.addLink({ name: 'flannel.1', index: 9, up: true, running: true });
    await bench.settle();
    expect(forwarding(kernel)).toContain('10.5.2.0/24 metric 0 via 10.5.2.0 dev 9 onlink');
    expect(bench.warnings).toEqual([]);
  });

  it('comes back when its device was down, though the kernel said nothing of the routes that went', async () => {
    const kernel = nodeKernel();
    const bench = startBench(kernel, meshFeed(2));
    await bench.settle();
    const before = { routes: forwarding(kernel), nexthops: kernel.nexthops() };
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'flannel.1', up: false } });
    await bench.settle(1_000);
    expect(forwarding(kernel)).toEqual(['blackhole 10.5.1.0/24 metric 32767']);
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'flannel.1', up: true } });
    await bench.settle(1_000);
    expect({ routes: forwarding(kernel), nexthops: kernel.nexthops() }).toEqual(before);
    expect(bench.warnings).toEqual([]);
  });

  it('follows a device that is made anew under another index, with the same ids', async () => {
    const kernel = nodeKernel();
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle();
    const ids = kernel.nexthops().map(({ id }) => id);
    kernel.foreign({ op: 'delete', kind: 'link', name: 'flannel.1' });
    kernel.addLink({ name: 'flannel.1', index: 7, up: true, running: true });
    await bench.settle(1_000);
    expect(forwarding(kernel)).toContain('10.5.2.0/24 metric 0 via 10.5.2.0 dev 7 onlink');
    expect(kernel.nexthops().map(({ id }) => id)).toEqual(ids);
  });

  it('a group goes on with the next hops whose devices are up', async () => {
    const kernel = nodeKernel();
    const feed = new FeedTable();
    const mixed = [
      { gateway: address('192.0.2.2'), device: 'eth0', onlink: false, weight: 1 },
      { gateway: address('10.5.2.0'), device: 'flannel.1', onlink: true, weight: 1 },
    ];
    feed.setGroup({ ...ecmpGroup(1), nextHops: mixed });
    feed.setRoutes(1, [subnet(2)]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'flannel.1', up: false } });
    await bench.settle(1_000);
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 192.0.2.2 dev 2']);
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'flannel.1', up: true } });
    await bench.settle(1_000);
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 10.5.2.0 dev 3 onlink, via 192.0.2.2 dev 2']);
  });

  it('does not list the kernel for links that no route uses', async () => {
    const kernel = nodeKernel();
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle();
    kernel.clearRecords();
    kernel.addLink({ name: 'veth0', up: true, running: true });
    await bench.settle(5_000);
    expect(kernel.listings).toEqual([]);
  });
});

describe('refusals', () => {
  it('one failing route stops no other, is logged with the count, and is tried again', async () => {
    const kernel = nodeKernel();
    kernel.failNext('put route', 'ENOMEM', {
      times: 2,
      matching: (change) => change.kind === 'route' && change.route.prefix === subnet(2),
    });
    const bench = startBench(kernel, meshFeed(3));
    await bench.settle();
    expect(forwarding(kernel)).toHaveLength(3);
    expect(bench.warnings[0]).toMatchObject({ refused: 1, what: 'put route 10.5.2.0/24', code: 'ENOMEM' });
    expect(countRoutes(bench.reconciler)).toMatchObject({ programmed: 3, refused: 1 });
    expect(bench.reconciler.refusedCount()).toBe(1);
    await bench.settle(1_000);
    kernel.assertFailuresConsumed();
    expect(forwarding(kernel)).toHaveLength(4);
    expect(bench.reconciler.refusedCount()).toBe(0);
  });

  it('gives up after a bounded number of attempts, until the next resync', async () => {
    const kernel = nodeKernel();
    kernel.failNext('put route', 'EINVAL', {
      times: 1_000,
      matching: (change) => change.kind === 'route' && change.route.prefix === subnet(2),
    });
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle(300_000);
    const attempts = kernel.writes.filter((change) => change.kind === 'route' && change.op === 'put').length;
    expect(attempts).toBeGreaterThan(6);
    expect(attempts).toBeLessThan(12);
    expect(bench.failures).toEqual([]);
    bench.reconciler.resync();
    await bench.settle(1_000);
    const again = kernel.writes.filter((change) => change.kind === 'route' && change.op === 'put').length;
    expect(again).toBe(attempts + 1);
  });

  it('a refusal that shows that something was missed makes felix look', async () => {
    const kernel = nodeKernel();
    const feed = meshFeed(1);
    const bench = startBench(kernel, feed);
    await bench.settle();
    // Deaf for once: the group object goes, and its route with it, and felix hears nothing of it.
    bench.reconciler.mirror.close();
    kernel.foreign({ op: 'delete', kind: 'nexthop', id: kernel.routes(71).at(-1)?.nexthopId ?? 0 });
    feed.setRoutes(2, [subnet(20)]);
    await bench.settle(1_000);
    expect(forwarding(kernel).map((line) => line.split(' ')[0])).toEqual(['blackhole', '10.5.2.0/24', '10.5.20.0/24']);
  });

  it('tries another value for a refused route at once', async () => {
    const kernel = nodeKernel();
    kernel.failNext('put route', 'EINVAL', { matching: (change) => change.kind === 'route' && change.op === 'put' });
    const feed = new FeedTable();
    feed.setGroup({ ...localGroup(1), kind: 'unreachable', local: false });
    feed.setGroup({ ...localGroup(2), local: false });
    feed.setRoutes(1, [subnet(2)]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(forwarding(kernel)).toEqual([]);
    feed.setRoutes(2, [subnet(2)]);
    await bench.settle();
    expect(forwarding(kernel)).toEqual(['blackhole 10.5.2.0/24 metric 0']);
  });

  it('a refused next hop leaves its group to the others', async () => {
    const kernel = nodeKernel();
    kernel.failNext('put nexthop', 'EINVAL', {
      matching: (change) =>
        change.kind === 'nexthop' && change.op === 'put' && change.nexthop.hop?.gateway === '192.0.2.3',
    });
    const feed = new FeedTable();
    feed.setGroup(ecmpGroup(1, '192.0.2.2', '192.0.2.3'));
    feed.setRoutes(1, [subnet(2)]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 192.0.2.2 dev 2']);
    await bench.settle(1_000);
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 192.0.2.2 dev 2, via 192.0.2.3 dev 2']);
  });

  it('a kernel that fails as a whole is listed again; one that keeps failing ends felix', async () => {
    const kernel = nodeKernel();
    kernel.failNext('apply', 'socket', { afterChanges: 1 });
    const feed = meshFeed(2);
    const bench = startBench(kernel, feed);
    await bench.settle(1_000);
    expect(forwarding(kernel)).toHaveLength(3);
    expect(bench.failures).toEqual([]);
    kernel.failNext('list link', 'socket', { times: 10 });
    bench.reconciler.resync();
    await bench.settle(120_000);
    expect(bench.failures).toHaveLength(1);
  });

  it('says which capability is missing', async () => {
    const kernel = nodeKernel();
    kernel.failNext('put nexthop', 'EPERM');
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle();
    expect(bench.failures[0]).toBeInstanceOf(ExitError);
    expect(bench.failures[0]).toMatchObject({ exitCode: 4, message: expect.stringContaining('NET_ADMIN') });
  });
});

describe('holding deletes', () => {
  it('deletes nothing while the feed is stale, still adds, and deletes when the hold is over', async () => {
    const kernel = nodeKernel();
    const feed = meshFeed(2);
    const bench = startBench(kernel, feed);
    await bench.settle();
    bench.hold = true;
    feed.withdraw([subnet(2)]);
    feed.removeGroup(2);
    feed.setGroup(vtepGroup(9));
    feed.setRoutes(9, [subnet(9)]);
    await bench.settle();
    expect(forwarding(kernel)).toHaveLength(4);
    bench.hold = false;
    bench.reconciler.kick();
    await bench.settle();
    expect(forwarding(kernel).map((line) => line.split(' ')[0])).toEqual(['blackhole', '10.5.3.0/24', '10.5.9.0/24']);
  });

  it('a feed that restarts empty empties nothing before its marker', async () => {
    const kernel = nodeKernel();
    const bench = startBench(kernel, meshFeed(3));
    await bench.settle();
    const before = forwarding(kernel);
    kernel.clearRecords();
    const restarted = new FeedTable();
    bench.connect(restarted);
    await bench.settle(1_000_000);
    expect(forwarding(kernel)).toEqual(before);
    expect(kernel.writes).toEqual([]);
    for (const [group, i] of [
      [1, 3],
      [2, 4],
    ] as const) {
      restarted.setGroup({ ...vtepGroup(i), id: group });
      restarted.setRoutes(group, [subnet(i)]);
    }
    restarted.markInSync();
    await bench.settle();
    expect(forwarding(kernel)).toEqual(before.filter((line) => /10\.5\.[34]\.0\/24/.test(line)));
    expect(written(kernel).filter((line) => line.startsWith('put'))).toEqual([]);
  });
});

describe('routes of others', () => {
  it('one that has the key of a wanted route blocks it, and stays as it is', async () => {
    const kernel = nodeKernel();
    kernel.foreign(foreignRoute('10.5.2.0/24', '192.0.2.77'));
    const foreign = kernel.routes(4);
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle(200_000);
    expect(kernel.routes(4)).toEqual(foreign);
    expect(countRoutes(bench.reconciler)).toMatchObject({ programmed: 1, blocked: 1 });
    kernel.foreign({ op: 'delete', kind: 'route', route: foreign[0] as Route });
    await bench.settle();
    expect(forwarding(kernel)).toContain('10.5.2.0/24 metric 0 via 10.5.2.0 dev 3 onlink');
  });

  it('never uses the id of a nexthop object that is not ours, nor deletes an object that a foreign route uses', async () => {
    const first = startBench(nodeKernel(), meshFeed(1));
    await first.settle();
    const [hop, group] = first.kernel.nexthops();
    const kernel = nodeKernel();
    kernel.foreign({
      op: 'put',
      kind: 'nexthop',
      nexthop: { id: hop?.id ?? 0, protocol: 4, family: 4, hop: { linkIndex: ETH0 } },
    });
    const feed = meshFeed(1);
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(kernel.nexthops().find(({ id }) => id === hop?.id)?.protocol).toBe(4);
    expect(forwarding(kernel)).toHaveLength(2);
    // Somebody else's route points at our group: neither may go.
    kernel.foreign(foreignRoute('10.9.0.0/16', '192.0.2.1', { nextHops: [], nexthopId: group?.id ?? 0 }));
    feed.withdraw([subnet(2)]);
    feed.removeGroup(2);
    await bench.settle(1_000);
    expect(kernel.routes(4)).toHaveLength(1);
    expect(kernel.nexthops().some(({ id }) => id === group?.id)).toBe(true);
  });
});
