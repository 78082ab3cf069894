// felix against the fake kernel, all being well: barriers, what is programmed, the order and number of writes.
//
// Trouble of all kinds: trouble.test.ts; other writers and restarts: drift.test.ts.

import { describe, expect, it } from 'vitest';
import { HOP_IDS, isGroupId } from '../../../felix/desired/ownership.ts';
import { countRoutes } from '../../../felix/status.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import {
  ecmpGroup,
  forwarding,
  localGroup,
  meshFeed,
  nodeKernel,
  startBench,
  subnet,
  VTEP,
  vtepGroup,
  written,
} from './felix-bench.ts';

describe('barriers', () => {
  it('writes nothing before the feed is in sync', async () => {
    const kernel = nodeKernel();
    const feed = new FeedTable();
    feed.setGroup(vtepGroup(2));
    feed.setRoutes(2, [subnet(2)]);
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(kernel.listings).toEqual(['link', 'nexthop', 'route', 'rule', 'neighbour', 'address']);
    expect(kernel.writes).toEqual([]);
    feed.markInSync();
    await bench.settle();
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 10.5.2.0 dev 3 onlink']);
  });

  it('writes nothing before the kernel is listed, and tries again', async () => {
    const kernel = nodeKernel();
    kernel.failNext('list route', 'dump-interrupted', { times: 2 });
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle();
    expect(kernel.writes).toEqual([]);
    expect(bench.reconciler.state()).toMatchObject({ kernelListed: false, firstCleanPass: false });
    await bench.settle(1_000);
    kernel.assertFailuresConsumed();
    expect(forwarding(kernel)).toHaveLength(2);
    expect(bench.reconciler.state()).toMatchObject({ kernelInSync: true, firstCleanPass: true });
  });
});

