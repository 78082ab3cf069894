// Two nodes joined by one cable, on the real kernel: network namespaces, a veth pair as underlay, tunnels of either kind.
//
//   [ gh<pid>x<n>a ]  ul 192.0.2.1/24, 2001:db8::1  ------ veth ------  ul 192.0.2.2/24, 2001:db8::2  [ gh<pid>x<n>b ]
//     tunnel: 10.55.1.0/32, fd55:1::/128                                  tunnel: 10.55.2.0/32, fd55:2::/128
//
// What is made here is what flanneld (device, neighbours) and felix (routes) make on a node, with `ip` instead.

import { type ChildProcess, type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type {
  OpenOptions,
  PlaneConfig,
  PlaneMode,
  PlanePeer,
  PlaneRoute,
  PlaneStats,
} from '../../flanneld/dataplane/data-plane.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';

const execute = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('plane-process.mjs', import.meta.url));
const TRANSFER_SCRIPT = fileURLToPath(new URL('tcp-transfer.mjs', import.meta.url));
const COMMAND_TIMEOUT_MS = 60_000;

export const DEVICE = 'flannel.t';
/** Addresses are usable at once: duplicate address detection takes a second or two. */
const NO_DAD = 'sysctl -q -w net.ipv6.conf.default.dad_transmits=0 net.ipv6.conf.default.accept_dad=0';
const PORTS: Readonly<Record<PlaneMode, number>> = { vxlan: 8472, udp: 8285, ipip: 0 };
let made = 0;

export interface Side {
  readonly namespace: string;
  readonly underlay4: string;
  readonly underlay6: string;
  /** First address of the node's subnets: the tunnel device's own. */
  readonly overlay4: string;
  readonly overlay6: string;
  readonly mac: string;
}

export interface Rig {
  readonly a: Side;
  readonly b: Side;
  /** Ends every plane and removes both namespaces. */
  remove(): Promise<void>;
  /** Registers something to undo before the namespaces go. */
  onRemove(undo: () => Promise<unknown> | undefined): void;
}

/** A running plane process. */
export interface PlaneProcess {
  readonly child: ChildProcess;
  /** Messages of `onFailure`. */
  readonly failures: readonly string[];
  setPeer(peer: PlanePeer): Promise<unknown>;
  removePeer(node: string): Promise<unknown>;
  setRoutes(routes: readonly PlaneRoute[]): Promise<unknown>;
  setMtu(mtuBytes: number): Promise<unknown>;
  persist(): Promise<unknown>;
  stats(): Promise<PlaneStats>;
  close(): Promise<unknown>;
  /** Ends the process with this code as a failing daemon would; gives the code that it really ended with. */
  exit(code: number): Promise<number | null>;
}

/** Runs a command in a side's namespace; gives its standard output, rejects where it fails. */
export async function inside(side: Side, command: string): Promise<string> {
  const words = ['netns', 'exec', side.namespace, ...command.split(' ')];
  const { stdout } = await execute('ip', words, { timeout: COMMAND_TIMEOUT_MS });
  return stdout;
}

/** Starts a command in a side's namespace. The caller ends it. */
export function start(side: Side, command: string): ChildProcessWithoutNullStreams {
  return spawn('ip', ['netns', 'exec', side.namespace, ...command.split(' ')]);
}

/** Makes the two namespaces and the cable. */
export async function makeRig(underlayMtuBytes = 1500): Promise<Rig> {
  const name = `gh${process.pid}x${made++}`;
  const sides = [1, 2].map((n) => ({
    namespace: `${name}${n === 1 ? 'a' : 'b'}`,
    underlay4: `192.0.2.${n}`,
    underlay6: `2001:db8::${n}`,
    overlay4: `10.55.${n}.0`,
    overlay6: `fd55:${n}::`,
    mac: `0e:00:00:00:55:0${n}`,
  }));
  const [a, b] = sides as [Side, Side];
  const undo: (() => Promise<unknown> | undefined)[] = [];
  const rig: Rig = {
    a,
    b,
    onRemove: (action) => undo.push(action),
    async remove() {
      for (const action of undo.reverse()) await Promise.resolve(action()).catch(() => undefined);
      for (const side of sides) await execute('ip', ['netns', 'del', side.namespace]).catch(() => undefined);
    },
  };
  try {
    for (const side of sides) {
      await execute('ip', ['netns', 'add', side.namespace]);
      await inside(side, NO_DAD);
    }
    await inside(a, `ip link add ul type veth peer name ul netns ${b.namespace}`);
    for (const side of sides) {
      await inside(side, 'ip link set lo up');
      await inside(side, `ip link set ul mtu ${underlayMtuBytes} up`);
      await inside(side, `ip address add ${side.underlay4}/24 dev ul`);
      await inside(side, `ip address add ${side.underlay6}/64 dev ul nodad`);
    }
  } catch (error) {
    await rig.remove();
    throw error;
  }
  return rig;
}

