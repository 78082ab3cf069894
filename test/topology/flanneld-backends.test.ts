// The other backends with real flannelds: user-space VXLAN beside kernel VXLAN, udp, host-gw, DirectRouting.
// What they share with kernel VXLAN (repair, restart, etcd away) is shown in flanneld-vxlan.test.ts.

import { afterEach, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { FlanneldRig } from './flanneld-rig.ts';

describe('flanneld', () => {
  let rig: FlanneldRig | undefined;

  afterEach(async () => {
    await rig?.remove();
    rig = undefined;
  });

  async function start(
    networkConfig: object,
    flags: Readonly<Record<number, readonly string[]>> = {},
  ): Promise<FlanneldRig> {
    const made = await FlanneldRig.make(networkConfig);
    rig = made;
    for (const node of [1, 2, 3]) made.start(node, flags[node]);
    for (const node of [1, 2, 3]) await made.ready(node, 2);
    for (const node of [1, 2, 3]) await made.route(node);
    return made;
  }

  async function expectPings(
    made: FlanneldRig,
    pairs: readonly (readonly [number, number])[],
    sizeBytes = 56,
  ): Promise<void> {
    for (const [from, to] of pairs) {
      const received = await made.ping(from, to, '-c', '3', '-i', '0.1', '-s', String(sizeBytes));
      expect(`${from} to ${to}: ${received}`).toBe(`${from} to ${to}: 3`);
    }
  }

  const ALL = [
    [1, 2],
    [2, 1],
    [1, 3],
    [3, 1],
    [2, 3],
    [3, 2],
  ] as const;

  test('a vxlan-user node and kernel nodes are one cluster, and the TAP comes back when it is deleted', async () => {
    const made = await start({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan' } }, { 1: ['--vxlan-user'] });
    expect((await made.status(1)).backend).toBe('vxlan-user');
    expect((await made.status(2)).backend).toBe('vxlan');
    await expectPings(made, ALL);
    await expectPings(made, ALL, 1400);
    await made.inside(1, 'ip', 'link', 'delete', 'flannel.1');
    await eventually('the TAP is back', async () => {
      return (await made.inside(1, 'ip', '-d', 'link', 'show', 'flannel.1')).includes('tun type tap');
    });
    await made.ready(1, 2);
    await made.route(1);
    await expectPings(made, [[1, 3]]);
    const { subnet } = await made.status(1);
    await made.end(1, 'SIGTERM');
    made.start(1);
    expect(await made.ready(1, 2)).toMatchObject({ backend: 'vxlan', subnet });
    await made.route(1);
    await expectPings(made, [
      [1, 2],
      [3, 1],
    ]);
  });

  test('udp', async () => {
    const made = await start({ Network: '10.5.0.0/16', Backend: { Type: 'udp' } });
    expect(await made.subnetFile(1)).toContain('FLANNEL_MTU=1472');
    await expectPings(made, ALL);
    await expectPings(made, ALL, 1472 - 28);
    const status = (await made.ask(1, '/status')) as { drops: Record<string, number> };
    expect(status.drops).toHaveProperty('rx-unknown-sender');
  });

  test('host-gw reaches the node on its link, and names the one behind the router', async () => {
    const made = await start({ Network: '10.5.0.0/16', Backend: { Type: 'host-gw' } });
    expect(await made.subnetFile(1)).toContain('FLANNEL_MTU=1500');
    const { peers } = await made.status(1);
    expect(peers.find(({ node }) => node === 'node2')).toMatchObject({
      programmed: true,
      via: ['192.168.64.2 on eth0'],
    });
    expect(peers.find(({ node }) => node === 'node3')).toMatchObject({
      via: [],
      refused: expect.stringContaining('192.168.65.3 is behind the router 192.168.64.254'),
    });
    expect(made.log(1)).toContain('a peer cannot be reached');
    expect(await made.inside(1, 'ip', 'link')).not.toContain('flannel');
  });

  test('DirectRouting: plain routes on the link, the tunnel through the router', async () => {
    const made = await start({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan', DirectRouting: true } });
    const { peers } = await made.status(1);
    expect(peers.find(({ node }) => node === 'node2')?.via).toEqual(['192.168.64.2 on eth0']);
    expect(peers.find(({ node }) => node === 'node3')?.via[0]).toMatch(/^10\.5\.\d+\.0 on flannel\.1$/);
    await expectPings(made, ALL);
  });

  test('a network that changes its backend: the former device goes when the node restarts', async () => {
    const made = await start({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan' } });
    const { subnet } = await made.status(1);
    await made.configure({ Network: '10.5.0.0/16', Backend: { Type: 'udp' } });
    for (const node of [1, 2, 3]) {
      await made.end(node, 'SIGTERM');
      made.start(node);
    }
    for (const node of [1, 2, 3]) await made.ready(node, 2);
    for (const node of [1, 2, 3]) await made.route(node);
    expect(await made.inside(1, 'ip', 'link')).toMatch(/flannel0/);
    expect(await made.inside(1, 'ip', 'link')).not.toMatch(/flannel\.1/);
    expect((await made.status(1)).subnet).toBe(subnet);
    await expectPings(made, ALL);
  });
});
