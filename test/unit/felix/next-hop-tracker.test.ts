// Which next hops the kernel can reach, on the fake kernel and in virtual time. With the real kernel and with bgpd:
// test/topology/bgpd-felix.test.ts.

import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HopState, NextHopTracker } from '../../../felix/next-hops/next-hop-tracker.ts';
import { type KernelChange, type Link, TABLE_MAIN } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../lib/net/prefix.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKernel } from '../../fakes/fake-kernel.ts';

const NODE = address('198.51.100.7');
const HOP = { endpoint: NODE, device: 'flannel.1' };
const VXLAN = { vni: 1, port: 8472, learning: false, gbp: false };

let kernel: FakeKernel;
let clock: FakeClock;
let underlay: Link;
let tunnel: Link;
let told: (string | undefined)[];
let tracker: NextHopTracker;

beforeEach(async () => {
  kernel = new FakeKernel();
  clock = new FakeClock();
  underlay = kernel.addLink({ name: 'eth0', up: true, running: true });
  tunnel = kernel.addLink({ name: 'flannel.1', type: 'vxlan', up: true, running: true, vxlan: VXLAN });
  kernel.foreign(route('put', prefix('198.51.100.0/24'), underlay));
  told = [];
  const changed = (states: readonly HopState[]): void => void told.push(...states.map(({ reason }) => reason));
  tracker = new NextHopTracker({ kernel, clock, log: pino({ level: 'silent' }), changed });
  await tracker.start();
  tracker.add([HOP]);
  await clock.advanceAsync(1_000);
  expect(told).toEqual([undefined]);
});

afterEach(() => tracker.stop());

test('its route goes and comes back; a route that has nothing to do with it costs no look', async () => {
  await change(route('delete', prefix('198.51.100.0/24'), underlay));
  await change(route('put', prefix('203.0.113.0/24'), underlay));
  await change(route('put', prefix('198.51.100.7/32'), underlay));
  expect(told).toEqual([undefined, `the kernel has no route to ${NODE}`, undefined]);
});

test('a link goes down, its own or that of the underlay', async () => {
  await change(link('flannel.1', false));
  await change(link('flannel.1', true));
  await change(link('eth0', false));
  expect(told.slice(1, 3)).toEqual(['flannel.1 is down', undefined]);
  expect(told.at(-1)).toMatch(/eth0 is down|no route to/);
});

test('the route leads into the tunnel itself: that is no way', async () => {
  await change(route('put', prefix('198.51.100.7/32'), tunnel));
  expect(told.at(-1)).toBe(`the route to ${NODE} leads into flannel.1 itself`);
});

test('no such device; not tracked any more; what is asked without a device', async () => {
  tracker.add([{ endpoint: NODE, device: 'flannel.9' }]);
  await clock.advanceAsync(100);
  expect(told.at(-1)).toBe('there is no device flannel.9');
  tracker.remove([HOP]);
  tracker.add([{ endpoint: NODE, device: '' }]);
  await clock.advanceAsync(100);
  expect(told.at(-1)).toBeUndefined();
  expect([...tracker.states.values()].map(({ device }) => device)).toEqual(['flannel.9', '']);
});

test('notifications are lost: it lists and looks again; and even without any, now and then', async () => {
  kernel.loseNotifications(() => kernel.foreign(route('delete', prefix('198.51.100.0/24'), underlay)));
  await clock.advanceAsync(31_000);
  expect(told.at(-1)).toBe(`the kernel has no route to ${NODE}`);
});

test('the kernel cannot be asked for a moment: it is asked again', async () => {
  kernel.failNext('routeTo', 'socket');
  await change(route('delete', prefix('198.51.100.0/24'), underlay));
  kernel.assertFailuresConsumed();
  await clock.advanceAsync(1_000);
  expect(told.at(-1)).toBe(`the kernel has no route to ${NODE}`);
});

async function change(...changes: readonly KernelChange[]): Promise<void> {
  kernel.foreign(...changes);
  await clock.advanceAsync(1_000);
}

function link(name: string, up: boolean): KernelChange {
  return { op: 'put', kind: 'link', link: { name, up } };
}

function route(op: 'put' | 'delete', to: Prefix, { index: linkIndex }: Link): KernelChange {
  const key = { table: TABLE_MAIN, prefix: to, tos: 0, metric: 0 };
  const object = { ...key, protocol: 4, type: 'unicast', nextHops: [{ linkIndex }] } as const;
  return op === 'put' ? { op, kind: 'route', route: object } : { op, kind: 'route', route: object };
}