/** Gives the tunnel device its addresses, and routes and neighbours towards the other side. */
export async function dressDevice(side: Side, other: Side, mtuBytes: number, isEthernet: boolean): Promise<void> {
  if (isEthernet) await inside(side, `ip link set ${DEVICE} address ${side.mac}`);
  await inside(side, `ip link set ${DEVICE} mtu ${mtuBytes} up`);
  await inside(side, `ip address add ${side.overlay4}/32 dev ${DEVICE}`);
  await inside(side, `ip address add ${side.overlay6}/128 dev ${DEVICE} nodad`);
  const via = (gateway: string) => (isEthernet ? ` via ${gateway} onlink` : '');
  if (isEthernet) {
    for (const gateway of [other.overlay4, other.overlay6]) {
      await inside(side, `ip neighbour replace ${gateway} lladdr ${other.mac} dev ${DEVICE} nud permanent`);
    }
  }
  await inside(side, `ip route replace ${other.overlay4}/24${via(other.overlay4)} dev ${DEVICE} src ${side.overlay4}`);
  await inside(side, `ip -6 route replace ${other.overlay6}/32${via(other.overlay6)} dev ${DEVICE}`);
}

/** Adds a pod to a side, in a namespace of its own behind a router hop, at the subnet's .2 and ::2. */
export async function addPod(rig: Rig, side: Side, mtuBytes: number): Promise<Side> {
  const namespace = `${side.namespace}p`;
  const pod: Side = { ...side, namespace, overlay4: side.overlay4.replace(/0$/, '2'), overlay6: `${side.overlay6}2` };
  await execute('ip', ['netns', 'add', namespace]);
  rig.onRemove(() => execute('ip', ['netns', 'del', namespace]));
  await inside(pod, NO_DAD);
  await inside(side, `ip link add pod type veth peer name eth0 netns ${namespace}`);
  await inside(side, `ip link set pod mtu ${mtuBytes} up`);
  await inside(side, `ip address add ${side.overlay4.replace(/0$/, '1')}/24 dev pod`);
  await inside(side, `ip address add ${side.overlay6}1/64 dev pod nodad`);
  await inside(side, 'sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
  await inside(pod, 'ip link set lo up');
  await inside(pod, `ip link set eth0 mtu ${mtuBytes} up`);
  await inside(pod, `ip address add ${pod.overlay4}/24 dev eth0`);
  await inside(pod, `ip address add ${pod.overlay6}/64 dev eth0 nodad`);
  await inside(pod, `ip route add default via ${side.overlay4.replace(/0$/, '1')}`);
  await inside(pod, `ip -6 route add default via ${side.overlay6}1`);
  return pod;
}

/** A VXLAN device of the kernel's, as flanneld's kernel backend makes it. */
export async function makeKernelVxlan(side: Side, other: Side, vni: number, port: number, mtuBytes: number) {
  const { underlay4: local } = side;
  await inside(side, `ip link add ${DEVICE} type vxlan id ${vni} local ${local} dev ul dstport ${port} nolearning`);
  await dressDevice(side, other, mtuBytes, true);
  await inside(side, `bridge fdb append ${other.mac} dev ${DEVICE} dst ${other.underlay4}`);
}

/** What a plane on this side is opened with. */
export function planeConfig(side: Side, mode: PlaneMode, mtuBytes: number, family: 4 | 6 = 4): PlaneConfig {
  const base = {
    deviceName: DEVICE,
    localAddress: address(family === 4 ? side.underlay4 : side.underlay6),
    port: PORTS[mode],
    mtuBytes,
    ownSubnets: subnetsOf(side),
  };
  return mode === 'vxlan' ? { ...base, mode, vni: 1, mac: mac(side.mac) } : { ...base, mode };
}

/** The side as a peer of the other one. */
export function asPeer(side: Side, mode: PlaneMode, family: 4 | 6 = 4): PlanePeer {
  const endpoint = address(family === 4 ? side.underlay4 : side.underlay6);
  return { node: side.namespace, endpoint, port: PORTS[mode], mac: mac(side.mac), subnets: subnetsOf(side) };
}

/**
 * Starts a plane process on a side, `through` a command that restricts it; it ends with the rig. Rejects with the
 * plane's own words where it cannot open.
 */
export async function startPlane(
  rig: Rig,
  side: Side,
  config: PlaneConfig,
  io: OpenOptions['io'] | Omit<OpenOptions, 'onFailure'> = 'tuntap',
  through: readonly string[] = [],
): Promise<PlaneProcess> {
  const options = typeof io === 'string' ? { io } : io;
  const words = [...through, process.execPath, SCRIPT, JSON.stringify(config), JSON.stringify(options)];
  const child = spawn('ip', ['netns', 'exec', side.namespace, ...words], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  rig.onRemove(() => {
    child.kill('SIGKILL');
    return ended;
  });
  const failures: string[] = [];
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, result, error, failure } = JSON.parse(line);
    if (failure !== undefined) failures.push(failure);
    else if (error === undefined) waiting.get(id)?.resolve(result);
    else waiting.get(id)?.reject(new Error(error));
  });
  child.once('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`the plane process ended with ${code}`));
  });
  let last = 0;
  const answer = (id: number) => new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
  const call = (op: string, value?: unknown): Promise<unknown> => {
    const answered = answer(++last);
    child.stdin.write(`${JSON.stringify({ id: last, op, value })}\n`);
    return answered;
  };
  await answer(0);
  return {
    child,
    failures,
    setPeer: (peer) => call('setPeer', peer),
    removePeer: (node) => call('removePeer', node),
    setRoutes: (routes) => call('setRoutes', routes),
    setMtu: (mtuBytes) => call('setMtu', mtuBytes),
    persist: () => call('persist'),
    stats: () => call('stats') as Promise<PlaneStats>,
    close: () => call('close'),
    exit: (code) => {
      call('exit', code).catch(() => undefined);
      return ended;
    },
  };
}

