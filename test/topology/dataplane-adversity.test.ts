// The user-space planes where the world is not kind: a hop that loses and reorders, links and peers without offloads, every
// size of packet, a flood of garbage beside a stream. Whatever arrives has the bytes that were sent.
//
// GINGHAM_INTEGRITY_BYTES=1073741824 makes the transfers as large as one likes. Rates are printed and never judged.

import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PlaneIoName, PlaneMode } from '../../flanneld/dataplane/data-plane.ts';
import { address } from '../../lib/net/address.ts';
import { eventually } from '../eventually.ts';
import { udpPacket } from '../inner-packets.ts';
import { frameOf, overlay4, vxlanOf } from '../unit/flanneld/dataplane/plane-fixture.ts';
import { exchangeAll, sweepUdp } from './dataplane-exchange.ts';
import {
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
  start,
  startPlane,
  transfer,
} from './dataplane-rig.ts';

const MTU_BYTES = { vxlan: 1450, udp: 1472, ipip: 1480 } as const;
const FLOODED_BYTES = 32 * 1024 * 1024;
const INTEGRITY_BYTES = Number(process.env['GINGHAM_INTEGRITY_BYTES'] ?? 64 * 1024 * 1024);
const LOSSY_BYTES = 3 * 1024 * 1024;
const FLOOD_PER_SECOND = 200_000;
/** On the cable, at the side of b. */
const HOP = '192.0.2.3';
const STRANGER = '192.0.2.66';
/** Inside of no node's subnets. */
const NOBODYS = '10.99.0.1';
const PORT = { vxlan: 8472, udp: 8285, ipip: 0 } as const;
const ALL_OFF = 'ethtool -K ul tx off rx off sg off tso off gso off gro off';
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let rig: Rig;
let a: Side;
let b: Side;

beforeEach(async () => {
  rig = await makeRig();
  a = rig.a;
  b = rig.b;
});

afterEach(() => rig.remove());

/** Opens a plane on each side; `io` are the drivers of a and b, `via` the address under which each knows the other. */
async function openBoth(
  mode: PlaneMode,
  io: readonly [PlaneIoName, PlaneIoName],
  via?: string,
): Promise<[PlaneProcess, PlaneProcess]> {
  const open = async (side: Side, other: Side, driver: PlaneIoName): Promise<PlaneProcess> => {
    const plane = await startPlane(rig, side, planeConfig(side, mode, MTU_BYTES[mode]), driver);
    await dressDevice(side, other, MTU_BYTES[mode], mode === 'vxlan');
    const peer = asPeer(other, mode);
    await plane.setPeer(via === undefined ? peer : { ...peer, endpoint: address(via) });
    return plane;
  };
  return [await open(a, b, io[0]), await open(b, a, io[1])];
}

/** Starts a script of this folder on a side; resolves when it has said `word`. It ends with the rig. */
async function startScript(side: Side, word: string, ...words: readonly (string | number)[]): Promise<ChildProcess> {
  const [name, ...rest] = words;
  const child = start(side, [process.execPath, script(String(name)), ...rest].join(' '));
  rig.onRemove(() => Promise.resolve(child.kill('SIGKILL')));
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await eventually(`${name} to say ${word}`, () => said.includes(word));
  return child;
}

/** Ends a script and gives the last line that it prints. */
async function lastWords(child: ChildProcess): Promise<Record<string, number>> {
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGTERM');
  await closed;
  return JSON.parse(said.trim().split('\n').at(-1) ?? '{}');
}

async function expectIntact(from: Side, to: Side, host: string, bytes: number): Promise<number> {
  const startedMs = performance.now();
  const { sent, received } = await transfer(from, to, host, bytes);
  expect(received).toBe(sent);
  return (bytes * 8) / 1e6 / (performance.now() - startedMs);
}

function say(text: string): void {
  process.stdout.write(`    ${text}\n`);
}

