// The backends with a data plane in flanneld: the kernel's side on a fake kernel, the plane's side on a recording one.
// The packets themselves are the business of the data plane and its own tests.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { UserBackend, type UserConfig } from '../../../../flanneld/backend/user-backend.ts';
import {
  type DataPlane,
  DROP_REASONS,
  type DropReason,
  type OpenDataPlane,
  type PlaneConfig,
  type PlanePeer,
  type PlaneRoute,
} from '../../../../flanneld/dataplane/data-plane.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { EXIT, ExitError } from '../../../../lib/run/exit.ts';
import type { FakeKernel } from '../../../fakes/fake-kernel.ts';
import { type Fixture, leaseOf, makeFixture } from './backend-fixture.ts';

const VXLAN: UserConfig = {
  type: 'vxlan',
  vni: 1,
  port: 8472,
  directRouting: false,
  userSpace: true,
  gbp: false,
  learning: false,
};

/** A plane that makes its device in the fake kernel and remembers what it is told. */
class RecordingPlane implements DataPlane {
  readonly io = { name: 'tuntap', why: 'a test' } as const;
  readonly peers = new Map<string, PlanePeer>();
  readonly routes = new Map<string, readonly string[]>();
  readonly config: PlaneConfig;
  readonly #kernel: FakeKernel;
  readonly drops = Object.fromEntries(Object.keys(DROP_REASONS).map((reason) => [reason, 0])) as Record<
    DropReason,
    number
  >;
  readonly #fail: (error: Error) => void;
  closed = false;
  isPersistent = false;
  isAdopted = false;
  mtuBytes: number;

  constructor(config: PlaneConfig, kernel: FakeKernel, fail: (error: Error) => void) {
    this.config = config;
    this.#kernel = kernel;
    this.#fail = fail;
    this.mtuBytes = config.mtuBytes;
    if (kernel.link(config.deviceName) === undefined) kernel.addLink({ name: config.deviceName, type: 'tun' });
  }

  persist(): void {
    this.isPersistent = true;
  }

  setPeer(peer: PlanePeer): void {
    this.peers.set(peer.node, peer);
  }

  removePeer(node: string): void {
    this.peers.delete(node);
  }

  setRoutes(routes: readonly PlaneRoute[]): void {
    for (const route of routes) this.routes.set(route.prefix, route.endpoints);
  }

  setMtu(mtuBytes: number): void {
    this.mtuBytes = mtuBytes;
  }

  stats() {
    const traffic = { packets: 0, bytes: 0 };
    return { tx: traffic, rx: traffic, drops: { ...this.drops }, icmpSent: 0, icmpLimited: 0, peers: 0, prefixes: 0 };
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.#kernel.link(this.config.deviceName) === undefined) return;
    this.#kernel.foreign({ op: 'delete', kind: 'link', name: this.config.deviceName });
  }

  /** Somebody deletes the device. */
  break(): void {
    this.#kernel.foreign({ op: 'delete', kind: 'link', name: this.config.deviceName });
    this.#fail(new Error('the device is gone'));
  }
}