describe('what is programmed', () => {
  it('a route via a VTEP, the own subnet as a blackhole under everything else', async () => {
    const kernel = nodeKernel();
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle();
    expect(forwarding(kernel)).toEqual([
      'blackhole 10.5.1.0/24 metric 32767',
      '10.5.2.0/24 metric 0 via 10.5.2.0 dev 3 onlink',
    ]);
    expect(countRoutes(bench.reconciler)).toEqual({
      wanted: 2,
      programmed: 2,
      waiting: 0,
      blocked: 0,
      refused: 0,
      pending: 0,
      nexthopObjects: 2,
    });
  });

  it('ECMP with weights, device only, unreachable, both families', async () => {
    const kernel = nodeKernel();
    const feed = new FeedTable();
    feed.setGroup({
      ...ecmpGroup(1, '192.0.2.2', '192.0.2.3'),
      nextHops: [
        { gateway: address('192.0.2.2'), device: 'eth0', onlink: false, weight: 1 },
        { gateway: address('192.0.2.3'), device: 'eth0', onlink: false, weight: 5 },
      ],
    });
    feed.setGroup({ ...ecmpGroup(2), nextHops: [{ device: 'flannel.1', onlink: false, weight: 1 }] });
    feed.setGroup({ ...localGroup(3), kind: 'unreachable', local: false });
    feed.setGroup(ecmpGroup(4, '2001:db8::2'));
    feed.setRoutes(1, [subnet(2)]);
    feed.setRoutes(2, [subnet(3), prefix('fd00:3::/64')]);
    feed.setRoutes(3, [subnet(4), prefix('fd00:4::/64')]);
    feed.setRoutes(4, [prefix('fd00:5::/64')]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(forwarding(kernel)).toEqual([
      '10.5.2.0/24 metric 0 via 192.0.2.2 dev 2, via 192.0.2.3 dev 2 weight 5',
      '10.5.3.0/24 metric 0 dev 3',
      'unreachable 10.5.4.0/24 metric 4294967295',
      'fd00:3::/64 metric 1024 dev 3',
      'unreachable fd00:4::/64 metric 4294967295',
      'fd00:5::/64 metric 1024 via 2001:db8::2 dev 2',
    ]);
  });

  it('one next hop that is named twice has both weights', async () => {
    const kernel = nodeKernel();
    const feed = new FeedTable();
    feed.setGroup(ecmpGroup(1, '192.0.2.2', '192.0.2.2', '192.0.2.3'));
    feed.setRoutes(1, [subnet(2)]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 192.0.2.2 dev 2 weight 2, via 192.0.2.3 dev 2']);
  });

  it('a gateway without a device leads through the link by which the kernel reaches it', async () => {
    const kernel = nodeKernel();
    const feed = new FeedTable();
    feed.setGroup({
      ...ecmpGroup(1),
      nextHops: [{ gateway: address('192.0.2.9'), onlink: false, weight: 1 }],
    });
    feed.setRoutes(1, [subnet(2)]);
    feed.setGroup({ ...ecmpGroup(2), nextHops: [{ gateway: address('198.51.100.1'), onlink: false, weight: 1 }] });
    feed.setRoutes(2, [subnet(3)]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 192.0.2.9 dev 2']);
    expect(countRoutes(bench.reconciler)).toMatchObject({ programmed: 1, waiting: 1 });
    kernel.foreign({
      op: 'put',
      kind: 'address',
      address: { linkIndex: VTEP, address: address('198.51.100.2'), prefixLength: 24 },
    });
    await bench.settle();
    expect(forwarding(kernel)).toHaveLength(2);
  });

  it('without nexthop objects: plain routes, and the log says so', async () => {
    const kernel = nodeKernel();
    kernel.failNext('list nexthop', 'unsupported', { times: 2 });
    const feed = new FeedTable();
    feed.setGroup(ecmpGroup(1, '192.0.2.2', '192.0.2.3'));
    feed.setRoutes(1, [subnet(2), subnet(3)]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(kernel.nexthops()).toEqual([]);
    expect(forwarding(kernel)).toEqual([
      '10.5.2.0/24 metric 0 via 192.0.2.2 dev 2, via 192.0.2.3 dev 2',
      '10.5.3.0/24 metric 0 via 192.0.2.2 dev 2, via 192.0.2.3 dev 2',
    ]);
    expect(bench.warnings.map(({ msg }) => msg)).toEqual([expect.stringContaining('no nexthop objects')]);
    feed.setGroup(ecmpGroup(1, '192.0.2.3'));
    await bench.settle();
    expect(forwarding(kernel)).toEqual([
      '10.5.2.0/24 metric 0 via 192.0.2.3 dev 2',
      '10.5.3.0/24 metric 0 via 192.0.2.3 dev 2',
    ]);
    bench.reconciler.resync();
    await bench.settle(1_000);
    expect(bench.drifts).toEqual([]);
  });
});

describe('order and number of writes', () => {
  it('puts hops, groups, routes; deletes routes, groups, hops', async () => {
    const kernel = nodeKernel();
    const feed = meshFeed(1);
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(written(kernel).map((line) => line.replace(/\d{6,}/, 'id'))).toEqual([
      'put hop id',
      'put group id',
      'put route 10.5.1.0/24',
      'put route 10.5.2.0/24',
    ]);
    kernel.clearRecords();
    feed.withdraw([subnet(2)]);
    feed.removeGroup(2);
    await bench.settle();
    expect(written(kernel).map((line) => line.replace(/ \d{6,}/, ''))).toEqual([
      'delete route 10.5.2.0/24',
      'delete nexthop',
      'delete nexthop',
    ]);
    expect(kernel.nexthops()).toEqual([]);
  });

  it('a next hop that changes costs one group message for any number of routes', async () => {
    const kernel = nodeKernel();
    const feed = new FeedTable();
    feed.setGroup(ecmpGroup(1, '192.0.2.2', '192.0.2.3'));
    feed.setRoutes(
      1,
      Array.from({ length: 1_000 }, (_, i) => prefix(`10.${6 + (i >> 8)}.${i & 255}.0/24`)),
    );
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(kernel.routes(71)).toHaveLength(1_000);
    kernel.clearRecords();
    feed.setGroup(ecmpGroup(1, '192.0.2.3'));
    await bench.settle();
    const [group, hop, ...rest] = kernel.writes;
    expect(group).toMatchObject({ op: 'put', kind: 'nexthop', nexthop: { group: [{ weight: 1 }] } });
    expect(hop).toMatchObject({ op: 'delete', kind: 'nexthop' });
    expect(rest).toEqual([]);
  });

  it('shares one hop object between groups, and removes it with the last', async () => {
    const kernel = nodeKernel();
    const feed = new FeedTable();
    feed.setGroup(ecmpGroup(1, '192.0.2.2', '192.0.2.3'));
    feed.setGroup(ecmpGroup(2, '192.0.2.2'));
    feed.setRoutes(1, [subnet(2)]);
    feed.setRoutes(2, [subnet(3)]);
    feed.markInSync();
    const bench = startBench(kernel, feed);
    await bench.settle();
    expect(kernel.nexthops().filter(({ group }) => group === undefined)).toHaveLength(2);
    feed.withdraw([subnet(2)]);
    await bench.settle();
    expect(kernel.nexthops().map(({ group }) => group?.length ?? 'hop')).toEqual(['hop', 1]);
  });

  it('a prefix that becomes local changes its metric: the new route first, then the old one goes', async () => {
    const kernel = nodeKernel();
    const feed = meshFeed(1);
    const bench = startBench(kernel, feed);
    await bench.settle();
    kernel.clearRecords();
    feed.setRoutes(1, [subnet(2)]);
    await bench.settle();
    expect(written(kernel).slice(0, 2)).toEqual(['put route 10.5.2.0/24', 'delete route 10.5.2.0/24']);
    expect(forwarding(kernel)).toEqual(['blackhole 10.5.1.0/24 metric 32767', 'blackhole 10.5.2.0/24 metric 32767']);
  });

  it('takes ids in its range', async () => {
    const kernel = nodeKernel();
    const bench = startBench(kernel, meshFeed(20));
    await bench.settle();
    for (const { id, group } of kernel.nexthops()) {
      expect(isGroupId(id)).toBe(group !== undefined);
      expect(id).toBeGreaterThanOrEqual(HOP_IDS.first);
    }
    expect(kernel.nexthops()).toHaveLength(40);
  });
});

describe('what is told', () => {
  it('a change with its cause and the latency of each stage', async () => {
    const kernel = nodeKernel();
    const feed = meshFeed(1);
    const bench = startBench(kernel, feed);
    await bench.settle();
    bench.passes.length = 0;
    const nowUs = bench.clock.unixMicros();
    const cause = {
      id: 'flanneld-1-1',
      kind: 'lease-removed',
      detectedUnixUs: nowUs - 500n,
      decidedUnixUs: nowUs - 200n,
    };
    feed.setGroup(vtepGroup(2, '10.5.2.1'), cause);
    await bench.settle();
    expect(bench.passes).toEqual([
      expect.objectContaining({
        routesPut: 0,
        nexthopsPut: 2,
        nexthopsDeleted: 1,
        refused: 0,
        causes: [{ id: 'flanneld-1-1', kind: 'lease-removed', ribUs: 300, feedUs: 200, kernelUs: 0, totalUs: 500 }],
      }),
    ]);
  });
});