test.each([
  ['vxlan', 'batched'],
  ['udp', 'tuntap'],
  ['ipip', 'tuntap'],
] as const)(
  '%s over %s: all of it through a hop that loses one packet in a hundred and reorders two',
  async (mode, io) => {
    await inside(b, `ip address add ${HOP}/32 dev ul`);
    const planes = await openBoth(mode, [io, io], HOP);
    const kind = mode === 'ipip' ? 'ipip' : PORT[mode];
    const hop = await startScript(b, 'ready', 'lossy-hop.mjs', kind, HOP, a.underlay4, b.underlay4);
    await exchangeAll(a, b, { mtuBytes: MTU_BYTES[mode], tcpBytes: LOSSY_BYTES, udpStep: 101 });
    const { lost, held, passed } = await lastWords(hop);
    say(`${mode}: the hop passed ${passed}, lost ${lost}, reordered ${held}`);
    expect(lost).toBeGreaterThan(20);
    expect(held).toBeGreaterThan(20);
    for (const plane of planes) {
      const { drops } = await plane.stats();
      expect(Object.entries(drops).filter(([reason, count]) => count > 0 && !reason.endsWith('multicast'))).toEqual([]);
    }
  },
);

describe.each([
  ['vxlan', ['batched', 'batched']],
  ['vxlan', ['tuntap', 'batched']],
  ['udp', ['batched', 'tuntap']],
  ['ipip', ['batched', 'batched']],
] as const)('%s, %j', (mode, io) => {
  test('every size there and back, both families; then much, with hashes', async () => {
    const planes = await openBoth(mode, io);
    await sweepUdp(a, b, MTU_BYTES[mode], 1);
    const gbps = await expectIntact(a, b, b.overlay4, INTEGRITY_BYTES);
    say(`${mode} ${io.join(' to ')}: ${INTEGRITY_BYTES} bytes at ${gbps.toFixed(2)} Gbit/s, hashing included`);
    await expectIntact(b, a, a.overlay6, INTEGRITY_BYTES / 4);
    for (const plane of planes) {
      const { drops } = await plane.stats();
      expect(Object.entries(drops).filter(([reason, count]) => count > 0 && !reason.endsWith('multicast'))).toEqual([]);
    }
  });
});

test.each([
  ['vxlan', 'batched'],
  ['udp', 'batched'],
  ['ipip', 'batched'],
] as const)('%s over %s: no bad checksum inside, on links without any offload', async (mode, io) => {
  for (const side of [a, b]) await inside(side, ALL_OFF);
  await openBoth(mode, [io, io]);
  const filter = mode === 'ipip' ? 'ip proto 4 or ip proto 41' : `udp port ${PORT[mode]}`;
  const fields = ['ip.checksum.status', 'tcp.checksum.status', 'udp.checksum.status', 'frame.protocols'];
  const packets = await capture(b, filter, 400, fields, async () => {
    await expectIntact(a, b, b.overlay4, 1024 * 1024);
    await expectIntact(a, b, b.overlay6, 1024 * 1024);
  });
  const statuses = packets.map(([ip = '', tcp = '', udp = '']) => `${ip},${tcp},${udp}`.split(','));
  // tshark: 0 is bad, 1 good, 2 not verified.
  expect(statuses.filter((status) => status.includes('0'))).toEqual([]);
  const isTcp = packets.filter(([, tcp = '', , protocols = '']) => protocols.includes(':tcp') && tcp === '1');
  expect(isTcp.length).toBeGreaterThan(300);
});

test.each([
  ['vxlan', 'batched'],
  ['udp', 'batched'],
  ['ipip', 'batched'],
  ['ipip', 'tuntap'],
] as const)(
  '%s over %s: a mark of the underlay reaches what knows ECN, and what does not is dropped',
  async (mode, io) => {
    const [plane] = await openBoth(mode, [io, io]);
    const outer = mode === 'ipip' ? 4 : 17;
    // A driver with a thread takes a moment to hear of its peers.
    await eventually('an answer', () => inside(b, `ping -c 1 -W 1 ${a.overlay4}`));
    await inside(a, 'nft add table inet gh');
    await inside(a, 'nft add chain inet gh in { type filter hook prerouting priority -300 ; }');
    // A congested router, and what came out of the tunnel with its mark.
    await inside(a, `nft add rule inet gh in iifname ul ip protocol ${outer} ip ecn set ce`);
    await inside(a, `nft add rule inet gh in iifname ${DEVICE} ip ecn ce counter`);
    expect(await inside(b, `ping -c 3 -i 0.05 -W 2 -Q 0x02 ${a.overlay4}`)).toContain('3 received');
    expect(await inside(a, 'nft list table inet gh')).toContain('counter packets 3 ');
    await expect(inside(b, `ping -c 2 -i 0.05 -W 0.3 -Q 0 ${a.overlay4}`)).rejects.toThrow();
    await eventually('the drops to be counted', async () => {
      return (await plane.stats()).drops['rx-congestion-unmarkable'] === 2;
    });
  },
);

