// Neighbours and addresses of interfaces: what felix writes for what is plugged in, repairs, leaves alone and takes back.
// The failures of each write are in the route suite (injected-failures.test.ts).

import { beforeEach, describe, expect, it } from 'vitest';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import type { LinkAddress, Neighbour } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';
import { mac } from '../../../lib/net/mac.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import type { FakeKernel } from '../../fakes/fake-kernel.ts';
import { type Bench, nodeKernel, startBench, written } from './felix-bench.ts';
import { podGroup } from './route-suite.ts';

const POD = 7;
const POD_MAC = mac('0a:58:0a:05:01:09');
const OTHER_MAC = mac('02:00:00:00:00:01');

let kernel: FakeKernel;
let feed: FeedTable;
let bench: Bench;

beforeEach(async () => {
  kernel = nodeKernel();
  kernel.addLink({ name: 'gh1', index: POD, type: 'veth', up: true, running: true });
  feed = new FeedTable();
  feed.setGroup(podGroup(1, 'gh1'));
  feed.setRoutes(1, [prefix('10.5.1.9/32'), prefix('fd00:5:1::9/128')]);
  feed.markInSync();
  bench = startBench(kernel, feed);
  await bench.settle();
});

const neighbour = (text: string, more: Partial<Neighbour> = {}): Neighbour => ({
  linkIndex: POD,
  address: address(text),
  mac: POD_MAC,
  ...more,
});
const gateway = (text: string, prefixLength: number, more: Partial<LinkAddress> = {}): LinkAddress => ({
  linkIndex: POD,
  address: address(text),
  prefixLength,
  ...more,
});
const ours = { protocol: 71 } as const;
const podNeighbours = [neighbour('10.5.1.9', ours), neighbour('fd00:5:1::9', ours)];
const gateways = [gateway('169.254.1.1', 32, { scope: 'host', ...ours }), gateway('fe80::1', 128, ours)];
const addressesOfPod = (): LinkAddress[] => kernel.addresses().filter(({ linkIndex }) => linkIndex === POD);

function expectAllThere(): void {
  expect(kernel.neighbours()).toEqual(expect.arrayContaining(podNeighbours));
  expect(addressesOfPod()).toEqual(expect.arrayContaining(gateways));
}

it('what is plugged in gets its gateways as addresses and is a neighbour, before its routes', () => {
  expect(kernel.neighbours()).toEqual(podNeighbours);
  expect(addressesOfPod()).toEqual(gateways);
  const order = written(kernel).filter((each) => !/hop|group/.test(each));
  expect(order.slice(0, 4)).toEqual(['put address', 'put address', 'put neighbour', 'put neighbour']);
  expect(bench.reconciler.mirror.neighbours.counts()).toMatchObject({ wanted: 2, programmed: 2, pending: 0 });
  expect(bench.reconciler.mirror.addresses.counts()).toMatchObject({ wanted: 2, programmed: 2, pending: 0 });
});

describe('drift', () => {
  it.each([
    ['a neighbour is deleted', { op: 'delete', kind: 'neighbour', neighbour: neighbour('10.5.1.9') }, 'deleted'],
    [
      'an IPv6 neighbour is deleted',
      { op: 'delete', kind: 'neighbour', neighbour: neighbour('fd00:5:1::9') },
      'deleted',
    ],
    [
      'a neighbour is changed in place',
      { op: 'put', kind: 'neighbour', neighbour: neighbour('10.5.1.9', { mac: OTHER_MAC }) },
      'modified',
    ],
    [
      'a neighbour is taken over by another program',
      { op: 'put', kind: 'neighbour', neighbour: neighbour('fd00:5:1::9', { mac: OTHER_MAC, protocol: 4 }) },
      'modified',
    ],
    [
      'a neighbour is added in our name',
      { op: 'put', kind: 'neighbour', neighbour: neighbour('10.5.1.8', ours) },
      'added',
    ],
    ['an address is deleted', { op: 'delete', kind: 'address', address: gateway('169.254.1.1', 32) }, 'deleted'],
    ['an IPv6 address is deleted', { op: 'delete', kind: 'address', address: gateway('fe80::1', 128) }, 'deleted'],
    [
      'an address is added in our name',
      { op: 'put', kind: 'address', address: gateway('10.9.9.9', 32, ours) },
      'added',
    ],
  ] as const)('%s: repaired on its notification, and by a resync where that is lost', async (_, change, drift) => {
    for (const isLost of [false, true]) {
      bench.drifts.length = 0;
      if (isLost) kernel.loseNotifications(() => kernel.foreign(change));
      else kernel.foreign(change);
      if (isLost) bench.reconciler.resync();
      await bench.settle();
      expect(kernel.neighbours()).toHaveLength(2);
      expect(addressesOfPod()).toHaveLength(2);
      expectAllThere();
      expect(bench.drifts).toEqual([drift]);
      await bench.settle(60_000);
    }
  });

  it('a link that bounces or comes again under another index gets all of it back, and that is no quarrel', async () => {
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'gh1', up: false } });
    await bench.settle();
    expect(bench.reconciler.mirror.neighbours.counts()).toMatchObject({ wanted: 2, programmed: 0, waiting: 2 });
    kernel.foreign({ op: 'put', kind: 'link', link: { name: 'gh1', up: true } });
    await bench.settle(5_000);
    expectAllThere();
    expect(bench.driftsOnLinks).toEqual([]);
    kernel.foreign({ op: 'delete', kind: 'link', name: 'gh1' });
    kernel.addLink({ name: 'gh1', index: 70, type: 'veth', up: true, running: true });
    await bench.settle(5_000);
    expect(kernel.neighbours().map(({ linkIndex }) => linkIndex)).toEqual([70, 70]);
  });

  it('an index that another link has now, and a link that has another name, get nothing of it', async () => {
    kernel.foreign({ op: 'delete', kind: 'link', name: 'gh1' });
    kernel.addLink({ name: 'other', index: POD, type: 'veth', up: true, running: true });
    await bench.settle(5_000);
    expect(kernel.neighbours()).toEqual([]);
    expect(addressesOfPod()).toEqual([]);
    expect(bench.reconciler.mirror.addresses.counts()).toMatchObject({ wanted: 2, waiting: 2, programmed: 0 });
  });
});

