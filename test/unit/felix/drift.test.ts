// felix and everybody else: what is deleted, added or modified by others, seen at once or by a resync; echoes; restarts.
//
// "Somebody else" is `kernel.foreign`: subscribers hear of it, the record of writes does not.

import { describe, expect, it } from 'vitest';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { type KernelChange, type Nexthop, PROTOCOL_GINGHAM, type Route } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import type { FakeKernel } from '../../fakes/fake-kernel.ts';
import {
  type Bench,
  ETH0,
  ecmpGroup,
  foreignRoute,
  forwarding,
  meshFeed,
  nodeKernel,
  startBench,
  subnet,
  vtepGroup,
  written,
} from './felix-bench.ts';

const snapshot = (kernel: FakeKernel) => ({ routes: kernel.routes(PROTOCOL_GINGHAM), nexthops: kernel.nexthops() });

async function converged(feed = meshFeed(2)): Promise<Bench> {
  const bench = startBench(nodeKernel(), feed);
  await bench.settle();
  bench.kernel.clearRecords();
  bench.passes.length = 0;
  return bench;
}

const routeTo = (kernel: FakeKernel, to: string): Route =>
  kernel.routes(PROTOCOL_GINGHAM).find((route) => route.prefix === to) as Route;

function groupOf(kernel: FakeKernel, to: string): Nexthop {
  const { nexthopId } = routeTo(kernel, to);
  return kernel.nexthops().find(({ id }) => id === nexthopId) as Nexthop;
}

/** What others can do to what is ours. */
const CHANGES: Record<string, { kinds: string[]; change: (kernel: FakeKernel) => KernelChange[] }> = {
  'delete a route': {
    kinds: ['deleted'],
    change: (kernel) => [{ op: 'delete', kind: 'route', route: routeTo(kernel, '10.5.2.0/24') }],
  },
  'delete the blackhole': {
    kinds: ['deleted'],
    change: (kernel) => [{ op: 'delete', kind: 'route', route: routeTo(kernel, '10.5.1.0/24') }],
  },
  'add a route with our protocol': {
    kinds: ['added'],
    change: () => [foreignRoute('10.66.0.0/16', '192.0.2.66', { protocol: PROTOCOL_GINGHAM })],
  },
  'add one in another table': {
    kinds: ['added'],
    change: () => [foreignRoute('10.66.0.0/16', '192.0.2.66', { protocol: PROTOCOL_GINGHAM, table: 100 })],
  },
  'modify a route in place, protocol kept': {
    kinds: ['modified'],
    change: () => [foreignRoute('10.5.2.0/24', '192.0.2.66', { protocol: PROTOCOL_GINGHAM })],
  },
  'modify only its MTU': {
    kinds: ['modified'],
    change: (kernel) => [{ op: 'put', kind: 'route', route: { ...routeTo(kernel, '10.5.2.0/24'), mtuBytes: 1280 } }],
  },
  'replace a route by one of another protocol': {
    kinds: ['deleted'],
    change: () => [foreignRoute('10.5.2.0/24', '192.0.2.66')],
  },
  'modify a group object': {
    kinds: ['modified'],
    change: (kernel) => {
      const { group: members } = groupOf(kernel, '10.5.3.0/24');
      return [{ op: 'put', kind: 'nexthop', nexthop: { ...groupOf(kernel, '10.5.2.0/24'), group: members ?? [] } }];
    },
  },
  'modify a hop object, protocol changed too': {
    kinds: ['modified'],
    change: (kernel) => {
      const id = groupOf(kernel, '10.5.2.0/24').group?.[0]?.id ?? 0;
      return [{ op: 'put', kind: 'nexthop', nexthop: { id, protocol: 4, family: 4, hop: { linkIndex: ETH0 } } }];
    },
  },
  'delete a group object, and so its routes in silence': {
    kinds: ['deleted', 'deleted'],
    change: (kernel) => [{ op: 'delete', kind: 'nexthop', id: groupOf(kernel, '10.5.2.0/24').id }],
  },
  'delete a hop object, and so its group and routes': {
    kinds: ['deleted', 'deleted', 'deleted'],
    change: (kernel) => [{ op: 'delete', kind: 'nexthop', id: groupOf(kernel, '10.5.2.0/24').group?.[0]?.id ?? 0 }],
  },
  'add a nexthop object with our protocol': {
    kinds: ['added'],
    change: () => [
      { op: 'put', kind: 'nexthop', nexthop: { id: 5, protocol: 71, family: 4, hop: { linkIndex: ETH0 } } },
    ],
  },
};

