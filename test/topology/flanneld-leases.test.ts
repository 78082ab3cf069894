// What becomes of a real node's lease, device and peers when the world around it changes: addresses, config, etcd, names.
// The tests share one cluster of three nodes and one etcd, and leave both as they found them.

import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { watchFeed } from '../../lib/feed/feed-client.ts';
import { feedSocketPath } from '../../lib/feed/feed-server.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { eventually } from '../eventually.ts';
import { FlanneldRig, firstAddress } from './flanneld-rig.ts';

const NETWORK = { Network: '10.5.0.0/16' };
const FOLDER = '/coreos.com/network/subnets/';
const WITHIN = { timeoutMs: 15_000, intervalMs: 10 };

describe('flanneld', () => {
  let rig: FlanneldRig;

  beforeAll(async () => {
    rig = await FlanneldRig.make(NETWORK);
    for (const node of [1, 2, 3]) rig.start(node);
    for (const node of [1, 2, 3]) await rig.ready(node, 2);
    for (const node of [1, 2, 3]) await rig.route(node);
  });

  afterAll(() => rig?.remove());

  const fdb = (node: number): Promise<string> => rig.inside(node, 'bridge', 'fdb', 'show', 'dev', 'flannel.1');
  const shell = (node: number, script: string): Promise<string> => rig.inside(node, 'sh', '-e', '-c', script);

  /** Restarts a node with these flags. */
  async function restart(node: number, flags: readonly string[] = [], peers = 2): Promise<void> {
    await rig.end(node, 'SIGTERM');
    rig.start(node, flags);
    await rig.ready(node, peers);
    await rig.route(node);
  }

  /** How long it takes until this holds, milliseconds. */
  async function took(what: string, check: () => Promise<boolean>): Promise<number> {
    const began = performance.now();
    await eventually(what, check, WITHIN).catch((error: unknown) => {
      throw new Error(`${what}: ${rig.log(1)}`, { cause: error });
    });
    return performance.now() - began;
  }

  test('another underlay address: the subnet stays, peers follow within a second, and back', async () => {
    const { subnet, lease } = await rig.status(1);
    for (const [was, is] of [
      ['192.168.64.1', '192.168.64.11'],
      ['192.168.64.11', '192.168.64.1'],
    ] as const) {
      await shell(
        1,
        `ip address del ${was}/24 dev eth0; ip address add ${is}/24 dev eth0; ip route add default via 192.168.64.254`,
      );
      expect(await took('node 2 sends there', async () => (await fdb(2)).includes(`dst ${is} `))).toBeLessThan(1_000);
      await eventually('its device is bound there', async () => {
        return (await rig.inside(1, 'ip', '-d', 'link', 'show', 'flannel.1')).includes(`local ${is} `);
      });
      await eventually('peers are back', async () => (await fdb(1)).split('permanent').length === 3);
      expect(await rig.status(1)).toMatchObject({ subnet, publicIP: is, lease: { key: lease.key } });
      await rig.route(1);
      expect(await rig.ping(2, 1, '-c', '1')).toBe(1);
    }
  });

  test('the underlay interface renamed, and its MTU changed', async () => {
    const rename = (was: string, is: string): Promise<string> =>
      shell(
        1,
        `ip link set ${was} down; ip link set ${was} name ${is}; ip link set ${is} up; ip route add default via 192.168.64.254`,
      );
    await rename('eth0', 'uplink0');
    await eventually('it goes by the new name', async () => (await rig.status(1)).interface === 'uplink0');
    await rig.ready(1, 2);
    await rig.route(1);
    expect(await rig.ping(1, 3, '-c', '1')).toBe(1);
    await rename('uplink0', 'eth0');
    await eventually('and back', async () => (await rig.status(1)).interface === 'eth0');
    await rig.inside(1, 'ip', 'link', 'set', 'eth0', 'mtu', '1400');
    const follows = async (mtu: number): Promise<boolean> =>
      (await rig.inside(1, 'ip', 'link', 'show', 'flannel.1')).includes(`mtu ${mtu} `) &&
      (await rig.subnetFile(1)).includes(`FLANNEL_MTU=${mtu}\n`);
    expect(await took('the overlay follows', () => follows(1350))).toBeLessThan(1_000);
    await rig.inside(1, 'ip', 'link', 'set', 'eth0', 'mtu', '1500');
    await eventually('and back', () => follows(1450));
    await rig.route(1);
  });

  test('the other end of the cable goes down: no peer has a next hop, of one cause; it is back: all have', async () => {
    const view = new FeedView();
    const causes = new Map<string, string>();
    const feed = watchFeed({
      socketPath: feedSocketPath(rig.runFolder(1), 'flanneld'),
      watcher: 'test',
      view,
      log: pino({ level: 'silent' }),
      onChange: (_, cause) => cause && causes.set(cause.id, cause.kind),
      onState: () => undefined,
    });
    try {
      const peers = () => [...view.groups.values()].filter(({ local, kind }) => !local && kind === 'unicast');
      await eventually('both peers', () => peers().filter(({ nextHops }) => nextHops.length === 1).length === 2);
      causes.clear();
      await rig.inside('sw', 'ip', 'link', 'set', 'n1', 'down');
      await eventually('no next hops', () => peers().every(({ nextHops }) => nextHops.length === 0), WITHIN);
      expect([...causes.values()]).toEqual(['link-down']);
      // Three subnets, and the network that they are of.
      expect([peers().length, view.routeCount]).toEqual([2, 4]);
      await eventually('not ready', async () => JSON.stringify(await rig.ask(1, '/readyz')).includes('no carrier'));
      await rig.inside('sw', 'ip', 'link', 'set', 'n1', 'up');
      await eventually('next hops', () => peers().every(({ nextHops }) => nextHops.length === 1), WITHIN);
      expect([...causes.values()]).toEqual(['link-down', 'link-up']);
    } finally {
      feed.close();
    }
    await rig.ready(1, 2);
    expect(await rig.ping(1, 3, '-c', '1')).toBe(1);
  });

  test.each([
    ['deleted', 'ip link delete flannel.1'],
    ['taken down', 'ip link set flannel.1 down'],
    ['given another MAC address', 'ip link set flannel.1 address 02:00:00:00:00:99'],
    ['given another MTU', 'ip link set flannel.1 mtu 1300'],
    ['renamed', 'ip link set flannel.1 down; ip link set flannel.1 name gone'],
    [
      'its FDB flushed',
      'for m in $(bridge fdb show dev flannel.1 | cut -d" " -f1); do bridge fdb del $m dev flannel.1 self; done',
    ],
    ['its neighbours flushed', 'ip neighbour flush dev flannel.1 nud permanent'],
  ])('the device %s: as it was within a second, peers included', async (_, script) => {
    const state = async (): Promise<string> => {
      const link = await rig.inside(1, 'ip', '-o', 'link', 'show', 'flannel.1');
      const neighbours = await rig.inside(1, 'ip', 'neighbour', 'show', 'dev', 'flannel.1', 'nud', 'permanent');
      const lines = [...(await fdb(1)).split('\n'), ...neighbours.split('\n')].map((line) => line.trim()).sort();
      const facts = [/[<,]UP[,>]/, /mtu \d+/, /link\/ether \S+/].map((pattern) => pattern.exec(link)?.[0]);
      return [...facts, ...lines].join('\n');
    };
    const before = await state();
    await shell(1, script);
    expect(
      await took('it is as it was', async () => {
        expect(await state()).toBe(before);
        return true;
      }),
    ).toBeLessThan(1_000);
    await rig.route(1);
    expect(await rig.ping(1, 2, '-c', '1')).toBe(1);
  });

  test('the network config: live what can be, told what cannot, kept what was good', async () => {
    await rig.configure({
      ...NETWORK,
      SubnetMax: '10.5.254.0',
      Backend: { Type: 'vxlan', MTU: 1400, DirectRouting: true },
    });
    const link = (): Promise<string> => rig.inside(1, 'ip', 'link', 'show', 'flannel.1');
    await eventually('the MTU is taken up', async () => (await link()).includes('mtu 1350 '), WITHIN);
    await eventually('so is DirectRouting', async () =>
      (await rig.status(1)).peers.some(({ via }) => via[0] === '192.168.64.2 on eth0'),
    );
    expect((await rig.status(1)).config).toEqual({ fault: null, needsRestart: [] });
    await rig.configure({ ...NETWORK, Backend: { Type: 'vxlan', Port: 4789 } });
    await eventually('a port waits for a restart', async () => (await rig.status(1)).config.needsRestart.length > 0);
    expect((await rig.status(1)).config.needsRestart).toEqual(['Backend.Port: 8472, to be 4789']);
    expect(rig.log(1)).toContain('restart flanneld for the rest of it');
    await rig.configure({ Network: '10.5.0.0/33' });
    await eventually('a wrong one is told', async () => (await rig.status(1)).config.fault !== null);
    await rig.configure(NETWORK);
    await eventually('all is in use again', async () => {
      const { config, peers } = await rig.status(1);
      return (
        config.fault === null &&
        config.needsRestart.length === 0 &&
        peers.every(({ via }) => via[0]?.includes('flannel.1'))
      );
    });
    await eventually('with the MTU of old', async () => (await link()).includes('mtu 1450 '));
    await rig.route(1);
    expect(await rig.ping(1, 2, '-c', '1')).toBe(1);
  });

  test('all leases deleted, one edited by hand: each node has its own back, and no packet is lost', async () => {
    const before = await Promise.all([1, 2, 3].map(async (node) => (await rig.status(node)).subnet));
    const pinged = rig.ping(1, 3, '-c', '40', '-i', '0.05');
    await rig.etcd.ctl('del', '--prefix', FOLDER);
    await eventually(
      'all are back',
      async () => (await rig.etcd.ctl('get', '--prefix', '--keys-only', FOLDER)).split('-24').length === 4,
    );
    const { lease } = await rig.status(2);
    await rig.etcd.ctl('put', lease.key, '{"PublicIP":"192.168.64.2","NodeName":"node2","BackendType":"udp"}');
    await eventually('the edit is gone', async () => (await rig.etcd.ctl('get', lease.key)).includes('VtepMAC'));
    expect(await pinged).toBe(40);
    expect(await Promise.all([1, 2, 3].map(async (node) => (await rig.status(node)).subnet))).toEqual(before);
  });

  test('etcd restored from an older copy, without one node and with another at a former place', async () => {
    const old = await rig.status(2);
    const [value] = (await rig.etcd.ctl('get', '--print-value-only', old.lease.key)).trim().split('\n');
    await rig.end(2, 'SIGTERM');
    await rig.etcd.ctl('del', old.lease.key);
    const { subnet: taken } = await rig.status(1);
    // In the copy node 2 stands where node 1 is today, and node 1 nowhere.
    const { lease } = await rig.status(1);
    await rig.etcd.snapshot();
    await rig.etcd.kill();
    await rig.etcd.restore();
    expect(await rig.ping(1, 3, '-c', '1')).toBe(1);
    await rig.ready(1, 1);
    rig.start(2);
    expect((await rig.ready(2, 2)).subnet).toBe(old.subnet);
    expect(value).toContain('node2');
    // A lease of node 2 appears beside its own: node 2 removes it, so that node 1 keeps its place.
    await rig.etcd.ctl('del', lease.key);
    const granted = /lease (\S+) granted/.exec(await rig.etcd.ctl('lease', 'grant', '600'))?.[1] ?? '';
    await rig.etcd.ctl('put', `--lease=${granted}`, lease.key, value ?? '');
    await eventually(
      'node 1 has it again',
      async () => (await rig.etcd.ctl('get', lease.key)).includes('node1'),
      WITHIN,
    );
    expect((await rig.status(1)).subnet).toBe(taken);
    await rig.ready(1, 2);
    await rig.route(1);
    await rig.route(2);
  });

  test('a reservation by name is taken and stays one', async () => {
    const { lease, subnet } = await rig.status(3);
    await rig.etcd.ctl('put', `${FOLDER}10.5.200.0-24`, '{"NodeName":"node3"}');
    await restart(3);
    expect(await rig.status(3)).toMatchObject({ subnet: '10.5.200.0/24', lease: { secondsLeft: null } });
    await restart(3);
    const { kvs } = JSON.parse(await rig.etcd.ctl('get', '--write-out=json', `${FOLDER}10.5.200.0-24`)) as {
      kvs: readonly { readonly lease?: number }[];
    };
    expect(kvs[0]?.lease).toBeUndefined();
    expect(await rig.etcd.ctl('get', lease.key)).toBe('');
    await rig.end(3, 'SIGTERM');
    await rig.etcd.ctl('del', `${FOLDER}10.5.200.0-24`);
    await shell(
      3,
      `sed -i 's#^FLANNEL_SUBNET=.*#FLANNEL_SUBNET=${subnet.replace('.0/24', '.1/24')}#' ${rig.runFolder(3)}/subnet.env`,
    );
    rig.start(3);
    expect((await rig.ready(3, 2)).subnet).toBe(subnet);
    await rig.route(3);
  });

  test('two nodes with one address, two with one name: each is told by name', async () => {
    const value =
      '{"PublicIP":"192.168.64.1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:77"},"NodeName":"twin"}';
    await rig.etcd.ctl('put', `${FOLDER}10.5.177.0-24`, value);
    const twin = await eventually('node 1 sees it', async () =>
      (await rig.status(1)).peers.find(({ node }) => node === 'twin'),
    );
    expect(twin.refused).toBe("it claims this node's address 192.168.64.1");
    await rig.etcd.ctl('del', `${FOLDER}10.5.177.0-24`);
    const { subnet } = await rig.status(1);
    await rig.end(2, 'SIGTERM');
    rig.start(21, ['--node-name', 'node1']);
    const ending = await rig.ended(1);
    expect(ending.code).toBe(5);
    expect(ending.lastLine).toContain(
      'another node that also calls itself node1 (at 192.168.64.2): give each its own --node-name',
    );
    await rig.end(21, 'SIGTERM');
    for (const node of [1, 2]) rig.start(node);
    expect((await rig.ready(1, 2)).subnet).toBe(subnet);
    await rig.ready(2, 2);
    for (const node of [1, 2]) await rig.route(node);
  });

  test('--on-conflict new-subnet: the node that etcd names keeps the subnet, this one moves', async () => {
    await restart(1, ['--on-conflict', 'new-subnet']);
    const { lease, subnet } = await rig.status(1);
    await rig.etcd.ctl('put', lease.key, '{"PublicIP":"192.168.64.9","BackendType":"host-gw","NodeName":"thief"}');
    await eventually('it moved', async () => (await rig.status(1)).subnet !== subnet, WITHIN);
    const moved = await rig.status(1);
    await eventually('file and device follow', async () => {
      expect(await rig.subnetFile(1)).toContain(`FLANNEL_SUBNET=${moved.subnet.replace('.0/24', '.1/24')}`);
      const addresses = await rig.inside(1, 'ip', 'address', 'show', 'flannel.1');
      expect(addresses).toContain(`inet ${firstAddress(moved.subnet)}/32`);
      return true;
    });
    expect(rig.log(1)).toContain('held by node thief at 192.168.64.9');
    await eventually('node 2 knows the new one', async () =>
      (await rig.status(2)).peers.some((peer) => peer.subnet === moved.subnet && peer.programmed),
    );
    for (const node of [1, 2]) await rig.route(node);
    expect(await rig.ping(2, 1, '-c', '1')).toBe(1);
    await rig.etcd.ctl('del', lease.key);
  });

  test('--release-on-exit gives everything back', async () => {
    await restart(1, ['--release-on-exit']);
    const { lease } = await rig.status(1);
    expect(await rig.end(1, 'SIGTERM')).toMatchObject({ code: 0 });
    expect(await rig.etcd.ctl('get', lease.key)).toBe('');
    expect(await rig.inside(1, 'ip', 'link')).not.toContain('flannel.1');
    await expect(rig.subnetFile(1)).rejects.toThrow('ENOENT');
    await eventually('its peers let go of it', async () => !(await fdb(2)).includes('192.168.64.1 '));
    rig.start(1);
    await rig.ready(1, 2);
    for (const node of [1, 2, 3]) await rig.route(node);
  });

  test('--iface by pattern and by reach, --public-ip behind NAT: the device keeps the local address and packets flow', async () => {
    await shell(3, 'ip link add other type bridge; ip address add 172.16.0.1/24 dev other; ip link set other up');
    await restart(3, ['--iface-regex', '^192\\.168\\.', '--public-ip', '203.0.113.3']);
    await rig.inside(
      'sw',
      'nft',
      'add table ip nat; add chain ip nat pre { type nat hook prerouting priority -100; }; add rule ip nat pre ip daddr 203.0.113.3 dnat to 192.168.65.3',
    );
    expect(await rig.status(3)).toMatchObject({ publicIP: '203.0.113.3', interface: 'eth0' });
    expect(await rig.inside(3, 'ip', '-d', 'link', 'show', 'flannel.1')).toContain('local 192.168.65.3 ');
    await eventually('node 1 sends to the public address', async () => (await fdb(1)).includes('203.0.113.3 '));
    expect(await rig.ping(1, 3, '-c', '2', '-i', '0.1')).toBe(2);
    await rig.inside('sw', 'nft', 'delete table ip nat');
    await restart(3, ['--iface-can-reach', '192.168.64.1']);
    expect(await rig.status(3)).toMatchObject({ publicIP: '192.168.65.3', interface: 'eth0' });
    await rig.inside(3, 'ip', 'link', 'delete', 'other');
  });

  test('two networks on the same nodes: a daemon each, a VNI each, and packets in both', async () => {
    const second = { Network: '10.6.0.0/16', Backend: { Type: 'vxlan', VNI: 2 } };
    await rig.etcd.ctl('put', '/second/config', JSON.stringify(second));
    for (const daemon of [11, 21]) rig.start(daemon, ['--etcd-prefix', '/second']);
    for (const daemon of [11, 21]) expect((await rig.ready(daemon, 1)).subnet).toMatch(/^10\.6\./);
    for (const daemon of [11, 21]) await rig.route(daemon);
    expect(await rig.ping(11, 21, '-c', '1')).toBe(1);
    expect(await rig.ping(1, 2, '-c', '1')).toBe(1);
    for (const daemon of [11, 21]) await rig.end(daemon, 'SIGTERM');
    expect(await rig.ping(1, 2, '-c', '1')).toBe(1);
  });
});