describe('UserBackend', () => {
  let fixture: Fixture;
  let planes: RecordingPlane[];
  let backend: UserBackend;
  let refusal: Error | undefined;

  const open: OpenDataPlane = async (config, options) => {
    if (refusal !== undefined) throw refusal;
    const plane = new RecordingPlane(config, fixture.kernel, (error) => options.onFailure(error));
    plane.isAdopted = options.adopt === true;
    planes.push(plane);
    return plane;
  };

  beforeEach(() => {
    fixture = makeFixture();
    planes = [];
    refusal = undefined;
    backend = new UserBackend(VXLAN, { open, io: 'auto' }, fixture.context);
  });

  afterEach(() => backend.stop());

  const settle = (): Promise<void> => fixture.clock.advanceAsync(0);

  async function startWith(...nodes: readonly number[]): Promise<void> {
    await backend.start(leaseOf(1));
    backend.setPeers(nodes.map((node) => leaseOf(node)));
    await settle();
  }

  function peersOf(plane: RecordingPlane | undefined): unknown[] {
    return [...(plane?.peers.values() ?? [])].map((peer) => ({ ...peer, node: undefined }));
  }

  const NODE2 = { endpoint: '192.0.2.2', port: 8472, mac: '02:00:00:00:00:02', subnets: ['10.5.2.0/24'] };

  test('opens a TAP that looks like the kernel device, and tells the plane its peers', async () => {
    await startWith(2, 3);
    expect(planes[0]?.config).toEqual({
      mode: 'vxlan',
      deviceName: 'flannel.1',
      vni: 1,
      mac: '02:00:00:00:00:01',
      localAddress: '192.0.2.1',
      port: 8472,
      mtuBytes: 1450,
      ownSubnets: ['10.5.1.0/24'],
    });
    expect(fixture.kernel.link('flannel.1')).toMatchObject({
      mac: '02:00:00:00:00:01',
      mtuBytes: 1450,
      up: true,
      alias: 'gingham',
    });
    expect(fixture.kernel.addresses().map((entry) => entry.address)).toContain('10.5.1.0');
    expect(fixture.kernel.neighbours().map((entry) => entry.address)).toEqual(['10.5.2.0', '10.5.3.0']);
    expect(fixture.kernel.fdb()).toEqual([]);
    expect(peersOf(planes[0])).toEqual([NODE2, expect.objectContaining({ endpoint: '192.0.2.3' })]);
    expect(backend.peers()).toMatchObject([
      { programmed: true, routes: [{ hop: { gateway: '10.5.2.0', device: 'flannel.1', onlink: true } }] },
      { programmed: true },
    ]);
  });

  test('its lease is that of a vxlan node, so that kernel nodes and flannel can talk to it', () => {
    expect(backend.leaseData(leaseOf(1))).toEqual({
      backendType: 'vxlan',
      vtep: { vni: 1, mac: '02:00:00:00:00:01' },
    });
  });

  test('peers come, change and go in the plane and in the kernel', async () => {
    await startWith(2, 3);
    backend.setPeers([leaseOf(3, { publicIp: address('192.0.2.33') })]);
    await settle();
    expect(peersOf(planes[0])).toMatchObject([{ endpoint: '192.0.2.33' }]);
    expect(fixture.kernel.neighbours().map((entry) => entry.address)).toEqual(['10.5.3.0']);
  });

  test('several leases of one node are one peer with all its subnets', async () => {
    await backend.start(leaseOf(1));
    const second = leaseOf(2, { key: '/net/subnets/10.5.20.0-24', subnet: prefix('10.5.20.0/24') });
    backend.setPeers([leaseOf(2), second]);
    await settle();
    expect(peersOf(planes[0])).toEqual([{ ...NODE2, subnets: ['10.5.2.0/24', '10.5.20.0/24'] }]);
  });

  test('when the device is deleted another plane opens, with every peer', async () => {
    await startWith(2);
    planes[0]?.break();
    await fixture.clock.advanceAsync(500);
    expect(planes).toHaveLength(2);
    expect(planes[0]?.closed).toBe(true);
    expect(peersOf(planes[1])).toEqual([NODE2]);
    expect(fixture.kernel.link('flannel.1')).toMatchObject({ mac: '02:00:00:00:00:01', alias: 'gingham', up: true });
    expect(fixture.kernel.neighbours().map((entry) => entry.address)).toEqual(['10.5.2.0']);
    expect(backend.problem()).toBeUndefined();
  });

  test('while no plane can be opened it says why, keeps its routes on offer, and tries again', async () => {
    await startWith(2);
    refusal = new Error('no port left');
    planes[0]?.break();
    await fixture.clock.advanceAsync(2_000);
    expect(backend.problem()).toBe('the device is gone');
    expect(backend.peers()).toMatchObject([{ programmed: false, routes: [{ subnet: '10.5.2.0/24' }] }]);
    refusal = undefined;
    await fixture.clock.advanceAsync(5_000);
    expect(backend.problem()).toBeUndefined();
  });

  test('drops are counted over all planes', async () => {
    await startWith(2);
    const count = (plane: RecordingPlane | undefined, drops: number): void => {
      if (plane !== undefined) plane.drops['rx-wrong-vni'] += drops;
    };
    count(planes[0], 3);
    planes[0]?.break();
    await fixture.clock.advanceAsync(500);
    count(planes[1], 4);
    expect(backend.drops()['rx-wrong-vni']).toBe(7);
  });

  test('a kernel device of a run before makes room, a stranger does not', async () => {
    fixture.kernel.addLink({ name: 'flannel.1', type: 'vxlan', alias: 'gingham' });
    await startWith(2);
    expect(fixture.kernel.link('flannel.1')?.type).toBe('tun');
    const other = new UserBackend({ ...VXLAN, vni: 2 }, { open, io: 'auto' }, fixture.context);
    fixture.kernel.addLink({ name: 'flannel.2', type: 'dummy' });
    await expect(other.start(leaseOf(1))).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('ip link delete flannel.2'),
    });
  });

  test('a device that the last run left is taken over as it is, and is told to stay once it has our mark', async () => {
    const { index } = fixture.kernel.addLink({ name: 'flannel.1', type: 'tun', alias: 'gingham' });
    await startWith(2);
    expect(planes[0]).toMatchObject({ isAdopted: true, isPersistent: true });
    expect(fixture.kernel.link('flannel.1')?.index).toBe(index);
    const device = fixture.kernel.link('flannel.1');
    expect(device?.alias).toBe('gingham');
    expect(backend.planeIo).toEqual({ name: 'tuntap', why: 'a test' });
  });

  test('what the plane says at opening comes through as it is', async () => {
    refusal = new ExitError(EXIT.environment, 'no /dev/net/tun here');
    await expect(backend.start(leaseOf(1))).rejects.toBe(refusal);
  });

  test('follows the MTU of the underlay', async () => {
    await startWith(2);
    backend.update({ underlay: { ...fixture.underlay, mtuBytes: 9_000 } });
    await settle();
    expect([backend.mtuBytes, planes[0]?.mtuBytes, fixture.kernel.link('flannel.1')?.mtuBytes]).toEqual([
      8950, 8950, 8950,
    ]);
  });

  describe('as udp', () => {
    beforeEach(() => {
      backend = new UserBackend({ type: 'udp', port: 8285 }, { open, io: 'tuntap' }, fixture.context);
    });

    test('opens flannel0, offers gateways as names of peers, and takes leases without a type as flannel writes them', async () => {
      const { vtep: _, ...plain } = leaseOf(2, { backendType: '' });
      await backend.start(leaseOf(1));
      backend.setPeers([plain]);
      await settle();
      expect(planes[0]?.config).toMatchObject({ mode: 'udp', deviceName: 'flannel0', port: 8285, mtuBytes: 1472 });
      expect(peersOf(planes[0])).toEqual([{ endpoint: '192.0.2.2', port: 8285, subnets: ['10.5.2.0/24'] }]);
      expect(fixture.kernel.neighbours()).toEqual([]);
      expect(backend.peers()).toMatchObject([
        { programmed: true, routes: [{ hop: { gateway: '10.5.2.0', device: 'flannel0', onlink: true } }] },
      ]);
      expect(backend.leaseData(undefined)).toEqual({ backendType: 'udp' });
    });
  });

  test('a lease MAC that differs from the name is kept', async () => {
    await backend.start(leaseOf(1, { vtep: { vni: 1, mac: mac('02:aa:00:00:00:01') } }));
    expect(planes[0]?.config).toMatchObject({ mac: '02:aa:00:00:00:01' });
  });
});