describe('drift', () => {
  it.each(Object.keys(CHANGES))('%s: repaired as soon as the kernel tells', async (name) => {
    const { kernel, ...bench } = await converged();
    const before = snapshot(kernel);
    kernel.foreign(...(CHANGES[name]?.change(kernel) ?? []));
    expect(snapshot(kernel)).not.toEqual(before);
    await bench.settle(1_000);
    expect(snapshot(kernel)).toEqual(before);
    expect(bench.drifts).toEqual(CHANGES[name]?.kinds);
    expect(bench.warnings).toEqual([]);
    kernel.clearRecords();
    await bench.settle(60_000);
    expect(kernel.writes).toEqual([]);
  });

  it.each(Object.keys(CHANGES))('%s: repaired by a resync where the notification was lost', async (name) => {
    const { kernel, ...bench } = await converged();
    const before = snapshot(kernel);
    kernel.loseNotifications(() => kernel.foreign(...(CHANGES[name]?.change(kernel) ?? [])));
    await bench.settle(1_000);
    expect(snapshot(kernel)).toEqual(before);
    expect(bench.drifts.length).toBeGreaterThan(0);
  });

  it('a resync that finds nothing wrong writes nothing', async () => {
    const { kernel, ...bench } = await converged();
    bench.reconciler.resync();
    await bench.settle(1_000);
    expect(kernel.listings).toEqual(['link', 'nexthop', 'route', 'rule', 'neighbour', 'address']);
    expect(kernel.writes).toEqual([]);
    expect(bench.drifts).toEqual([]);
  });

  it('echoes of our own writes are neither drift nor work, however often a route changes', async () => {
    const { kernel, feed, ...bench } = await converged();
    for (let i = 0; i < 50; i++) {
      feed.setRoutes(i % 2 === 0 ? 3 : 2, [subnet(2)]);
      if (i % 7 === 0) feed.withdraw([subnet(3)]);
      if (i % 7 === 3) feed.setRoutes(3, [subnet(3)]);
      if (i % 3 === 0) await bench.settle();
    }
    await bench.settle(10_000);
    expect(bench.drifts).toEqual([]);
    kernel.clearRecords();
    await bench.settle(80_000);
    expect(kernel.writes).toEqual([]);
  });

  it('another program that keeps overwriting a route does not make felix spin', async () => {
    const { kernel, ...bench } = await converged();
    let fights = 0;
    await kernel.subscribe(['route'], ({ type, ...event }) => {
      const ours = 'object' in event && 'prefix' in event.object && event.object.prefix === subnet(2);
      if (type !== 'put' || !ours || (event.object as Route).nexthopId === undefined) return;
      fights++;
      kernel.foreign(foreignRoute('10.5.2.0/24', '192.0.2.66', { protocol: PROTOCOL_GINGHAM }));
    });
    kernel.foreign(foreignRoute('10.5.2.0/24', '192.0.2.66', { protocol: PROTOCOL_GINGHAM }));
    for (let second = 0; second < 120; second++) await bench.settle(1_000);
    expect(fights).toBeGreaterThan(10);
    expect(fights).toBeLessThan(60);
  });

  it('a change between a listing and its end is not overwritten by the listing', async () => {
    const { kernel, ...bench } = await converged();
    const before = snapshot(kernel);
    const list = kernel.list.bind(kernel);
    let once = true;
    kernel.list = async (kind, filter) => {
      const found = await list(kind, filter);
      if (kind === 'route' && once) {
        once = false;
        kernel.foreign({ op: 'delete', kind: 'route', route: routeTo(kernel, '10.5.2.0/24') });
        await Promise.resolve();
      }
      return found;
    };
    bench.reconciler.resync();
    await bench.settle(1_000);
    expect(once).toBe(false);
    expect(snapshot(kernel)).toEqual(before);
    expect(bench.reconciler.state().listings).toBe(2);
  });

  it('routes of others are never touched by a repair', async () => {
    const { kernel, ...bench } = await converged();
    kernel.foreign(
      foreignRoute('10.5.0.0/16', '192.0.2.66'),
      foreignRoute('10.5.2.0/24', '192.0.2.66', { metric: 5 }),
      foreignRoute('10.77.0.0/16', '192.0.2.66', { protocol: 3 }),
    );
    await bench.settle();
    const others = kernel.routes().filter(({ protocol }) => protocol !== PROTOCOL_GINGHAM);
    kernel.foreign({ op: 'delete', kind: 'route', route: routeTo(kernel, '10.5.2.0/24') });
    bench.reconciler.resync();
    await bench.settle(1_000);
    expect(kernel.routes().filter(({ protocol }) => protocol !== PROTOCOL_GINGHAM)).toEqual(others);
    expect(forwarding(kernel)).toHaveLength(3);
  });
});

