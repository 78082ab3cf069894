// felix's reconciler between a feed table and the fake kernel, in virtual time: what the tests of felix/ stand on.
//
// The feed is handed over in process, as its client would do it; the gRPC part has tests of its own.

import { pino } from 'pino';
import type { Drift } from '../../../felix/dataplane/kernel-table.ts';
import type { PassSummary } from '../../../felix/dataplane/pass-record.ts';
import { Reconciler, type ReconcilerOptions } from '../../../felix/dataplane/reconciler.ts';
import type { FeedEvent, FeedGroup } from '../../../lib/feed/feed.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { FeedView } from '../../../lib/feed/feed-view.ts';
import { type KernelChange, PROTOCOL_GINGHAM, type Route, TABLE_MAIN } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../lib/net/prefix.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKernel } from '../../fakes/fake-kernel.ts';

export const ETH0 = 2;
export const VTEP = 3;

/** A kernel with an underlay card (192.0.2.1/24, 2001:db8::1/64) and a VXLAN device. */
export function nodeKernel(): FakeKernel {
  const kernel = new FakeKernel();
  kernel.addLink({ name: 'eth0', index: ETH0, up: true, running: true });
  kernel.addLink({ name: 'flannel.1', index: VTEP, type: 'vxlan', up: true, running: true });
  kernel.foreign(
    { op: 'put', kind: 'address', address: { linkIndex: ETH0, address: address('192.0.2.1'), prefixLength: 24 } },
    { op: 'put', kind: 'address', address: { linkIndex: ETH0, address: address('2001:db8::1'), prefixLength: 64 } },
  );
  kernel.clearRecords();
  return kernel;
}

/** A group that leads to one node over the VXLAN device, as flanneld makes it. */
export function vtepGroup(id: number, gateway = `10.5.${id}.0`): FeedGroup {
  const hop = { gateway: address(gateway), device: 'flannel.1', onlink: true, weight: 1 };
  return { id, kind: 'unicast', nextHops: [hop], local: false, node: `n${id}` };
}

/** A group with these gateways behind the underlay card. */
export function ecmpGroup(id: number, ...gateways: readonly string[]): FeedGroup {
  const nextHops = gateways.map((gateway) => ({
    gateway: address(gateway),
    device: 'eth0',
    onlink: false,
    weight: 1,
  }));
  return { id, kind: 'unicast', nextHops, local: false, node: '' };
}

export function localGroup(id: number): FeedGroup {
  return { id, kind: 'blackhole', nextHops: [], local: true, node: 'me' };
}

/** The subnet of node `i`. */
export function subnet(i: number): Prefix {
  return prefix(`10.5.${i}.0/24`);
}

export interface Bench {
  readonly kernel: FakeKernel;
  readonly clock: FakeClock;
  readonly feed: FeedTable;
  readonly view: FeedView;
  readonly reconciler: Reconciler;
  readonly passes: PassSummary[];
  readonly drifts: Drift[];
  /** Those of neighbours and addresses alone. */
  readonly driftsOnLinks: Drift[];
  readonly failures: unknown[];
  /** Lines of the log at level warn and above. */
  readonly warnings: { readonly msg: string; readonly [field: string]: unknown }[];
  /** Whether deletions are held. */
  hold: boolean;
  /** Gives the feed's whole state as a new call would, in the order of a new call. */
  connect(from?: FeedTable): void;
  /** Everything that is possible now has been done; `durationMs` of time pass before. */
  settle(durationMs?: number): Promise<void>;
  /** Stops it, as the end of the process would; the kernel stays as it is. */
  stop(): Promise<void>;
}

export interface BenchOptions extends Pick<ReconcilerOptions, 'routeTable' | 'routeMtuBytes'> {
  readonly connected?: boolean;
  readonly clock?: FakeClock;
}

