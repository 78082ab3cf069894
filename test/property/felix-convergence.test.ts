// felix under anything: random changes of the feed, foreign changes, refusals, lost notifications, links that flap, feeds
// and felixes that restart. Whatever happened, in the end the kernel holds exactly what is wanted, and what is foreign.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { type KernelChange, PROTOCOL_GINGHAM, type Route, TABLE_MAIN } from '../../lib/kernel/kernel.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import { prefix } from '../../lib/net/prefix.ts';
import type { FakeKernel } from '../fakes/fake-kernel.ts';
import {
  type Bench,
  ETH0,
  ecmpGroup,
  foreignRoute,
  forwarding,
  localGroup,
  nodeKernel,
  startBench,
  subnet,
  VTEP,
  vtepGroup,
} from '../unit/felix/felix-bench.ts';
import { podGroup } from '../unit/felix/route-suite.ts';

const RUNS = Number(process.env['FELIX_RUNS'] ?? 150);

const groupId = fc.integer({ min: 1, max: 4 });
const node = fc.integer({ min: 1, max: 6 });
const gateways = fc.uniqueArray(fc.integer({ min: 2, max: 5 }), { minLength: 1, maxLength: 3 });

const action = fc.oneof(
  fc.record({ do: fc.constant('ecmp' as const), id: groupId, gateways }),
  fc.record({ do: fc.constant('vtep' as const), id: groupId, node }),
  fc.record({ do: fc.constant('local' as const), id: groupId }),
  fc.record({ do: fc.constant('routes' as const), id: groupId, nodes: fc.uniqueArray(node, { maxLength: 4 }) }),
  fc.record({ do: fc.constant('withdraw' as const), nodes: fc.uniqueArray(node, { maxLength: 4 }) }),
  fc.record({ do: fc.constant('remove-group' as const), id: groupId }),
  fc.record({ do: fc.constant('foreign-delete' as const), pick: fc.nat(9) }),
  fc.record({ do: fc.constant('foreign-delete-nexthop' as const), pick: fc.nat(9) }),
  fc.record({ do: fc.constant('foreign-overwrite' as const), node, protocol: fc.constantFrom(4, PROTOCOL_GINGHAM) }),
  fc.record({ do: fc.constant('foreign-add' as const), node, protocol: fc.constantFrom(4, PROTOCOL_GINGHAM) }),
  fc.record({ do: fc.constant('foreign-nexthop' as const), pick: fc.nat(9) }),
  fc.record({
    do: fc.constant('refuse' as const),
    what: fc.constantFrom('put route', 'put nexthop', 'delete route', 'put neighbour', 'put address'),
  }),
  fc.record({ do: fc.constant('fail' as const), what: fc.constantFrom('apply', 'list route', 'list nexthop') }),
  fc.record({ do: fc.constant('pod' as const), end: fc.constantFrom('09', '0a') }),
  fc.record({ do: fc.constant('foreign-on-link' as const), what: fc.nat(3), isPut: fc.boolean() }),
  fc.record({ do: fc.constant('link' as const), up: fc.boolean() }),
  fc.record({ do: fc.constant('link-anew' as const) }),
  fc.record({ do: fc.constant('lose' as const), pick: fc.nat(9) }),
  fc.record({ do: fc.constant('restart-felix' as const) }),
  fc.record({ do: fc.constant('restart-feed' as const) }),
  fc.record({ do: fc.constant('hold' as const), on: fc.boolean() }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 50, 300, 3_000) }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

interface World {
  readonly kernel: FakeKernel;
  feed: FeedTable;
  bench: Bench;
  nextLinkIndex: number;
  /** Each restart moves the routes between the main table and this one. */
  readonly ownTable: number | undefined;
  inOwnTable?: boolean;
}

it.each([
  { isMuted: false, ownTable: undefined },
  { isMuted: true, ownTable: undefined },
  { isMuted: true, ownTable: 1000 },
])(
  'ends with exactly what is wanted, and what is foreign (own routes muted: $isMuted, own table: $ownTable)',
  async ({ isMuted, ownTable }) => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 40 }), async (actions) => {
        const feed = new FeedTable();
        feed.markInSync();
        const kernel = nodeKernel();
        kernel.mutesOwnRoutes = isMuted;
        kernel.foreign(
          foreignRoute('10.0.0.0/8', '192.0.2.66'),
          foreignRoute('10.5.3.0/24', '192.0.2.66', { metric: 7 }),
        );
        const world: World = { kernel, feed, ownTable, bench: startBench(kernel, feed), nextLinkIndex: 20 };
        for (const each of actions) await perform(world, each);
        await heal(world);
        const { bench } = world;
        expect(bench.failures).toEqual([]);
        expect(new Set(forwarding(kernel))).toEqual(wanted(world));
        expect(others(kernel)).toEqual(
          ['10.0.0.0/8 metric 0', '10.5.3.0/24 metric 7', ...addedByOthers(actions)].sort(),
        );
        expect(unusedNexthops(kernel)).toEqual([]);
        expect(onLinks(kernel)).toEqual(wantedOnLinks(world));
        const tables = new Set(kernel.routes(PROTOCOL_GINGHAM).map(({ table }) => table));
        expect([...tables].filter((table) => table !== (world.inOwnTable ? ownTable : TABLE_MAIN))).toEqual([]);
        expect(kernel.rules().filter(({ table }) => !world.inOwnTable || table !== ownTable)).toEqual([]);
        if (world.inOwnTable && tables.size > 0) expect(kernel.rules()).toHaveLength(1);
        kernel.clearRecords();
        await bench.settle(60_000);
        expect(kernel.writes).toEqual([]);
        await bench.stop();
      }),
      { numRuns: RUNS },
    );
  },
);