describe('restart', () => {
  it('changes nothing that is right', async () => {
    const feed = new FeedTable();
    feed.setGroup(ecmpGroup(1, '192.0.2.2', '192.0.2.3'));
    feed.setGroup(ecmpGroup(2, '192.0.2.2'));
    feed.setGroup(ecmpGroup(3, '192.0.2.2'));
    feed.setGroup(ecmpGroup(4, '2001:db8::2'));
    for (const id of [1, 2, 3]) feed.setRoutes(id, [subnet(id), subnet(id + 10)]);
    feed.setRoutes(4, [prefix('fd00:4::/64')]);
    feed.markInSync();
    const { kernel, ...bench } = await converged(feed);
    // In-place changes, after which no group's id follows from its members any more.
    feed.setGroup(ecmpGroup(1, '192.0.2.5'));
    feed.setGroup(ecmpGroup(2, '192.0.2.3', '192.0.2.6'));
    await bench.settle();
    await bench.stop();
    const before = snapshot(kernel);
    kernel.clearRecords();
    const successor = startBench(kernel, feed);
    await successor.settle(100_000);
    expect(kernel.writes).toEqual([]);
    expect(snapshot(kernel)).toEqual(before);
    expect(successor.drifts).toEqual([]);
  });

  it('changes nothing where the feed numbers its groups anew', async () => {
    const { kernel, ...bench } = await converged();
    await bench.stop();
    kernel.clearRecords();
    const renumbered = new FeedTable();
    for (const [id, i] of [
      [70, 3],
      [80, 2],
    ] as const) {
      renumbered.setGroup({ ...vtepGroup(i), id });
      renumbered.setRoutes(id, [subnet(i)]);
    }
    renumbered.setGroup({ id: 90, kind: 'blackhole', nextHops: [], local: true, node: 'me' });
    renumbered.setRoutes(90, [subnet(1)]);
    renumbered.markInSync();
    const successor = startBench(kernel, renumbered);
    await successor.settle();
    expect(kernel.writes).toEqual([]);
  });

  it('takes the object over with other next hops where all its routes belong to one group', async () => {
    const { kernel, feed, ...bench } = await converged();
    await bench.stop();
    const id = groupOf(kernel, '10.5.2.0/24').id;
    kernel.clearRecords();
    feed.setGroup(vtepGroup(2, '10.5.2.1'));
    const successor = startBench(kernel, feed);
    await successor.settle();
    expect(groupOf(kernel, '10.5.2.0/24').id).toBe(id);
    expect(written(kernel).map((line) => line.replace(/ \d+$/, ''))).toEqual([
      'put hop',
      'put group',
      'delete nexthop',
    ]);
  });

  it('never moves a stale route along with an object that is taken over', async () => {
    const feed = meshFeed(1);
    feed.setRoutes(2, [subnet(2), subnet(3)]);
    const { kernel, ...bench } = await converged(feed);
    await bench.stop();
    // Meanwhile 10.5.3.0/24 is gone and the other leads elsewhere.
    feed.withdraw([subnet(3)]);
    feed.setGroup(vtepGroup(2, '10.5.2.9'));
    const seen: string[] = [];
    await kernel.subscribe(['nexthop'], () => seen.push(...forwarding(kernel)));
    const successor = startBench(kernel, feed);
    await successor.settle();
    expect(seen.filter((line) => line.startsWith('10.5.3.0/24') && line.includes('10.5.2.9'))).toEqual([]);
    expect(forwarding(kernel)).toEqual([
      'blackhole 10.5.1.0/24 metric 32767',
      '10.5.2.0/24 metric 0 via 10.5.2.9 dev 3 onlink',
    ]);
  });

  it('removes what is stale only after the marker', async () => {
    const { kernel, feed, ...bench } = await converged();
    await bench.stop();
    const before = snapshot(kernel);
    const restarted = new FeedTable();
    const successor = startBench(kernel, restarted);
    await successor.settle(100_000);
    expect(snapshot(kernel)).toEqual(before);
    restarted.setGroup(vtepGroup(2));
    restarted.setRoutes(2, [subnet(2)]);
    restarted.markInSync();
    await successor.settle();
    expect(forwarding(kernel)).toEqual(['10.5.2.0/24 metric 0 via 10.5.2.0 dev 3 onlink']);
    expect(kernel.nexthops()).toHaveLength(2);
    expect(feed.routeCount).toBe(3);
  });

  it('in the middle of its writes leaves nothing that the next run does not put right', async () => {
    const kernel = nodeKernel();
    kernel.failNext('apply', 'socket', { afterChanges: 2 });
    const bench = startBench(kernel, meshFeed(5));
    await bench.settle();
    await bench.stop();
    const successor = startBench(kernel, meshFeed(5));
    await successor.settle(1_000);
    expect(forwarding(kernel)).toHaveLength(6);
    expect(kernel.nexthops()).toHaveLength(10);
  });

  it('a fresh run on an empty kernel comes to the same ids', async () => {
    const ids = async (): Promise<number[]> => (await converged(meshFeed(30))).kernel.nexthops().map(({ id }) => id);
    const first = await ids();
    expect(await ids()).toEqual(first);
    expect(new Set(first).size).toBe(60);
  });

  it('takes over hops of another writer with our protocol, whatever their ids', async () => {
    const kernel = nodeKernel();
    const hop = { gateway: address('10.5.2.0'), linkIndex: 3, onlink: true };
    kernel.foreign({ op: 'put', kind: 'nexthop', nexthop: { id: 12, protocol: PROTOCOL_GINGHAM, family: 4, hop } });
    const bench = startBench(kernel, meshFeed(1));
    await bench.settle();
    expect(kernel.nexthops().map(({ id, group }) => (group ? 'group' : id))).toEqual([12, 'group']);
  });
});
