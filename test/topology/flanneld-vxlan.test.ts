// The kernel VXLAN backend with real flannelds: packets flow, what is broken by hand is mended, a restart loses nothing.
// The tests share one cluster of three nodes, the third behind a router, and leave it as they found it.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { FlanneldRig, firstAddress } from './flanneld-rig.ts';

describe('flanneld with kernel VXLAN', () => {
  let rig: FlanneldRig;

  beforeAll(async () => {
    rig = await FlanneldRig.make({ Network: '10.5.0.0/16' });
    for (const node of [1, 2, 3]) rig.start(node);
    for (const node of [1, 2, 3]) await rig.ready(node, 2);
    for (const node of [1, 2, 3]) await rig.route(node);
  });

  afterAll(() => rig?.remove());

  const lines = async (node: number, ...command: readonly string[]): Promise<string[]> => {
    const printed = await rig.inside(node, ...command);
    return printed
      .trim()
      .split('\n')
      .map((line) => line.trim())
      .sort();
  };
  const fdb = (node: number): Promise<string[]> => lines(node, 'bridge', 'fdb', 'show', 'dev', 'flannel.1');
  const neighbours = (node: number): Promise<string[]> =>
    lines(node, 'ip', 'neighbour', 'show', 'dev', 'flannel.1', 'nud', 'permanent');

  test('each node has its device, its address, subnet.env, and both entries for each other node', async () => {
    const { subnet } = await rig.status(1);
    expect(await rig.subnetFile(1)).toBe(
      `FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=${subnet.replace(/\.0\/24$/, '.1/24')}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n`,
    );
    const link = await rig.inside(1, 'ip', '-d', 'link', 'show', 'flannel.1');
    expect(link).toMatch(
      /mtu 1450 .*vxlan id 1 local 192\.168\.64\.1 dev eth0 .*dstport 8472 nolearning.*alias gingham/s,
    );
    expect(await rig.inside(1, 'ip', 'address', 'show', 'dev', 'flannel.1')).toContain(
      `inet ${firstAddress(subnet)}/32`,
    );
    expect((await fdb(1)).map((line) => line.split(' ').slice(2).join(' '))).toEqual(
      expect.arrayContaining(['192.168.64.2 self permanent', '192.168.65.3 self permanent']),
    );
    expect(await neighbours(1)).toHaveLength(2);
  });

  test("each lease in etcd is flannel's, with the node's name beside it", async () => {
    const { lease, subnet } = await rig.status(1);
    expect(lease.key).toBe(`/coreos.com/network/subnets/${subnet.replace('/', '-')}`);
    const value: unknown = JSON.parse(await rig.etcd.ctl('get', '--print-value-only', lease.key));
    expect(value).toEqual({
      PublicIP: '192.168.64.1',
      PublicIPv6: null,
      BackendType: 'vxlan',
      BackendData: { VNI: 1, VtepMAC: expect.stringMatching(/^[0-9a-f:]{17}$/) },
      NodeName: 'node1',
    });
  });

  test('packets go both ways, through the router too, up to the MTU and not beyond', async () => {
    for (const [from, to] of [
      [1, 2],
      [2, 1],
      [1, 3],
      [3, 2],
    ] as const) {
      expect(await rig.ping(from, to, '-c', '2', '-i', '0.05')).toBe(2);
    }
    expect(await rig.ping(1, 3, '-c', '1', '-M', 'do', '-s', String(1450 - 28))).toBe(1);
    expect(await rig.ping(1, 3, '-c', '1', '-M', 'do', '-s', String(1450 - 27))).toBe(0);
  });

  test('flannel.1 deleted by hand is back within a second, with every peer', async () => {
    const before = { fdb: await fdb(1), neighbours: await neighbours(1) };
    const tookMs: number[] = [];
    for (let round = 0; round < 3; round++) {
      const deletedMs = performance.now();
      await rig.inside(1, 'ip', 'link', 'delete', 'flannel.1');
      await eventually('it is back with every peer', async () => {
        expect({ fdb: await fdb(1), neighbours: await neighbours(1) }).toEqual(before);
        return true;
      });
      tookMs.push(performance.now() - deletedMs);
    }
    expect(Math.min(...tookMs)).toBeLessThan(1_000);
    await rig.route(1);
    expect(await rig.ping(1, 2, '-c', '1')).toBe(1);
  });

  test('what is changed by hand on the device is put right', async () => {
    const before = { fdb: await fdb(1), neighbours: await neighbours(1) };
    const script = `
      ip link set flannel.1 down
      ip link set flannel.1 address 02:00:00:00:00:77 mtu 1000
      ip address add 10.5.250.1/32 dev flannel.1
      ip neighbour replace 10.5.251.0 lladdr 02:00:00:00:00:78 nud permanent dev flannel.1
      bridge fdb append 02:00:00:00:00:78 dev flannel.1 dst 192.168.64.99 self permanent
      bridge fdb replace ${before.fdb[0]?.split(' ')[0]} dev flannel.1 dst 192.168.64.98 self permanent`;
    await rig.inside(1, 'sh', '-c', script);
    await eventually('all is as it was', async () => {
      expect({ fdb: await fdb(1), neighbours: await neighbours(1) }).toEqual(before);
      expect(await rig.inside(1, 'ip', 'link', 'show', 'flannel.1')).toContain('mtu 1450');
      expect(await rig.inside(1, 'ip', 'address', 'show', 'flannel.1')).not.toContain('10.5.250.1');
      return true;
    });
    await rig.route(1);
    expect(await rig.ping(1, 2, '-c', '1')).toBe(1);
  });

  test('kill -9 and a restart keep subnet, MAC and device, and lose no packet meanwhile', async () => {
    const before = { status: await rig.status(1), link: await rig.inside(1, 'ip', 'link', 'show', 'flannel.1') };
    const target = firstAddress((await rig.status(2)).subnet);
    const source = firstAddress(before.status.subnet);
    const ping = spawn('ip', ['netns', 'exec', rig.namespace(1), 'ping', '-n', '-i', '0.05', '-I', source, target]);
    let printed = '';
    ping.stdout.on('data', (bytes) => {
      printed += String(bytes);
    });
    const pinged = new Promise((resolve) => ping.once('close', resolve));
    await eventually('the ping runs', () => printed.includes('icmp_seq=3'));
    await rig.end(1, 'SIGKILL');
    rig.start(1);
    const after = await rig.ready(1, 2);
    const atReady = printed.length;
    await eventually('some more came', () => printed.length > atReady + 200);
    ping.kill('SIGINT');
    await pinged;
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(printed) ?? [];
    // The last one may still be on its way when ping is stopped.
    expect(Number(sent) - Number(received)).toBeLessThanOrEqual(1);
    expect(printed.match(/icmp_seq=\d+/g)?.map((seq) => Number(seq.slice(9)))).toEqual(
      Array.from({ length: Number(received) }, (_, i) => i + 1),
    );
    expect(after.subnet).toBe(before.status.subnet);
    expect(await rig.inside(1, 'ip', 'link', 'show', 'flannel.1')).toBe(before.link);
  });

  test('SIGTERM ends it in under two seconds, with the device and the lease left in place', async () => {
    const { lease } = await rig.status(3);
    const began = performance.now();
    expect(await rig.end(3, 'SIGTERM')).toMatchObject({ code: 0, lastLine: expect.stringContaining('stopped') });
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(await rig.inside(3, 'ip', 'link', 'show', 'flannel.1')).toContain('UP');
    expect(await rig.etcd.ctl('get', '--keys-only', lease.key)).toContain(lease.key);
    expect(await rig.ping(1, 2, '-c', '1')).toBe(1);
    rig.start(3);
    expect((await rig.ready(3, 2)).lease.key).toBe(lease.key);
  });

  test('etcd away: forwarding and repair go on, readiness tells; etcd back: new leases are seen', async () => {
    await rig.etcd.kill();
    await eventually('node 1 tells', async () => !(await rig.status(1)).etcd.connected);
    await rig.inside(1, 'ip', 'link', 'delete', 'flannel.1');
    await eventually('the device is back', async () => (await fdb(1)).length === 2);
    await rig.route(1);
    expect(await rig.ping(1, 3, '-c', '1')).toBe(1);
    await rig.etcd.start();
    await rig.ready(1, 2);
    const value =
      '{"PublicIP":"192.168.64.77","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:77"}}';
    await rig.etcd.ctl('put', '/coreos.com/network/subnets/10.5.77.0-24', value);
    await eventually('the new one is programmed', async () => (await fdb(1)).join().includes('192.168.64.77'));
    await rig.etcd.ctl('del', '/coreos.com/network/subnets/10.5.77.0-24');
    await eventually('and goes again', async () => !(await fdb(1)).join().includes('192.168.64.77'));
  });
});
