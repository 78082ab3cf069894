// host-gw on a fake kernel: plain routes to nodes on the link, a clear refusal for the others, and no device.
// The fake kernel looks routes up as the real one does, connected ones included.

import { beforeEach, describe, expect, test } from 'vitest';
import { HostGwBackend } from '../../../../flanneld/backend/host-gw-backend.ts';
import type { Lease } from '../../../../flanneld/lease/lease.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { type Fixture, leaseOf, makeFixture } from './backend-fixture.ts';

describe('HostGwBackend', () => {
  let fixture: Fixture;
  let backend: HostGwBackend;

  beforeEach(async () => {
    fixture = makeFixture();
    backend = new HostGwBackend(fixture.context);
    await backend.start(hostGw(1));
  });

  const settle = (): Promise<void> => fixture.clock.advanceAsync(0);

  function hostGw(node: number, publicIp = `192.0.2.${node}`): Lease {
    const { vtep: _, ...lease } = leaseOf(node, { backendType: 'host-gw', publicIp: address(publicIp) });
    return lease;
  }

  test('offers the address of a peer on the link as gateway', async () => {
    backend.setPeers([hostGw(2)]);
    await settle();
    expect(backend.peers()).toMatchObject([
      {
        endpoint: '192.0.2.2',
        programmed: true,
        routes: [{ subnet: '10.5.2.0/24', hop: { gateway: '192.0.2.2', device: 'eth0', onlink: false, weight: 1 } }],
      },
    ]);
    expect(fixture.kernel.writes).toEqual([]);
    expect(backend.mtuBytes).toBe(1500);
    expect(backend.leaseData()).toEqual({ backendType: 'host-gw' });
  });

  test('refuses a peer that there is no way to, and one behind a router, by name', async () => {
    const routed = { table: 254, prefix: prefix('198.51.100.0/24'), tos: 0, metric: 0 };
    const nextHops = [{ gateway: address('192.0.2.254'), linkIndex: fixture.underlay.linkIndex }];
    fixture.kernel.foreign({ op: 'put', kind: 'route', route: { ...routed, protocol: 3, type: 'unicast', nextHops } });
    backend.setPeers([hostGw(2), hostGw(3, '198.51.100.3'), hostGw(4, '203.0.113.4')]);
    await settle();
    expect(backend.peers().map(({ refused }) => refused)).toEqual([
      undefined,
      'host-gw reaches only nodes on the same link, and 198.51.100.3 is behind the router 192.0.2.254: use vxlan',
      'host-gw reaches only nodes on the same link, and there is no route to 203.0.113.4: use vxlan',
    ]);
    expect(backend.peers().map(({ routes }) => routes.length)).toEqual([1, 0, 0]);
  });

  test('takes a peer up when it comes to sit on the link, and says that something changed', async () => {
    backend.setPeers([hostGw(3, '198.51.100.3')]);
    await settle();
    const before = fixture.changes.count;
    const linkIndex = fixture.underlay.linkIndex;
    const own = { linkIndex, address: address('198.51.100.1'), prefixLength: 24 };
    fixture.kernel.foreign({ op: 'put', kind: 'address', address: own });
    await fixture.clock.advanceAsync(200);
    expect(fixture.changes.count).toBeGreaterThan(before);
    expect(backend.peers()).toMatchObject([{ programmed: true, routes: [{ hop: { gateway: '198.51.100.3' } }] }]);
  });

  test("gingham's own routes do not make it look again", async () => {
    backend.setPeers([hostGw(2)]);
    await settle();
    fixture.kernel.clearRecords();
    const route = { table: 254, prefix: prefix('10.5.2.0/24'), tos: 0, metric: 0, protocol: 71 };
    const nextHops = [{ gateway: address('192.0.2.2'), linkIndex: fixture.underlay.linkIndex }];
    fixture.kernel.foreign({ op: 'put', kind: 'route', route: { ...route, type: 'unicast', nextHops } });
    await fixture.clock.advanceAsync(1_000);
    expect(fixture.kernel.listings).toEqual([]);
  });
});