/** Starts a felix on this kernel and this feed; with `connected: false` the feed says nothing yet. */
export function startBench(kernel: FakeKernel, feed: FeedTable = new FeedTable(), options: BenchOptions = {}): Bench {
  const { routeTable, routeMtuBytes, clock = new FakeClock() } = options;
  const view = new FeedView();
  const passes: PassSummary[] = [];
  const drifts: Drift[] = [];
  const driftsOnLinks: Drift[] = [];
  const failures: unknown[] = [];
  const warnings: Bench['warnings'] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => warnings.push(JSON.parse(line)) });
  const reconciler = new Reconciler({
    kernel,
    view,
    clock,
    log,
    ...(routeTable !== undefined && { routeTable }),
    ...(routeMtuBytes !== undefined && { routeMtuBytes }),
    holdsDeletes: () => bench.hold,
    onPass: (summary) => summary && passes.push(summary),
    onDrift(seen, kind) {
      drifts.push(...seen);
      if (kind === 'neighbour' || kind === 'address') driftsOnLinks.push(...seen);
    },
    fail: (error) => failures.push(error),
  });
  const take = (event: FeedEvent): void => {
    const change = view.apply(event);
    if ('error' in change) throw new Error(change.error);
    if (event.type === 'in-sync') reconciler.feedInSync();
    reconciler.feedChanged(change, event.type === 'in-sync' ? undefined : event.cause);
  };
  let unsubscribe = (): void => undefined;
  const bench: Bench = {
    kernel,
    clock,
    feed,
    view,
    reconciler,
    passes,
    drifts,
    driftsOnLinks,
    failures,
    warnings,
    hold: false,
    connect(from = feed) {
      unsubscribe();
      view.beginSync();
      for (const event of from.snapshot()) take(event);
      unsubscribe = from.subscribe(take);
    },
    async settle(durationMs = 0) {
      await clock.advanceAsync(durationMs);
      for (let turn = 0; turn < 30; turn++) await clock.advanceAsync(0);
    },
    async stop() {
      unsubscribe();
      await reconciler.stop();
    },
  };
  reconciler.kick();
  if (options.connected !== false) bench.connect();
  return bench;
}

/** A feed in sync with a local subnet and `nodes` others, numbered from 2. */
export function meshFeed(nodes: number): FeedTable {
  const feed = new FeedTable();
  feed.setGroup(localGroup(1));
  feed.setRoutes(1, [subnet(1)]);
  for (let i = 2; i < nodes + 2; i++) {
    feed.setGroup(vtepGroup(i));
    feed.setRoutes(i, [subnet(i)]);
  }
  feed.markInSync();
  return feed;
}

/** What our routes in the kernel say: `10.5.2.0/24 metric 0 via 10.5.2.0 dev 3 onlink`. */
export function forwarding(kernel: FakeKernel): string[] {
  const nexthops = new Map(kernel.nexthops().map((nexthop) => [nexthop.id, nexthop]));
  return kernel.routes(PROTOCOL_GINGHAM).map((route) => {
    const group = route.nexthopId === undefined ? undefined : nexthops.get(route.nexthopId)?.group;
    const hops = group
      ? group.map(({ id, weight }) => ({ ...nexthops.get(id)?.hop, weight }))
      : route.nextHops.map((hop) => ({ weight: 1, ...hop }));
    const texts = hops.map(
      ({ gateway, linkIndex, onlink, weight }) =>
        `${gateway ? `via ${gateway} ` : ''}dev ${linkIndex}${onlink ? ' onlink' : ''}${weight === 1 ? '' : ` weight ${weight}`}`,
    );
    const type = route.type === 'unicast' ? '' : `${route.type} `;
    return `${type}${route.prefix} metric ${route.metric} ${texts.sort().join(', ')}`.trim();
  });
}

/** A route of somebody else (RTPROT_STATIC) on the underlay card. */
export function foreignRoute(to: string, gateway: string, more: Partial<Route> = {}): KernelChange {
  const nextHops = [{ gateway: address(gateway), linkIndex: ETH0 }];
  const route: Route = {
    table: TABLE_MAIN,
    prefix: prefix(to),
    tos: 0,
    metric: 0,
    protocol: 4,
    type: 'unicast',
    nextHops,
  };
  return { op: 'put', kind: 'route', route: { ...route, ...more } };
}

/** What was written since the records were cleared: `put route 10.5.2.0/24`, `delete nexthop 5`. */
export function written(kernel: FakeKernel): string[] {
  return kernel.writes.map((change) => {
    if (change.kind === 'route') return `${change.op} route ${change.route.prefix}`;
    if (change.kind !== 'nexthop') return `${change.op} ${change.kind}`;
    if (change.op === 'delete') return `delete nexthop ${change.id}`;
    return `put ${change.nexthop.group ? 'group' : 'hop'} ${change.nexthop.id}`;
  });
}
