// The kernel VXLAN backend on a fake kernel: what it writes, what it repairs, what it leaves alone, what it refuses.
// How it mends what others break is in vxlan-repair.test.ts.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VxlanBackend } from '../../../../flanneld/backend/vxlan-backend.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { type Fixture, leaseOf, makeFixture } from './backend-fixture.ts';
import { entries, startWith, TWO_PEERS, VXLAN } from './vxlan-fixture.ts';

describe('VxlanBackend', () => {
  let fixture: Fixture;
  let backend: VxlanBackend;

  beforeEach(() => {
    fixture = makeFixture();
    backend = new VxlanBackend(VXLAN, fixture.context);
  });

  afterEach(async () => {
    await backend.stop();
    fixture.kernel.assertFailuresConsumed();
  });

  const settle = (): Promise<void> => fixture.clock.advanceAsync(0);

  test('makes flannel.1 as flannel does, and marks it as ours', async () => {
    await startWith(backend, fixture);
    expect(fixture.kernel.link('flannel.1')).toMatchObject({
      type: 'vxlan',
      mac: '02:00:00:00:00:01',
      mtuBytes: 1450,
      up: true,
      alias: 'gingham',
      vxlan: { vni: 1, local: '192.0.2.1', port: 8472, parentIndex: fixture.underlay.linkIndex, learning: false },
    });
    const index = fixture.kernel.link('flannel.1')?.index;
    expect(fixture.kernel.addresses().filter(({ linkIndex }) => linkIndex === index)).toEqual([
      { linkIndex: index, address: '10.5.1.0', prefixLength: 32 },
    ]);
  });

  test('a neighbour and an FDB entry per peer, then an onlink hop to offer', async () => {
    await startWith(backend, fixture, 2, 3);
    expect(entries(fixture)).toEqual(TWO_PEERS);
    expect(backend.peers()).toMatchObject([
      {
        lease: { nodeName: 'node2' },
        endpoint: '192.0.2.2',
        programmed: true,
        routes: [{ subnet: '10.5.2.0/24', hop: { gateway: '10.5.2.0', device: 'flannel.1', onlink: true, weight: 1 } }],
      },
      { lease: { nodeName: 'node3' }, programmed: true },
    ]);
    expect(fixture.changes.count).toBeGreaterThan(0);
    expect(fixture.kernel.routes(71)).toEqual([]);
  });

  test('nothing is written twice, and nothing is listed for ever', async () => {
    await startWith(backend, fixture, 2, 3);
    await fixture.clock.advanceAsync(1_000);
    fixture.kernel.clearRecords();
    backend.setPeers([leaseOf(2), leaseOf(3)]);
    await fixture.clock.advanceAsync(10_000);
    expect(fixture.kernel.writes).toEqual([]);
    expect(fixture.kernel.listings).toEqual([]);
  });

  test('a peer that goes takes its entries along; one whose MAC and address change leaves no stale FDB entry', async () => {
    await startWith(backend, fixture, 2, 3);
    backend.setPeers([
      leaseOf(3, { publicIp: address('192.0.2.33'), vtep: { vni: 1, mac: mac('02:00:00:00:00:33') } }),
    ]);
    expect(backend.peers()).toMatchObject([{ programmed: false, routes: [{ subnet: '10.5.3.0/24' }] }]);
    await settle();
    expect(entries(fixture)).toEqual({
      neighbours: ['10.5.3.0 02:00:00:00:00:33'],
      fdb: ['02:00:00:00:00:33 192.0.2.33'],
    });
  });

  test('a stranger with its name is an error that says what to do', async () => {
    fixture.kernel.addLink({ name: 'flannel.1', type: 'dummy' });
    await expect(backend.start(leaseOf(1))).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('ip link delete flannel.1'),
      cause: { message: expect.stringContaining("is not gingham's: a dummy device") },
    });
  });

  test.each([
    ['EPERM', 'NET_ADMIN'],
    ['EOPNOTSUPP', '--vxlan-user'],
    ['EEXIST', 'another device already has this VNI'],
  ] as const)('a kernel that says %s is an error with its remedy', async (code, remedy) => {
    fixture.kernel.failNext('put link', code);
    await expect(backend.start(leaseOf(1))).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining(remedy),
    });
  });

  test('leases that this node cannot use are refused by name, the others go on', async () => {
    await backend.start(leaseOf(1));
    backend.setPeers([
      leaseOf(2),
      leaseOf(3, { backendType: 'host-gw' }),
      leaseOf(4, { vtep: { vni: 2, mac: mac('02:00:00:00:00:04') } }),
      leaseOf(5, { publicIp: address('192.0.2.1') }),
      leaseOf(6, { key: '/net/subnets/10.5.1.128-25', subnet: prefix('10.5.1.128/25') }),
      leaseOf(7, { vtep: { vni: 1, mac: mac('02:00:00:00:00:02') } }),
    ]);
    await settle();
    const refused = Object.fromEntries(backend.peers().map((peer) => [peer.lease.nodeName, peer.refused]));
    expect(refused).toEqual({
      node2: undefined,
      node3: 'it runs the backend host-gw, this node vxlan',
      node4: "its VNI is 2, this node's 1",
      node5: "it claims this node's address 192.0.2.1",
      node6: "its subnet 10.5.1.128/25 overlaps this node's",
      node7: 'its VTEP MAC 02:00:00:00:00:02 is that of node2 at 192.0.2.2',
    });
    expect(entries(fixture).fdb).toEqual(['02:00:00:00:00:02 192.0.2.2']);
  });

  test('follows the MTU of the underlay', async () => {
    await startWith(backend, fixture);
    backend.update({ underlay: { ...fixture.underlay, mtuBytes: 9_000 } });
    await settle();
    expect(backend.mtuBytes).toBe(8_950);
    expect(fixture.kernel.link('flannel.1')?.mtuBytes).toBe(8_950);
  });

  test('the MAC address is that of the lease before, else one that follows from the name', () => {
    const first = backend.leaseData(undefined).vtep?.mac;
    expect(first).toBe(new VxlanBackend(VXLAN, fixture.context).leaseData(undefined).vtep?.mac);
    expect(new VxlanBackend(VXLAN, { ...fixture.context, nodeName: 'node2' }).leaseData(undefined).vtep?.mac).not.toBe(
      first,
    );
    expect(backend.leaseData(leaseOf(9)).vtep?.mac).toBe('02:00:00:00:00:09');
  });

  test('an IPv6 underlay takes 70 bytes and peers by their IPv6 addresses', async () => {
    const underlay = { ...fixture.underlay, local: address('2001:db8::1'), publicIp: address('2001:db8::1') };
    backend = new VxlanBackend(VXLAN, { ...fixture.context, underlay });
    expect(backend.mtuBytes).toBe(1430);
    const lease = leaseOf(1, { publicIp6: address('2001:db8::1') });
    await backend.start({ ...lease, ...backend.leaseData(lease) });
    backend.setPeers([leaseOf(2, { publicIp6: address('2001:db8::2') }), leaseOf(3)]);
    await settle();
    expect(entries(fixture).fdb).toEqual(['02:00:00:00:00:02 2001:db8::2']);
    expect(backend.peers()[1]?.refused).toContain('no IPv6 address');
  });

  describe('with DirectRouting', () => {
    beforeEach(async () => {
      backend = new VxlanBackend({ ...VXLAN, directRouting: true }, fixture.context);
      const linkIndex = fixture.underlay.linkIndex;
      fixture.kernel.foreign({
        op: 'put',
        kind: 'route',
        route: {
          table: 254,
          prefix: prefix('198.51.100.0/24'),
          tos: 0,
          metric: 0,
          protocol: 3,
          type: 'unicast',
          nextHops: [{ gateway: address('192.0.2.254'), linkIndex }],
        },
      });
      await backend.start(leaseOf(1));
      backend.setPeers([leaseOf(2), leaseOf(3, { publicIp: address('198.51.100.3') })]);
      await settle();
    });

    const hops = (): unknown[] => backend.peers().flatMap(({ routes }) => routes.map(({ hop }) => hop));

    test('a peer on the same link gets a plain route, one behind a router the tunnel', () => {
      expect(hops()).toEqual([
        { gateway: '192.0.2.2', device: 'eth0', onlink: false, weight: 1 },
        { gateway: '10.5.3.0', device: 'flannel.1', onlink: true, weight: 1 },
      ]);
      expect(entries(fixture).fdb).toHaveLength(2);
    });

    test('a peer that comes to sit on the link changes over', async () => {
      const linkIndex = fixture.underlay.linkIndex;
      const own = { linkIndex, address: address('198.51.100.1'), prefixLength: 24 };
      fixture.kernel.foreign(
        { op: 'delete', kind: 'route', route: { table: 254, prefix: prefix('198.51.100.0/24'), tos: 0, metric: 0 } },
        { op: 'put', kind: 'address', address: own },
      );
      await fixture.clock.advanceAsync(200);
      expect(hops()[1]).toEqual({ gateway: '198.51.100.3', device: 'eth0', onlink: false, weight: 1 });
    });
  });
});
