// felix without nexthop objects, on the real kernel: plain routes, as on Linux before 5.3.
//
// This kernel has nexthop objects, so listing them is made to say "unsupported"; everything else is real. What matters is
// that the kernel lists every shape as felix wrote it: else each resync would write it again.

import { execFileSync } from 'node:child_process';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Reconciler } from '../../felix/dataplane/reconciler.ts';
import type { FeedGroup, FeedNextHop } from '../../lib/feed/feed.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { type Kernel, type KernelChange, KernelError } from '../../lib/kernel/kernel.ts';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { address } from '../../lib/net/address.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { enterNewNetworkNamespace } from '../contract/network-namespace.ts';
import { eventually } from '../eventually.ts';

let leave: () => void = () => undefined;
let kernel: Kernel;

beforeAll(() => {
  leave = enterNewNetworkNamespace();
  for (const command of [
    'link set lo up',
    'link add u0 type veth peer name u1',
    'address add 192.0.2.1/24 dev u0',
    'address add 2001:db8::1/64 dev u0 nodad',
    'link set u0 up',
    'link set u1 up',
    'link add flannel.1 type vxlan id 1 local 192.0.2.1 dev u0 dstport 8472 nolearning',
    'link set flannel.1 up',
  ]) {
    execFileSync('ip', command.split(' '));
  }
  kernel = openKernel();
});
afterAll(async () => {
  await kernel.close();
  leave();
});

const hop = (more: Partial<FeedNextHop>): FeedNextHop => ({ onlink: false, weight: 1, ...more });
const onU0 = (gateway: string, weight = 1): FeedNextHop => hop({ gateway: address(gateway), device: 'u0', weight });

/** Next hops of every shape, each with a route of the family that it is for. */
const SHAPES: readonly (readonly [string, readonly FeedNextHop[]])[] = [
  ['10.5.2.0/24', [hop({ gateway: address('10.5.2.0'), device: 'flannel.1', onlink: true })]],
  ['10.5.3.0/24', [hop({ device: 'flannel.1' })]],
  ['10.5.4.0/24', [onU0('192.0.2.2', 5)]],
  ['10.5.5.0/24', [onU0('192.0.2.2', 5), onU0('192.0.2.3')]],
  ['10.5.6.0/24', [onU0('192.0.2.2'), hop({ gateway: address('10.5.6.0'), device: 'flannel.1', onlink: true })]],
  ['10.5.7.0/24', [onU0('2001:db8::7')]],
  ['10.5.8.0/24', [hop({ gateway: address('192.0.2.8') })]],
  ['fd00:5:2::/64', [onU0('2001:db8::2')]],
  ['fd00:5:3::/64', [onU0('2001:db8::2', 7), onU0('2001:db8::3')]],
  ['fd00:5:4::/64', [hop({ device: 'flannel.1' })]],
];

it('writes each route once, and finds it again as it wrote it', async () => {
  const written: KernelChange[] = [];
  const view = new FeedView();
  const warnings: string[] = [];
  const reconciler = new Reconciler({
    kernel: withoutNexthopObjects(kernel, written),
    view,
    clock: systemClock,
    log: pino({ level: 'warn' }, { write: (line: string) => warnings.push(line) }),
    holdsDeletes: () => false,
    onPass: () => undefined,
    onDrift: (drifts) => warnings.push(...drifts),
    fail: (error) => {
      throw error;
    },
  });
  view.beginSync();
  const change = (group: FeedGroup, to: string): void => {
    view.apply({ type: 'group', group });
    const routes = view.apply({ type: 'routes', group: group.id, prefixes: [prefix(to)] });
    if (!('error' in routes)) reconciler.feedChanged({ ...routes, groups: [group.id] }, undefined);
  };
  for (const [at, [to, nextHops]] of SHAPES.entries()) {
    change({ id: at + 1, kind: 'unicast', nextHops, local: false, node: '' }, to);
  }
  change({ id: 90, kind: 'blackhole', nextHops: [], local: true, node: 'me' }, '10.5.1.0/24');
  change({ id: 91, kind: 'unreachable', nextHops: [], local: false, node: '' }, 'fd00:5:9::/64');
  view.apply({ type: 'in-sync' });
  reconciler.feedInSync();
  const { tracker } = reconciler.mirror.routes.table;
  await eventually('all are programmed', () => tracker.inSync && tracker.desired.size === SHAPES.length + 2);
  expect(await kernel.list('route', { protocol: 71 })).toHaveLength(SHAPES.length + 2);
  expect(await kernel.list('nexthop')).toEqual([]);
  expect(written).toHaveLength(SHAPES.length + 2);
  const { listings } = reconciler.state();
  reconciler.resync();
  await eventually('listed again', () => reconciler.state().listings > listings);
  // Longer than an echo is waited for: none is missing and none was mistaken for a change.
  await eventually('no echo is owed', () => reconciler.mirror.overdueAtMs === Number.POSITIVE_INFINITY);
  expect(tracker.inSync).toBe(true);
  expect(written).toHaveLength(SHAPES.length + 2);
  expect(warnings.filter((line) => !line.includes('no nexthop objects'))).toEqual([]);
  await reconciler.stop();
});

function withoutNexthopObjects(real: Kernel, written: KernelChange[]): Kernel {
  return {
    list: (kind, filter) =>
      kind === 'nexthop'
        ? Promise.reject(new KernelError('unsupported', 'no nexthop objects'))
        : real.list(kind, filter),
    apply(changes) {
      written.push(...changes);
      return real.apply(changes);
    },
    subscribe: (kinds, listener) => real.subscribe(kinds, listener),
    routeTo: (to) => real.routeTo(to),
    close: () => real.close(),
  };
}
