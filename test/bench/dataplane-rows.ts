// The rows of the data plane benchmark: what carries the packets between two nodes, and how it is put in place.
//
// Every row has the same inner MTU, so that all of them carry the same packets: the cable is as much wider as the tunnel's
// headers need. What felix would write, one route to the other node's subnet, is written here with `ip`.

import { fileURLToPath } from 'node:url';
import type { PlaneTuning } from '../../flanneld/dataplane/data-plane.ts';
import { OFFLOADS } from '../../flanneld/dataplane/offloads.ts';
import type { BackendRequest } from './backend-process.ts';
import { type BenchNode, inside, NodePair } from './node-pair.ts';

const OVERHEAD_BYTES = { vxlan: 50, udp: 28, ipip: 20, 'host-gw': 0 } as const;
const DEVICE = { vxlan: 'flannel.1', udp: 'flannel0', ipip: 'flannel.ipip', 'host-gw': 'lo' } as const;
const BACKEND_SCRIPT = fileURLToPath(new URL('backend-process.js', import.meta.url));

export interface Row {
  readonly name: string;
  /** How the nodes are joined; `undefined` where the cable itself is measured. */
  readonly tunnel?: 'by-hand' | Pick<BackendRequest, 'type' | 'userSpace' | 'io' | 'tuning'>;
  /** Measured only where it is asked for by name. */
  readonly isExtra?: boolean;
}

export const ROWS: readonly Row[] = [
  { name: 'no-tunnel' },
  { name: 'kernel-vxlan', tunnel: 'by-hand' },
  { name: 'kernel-backend', tunnel: { type: 'vxlan', userSpace: false, io: 'auto' } },
  { name: 'user-vxlan-tuntap', tunnel: { type: 'vxlan', userSpace: true, io: 'tuntap' } },
  { name: 'user-vxlan-batched', tunnel: { type: 'vxlan', userSpace: true, io: 'batched' } },
  { name: 'user-udp-batched', tunnel: { type: 'udp', userSpace: true, io: 'batched' } },
  variant('busy-poll', { busyPollUs: 50 }),
  variant('one-source-port', { sourcePorts: 1 }),
  ...[2, 3, 4].map((workers) => variant(`workers-${workers}`, { workers })),
  variant('zero-checksum', { zeroChecksum: true }),
  variant('without-uso', { without: ['uso'] }),
  variant('without-gso', { without: ['udp-segment', 'udp-gro'] }),
  variant('without-offloads', { without: OFFLOADS }),
];

/** Every backend, each with every driver that it can have: not for speed, but for what arrives. */
export const INTEGRITY_ROWS: readonly Row[] = [
  { name: 'vxlan', tunnel: { type: 'vxlan', userSpace: false, io: 'auto' } },
  ...(['vxlan', 'udp', 'ipip'] as const).flatMap((type) =>
    (['batched', 'tuntap'] as const).map((io) => ({
      name: `${type === 'udp' ? type : `${type}-user`}-${io}`,
      tunnel: { type, userSpace: true, io },
    })),
  ),
  { name: 'host-gw', tunnel: { type: 'host-gw', userSpace: false, io: 'auto' } },
];

export interface RaiseOptions {
  /** Flags of node for the processes of our backends. */
  readonly nodeFlags: readonly string[];
  /** Of all programs that take part: below 0, they come before what else runs on the machine. */
  readonly niceness: number;
}

/** A row in place: the pair, whom to talk to, and the processes that carry packets. */
export interface StandingRow {
  readonly pair: NodePair;
  /** Address of the second node as the first one reaches it. */
  readonly target: string;
  readonly carriers: readonly number[];
}

/** Puts a row in place with this inner MTU. The caller removes it. */
export async function raise(row: Row, mtuBytes: number, how: RaiseOptions): Promise<StandingRow> {
  const { tunnel } = row;
  if (tunnel === undefined) {
    const pair = await NodePair.make(mtuBytes, how.niceness);
    return { pair, target: pair.nodes[1].underlay, carriers: [] };
  }
  const type = tunnel === 'by-hand' ? 'vxlan' : tunnel.type;
  const underlayMtuBytes = mtuBytes + OVERHEAD_BYTES[type];
  const pair = await NodePair.make(underlayMtuBytes, how.niceness);
  try {
    const [a, b] = pair.nodes;
    const carriers: number[] = [];
    for (const [own, other] of [
      [a, b],
      [b, a],
    ] as const) {
      if (tunnel === 'by-hand') await makeByHand(own, other, mtuBytes);
      else carriers.push(await startBackend(pair, { ...tunnel, own, other, underlayMtuBytes }, how.nodeFlags));
    }
    await routeBoth(pair, type);
    return { pair, target: b.overlay, carriers };
  } catch (error) {
    await pair.remove();
    throw error;
  }
}

async function makeByHand(own: BenchNode, other: BenchNode, mtuBytes: number): Promise<void> {
  const device = DEVICE.vxlan;
  const kind = `type vxlan id 1 local ${own.underlay} dev ul dstport 8472 nolearning`;
  await inside(own, `ip link add ${device} address ${own.mac} ${kind}`);
  await inside(own, `ip link set ${device} mtu ${mtuBytes} up`);
  await inside(own, `ip address add ${own.overlay}/32 dev ${device}`);
  await inside(own, `ip neighbour replace ${other.overlay} lladdr ${other.mac} dev ${device} nud permanent`);
  await inside(own, `bridge fdb append ${other.mac} dev ${device} dst ${other.underlay}`);
}

async function startBackend(pair: NodePair, request: BackendRequest, nodeFlags: readonly string[]): Promise<number> {
  const words = [process.execPath, ...nodeFlags, BACKEND_SCRIPT, JSON.stringify(request)];
  return (await pair.start(request.own, words, 'programmed')).pid;
}

async function routeBoth({ nodes: [a, b] }: NodePair, type: BackendRequest['type']): Promise<void> {
  const device = DEVICE[type];
  for (const [own, other] of [
    [a, b],
    [b, a],
  ] as const) {
    // No backend gives host-gw an address: there is no device.
    if (type === 'host-gw') await inside(own, `ip address add ${own.overlay}/32 dev ${device}`);
    const hops = {
      vxlan: `via ${other.overlay} dev ${device} onlink`,
      udp: `dev ${device}`,
      ipip: `dev ${device}`,
      'host-gw': `via ${other.underlay}`,
    };
    const hop = hops[type];
    await inside(own, `ip route replace ${other.subnet} ${hop} src ${own.overlay}`);
  }
}

function variant(name: string, tuning: PlaneTuning): Row {
  const tunnel = { type: 'vxlan', userSpace: true, io: 'batched', tuning } as const;
  return { name: `user-vxlan-${name}`, tunnel, isExtra: true };
}