describe('what others wrote', () => {
  it('stays: beside ours, and in the place where ours would be', async () => {
    await bench.stop();
    const theirs = neighbour('10.5.1.20', { mac: OTHER_MAC });
    const theirAddress = gateway('10.9.9.9', 24);
    kernel.foreign(
      { op: 'put', kind: 'neighbour', neighbour: theirs },
      { op: 'put', kind: 'address', address: theirAddress },
      { op: 'delete', kind: 'neighbour', neighbour: neighbour('10.5.1.9') },
      { op: 'put', kind: 'neighbour', neighbour: neighbour('10.5.1.9', { mac: OTHER_MAC }) },
    );
    bench = startBench(kernel, feed);
    await bench.settle(120_000);
    expect(kernel.neighbours()).toEqual(expect.arrayContaining([theirs, neighbour('10.5.1.9', { mac: OTHER_MAC })]));
    expect(addressesOfPod()).toContainEqual(theirAddress);
    expect(bench.reconciler.mirror.neighbours.counts()).toMatchObject({ wanted: 2, programmed: 1, blocked: 1 });
    // Once it is gone, ours takes its place.
    kernel.foreign({ op: 'delete', kind: 'neighbour', neighbour: neighbour('10.5.1.9') });
    await bench.settle();
    expectAllThere();
    feed.withdraw([prefix('10.5.1.9/32'), prefix('fd00:5:1::9/128')]);
    feed.removeGroup(1);
    await bench.settle();
    expect(kernel.neighbours()).toEqual([theirs]);
    expect(addressesOfPod()).toEqual([theirAddress]);
  });

  it('an entry that says what ours would counts as programmed', async () => {
    await bench.stop();
    kernel.foreign({ op: 'delete', kind: 'neighbour', neighbour: neighbour('10.5.1.9') });
    kernel.foreign({ op: 'put', kind: 'neighbour', neighbour: neighbour('10.5.1.9') });
    bench = startBench(kernel, feed);
    await bench.settle();
    expect(bench.reconciler.mirror.neighbours.counts()).toMatchObject({ wanted: 2, programmed: 2, blocked: 0 });
  });
});

describe('a restart', () => {
  it('changes nothing that is right, and removes what nothing wants after the feed is in sync', async () => {
    await bench.stop();
    kernel.foreign(
      { op: 'put', kind: 'neighbour', neighbour: neighbour('10.5.1.77', ours) },
      { op: 'put', kind: 'address', address: gateway('169.254.9.9', 32, ours) },
    );
    kernel.clearRecords();
    bench = startBench(kernel, feed, { connected: false });
    await bench.settle(1_000);
    expect(kernel.writes).toEqual([]);
    bench.connect();
    await bench.settle();
    expect(written(kernel)).toEqual(['delete neighbour', 'delete address']);
    expectAllThere();
    expect(bench.drifts).toEqual([]);
  });

  it('of the feed deletes nothing while it is away', async () => {
    bench.hold = true;
    kernel.clearRecords();
    bench.connect(new FeedTable());
    await bench.settle(10_000);
    expect(kernel.writes).toEqual([]);
    const empty = new FeedTable();
    empty.markInSync();
    bench.connect(empty);
    await bench.settle();
    expect(kernel.writes).toEqual([]);
    bench.hold = false;
    bench.reconciler.kick();
    await bench.settle();
    expect(kernel.neighbours()).toEqual([]);
    expect(addressesOfPod()).toEqual([]);
  });
});
