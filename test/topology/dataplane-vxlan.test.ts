// The user-space VXLAN plane against the kernel's own VXLAN device, both ways, and against itself.
// Both ends are processes in namespaces of this machine; the underlay is a veth pair, with its offloads and without.

import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { hexVector } from '../hex-vector.ts';
import { exchangeAll } from './dataplane-exchange.ts';
import {
  addPod,
  asPeer,
  capture,
  DEVICE,
  dressDevice,
  inside,
  makeKernelVxlan,
  makeRig,
  type PlaneProcess,
  planeConfig,
  type Rig,
  type Side,
  startPlane,
  transfer,
} from './dataplane-rig.ts';

const MTU_BYTES = 1450;
type Io = 'tuntap' | 'batched';

let rig: Rig | undefined;

afterEach(async () => {
  await rig?.remove();
  rig = undefined;
});

async function openVxlan(on: Rig, io: Io, side: Side, other: Side, family: 4 | 6 = 4): Promise<PlaneProcess> {
  const plane = await startPlane(on, side, planeConfig(side, 'vxlan', MTU_BYTES, family), io);
  await dressDevice(side, other, MTU_BYTES, true);
  await plane.setPeer(asPeer(other, 'vxlan', family));
  return plane;
}

const VXLAN_FIELDS = ['frame.protocols', 'vxlan.flags', 'vxlan.vni', '_ws.expert.message'];
const TRANSFER_BYTES = 8 * 1024 * 1024;
const EXCHANGE = { mtuBytes: MTU_BYTES, tcpBytes: 4 * 1024 * 1024, udpStep: 13 };