test('a flood of garbage from a peer and from a stranger: the stream goes on, each kind is counted', async () => {
  await inside(b, `ip address add ${STRANGER}/32 dev ul`);
  // Each datagram arrives by itself, as from machines of their own.
  await inside(b, 'ethtool -K ul tx-udp-segmentation off');
  const [plane] = await openBoth('vxlan', ['batched', 'batched']);
  const valid = Buffer.from(vxlanOf(frameOf(1, 2, udpPacket({ source: overlay4(2, 0), destination: overlay4(1, 0) }))));
  const calm = await expectIntact(b, a, a.overlay4, FLOODED_BYTES);
  const { peers, prefixes } = await plane.stats();
  const floods = [
    // What the flood costs two cores that its sender shares with everybody else.
    ['a stranger at a port that nobody has', STRANGER, PORT.udp],
    ['a stranger', STRANGER, PORT.vxlan],
    ['a peer', b.underlay4, PORT.vxlan],
  ] as const;
  for (const [who, from, port] of floods) {
    const flood = ['flood-sender.mjs', from, a.underlay4, port, FLOOD_PER_SECOND, valid.toString('hex')];
    const flooder = await startScript(b, 'flooding', ...flood);
    const flooded = await expectIntact(b, a, a.overlay4, FLOODED_BYTES);
    const { perSecond = 0 } = await lastWords(flooder);
    say(`${perSecond} garbage datagrams/s from ${who}: ${flooded.toFixed(2)} of ${calm.toFixed(2)} Gbit/s`);
  }
  await inside(b, `ping -c 2 -i 0.05 -W 2 ${a.overlay4}`);
  const after = await plane.stats();
  expect([plane.failures, after.peers, after.prefixes]).toEqual([[], peers, prefixes]);
  for (const reason of [
    'rx-unknown-sender',
    'rx-vxlan-flags',
    'rx-wrong-vni',
    'rx-truncated',
    'rx-foreign-mac',
    'rx-unsupported-type',
    'rx-malformed',
    'rx-spoofed-source',
    'rx-socket',
  ] as const) {
    expect([reason, after.drops[reason]]).toEqual([reason, expect.toSatisfy((count) => count > 0)]);
  }
  expect(await inside(a, `ip -s link show dev ${DEVICE}`)).toContain('state UNKNOWN');
});

test('ipip: of a flood of spoofed packets few reach the plane, and what the peer may send passes', async () => {
  const [plane, sender] = await openBoth('ipip', ['batched', 'batched']);
  await inside(b, `ip address add ${NOBODYS}/32 dev ${DEVICE}`);
  const flood = ['flood-sender.mjs', NOBODYS, a.overlay4, PORT.udp, FLOOD_PER_SECOND / 10, '00'.repeat(64)];
  const flooder = await startScript(b, 'flooding', ...flood);
  const sent = async (): Promise<number> => (await sender.stats()).tx.packets;
  const refused = async (): Promise<number> => (await plane.stats()).drops['rx-spoofed-source'];
  await eventually('the flood to be seen', async () => (await refused()) > 0);
  // The kernel counts nothing that a filter drops at a raw socket: it shows by what the plane does not see.
  await eventually('nearly nothing of it to come', async () => {
    const [sentBefore, refusedBefore] = [await sent(), await refused()];
    await eventually('more of it', async () => (await sent()) > sentBefore + 4_000);
    return (await refused()) - refusedBefore < 400;
  });
  await inside(b, `ping -c 5 -i 0.05 -W 2 -I ${b.overlay4} ${a.overlay4}`);
  await inside(b, `ping -c 5 -i 0.05 -W 2 -I ${b.overlay6} ${a.overlay6}`);
  await lastWords(flooder);
});