async function perform(world: World, each: Action): Promise<void> {
  const { kernel, feed, bench } = world;
  const ours = kernel.routes(PROTOCOL_GINGHAM);
  const nexthops = kernel.nexthops().filter(({ protocol }) => protocol === PROTOCOL_GINGHAM);
  switch (each.do) {
    case 'ecmp':
      feed.setGroup(ecmpGroup(each.id, ...each.gateways.map((i) => `192.0.2.${i}`)));
      return;
    case 'vtep':
      feed.setGroup({ ...vtepGroup(each.node), id: each.id });
      return;
    case 'local':
      feed.setGroup(localGroup(each.id));
      return;
    case 'pod':
      feed.setGroup(podGroup(podId(feed), 'flannel.1', `0a:58:0a:05:01:${each.end}`));
      return;
    case 'foreign-on-link':
      return foreign(kernel, changeOnLink(kernel, each.what, each.isPut));
    case 'routes':
      if (feed.groups.has(each.id)) feed.setRoutes(each.id, each.nodes.map(subnet));
      return;
    case 'withdraw':
      feed.withdraw(each.nodes.map(subnet));
      return;
    case 'remove-group':
      feed.removeGroup(each.id);
      return;
    case 'foreign-delete':
      return foreign(kernel, deletionOf(ours[each.pick]));
    case 'foreign-delete-nexthop': {
      const id = nexthops[each.pick]?.id;
      return foreign(kernel, id === undefined ? undefined : { op: 'delete', kind: 'nexthop', id });
    }
    case 'foreign-overwrite':
      return foreign(kernel, foreignRoute(subnet(each.node), '192.0.2.77', { protocol: each.protocol }));
    case 'foreign-add':
      return foreign(kernel, foreignRoute(`10.9.${each.node}.0/24`, '192.0.2.77', { protocol: each.protocol }));
    case 'foreign-nexthop': {
      const hop = nexthops.filter(({ group }) => group === undefined)[each.pick];
      const change = hop && { ...hop, protocol: 4, hop: { linkIndex: ETH0 } };
      return foreign(kernel, change && { op: 'put', kind: 'nexthop', nexthop: change });
    }
    case 'refuse':
      return kernel.failNext(each.what as 'put route', 'ENOMEM');
    case 'fail':
      return kernel.failNext(each.what as 'apply', 'socket');
    case 'link':
      return foreign(kernel, { op: 'put', kind: 'link', link: { name: 'flannel.1', up: each.up } });
    case 'link-anew':
      foreign(kernel, { op: 'delete', kind: 'link', name: 'flannel.1' });
      kernel.addLink({ name: 'flannel.1', index: world.nextLinkIndex++, up: true, running: true });
      return;
    case 'lose':
      return kernel.loseNotifications(() => foreign(kernel, deletionOf(ours[each.pick])));
    case 'restart-felix':
      await bench.stop();
      world.inOwnTable = world.ownTable !== undefined && !world.inOwnTable;
      world.bench = startBench(kernel, feed, {
        clock: bench.clock,
        ...(world.inOwnTable && world.ownTable !== undefined && { routeTable: world.ownTable }),
      });
      return;
    case 'restart-feed':
      world.feed = renumbered(feed);
      bench.connect(world.feed);
      return;
    case 'hold':
      bench.hold = each.on;
      bench.reconciler.kick();
      return;
    case 'wait':
      await bench.settle(each.ms);
  }
}

/** The end of all trouble: links up, no failures left to come, routes that others put in our place gone. */
async function heal(world: World): Promise<void> {
  const { kernel, bench } = world;
  bench.hold = false;
  foreign(kernel, { op: 'put', kind: 'link', link: { name: 'flannel.1', up: true } });
  for (let round = 0; round < 6; round++) {
    bench.reconciler.resync();
    await bench.settle(30_000);
    for (const route of kernel.routes(4)) {
      if (route.metric === 0 && route.prefix.startsWith('10.5.')) foreign(kernel, deletionOf(route));
    }
  }
}

