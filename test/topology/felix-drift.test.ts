// felix on the real kernel while devices are renamed, bounce and give their index to others, tables are flushed, and what
// is ours is changed in place down to its flags; and with a routing table of its own.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { ecmpGroup, FelixNode, localGroup, vtepGroup } from './felix-node.ts';

/** Repairs take some milliseconds; a busy machine may take its time. */
const REPAIR = { timeoutMs: 5_000, intervalMs: 5 };
const OWN_TABLE = ['--route-table', '1000', '--rule-priority', '7200', '--route-mtu', '1400'];

let node: FelixNode;

beforeEach(async () => {
  node = await FelixNode.make();
  const { feed } = node;
  feed.setGroup(localGroup(1));
  feed.setRoutes(1, [prefix('10.5.1.0/24')]);
  for (const id of [2, 3]) {
    feed.setGroup(vtepGroup(id));
    feed.setRoutes(id, [prefix(`10.5.${id}.0/24`)]);
  }
  feed.setGroup(ecmpGroup(4, '2001:db8::2', '2001:db8::3'));
  feed.setRoutes(4, [prefix('fd00:5:4::/64')]);
  feed.setGroup({ id: 9, kind: 'unreachable', nextHops: [], local: false, node: '' });
  feed.setRoutes(9, [prefix('10.5.0.0/16')]);
  feed.markInSync();
  await node.serve();
});
afterEach(() => node.remove());

async function start(flags: readonly string[] = []): Promise<string> {
  node.startFelix(flags);
  await node.ready();
  return state();
}

const state = async (): Promise<string> =>
  (await node.fib()) + (await node.ip('rule show')) + (await node.ip('-6 rule show'));
const isAsBefore = (before: string): Promise<unknown> =>
  eventually('all is as before', async () => (await state()) === before, REPAIR);
/** What others do. `ip` complains of a table that it flushes and that fills again at the same moment. */
const others = async (words: string): Promise<void> => {
  try {
    await node.ip(words);
  } catch (error) {
    if (!words.includes('flush')) throw error;
  }
};
const waiting = (): Promise<unknown> =>
  eventually('the routes wait', async () => (await node.metric('routes_failed{reason="waiting"}')) === 2, REPAIR);
const indexOf = async (name: string): Promise<number> =>
  (JSON.parse(await node.ip(`-json link show dev ${name}`)) as { ifindex: number }[])[0]?.ifindex ?? 0;

describe('devices', () => {
  it('one that is renamed takes its routes along to no other name', async () => {
    const before = await start();
    await node.ip('link set flannel.1 down');
    await node.ip('link set flannel.1 name other1');
    await node.ip('link set other1 up');
    await waiting();
    expect((await node.routes()).map(({ dst }) => dst)).toEqual(['10.5.0.0/16', '10.5.1.0/24']);
    await node.ip('link set other1 down');
    await node.ip('link set other1 name flannel.1');
    await node.ip('link set flannel.1 up');
    await isAsBefore(before);
  });

  it('another one that gets the index of one that went is not taken for it', async () => {
    await start();
    const index = await indexOf('flannel.1');
    await node.ip('link del flannel.1');
    await node.ip(`link add x0 index ${index} type veth peer name x1`);
    await node.ip('link set x1 up');
    await node.ip('link set x0 up');
    await waiting();
    expect(await node.ip('route show dev x0')).toBe('');
    expect(await node.ip('nexthop show dev x0')).toBe('');
    await node.makeVtep();
    await eventually('the routes are back', async () => (await node.routes()).length === 4, REPAIR);
    expect((await node.routes()).filter(({ dev }) => dev === 'flannel.1')).toHaveLength(2);
    expect(await indexOf('flannel.1')).not.toBe(index);
  });

  it('one that bounces has its routes again each time', async () => {
    const before = await start();
    for (let bounce = 0; bounce < 5; bounce++) {
      await node.ip('link set flannel.1 down');
      await node.ip('link set flannel.1 up');
    }
    await isAsBefore(before);
    // With IPv6, the addresses of a card that bounces are gone; the operator puts back what was the operator's.
    await node.ip('link set u0 down');
    await node.ip('link set u0 up');
    await node.ip('address replace 2001:db8::1/64 dev u0 nodad');
    await isAsBefore(before);
  });
});

describe('what others do', () => {
  it.each([
    ['our routes flushed', 'route flush proto 71'],
    ['the main table flushed', 'route flush table main'],
    ['all nexthop objects flushed', 'nexthop flush'],
    ['an IPv6 metric added beside ours', '-6 route add fd00:5:4::/64 via 2001:db8::9 metric 7 proto 71'],
    ['the answer for the network gone', 'route del unreachable 10.5.0.0/16'],
    ['the answer for the network of another type', 'route replace blackhole 10.5.0.0/16 metric 4294967295 proto 71'],
  ])('%s: repaired', async (_, change) => {
    const before = await start();
    await others(change);
    await isAsBefore(before);
  });

  it('the flags of a next hop changed in place: repaired', async () => {
    const before = await start();
    const objects = JSON.parse(await node.ip('-json nexthop show proto 71')) as { id: number; gateway?: string }[];
    const id = objects.find(({ gateway }) => gateway === '10.5.2.0')?.id;
    await node.ip('address add 10.5.2.7/24 dev u0');
    await node.ip(`nexthop replace id ${id} via 10.5.2.0 dev u0 proto 71`);
    await node.ip('address del 10.5.2.7/24 dev u0');
    await isAsBefore(before);
  });
});

describe('a routing table of its own', () => {
  it('has all routes, is led to by a rule for each family, and both are kept', async () => {
    const before = await start(OWN_TABLE);
    expect(await node.routes()).toEqual([]);
    expect(await node.ip('route show table 1000')).toMatch(/^10\.5\.2\.0\/24 nhid \d+ via 10\.5\.2\.0 .* mtu 1400/m);
    expect(await node.ip('rule show')).toMatch(/^7200:\s+from all lookup 1000 proto 71/m);
    expect(await node.ip('-6 rule show')).toMatch(/^7200:\s+from all lookup 1000 proto 71/m);
    expect(await node.ip('route get 10.5.2.9')).toContain('table 1000');
    for (const change of [
      'rule del pref 7200',
      'rule add from all lookup 77 pref 7300 protocol 71',
      '-6 rule flush',
      'route flush table 1000',
      'route replace 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink table 1000 mtu 1300 proto 71',
    ]) {
      await others(change);
      // `flush` takes the kernel's own rules along, but for that of the table local.
      if (change.includes('rule flush')) await node.ip('-6 rule add from all lookup main pref 32766 protocol kernel');
      await isAsBefore(before);
    }
  });

  it('is emptied, with its rules, by a felix that uses the main one', async () => {
    await start(OWN_TABLE);
    await node.endFelix('SIGTERM');
    await start();
    expect(await node.ip('route show table 1000')).toBe('');
    expect((await node.ip('rule show')) + (await node.ip('-6 rule show'))).not.toContain('proto 71');
    expect(await node.routes()).toHaveLength(4);
  });
});