/** Sends random bytes over TCP from one side to the other; gives the hashes of what was sent and of what arrived. */
export async function transfer(
  from: Side,
  to: Side,
  host: string,
  bytes: number,
): Promise<{ sent: string; received: string }> {
  const port = 20_000 + (made++ % 10_000);
  const receiver = start(to, `${process.execPath} ${TRANSFER_SCRIPT} receive ${host} ${port}`);
  let printed = '';
  receiver.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  try {
    await eventually('the receiver to listen', () => printed.includes('listening'));
    const sent = await inside(from, `${process.execPath} ${TRANSFER_SCRIPT} send ${host} ${port} ${bytes}`);
    const received = await eventually('the hash of what arrived', () => printed.split('\n')[1]);
    return { sent: sent.trim(), received };
  } finally {
    receiver.kill('SIGKILL');
  }
}

/** Captures `count` packets on the underlay of a side while `traffic` runs; gives tshark's `fields` of each. */
export async function capture(
  side: Side,
  filter: string,
  count: number,
  fields: readonly string[],
  traffic: () => Promise<unknown>,
): Promise<string[][]> {
  const folder = await mkdtemp(join(tmpdir(), 'gingham-capture-'));
  const file = join(folder, 'underlay.pcap');
  const tcpdump = start(side, `tcpdump -i ul -U -Z root -s 0 -c ${count} -w ${file} ${filter}`);
  try {
    let said = '';
    tcpdump.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const ended = new Promise((resolve) => tcpdump.once('close', resolve));
    await eventually('tcpdump to listen', () => said.includes('listening on'));
    await traffic();
    await ended;
    const checks = '-o udp.check_checksum:TRUE -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE';
    const wanted = fields.map((field) => `-e ${field}`).join(' ');
    const text = await inside(
      side,
      `tshark -r ${file} -d udp.port==8472,vxlan -d udp.port==8285,ip ${checks} -T fields ${wanted}`,
    );
    return text
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => line.split('\t'));
  } finally {
    tcpdump.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

function subnetsOf(side: Side) {
  return [prefix(`${side.overlay4}/24`), prefix(`${side.overlay6}/32`)];
}
