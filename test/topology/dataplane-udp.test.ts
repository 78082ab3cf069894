// The user-space IP-in-UDP plane (flannel's `udp` backend) against itself, through routers and pods.
// There is no kernel device to compare it with; what is compared is what any IP link would do.

import { afterEach, describe, expect, test } from 'vitest';
import {
  addPod,
  asPeer,
  capture,
  DEVICE,
  dressDevice,
  inside,
  makeRig,
  type PlaneProcess,
  planeConfig,
  type Rig,
  type Side,
  startPlane,
  transfer,
} from './dataplane-rig.ts';

const MTU_BYTES = 1472;
const TRANSFER_BYTES = 8 * 1024 * 1024;
type Io = 'tuntap' | 'batched';

let rig: Rig | undefined;

afterEach(async () => {
  await rig?.remove();
  rig = undefined;
});

async function openUdp(on: Rig, io: Io, side: Side, other: Side, family: 4 | 6 = 4): Promise<PlaneProcess> {
  const plane = await startPlane(on, side, planeConfig(side, 'udp', MTU_BYTES, family), io);
  await dressDevice(side, other, MTU_BYTES, false);
  await plane.setPeer(asPeer(other, 'udp', family));
  return plane;
}

describe.each(['tuntap', 'batched'] as const)('over %s', (io) => {
  test('carries ping, full-size packets and TCP between pods, IPv4 and IPv6', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    const planes = [await openUdp(rig, io, a, b), await openUdp(rig, io, b, a)];
    const [podA, podB] = [await addPod(rig, a, MTU_BYTES), await addPod(rig, b, MTU_BYTES)];
    await inside(podA, `ping -c 3 -i 0.05 -W 2 -M do -s ${MTU_BYTES - 28} ${podB.overlay4}`);
    await inside(podB, `ping -c 3 -i 0.05 -W 2 -M do -s ${MTU_BYTES - 48} ${podA.overlay6}`);
    await inside(podA, `ping -c 2 -i 0.05 -W 2 -s 9000 ${podB.overlay4}`);
    for (const host of [podB.overlay4, podB.overlay6]) {
      const { sent, received } = await transfer(podA, podB, host, TRANSFER_BYTES);
      expect(received).toBe(sent);
    }
    for (const plane of planes) {
      const { drops } = await plane.stats();
      expect(Object.entries(drops).filter(([reason, count]) => count > 0 && !reason.endsWith('multicast'))).toEqual([]);
    }
  });

  test('counts as one hop per router, as any link does: two between pods', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await openUdp(rig, io, a, b);
    await openUdp(rig, io, b, a);
    const [podA, podB] = [await addPod(rig, a, MTU_BYTES), await addPod(rig, b, MTU_BYTES)];
    expect(await inside(podA, `ping -c 1 -W 2 ${podB.overlay4}`)).toContain(' ttl=62 ');
    expect(await inside(podA, `ping -c 1 -W 2 ${podB.overlay6}`)).toContain(' ttl=62 ');
    // With a TTL of 2 the packet dies at the second router, whose kernel says so through the tunnel.
    const died = await inside(podA, `ping -c 1 -W 2 -t 2 ${podB.overlay4}`).catch((error) => error.stdout as string);
    expect(died).toContain('Time to live exceeded');
  });

  test('runs over an IPv6 underlay', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await openUdp(rig, io, a, b, 6);
    await openUdp(rig, io, b, a, 6);
    await inside(a, `ping -c 3 -i 0.05 -W 2 ${b.overlay4}`);
    await inside(b, `ping -c 3 -i 0.05 -W 2 ${a.overlay6}`);
  });

  test('answers a pod with ICMP that its kernel believes: no route, and too big', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    const plane = await openUdp(rig, io, a, b);
    await openUdp(rig, io, b, a);
    const pod = await addPod(rig, a, MTU_BYTES);
    await inside(a, `ip route add 10.77.0.0/16 dev ${DEVICE}`);
    await inside(a, `ip -6 route add fd77::/32 dev ${DEVICE}`);
    const outputOf = (command: string) => inside(pod, command).catch((error) => error.stdout as string);
    expect(await outputOf('ping -c 1 -W 2 10.77.0.9')).toContain('Destination Net Unreachable');
    expect(await outputOf('ping -c 1 -W 2 fd77::9')).toContain('Destination unreachable: No route');

    // The plane learns of a smaller MTU before the device does.
    await plane.setMtu(1300);
    expect(await outputOf(`ping -c 1 -W 2 -M do -s 1400 ${b.overlay4}`)).toContain(
      'Frag needed and DF set (mtu = 1300)',
    );
    expect(await outputOf(`ping -c 1 -W 2 -M do -s 1400 ${b.overlay6}`)).toContain('Packet too big: mtu=1300');
    const { drops, icmpSent } = await plane.stats();
    expect(icmpSent).toBe(4);
    expect(drops).toMatchObject({ 'tx-no-route': 2, 'tx-too-big': 2 });
    // And the sender adapts: TCP gets through.
    const { sent, received } = await transfer(pod, b, b.overlay4, 1024 * 1024);
    expect(received).toBe(sent);
  });
});

test('the outer packet has DSCP and ECN of what is inside, where the driver can say so: batched', async () => {
  rig = await makeRig();
  const { a, b } = rig;
  await openUdp(rig, 'batched', a, b);
  await openUdp(rig, 'batched', b, a);
  const packets = await capture(b, 'udp and src host 192.0.2.1', 2, ['ip.dsfield'], async () => {
    // 0xb9: Expedited Forwarding, ECT(1).
    await inside(a, `ping -c 1 -W 2 -Q 0xb9 ${b.overlay4}`);
    await inside(a, `ping -c 1 -W 2 -Q 0xb9 ${b.overlay6}`);
  });
  expect(packets).toEqual([['0xb9,0xb9'], ['0xb9']]);
});
