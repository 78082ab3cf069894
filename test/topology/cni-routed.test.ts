// The CNI plugin in mode "routed" with both families: a real felix, and flanneld's part in it (the records of pods become
// groups of its feed), played by the test. Each damage that CHECK finds, and masquerading in both families.

import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { offerPods } from '../../flanneld/pod-feed.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { eventually } from '../eventually.ts';
import { CniNode, type ResultJson } from './cni-node.ts';
import { FelixNode } from './felix-node.ts';

const ROUTED = { mode: 'routed', reuseDelaySeconds: 0 };

let felix: FelixNode;
let node: CniNode;
let stopOffering: () => Promise<void>;
/** The plugin asks whether somebody listens there, no more. */
let status: Server;

beforeAll(async () => {
  felix = await FelixNode.make();
  const { runFolder } = felix;
  node = CniNode.of(felix.namespace, runFolder);
  await node.lease({ masquerade: true });
  stopOffering = offerPods({
    runFolder,
    node: 'n1',
    table: felix.feed,
    clock: systemClock,
    log: pino({ level: 'silent' }),
  });
  felix.feed.markInSync();
  await felix.serve();
  status = createServer().listen(join(runFolder, 'flanneld.http'));
  felix.startFelix();
  await felix.ready();
});
afterAll(async () => {
  await node.collect([], ROUTED);
  await stopOffering();
  status.close();
  await node.remove();
  await felix.remove();
});

async function add(pod: string): Promise<ResultJson> {
  return node.add(pod, { conf: node.conf(ROUTED) });
}

async function remove(pod: string): Promise<void> {
  await node.done('DEL', pod, { conf: node.conf(ROUTED) });
}

function addressesOf({ ips }: ResultJson): readonly string[] {
  return ips.map(({ address }) => address.split('/')[0] ?? '');
}

/** Addresses of the other family are tentative for a moment. */
async function reached(pod: string, ...addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    await eventually(`${pod} reaches ${address}`, () => node.reaches(pod, address), { timeoutMs: 20_000 });
  }
}

test('two pods of a node: addresses of one, gateways as permanent neighbours, routes that felix wrote', async () => {
  const [a, b] = (await node.pods(2)) as [string, string];
  const [first, second] = [await add(a), await add(b)];
  const host = first.interfaces[0]?.name ?? '';
  expect(first).toMatchObject({
    interfaces: [{ name: expect.stringMatching(/^gh[0-9a-f]{11}$/) as string }, { name: 'eth0', mtu: 1450 }],
    ips: [
      { address: expect.stringMatching(/^10\.5\.7\.\d+\/32$/) as string, gateway: '169.254.1.1', interface: 1 },
      { address: expect.stringMatching(/^fd00:5:0:7::.*\/128$/) as string, gateway: 'fe80::1', interface: 1 },
    ],
    routes: [
      { dst: '0.0.0.0/0', gw: '169.254.1.1' },
      { dst: '::/0', gw: 'fe80::1' },
    ],
  });
  const [four = '', six = ''] = addressesOf(first);
  expect(await node.ip(`route show ${four}`)).toMatch(new RegExp(`^${four} (nhid \\d+ )?dev ${host} proto 71`));
  expect(await node.ip(`-6 route show ${six}`)).toMatch(new RegExp(`^${six} .*proto 71.*dev ${host} `, 's'));
  const neighbours = await node.ip('neighbour show dev eth0 nud permanent', a);
  expect(neighbours).toContain('169.254.1.1 lladdr 0a:58:a9:fe:01:01');
  expect(await node.ip('-6 neighbour show dev eth0 nud permanent', a)).toContain('fe80::1 lladdr 0a:58:a9:fe:01:01');
  expect(await node.ip('-o link show type bridge')).toBe('');
  await reached(a, ...addressesOf(second));
  await reached(b, four, six);
  for (const pod of [a, b]) await remove(pod);
  await eventually('no route is left', async () => !(await felix.fib()).includes(host));
});