describe.each(['tuntap', 'batched'] as const)('over %s', (io) => {
  test('exchanges ping, TCP and UDP of every size with the kernel device, both ways and both families', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await makeKernelVxlan(b, a, 1, 8472, MTU_BYTES);
    const plane = await openVxlan(rig, io, a, b);

    await exchangeAll(a, b, EXCHANGE);
    const { drops } = await plane.stats();
    // The kernel announces itself by multicast (neighbour and router solicitations): those are not carried, by design.
    const unexpected = Object.entries(drops).filter(([reason, count]) => count > 0 && !reason.endsWith('multicast'));
    expect(unexpected).toEqual([]);
  });

  test('cuts the super-packets of a kernel device, so that they fit the links of a pod', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await makeKernelVxlan(b, a, 1, 8472, MTU_BYTES);
    const plane = await openVxlan(rig, io, a, b);
    const pod = await addPod(rig, a, MTU_BYTES);
    for (const host of [pod.overlay4, pod.overlay6]) {
      await inside(b, `ping -c 1 -W 2 ${host}`);
      const { sent, received } = await transfer(b, pod, host, TRANSFER_BYTES);
      expect(received).toBe(sent);
    }
    const { rx } = await plane.stats();
    expect(rx.bytes / rx.packets).toBeLessThanOrEqual(MTU_BYTES + 14);
  });

  test('exchanges all of it with the kernel device over links without any offload', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    for (const side of [a, b]) await inside(side, 'ethtool -K ul tx off rx off sg off tso off gso off gro off');
    await makeKernelVxlan(b, a, 1, 8472, MTU_BYTES);
    await openVxlan(rig, io, a, b);
    await exchangeAll(a, b, EXCHANGE);
  });

  test('exchanges packets with itself over an IPv6 underlay', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await openVxlan(rig, io, a, b, 6);
    await openVxlan(rig, io, b, a, 6);
    await inside(a, `ping -c 3 -i 0.05 -W 2 ${b.overlay4}`);
    await inside(b, `ping -c 3 -i 0.05 -W 2 ${a.overlay6}`);
  });

  test('sends datagrams that tshark reads as VXLAN without complaint', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    // A veth leaves checksums to the hardware that it has not; here they are to be seen.
    for (const side of [a, b]) await inside(side, 'ethtool -K ul tx off');
    await makeKernelVxlan(b, a, 1, 8472, MTU_BYTES);
    await openVxlan(rig, io, a, b);
    const layers = await capture(b, 'udp port 8472', 8, VXLAN_FIELDS, async () => {
      await inside(a, `ping -c 2 -i 0.05 -W 2 ${b.overlay4}`);
      await inside(a, `ping -c 2 -i 0.05 -W 2 ${b.overlay6}`);
    });
    expect(layers).toHaveLength(8);
    for (const [protocols, flags, vni, expert] of layers) {
      expect(protocols).toMatch(/^eth:ethertype:ip:udp:vxlan:eth:ethertype:ipv?6?:icmp/);
      expect(flags).toBe('0x0800');
      expect(vni).toBe('1');
      expect(expert).toBe('');
    }
  });

  test('opens under the name that was asked for, and takes the device away when it closes', async () => {
    rig = await makeRig();
    const { a } = rig;
    const plane = await startPlane(rig, a, planeConfig(a, 'vxlan', MTU_BYTES), io);
    const [link] = JSON.parse(await inside(a, `ip -d -j link show dev ${DEVICE}`));
    expect(link.linkinfo).toMatchObject({ info_kind: 'tun', info_data: { type: 'tap', pi: false } });
    expect(link.operstate).toBe('DOWN');
    await plane.close();
    await expect(inside(a, `ip link show dev ${DEVICE}`)).rejects.toThrow('does not exist');
    expect(plane.failures).toEqual([]);
  });

  test('says what is wrong in one line where it cannot open, and leaves no device behind', async () => {
    rig = await makeRig();
    const { a } = rig;
    await inside(a, `ip link add ${DEVICE} type bridge`);
    const config = planeConfig(a, 'vxlan', MTU_BYTES);
    await expect(startPlane(rig, a, config, io)).rejects.toThrow(
      'cannot name the tap device "flannel.t": a link of that name exists already',
    );
    await inside(a, `ip link del ${DEVICE}`);
    await startPlane(rig, a, config, io);
    await expect(startPlane(rig, a, { ...config, deviceName: 'flannel.u' }, io)).rejects.toThrow(
      'cannot bind UDP 192.0.2.1 port 8472: EADDRINUSE',
    );
    const links = JSON.parse(await inside(a, 'ip -j link')).map((link: { ifname: string }) => link.ifname);
    expect(links.sort()).toEqual(['flannel.t', 'lo', 'ul']);
  });

  test('says what the machine lacks: the right to make a device, or /dev/net/tun', async () => {
    rig = await makeRig();
    const config = planeConfig(rig.a, 'vxlan', MTU_BYTES);
    await expect(startPlane(rig, rig.a, config, io, ['setpriv', '--bounding-set', '-net_admin'])).rejects.toThrow(
      'cannot open a tap device for "flannel.t": not permitted (needs the capability NET_ADMIN',
    );
    const withoutDevice = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
    await expect(startPlane(rig, rig.a, config, io, withoutDevice)).rejects.toThrow('/dev/net/tun is missing');
  });

  test('reports once when somebody deletes the device, and opens anew', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await makeKernelVxlan(b, a, 1, 8472, MTU_BYTES);
    const plane = await openVxlan(rig, io, a, b);
    await inside(a, `ip link del ${DEVICE}`);
    await eventually('the failure', () => plane.failures.length > 0);
    await plane.close();
    expect(plane.failures).toHaveLength(1);
    await openVxlan(rig, io, a, b);
    await inside(a, `ping -c 1 -W 2 ${b.overlay4}`);
  });

  test('a process that ends without closing ends at once, with an idle device', async () => {
    rig = await makeRig();
    const plane = await startPlane(rig, rig.a, planeConfig(rig.a, 'vxlan', MTU_BYTES), io);
    const startedMs = performance.now();
    expect(await plane.exit(3)).toBe(3);
    expect(performance.now() - startedMs).toBeLessThan(1_800);
  });

  test('drops what comes from a node that it does not know, and what such a node would send for another', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await makeKernelVxlan(b, a, 1, 8472, MTU_BYTES);
    const plane = await openVxlan(rig, io, a, b);
    await plane.removePeer(b.namespace);
    await expect(inside(b, `ping -c 2 -i 0.05 -W 1 ${a.overlay4}`)).rejects.toThrow();
    expect((await plane.stats()).drops['rx-unknown-sender']).toBeGreaterThanOrEqual(2);

    await plane.setPeer({ ...asPeer(b, 'vxlan'), subnets: [] });
    await expect(inside(b, `ping -c 2 -i 0.05 -W 1 ${a.overlay4}`)).rejects.toThrow();
    expect((await plane.stats()).drops['rx-spoofed-source']).toBeGreaterThanOrEqual(2);

    await plane.setPeer(asPeer(b, 'vxlan'));
    await inside(b, `ping -c 2 -i 0.05 -W 2 ${a.overlay4}`);
  });

  test('drops garbage from a peer and from a stranger, and goes on', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await makeKernelVxlan(b, a, 1, 8472, MTU_BYTES);
    const plane = await openVxlan(rig, io, a, b);
    const valid = Buffer.from(hexVector('vxlan-echo')).toString('hex');
    const script = fileURLToPath(new URL('garbage-sender.mjs', import.meta.url));
    const bombard = () => inside(b, `${process.execPath} ${script} ${a.underlay4} 8472 20000 ${valid}`);
    await bombard();
    await plane.removePeer(b.namespace);
    await bombard();
    await plane.setPeer(asPeer(b, 'vxlan'));
    await inside(b, `ping -c 2 -i 0.05 -W 2 ${a.overlay4}`);
    const { drops } = await plane.stats();
    expect(plane.failures).toEqual([]);
    for (const reason of [
      'rx-unknown-sender',
      'rx-vxlan-flags',
      'rx-wrong-vni',
      'rx-truncated',
      'rx-foreign-mac',
    ] as const) {
      expect(drops[reason]).toBeGreaterThan(0);
    }
  });
});