/** There is one pod at most, whatever number its group has after a restart of the feed: two would want the same. */
function podId(feed: FeedTable): number {
  return [...feed.groups.values()].find(({ attachment }) => attachment !== undefined)?.id ?? 4;
}

/** Something of what a pod has on the VXLAN device goes, or is written by another program in our name. */
function changeOnLink(kernel: FakeKernel, what: number, isPut: boolean): KernelChange | undefined {
  const linkIndex = kernel.link('flannel.1')?.index;
  if (linkIndex === undefined) return undefined;
  const [op, ours] = [isPut ? ('put' as const) : ('delete' as const), { linkIndex, protocol: PROTOCOL_GINGHAM }];
  const [neighbour, own] = [['10.5.1.9', 'fd00:5:1::9'][what % 2], ['169.254.1.1', 'fe80::1'][what % 2]];
  const prefixLength = what % 2 === 0 ? 32 : 128;
  return what < 2
    ? {
        op,
        kind: 'neighbour',
        neighbour: { ...ours, address: address(neighbour ?? ''), mac: mac('02:00:00:00:00:01') },
      }
    : { op, kind: 'address', address: { ...ours, address: address(own ?? ''), prefixLength } };
}

function onLinks(kernel: FakeKernel): string[] {
  const ours = [...kernel.neighbours(), ...kernel.addresses()].filter(({ protocol }) => protocol === PROTOCOL_GINGHAM);
  return ours.map((entry) => `${entry.linkIndex} ${entry.address} ${'mac' in entry ? entry.mac : ''}`).sort();
}

function wantedOnLinks({ feed, kernel }: World): string[] {
  const index = kernel.link('flannel.1')?.index ?? VTEP;
  const lines = new Set<string>();
  for (const { attachment } of feed.groups.values()) {
    for (const each of attachment?.neighbours ?? []) lines.add(`${index} ${each.address} ${each.mac}`);
    for (const each of attachment?.addresses ?? []) lines.add(`${index} ${each} `);
  }
  return [...lines].sort();
}

/** The same feed as a server that restarted would offer it: other numbers, other order. */
function renumbered(feed: FeedTable): FeedTable {
  const restarted = new FeedTable();
  for (const group of [...feed.groups.values()].reverse()) {
    const id = 5 - group.id;
    restarted.setGroup({ ...group, id });
    restarted.setRoutes(id, feed.prefixesOf(group.id));
  }
  restarted.markInSync();
  return restarted;
}

/** Some changes by others make no sense at the moment (a link that is not there): then nobody makes them. */
function foreign(kernel: FakeKernel, change: KernelChange | undefined): void {
  if (change === undefined) return;
  try {
    kernel.foreign(change);
  } catch (error) {
    if (!/ENODEV|ENETDOWN|EINVAL/.test(String(error))) throw error;
  }
}

function deletionOf(route: Route | undefined): KernelChange | undefined {
  return route && { op: 'delete', kind: 'route', route };
}

function wanted({ feed, kernel }: World): Set<string> {
  const index = kernel.link('flannel.1')?.index ?? VTEP;
  const lines = new Set<string>();
  for (const group of feed.groups.values()) {
    const hops = group.nextHops.map(({ gateway, onlink }) =>
      gateway === undefined ? `dev ${index}` : `via ${gateway} dev ${onlink ? `${index} onlink` : ETH0}`,
    );
    for (const to of feed.prefixesOf(group.id)) {
      lines.add(
        group.kind === 'blackhole' ? `blackhole ${to} metric 32767` : `${to} metric 0 ${hops.sort().join(', ')}`,
      );
    }
  }
  return lines;
}

function others(kernel: FakeKernel): string[] {
  return kernel
    .routes(4)
    .map((route) => `${route.prefix} metric ${route.metric}`)
    .sort();
}

/** What others added beside ours; what they added in our name is not theirs to keep. */
function addedByOthers(actions: readonly Action[]): string[] {
  const last = new Map<string, number>();
  for (const each of actions) {
    if (each.do === 'foreign-add') last.set(prefix(`10.9.${each.node}.0/24`), each.protocol);
  }
  return [...last].filter(([, protocol]) => protocol === 4).map(([to]) => `${to} metric 0`);
}

function unusedNexthops(kernel: FakeKernel): number[] {
  const used = new Set(kernel.routes().map(({ nexthopId }) => nexthopId));
  const members = new Set(
    kernel
      .nexthops()
      .flatMap(({ id, group }) => (used.has(id) ? (group ?? []) : []))
      .map(({ id }) => id),
  );
  return kernel
    .nexthops()
    .map(({ id }) => id)
    .filter((id) => !used.has(id) && !members.has(id));
}
