// Which link leads to which peer, straight or over routers, and what the loss of a carrier is to whom.
// Over the fake kernel: a link that is added again in another state stands for a cable that is pulled.

import { beforeEach, expect, test } from 'vitest';
import { Ways } from '../../../../bgpd/bfd/ways.ts';
import { type Link, type Route, TABLE_MAIN } from '../../../../lib/kernel/kernel.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { eventually } from '../../../eventually.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { FakeKernel } from '../../../fakes/fake-kernel.ts';

const NEAR = address('192.0.2.2');
const FAR = address('198.51.100.2');
const ROUTER = address('192.0.2.9');

let kernel: FakeKernel;
let eth0: Link;
let eth1: Link;
let ways: Ways;
let told: string[];
let changes: number;

beforeEach(async () => {
  kernel = new FakeKernel();
  eth0 = kernel.addLink({ name: 'eth0', up: true });
  eth1 = kernel.addLink({ name: 'eth1', up: true });
  kernel.foreign({
    op: 'put',
    kind: 'address',
    address: { linkIndex: eth0.index, address: address('192.0.2.1'), prefixLength: 24 },
  });
  put(route('198.51.100.0/24', eth0));
  told = [];
  changes = 0;
  ways = new Ways({
    kernel,
    clock: new FakeClock(),
    changed: () => changes++,
    carrier: (peer, up, device) => told.push(`${peer} ${device} ${up ? 'up' : 'down'}`),
  });
  await ways.start();
});

function route(to: string, { index }: Link): Route {
  const nextHops = [{ gateway: ROUTER, linkIndex: index, onlink: true }];
  return { table: TABLE_MAIN, prefix: prefix(to), tos: 0, metric: 0, protocol: 3, type: 'unicast', nextHops };
}

function put(changed: Route): void {
  kernel.foreign({ op: 'put', kind: 'route', route: changed });
}

function setCarrier(link: Link, running: boolean): void {
  kernel.addLink({ ...link, running });
}

test('a peer on a link is single-hop, one behind a router is multihop, one without a way is not there yet', async () => {
  ways.setPeers([NEAR, FAR, address('203.0.113.1')]);
  await ways.look([]);
  expect([...ways.hops]).toEqual([
    [NEAR, 'single'],
    [FAR, 'multi'],
  ]);
  expect(changes).toBe(1);
  put(route('203.0.113.0/24', eth1));
  await ways.look([address('203.0.113.1')]);
  expect(ways.hops.get(address('203.0.113.1'))).toBe('multi');
  expect([changes, told]).toEqual([2, []]);
});

test('carrier goes: every peer over that link, once; it is back: once again', async () => {
  ways.setPeers([NEAR, FAR]);
  await ways.look([]);
  setCarrier(eth0, false);
  setCarrier(eth0, false);
  await eventually('told', () => told.length === 2);
  expect(told).toEqual([`${NEAR} eth0 down`, `${FAR} eth0 down`]);
  setCarrier(eth1, false);
  setCarrier(eth0, true);
  await eventually('told again', () => told.length === 4);
  expect(told.slice(2)).toEqual([`${NEAR} eth0 up`, `${FAR} eth0 up`]);
});

test('the kernel has another way by then: nothing is lost', async () => {
  ways.setPeers([FAR]);
  await ways.look([]);
  put(route('198.51.100.2/32', eth1));
  setCarrier(eth0, false);
  await eventually('asked', () => ways.hops.get(FAR) === 'multi');
  await ways.look([FAR]);
  expect(told).toEqual([]);
  setCarrier(eth1, false);
  await eventually('now it is', () => told.length === 1);
  expect(told).toEqual([`${FAR} eth1 down`]);
});

test('the link is deleted, and its routes with it: lost all the same', async () => {
  ways.setPeers([NEAR]);
  await ways.look([]);
  kernel.foreign({ op: 'delete', kind: 'link', name: 'eth0' });
  await eventually('told', () => told.length === 1);
  expect(told).toEqual([`${NEAR} eth0 down`]);
});

test('notifications that were lost are made up for', async () => {
  ways.setPeers([NEAR]);
  await ways.look([]);
  kernel.loseNotifications(() => setCarrier(eth0, false));
  await eventually('told', () => told.length === 1);
  expect(told).toEqual([`${NEAR} eth0 down`]);
});

test('peers that are named before the links are known lose nothing: an unknown link is no link without carrier', async () => {
  let answer = (): void => undefined;
  const asked = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const list: FakeKernel['list'] = async (...words) => {
    await asked;
    return kernel.list(...words);
  };
  const early = new Ways({
    kernel: { list, subscribe: kernel.subscribe.bind(kernel), routeTo: kernel.routeTo.bind(kernel) },
    clock: new FakeClock(),
    changed: () => changes++,
    carrier: (peer, up, device) => told.push(`${peer} ${device} ${up ? 'up' : 'down'}`),
  });
  const started = early.start();
  early.setPeers([NEAR]);
  const looked = early.look([NEAR]);
  await kernel.routeTo(NEAR);
  answer();
  await Promise.all([started, looked]);
  expect([early.hops.get(NEAR), told]).toEqual(['single', []]);
  setCarrier(eth0, false);
  await eventually('told', () => told.length === 1);
  expect(told).toEqual([`${NEAR} eth0 down`]);
});
