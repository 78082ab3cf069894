// Real flannelds on a real kernel with a real etcd, one namespace per node:
//
//   [ gh<pid>f<n>-1 ] eth0 192.168.64.1 ──┐
//   [ gh<pid>f<n>-2 ] eth0 192.168.64.2 ──┼── br0 192.168.64.254 [ gh<pid>f<n>-sw: etcd :2379, forwards between the two ]
//   [ gh<pid>f<n>-3 ] eth0 192.168.65.3 ───── br1 192.168.65.254 ┘
//
// felix is not part of it: routes to the other nodes' subnets are written here with `ip`, as its feed says.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually } from '../eventually.ts';
import { EtcdProcess } from './etcd-process.ts';

const execute = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/flanneld/main.js', import.meta.url));
const ETCD = '192.168.64.254';
const READY_WITHIN_MS = 60_000;
let made = 0;

export interface FlanneldStatus {
  readonly subnet: string;
  readonly backend: string;
  readonly mtu: number;
  readonly publicIP: string;
  readonly interface: string;
  readonly subnet6?: string;
  readonly lease: { readonly key: string; readonly secondsLeft: number | null; readonly retaken: number };
  readonly config: { readonly fault: string | null; readonly needsRestart: readonly string[] };
  readonly etcd: { readonly connected: boolean };
  readonly peers: readonly {
    readonly node: string;
    readonly subnet: string;
    readonly publicIP: string;
    readonly programmed: boolean;
    readonly via: readonly string[];
    readonly refused?: string;
  }[];
}

export interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

