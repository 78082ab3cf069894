// The user-space IP-in-IP plane (RFC 2003 and, for IPv6 inside, RFC 4213) against itself, through routers and pods, and as
// tshark reads it.

import { afterEach, describe, expect, test } from 'vitest';
import {
  addPod,
  asPeer,
  capture,
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

const MTU_BYTES = 1480;
const TRANSFER_BYTES = 8 * 1024 * 1024;
type Io = 'tuntap' | 'batched';

let rig: Rig | undefined;

afterEach(async () => {
  await rig?.remove();
  rig = undefined;
});

async function openIpip(on: Rig, io: Io, side: Side, other: Side): Promise<PlaneProcess> {
  const plane = await startPlane(on, side, planeConfig(side, 'ipip', MTU_BYTES), io);
  await dressDevice(side, other, MTU_BYTES, false);
  await plane.setPeer(asPeer(other, 'ipip'));
  return plane;
}

describe.each(['tuntap', 'batched'] as const)('over %s', (io) => {
  test('carries ping, full-size packets and TCP between pods, IPv4 and IPv6', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    const planes = [await openIpip(rig, io, a, b), await openIpip(rig, io, b, a)];
    const [podA, podB] = [await addPod(rig, a, MTU_BYTES), await addPod(rig, b, MTU_BYTES)];
    expect(await inside(podA, `ping -c 3 -i 0.05 -W 2 -M do -s ${MTU_BYTES - 28} ${podB.overlay4}`)).toContain(
      'ttl=62',
    );
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

  test('sends IPv4 as protocol 4 and IPv6 as protocol 41, with DSCP and ECN of what is inside', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    await openIpip(rig, io, a, b);
    await openIpip(rig, io, b, a);
    const fields = ['frame.protocols', 'ip.proto', 'ip.dsfield', 'ip.flags.df', '_ws.expert.message'];
    const packets = await capture(b, 'ip proto 4 or ip proto 41', 4, fields, async () => {
      // 0xb9: Expedited Forwarding, ECT(1).
      await inside(a, `ping -c 1 -W 2 -Q 0xb9 ${b.overlay4}`);
      await inside(a, `ping -c 1 -W 2 -Q 0xb9 ${b.overlay6}`);
    });
    expect(packets.map((packet) => packet.slice(0, 3))).toEqual([
      ['eth:ethertype:ip:ip:icmp:data', '4,1', '0xb9,0xb9'],
      ['eth:ethertype:ip:ip:icmp:data', '4,1', expect.stringMatching(/^(0x..),\1$/)],
      ['eth:ethertype:ip:ipv6:icmpv6:data', '41', '0xb9'],
      ['eth:ethertype:ip:ipv6:icmpv6:data', '41', expect.any(String)],
    ]);
    expect(packets.map((packet) => packet[4])).toEqual(['', '', '', '']);
  });

  test('drops what comes from a node that it does not know, and what such a node would send for another', async () => {
    rig = await makeRig();
    const { a, b } = rig;
    const plane = await openIpip(rig, io, a, b);
    await openIpip(rig, io, b, a);
    await plane.removePeer(b.namespace);
    await expect(inside(b, `ping -c 2 -i 0.05 -W 1 ${a.overlay4}`)).rejects.toThrow();
    expect((await plane.stats()).drops['rx-unknown-sender']).toBeGreaterThanOrEqual(2);
    await plane.setPeer({ ...asPeer(b, 'ipip'), subnets: [] });
    await expect(inside(b, `ping -c 2 -i 0.05 -W 1 ${a.overlay6}`)).rejects.toThrow();
    expect((await plane.stats()).drops['rx-spoofed-source']).toBeGreaterThanOrEqual(2);
    // A route says that the prefix lies behind that underlay address: as good as a lease.
    await plane.setRoutes(
      asPeer(b, 'ipip').subnets.map((prefix) => ({ prefix, endpoints: [asPeer(b, 'ipip').endpoint] })),
    );
    await inside(b, `ping -c 2 -i 0.05 -W 2 ${a.overlay4}`);
    await inside(a, `ping -c 2 -i 0.05 -W 2 ${b.overlay6}`);
  });

  test('says what is wrong in one line where it cannot open, and leaves no device behind', async () => {
    rig = await makeRig();
    const { a } = rig;
    const config = planeConfig(a, 'ipip', MTU_BYTES);
    await expect(startPlane(rig, a, config, io, ['setpriv', '--bounding-set', '-net_raw'])).rejects.toThrow(
      'cannot open a raw socket for IP protocol 4 on 192.0.2.1: not permitted (needs the capability NET_RAW)',
    );
    await expect(startPlane(rig, a, planeConfig(a, 'ipip', MTU_BYTES, 6), io)).rejects.toThrow(
      'ipip needs an IPv4 underlay, and 2001:db8::1 is IPv6: use vxlan or udp',
    );
    const links = JSON.parse(await inside(a, 'ip -j link')).map((link: { ifname: string }) => link.ifname);
    expect(links.sort()).toEqual(['lo', 'ul']);
  });
});