test('the outside sees the node, in both families', async () => {
  const [pod, outside] = (await node.pods(2)) as [string, string];
  await node.ip(`link add o0 type veth peer name eth0 netns ${outside}`);
  await node.ip('address add 198.51.100.1/24 dev o0');
  await node.ip('address add 2001:db8:1::1/64 dev o0 nodad');
  await node.ip('link set o0 up');
  await node.ip('address add 198.51.100.2/24 dev eth0', outside);
  await node.ip('address add 2001:db8:1::2/64 dev eth0 nodad', outside);
  await node.ip('link set eth0 up', outside);
  await add(pod);
  // Without a route to pods it can answer the node only.
  await reached(pod, '198.51.100.2', '2001:db8:1::2');
  await remove(pod);
  await node.ip('link del o0');
});

describe('CHECK', () => {
  const damages: readonly (readonly [string, (pod: string, host: string) => Promise<unknown>, string])[] = [
    ['the gateway', (pod) => node.ip('neighbour del 169.254.1.1 dev eth0', pod), 'no neighbour 169.254.1.1'],
    ['the IPv6 gateway', (pod) => node.ip('-6 neighbour del fe80::1 dev eth0', pod), 'no neighbour fe80::1'],
    [
      'where the gateway is',
      (pod) => node.ip('neighbour replace 169.254.1.1 dev eth0 lladdr 02:00:00:00:00:09 nud permanent', pod),
      'the container has neighbour 169.254.1.1 at 02:00:00:00:00:09',
    ],
    ['the address', (pod) => node.ip('-4 address flush dev eth0', pod), 'has no address 10.5.7.'],
    ['the way to the gateway', (pod) => node.ip('route del 169.254.1.1 dev eth0', pod), 'no route 169.254.1.1/32'],
    ['the IPv6 route', (pod) => node.ip('-6 route del default', pod), 'no route ::/0 via fe80::1'],
    ['the host’s link', (_, host) => node.ip(`link set ${host} down`), 'is down'],
    ['the host’s MTU', (_, host) => node.ip(`link set ${host} mtu 1000`), 'MTU 1000, not 1450'],
    [
      'the MAC of the host’s link',
      (_, host) => node.ip(`link set ${host} address 02:00:00:00:00:09`),
      'MAC 02:00:00:00:00:09, not 0a:58:a9:fe:01:01',
    ],
    [
      'a sysctl of the host',
      (_, host) => node.run(['sysctl', '-w', `net.ipv6.conf.${host}.accept_ra=1`]),
      'accept_ra of the host is 1, not 0',
    ],
    [
      'IPv6 forwarding',
      () => node.run(['sysctl', '-w', 'net.ipv6.conf.all.forwarding=0']),
      'net.ipv6.conf.all.forwarding of the host is not 1',
    ],
    ['a sysctl of the pod', (pod) => node.run(['sysctl', '-w', 'net.ipv4.conf.eth0.arp_notify=0'], pod), 'arp_notify'],
  ];

  test.each(damages)('finds that %s is not as it was', async (_, damage, says) => {
    const pod = await node.pod();
    const prevResult = await add(pod);
    const conf = node.conf({ ...ROUTED, prevResult });
    await eventually('all is there', async () => (await node.call('CHECK', pod, { conf })).code === 0);
    await damage(pod, prevResult.interfaces[0]?.name ?? '');
    const error = await node.refused('CHECK', pod, { conf });
    expect([error.code, `${error.msg}; ${error.details}`]).toEqual([103, expect.stringContaining(says)]);
    await remove(pod);
  });

  test.each([
    ['route to', (four: string) => `route del ${four}`],
    ['neighbour', (four: string, host: string) => `neighbour del ${four} dev ${host}`],
  ])('finds that the %s the pod on the node is gone, until felix has mended it', async (what, damage) => {
    const pod = await node.pod();
    const prevResult = await add(pod);
    const conf = node.conf({ ...ROUTED, prevResult });
    const [four = ''] = addressesOf(prevResult);
    await eventually('all is there', async () => (await node.call('CHECK', pod, { conf })).code === 0);
    felix.signal('SIGSTOP');
    try {
      await node.ip(damage(four, prevResult.interfaces[0]?.name ?? ''));
      expect(await node.refused('CHECK', pod, { conf })).toMatchObject({
        code: 103,
        msg: expect.stringMatching(`the host has no ${what} ${four} (by|on) gh`) as string,
      });
    } finally {
      felix.signal('SIGCONT');
    }
    await eventually('felix mends it', async () => (await node.call('CHECK', pod, { conf })).code === 0);
    await remove(pod);
  });
});

test('STATUS is content', () => node.done('STATUS', '', { conf: node.conf(ROUTED) }));