/** How a daemon ended, and the last line of its log. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly lastLine: string;
}

export class FlanneldRig {
  readonly #name: string;
  readonly #folder: string;
  readonly #children = new Map<number, { child: ChildProcess; output: string[]; ended: Promise<Ending> }>();
  etcd!: EtcdProcess;

  private constructor(name: string, folder: string) {
    this.#name = name;
    this.#folder = folder;
  }

  /** Makes the namespaces and starts etcd with this network config (none where that is empty). */
  static async make(networkConfig: object | undefined): Promise<FlanneldRig> {
    const rig = new FlanneldRig(`gh${process.pid}f${made++}`, await mkdtemp(join(tmpdir(), 'gh-flanneld-')));
    try {
      await rig.#makeNamespaces();
      rig.etcd = await EtcdProcess.start({ namespace: rig.namespace('sw'), address: ETCD, port: 2379 });
      if (networkConfig !== undefined) await rig.configure(networkConfig);
    } catch (error) {
      await rig.remove();
      throw error;
    }
    return rig;
  }

  namespace(machine: number | 'sw'): string {
    return `${this.#name}-${machine}`;
  }

  runFolder(node: number): string {
    return join(this.#folder, `node${node}`);
  }

  async configure(networkConfig: object): Promise<void> {
    await this.etcd.ctl('put', '/coreos.com/network/config', JSON.stringify(networkConfig));
  }

  /**
   * Starts a node's flanneld, by way of `wrapper` where given; does not wait. Node 21 is another daemon on machine 2, with
   * a run folder of its own.
   */
  start(node: number, flags: readonly string[] = [], wrapper: readonly string[] = []): void {
    const argv = [
      ...['netns', 'exec', this.namespace(machineOf(node)), ...wrapper, process.execPath, MAIN],
      ...['--node-name', `node${node}`, '--run-dir', this.runFolder(node), '--status-port', '0'],
      ...['--etcd-endpoints', `http://${ETCD}:2379`, ...flags],
    ];
    const child = spawn('ip', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => output.push(String(bytes)));
    const ended = new Promise<Ending>((resolve) => {
      child.once('close', (code, signal) => {
        resolve({ code, signal, lastLine: output.join('').trimEnd().split('\n').at(-1) ?? '' });
      });
    });
    this.#children.set(node, { child, output, ended });
  }

  /** Waits until a node is ready and knows this many peers. */
  async ready(node: number, peers: number): Promise<FlanneldStatus> {
    const what = `node${node} is ready with ${peers} peers`;
    return await eventually(
      what,
      async () => {
        const readiness = (await this.ask(node, '/readyz')) as Readiness;
        const status = await this.status(node);
        return readiness.ready && status.peers.length === peers ? status : undefined;
      },
      { timeoutMs: READY_WITHIN_MS, intervalMs: 50 },
    ).catch((error: unknown) => {
      throw new Error(`${what}: ${this.log(node)}`, { cause: error });
    });
  }

  async status(node: number): Promise<FlanneldStatus> {
    return (await this.ask(node, '/status')) as FlanneldStatus;
  }

  /** GET over the node's unix socket, as parsed JSON. */
  ask(node: number, path: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: join(this.runFolder(node), 'flanneld.http'), path }, (answer) => {
        let body = '';
        answer.on('data', (bytes) => {
          body += String(bytes);
        });
        answer.on('end', () => resolve(JSON.parse(body)));
      });
      asked.once('error', reject).end();
    });
  }

  subnetFile(node: number): Promise<string> {
    return readFile(join(this.runFolder(node), 'subnet.env'), 'utf8');
  }

  log(node: number): string {
    return this.#children.get(node)?.output.join('') ?? '';
  }

  /** Sends a signal to a node's flanneld and waits for its end. */
  async end(node: number, signal: NodeJS.Signals): Promise<Ending> {
    this.#children.get(node)?.child.kill(signal);
    return await this.ended(node);
  }

  /** Sends a signal and does not wait. */
  signal(node: number, signal: NodeJS.Signals): void {
    this.#children.get(node)?.child.kill(signal);
  }

  async ended(node: number): Promise<Ending> {
    const running = this.#children.get(node);
    if (running === undefined) throw new Error(`node${node} was not started`);
    return await running.ended;
  }

  /** Runs a command in a node's namespace and gives what it printed; rejects where it fails. */
  async inside(machine: number | 'sw', ...command: readonly string[]): Promise<string> {
    const { stdout } = await execute('ip', ['netns', 'exec', this.namespace(machine), ...command]);
    return stdout;
  }

  /** Writes the IPv4 routes that a node's status tells of. */
  async route(node: number): Promise<void> {
    for (const { subnet, via } of (await this.status(node)).peers) {
      for (const hop of via.filter((way) => !/^[^ ]*:/.test(way))) {
        const [, gateway, device = ''] = /^(?:(\S+) on )?(\S+)$/.exec(hop) ?? [];
        const way = gateway === undefined ? ['dev', device] : ['via', gateway, 'dev', device, 'onlink'];
        await this.inside(machineOf(node), 'ip', 'route', 'replace', subnet, ...way);
      }
    }
  }

  /** Pings the tunnel address of `to` from that of `from`: how many of `count` packets came back. */
  async ping(from: number, to: number, ...flags: readonly string[]): Promise<number> {
    const source = firstAddress((await this.status(from)).subnet);
    const target = firstAddress((await this.status(to)).subnet);
    const printed = await this.inside(machineOf(from), 'ping', '-n', '-W', '2', '-I', source, ...flags, target).catch(
      (error: { stdout?: string }) => error.stdout ?? '',
    );
    return Number(/(\d+) received/.exec(printed)?.[1] ?? 0);
  }

  /** Ends everything and leaves nothing behind. */
  async remove(): Promise<void> {
    for (const { child } of this.#children.values()) child.kill('SIGKILL');
    await Promise.all([...this.#children.values()].map(({ ended }) => ended));
    await this.etcd?.stop();
    for (const machine of [1, 2, 3, 'sw'] as const) {
      await execute('ip', ['netns', 'del', this.namespace(machine)]).catch(() => undefined);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #makeNamespaces(): Promise<void> {
    const ip = async (line: string): Promise<void> => void (await execute('ip', line.split(' ')));
    const sw = this.namespace('sw');
    await ip(`netns add ${sw}`);
    await this.inside('sw', 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
    for (const [at, network] of [64, 65].entries()) {
      await ip(`-n ${sw} link add br${at} type bridge`);
      await ip(`-n ${sw} address add 192.168.${network}.254/24 dev br${at}`);
      await ip(`-n ${sw} link set br${at} up`);
    }
    for (const node of [1, 2, 3]) {
      const namespace = this.namespace(node);
      const network = node === 3 ? 65 : 64;
      await ip(`netns add ${namespace}`);
      await ip(`-n ${sw} link add n${node} type veth peer name eth0 netns ${namespace}`);
      await ip(`-n ${sw} link set n${node} master br${network - 64} up`);
      await ip(`-n ${namespace} link set lo up`);
      await ip(`-n ${namespace} link set eth0 up`);
      await ip(`-n ${namespace} address add 192.168.${network}.${node}/24 dev eth0`);
      await ip(`-n ${namespace} route add default via 192.168.${network}.254`);
    }
  }
}

function machineOf(node: number): number {
  return node < 10 ? node : Math.floor(node / 10);
}

/** `10.5.7.0` of `10.5.7.0/24`. */
export function firstAddress(subnet: string): string {
  return subnet.slice(0, subnet.indexOf('/'));
}
