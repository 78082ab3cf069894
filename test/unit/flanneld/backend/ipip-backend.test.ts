// The ipip backend on a fake kernel that has an IP-in-IP device and on one that has none.
// The packets are the business of the data plane and its tests; the kernel's own device is on no machine that tests run on.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IpipBackend } from '../../../../flanneld/backend/ipip-backend.ts';
import type { OpenDataPlane, PlaneConfig, PlanePeer, PlaneRoute } from '../../../../flanneld/dataplane/data-plane.ts';
import { PlaneCounters } from '../../../../flanneld/dataplane/plane-counters.ts';
import type { IpipConfig } from '../../../../flanneld/lease/network-config.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { type Fixture, leaseOf, makeFixture } from './backend-fixture.ts';

const IPIP: IpipConfig = { type: 'ipip', directRouting: false, userSpace: false };
const DEVICE = 'flannel.ipip';
const ROUTE: PlaneRoute = { prefix: prefix('10.99.0.0/24'), endpoints: [address('192.0.2.2')] };
const lease = (node: number, changed = {}) => leaseOf(node, { backendType: 'ipip', ...changed });

describe('IpipBackend', () => {
  let fixture: Fixture;
  let backend: IpipBackend;
  let fail: (error: Error) => void;
  let opened: { config: PlaneConfig; peers: Map<string, PlanePeer>; routes: PlaneRoute[]; mtuBytes: number }[];

  function makeBackend(config: IpipConfig, made: Fixture): IpipBackend {
    const open: OpenDataPlane = async (planeConfig, options) => {
      fail = (error) => options.onFailure(error);
      const plane = {
        config: planeConfig,
        peers: new Map<string, PlanePeer>(),
        routes: [] as PlaneRoute[],
        mtuBytes: 0,
      };
      opened.push(plane);
      made.kernel.addLink({ name: planeConfig.deviceName, type: 'tun' });
      return {
        io: { name: 'tuntap', why: 'a test' },
        setPeer: (peer) => void plane.peers.set(peer.node, peer),
        removePeer: (node) => void plane.peers.delete(node),
        setRoutes: (routes) => void plane.routes.push(...routes),
        persist: () => undefined,
        setMtu: (mtuBytes) => {
          plane.mtuBytes = mtuBytes;
        },
        stats: () => ({ ...new PlaneCounters().snapshot(), peers: 0, prefixes: 0 }),
        close: async () => undefined,
      };
    };
    return new IpipBackend(config, { open, io: 'auto' }, made.context);
  }

  const settle = (): Promise<void> => fixture.clock.advanceAsync(0);
  const kernelHasNone = (): void => fixture.kernel.failNext('put link', 'EOPNOTSUPP');

  beforeEach(() => {
    fixture = makeFixture();
    opened = [];
    backend = makeBackend(IPIP, fixture);
  });

  afterEach(() => fixture.kernel.assertFailuresConsumed());

  test("takes the kernel's device where there is one; the gateway is the peer's underlay address", async () => {
    await backend.start(lease(1));
    backend.setPeers([lease(2), leaseOf(3)]);
    await settle();
    expect(opened).toEqual([]);
    expect(fixture.kernel.link(DEVICE)).toMatchObject({
      type: 'ipip',
      ipip: { local: '192.0.2.1' },
      mtuBytes: 1480,
      up: true,
      alias: 'gingham',
    });
    expect(fixture.kernel.addresses().map((entry) => entry.address)).toContain('10.5.1.0');
    expect([backend.name, backend.drops(), backend.problem()]).toEqual(['ipip', undefined, undefined]);
    expect(backend.peers()).toMatchObject([
      { programmed: true, routes: [{ hop: { gateway: '192.0.2.2', device: DEVICE, onlink: true } }] },
      { programmed: false, refused: 'it runs the backend vxlan, this node ipip' },
    ]);
    backend.setRoutes([ROUTE]);
    expect(backend.leaseData()).toEqual({ backendType: 'ipip' });
  });

  test('carries the packets itself where the kernel has no such device', async () => {
    kernelHasNone();
    await backend.start(lease(1));
    backend.setPeers([lease(2)]);
    await settle();
    expect(opened.map(({ config }) => config)).toEqual([
      {
        mode: 'ipip',
        deviceName: DEVICE,
        localAddress: '192.0.2.1',
        port: 0,
        mtuBytes: 1480,
        ownSubnets: ['10.5.1.0/24'],
      },
    ]);
    expect([...(opened[0]?.peers.values() ?? [])]).toMatchObject([
      { endpoint: '192.0.2.2', port: 0, subnets: ['10.5.2.0/24'] },
    ]);
    expect(fixture.kernel.link(DEVICE)).toMatchObject({ type: 'tun', mtuBytes: 1480, up: true, alias: 'gingham' });
    expect(backend.name).toBe('ipip-user');
    expect(backend.peers()).toMatchObject([
      { programmed: true, routes: [{ hop: { gateway: '10.5.2.0', device: DEVICE, onlink: true } }] },
    ]);
    backend.setRoutes([ROUTE]);
    expect(opened[0]?.routes).toEqual([ROUTE]);
  });

  test('a plane that breaks is followed by one that knows every peer and every route', async () => {
    kernelHasNone();
    await backend.start(lease(1));
    backend.setPeers([lease(2)]);
    const other = { prefix: prefix('10.98.0.0/24'), endpoints: [address('192.0.2.2')] };
    backend.setRoutes([ROUTE, other]);
    backend.setRoutes([{ ...other, endpoints: [] }]);
    fail(new Error('the device is gone'));
    await fixture.clock.advanceAsync(500);
    expect(opened).toHaveLength(2);
    expect([...(opened[1]?.peers.keys() ?? [])]).toEqual([...(opened[0]?.peers.keys() ?? [])]);
    expect(opened[1]?.routes).toEqual([ROUTE]);
  });

  test('carries them itself where it is told to, and where IPv6 is inside', async () => {
    await makeBackend({ ...IPIP, userSpace: true }, fixture).start(lease(1));
    const other = makeFixture();
    await makeBackend(IPIP, other).start(lease(1, { subnet6: prefix('fd00:5:1::/64') }));
    expect(opened.map(({ config }) => config.ownSubnets)).toEqual([['10.5.1.0/24'], ['10.5.1.0/24', 'fd00:5:1::/64']]);
  });

  test('ends where the kernel refuses for another reason, and where the underlay is IPv6', async () => {
    fixture.kernel.failNext('put link', 'EPERM');
    await expect(backend.start(lease(1))).rejects.toMatchObject({ exitCode: 4 });
    expect(opened).toEqual([]);
    const context = { ...fixture.context, underlay: { ...fixture.underlay, local: address('2001:db8::1') } };
    const on6 = makeBackend(IPIP, { ...fixture, context });
    await expect(on6.start(lease(1))).rejects.toThrow(
      'the backend ipip needs an IPv4 underlay, and 2001:db8::1 is IPv6',
    );
  });

  test('DirectRouting: a plain route to a peer on the link', async () => {
    kernelHasNone();
    const direct = makeBackend({ ...IPIP, directRouting: true }, fixture);
    await direct.start(lease(1));
    direct.setPeers([lease(2)]);
    await settle();
    expect(direct.peers()).toMatchObject([
      { programmed: true, routes: [{ hop: { gateway: '192.0.2.2', device: 'eth0', onlink: false } }] },
    ]);
    await direct.stop();
  });
});
