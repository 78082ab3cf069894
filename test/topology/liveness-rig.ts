// A star of nodes, each in a namespace of its own with a cable to the first: real bgpd, real packets, faults that can be made.
//
//   [ ghl<pid>x<n>r1  192.0.2.1  etcd, felix ] v2 ──veth── ul [ ..r2  192.0.2.2 ]
//                                              v3 ──veth── ul [ ..r3  192.0.2.3 ]
//
// Overlay routes lead into a tunnel device, which has its carrier whatever happens to the cables: only BIRD's do otherwise.
// Addresses are on the loopback, so that a cable can be cut without taking one away. flanneld is played by whoever uses this:
// its groups lead to the other node's address over the device. Unix sockets reach across namespaces.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import type { Cause } from '../../lib/feed/feed.ts';
import { type FeedClient, watchFeed } from '../../lib/feed/feed-client.ts';
import { type FeedServer, feedSocketPath, startFeedServer } from '../../lib/feed/feed-server.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { type Address, address } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { EtcdProcess } from './etcd-process.ts';

const execute = promisify(execFile);
const SILENT = pino({ level: 'silent' });
const LOCAL_GROUP = 1;
const TUNNEL = 'flannel.1';
const OUTPUT_MAX = 64 << 10;
/** Processes start slowly on a busy machine. */
const START = { timeoutMs: 30_000, intervalMs: 20 };

let made = 0;

/** What a test wants to see of bgpd's /status. */
export interface PeerView {
  readonly node: string;
  readonly state: string;
  readonly whyDown?: string;
  readonly down?: { readonly kind: string; readonly by?: string };
  readonly sessions: number;
  readonly bfd: {
    readonly state: string;
    readonly remoteState?: string;
    readonly hops?: string;
    readonly detectionTimeMilliseconds?: number;
    readonly downs: number;
    readonly lastDown?: string;
    readonly whyDown?: string;
  };
}

/** What a test wants to see of felix's line on a change of the FIB: of what cause, and how long each stage took. */
export interface FibChange {
  readonly cause?: string;
  readonly kind?: string;
  readonly routesPut: number;
  readonly routesDeleted: number;
  readonly nexthopsPut: number;
  readonly ribUs?: number;
  readonly feedUs?: number;
  readonly kernelUs?: number;
  readonly totalUs?: number;
}

export class LivenessRig {
  readonly nodes: readonly RigNode[];
  readonly #etcd: EtcdProcess[] = [];
  readonly #folder: string;

  private constructor(nodes: readonly RigNode[], folder: string) {
    this.nodes = nodes;
    this.#folder = folder;
  }

  /** Namespaces, cables, addresses; with `withEtcd` an etcd on the first node. No daemon runs yet. */
  static async make(count: number, withEtcd = true): Promise<LivenessRig> {
    const folder = await mkdtemp(join(tmpdir(), 'gh-liveness-'));
    const name = `ghl${process.pid}x${made++}`;
    const nodes = Array.from({ length: count }, (_, i) => new RigNode(i + 1, `${name}r${i + 1}`, folder));
    const rig = new LivenessRig(nodes, folder);
    try {
      for (const node of nodes) await rig.#cable(node);
      if (withEtcd) rig.#etcd.push(await EtcdProcess.start({ namespace: `${name}r1`, address: '192.0.2.1' }));
      for (const node of nodes) node.endpoint = rig.#etcd[0]?.endpoint ?? '';
      return rig;
    } catch (error) {
      await rig.remove();
      throw error;
    }
  }

  /** The node of this number, from 1. */
  node(number: number): RigNode {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`there is no node ${number}`);
    return node;
  }

  /** Lets these two, neither of them the first node, reach each other over it: a TTL of 255 arrives as 254. */
  async joinOverFirst(a: RigNode, b: RigNode): Promise<void> {
    await this.node(1).run('sysctl -q -w net.ipv4.ip_forward=1');
    await a.ip(`route add ${b.address}/32 via 192.0.2.1 dev ul onlink src ${a.address}`);
    await b.ip(`route add ${a.address}/32 via 192.0.2.1 dev ul onlink src ${b.address}`);
  }

  /** Writes a key of etcd. */
  async put(key: string, value: string): Promise<void> {
    await this.#etcd[0]?.ctl('put', key, value);
  }

  async remove(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end()));
    for (const etcd of this.#etcd) await etcd.stop();
    for (const { namespace } of this.nodes) await execute('ip', ['netns', 'del', namespace]).catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #cable({ number, namespace, address: own }: RigNode): Promise<void> {
    const first = this.node(1).namespace;
    await execute('ip', ['netns', 'add', namespace]);
    const lines = [
      `-n ${namespace} link set lo up`,
      `-n ${namespace} address add ${own}/32 dev lo`,
      `-n ${namespace} link add ${TUNNEL} type vxlan id 1 dstport 8472 nolearning`,
      `-n ${namespace} link set ${TUNNEL} up`,
    ];
    if (number > 1) {
      lines.push(
        `-n ${namespace} link add ul type veth peer name v${number} netns ${first}`,
        `-n ${namespace} link set ul up`,
        `-n ${first} link set v${number} up`,
        `-n ${first} route add ${own}/32 dev v${number} src 192.0.2.1`,
        `-n ${namespace} route add 192.0.2.1/32 dev ul src ${own}`,
      );
    }
    for (const line of lines) await execute('ip', line.split(' '));
  }
}

export class RigNode {
  readonly number: number;
  readonly name: string;
  readonly namespace: string;
  readonly address: Address;
  readonly runFolder: string;
  /** Of etcd. */
  endpoint = '';
  /** What the played flanneld says. */
  readonly flanneld = new FeedTable();
  /** What bgpd serves. */
  readonly view = new FeedView();
  /** Called for each change of what bgpd serves. */
  onChange: (cause: Cause | undefined) => void = () => undefined;
  readonly #children = new Set<ChildProcess>();
  #bgpd: ChildProcess | undefined;
  #server: FeedServer | undefined;
  #client: FeedClient | undefined;
  #output = '';
  #flags: readonly string[] = [];

  constructor(number: number, namespace: string, folder: string) {
    this.number = number;
    this.name = `node${number}`;
    this.namespace = namespace;
    this.address = address(`192.0.2.${number}`);
    this.runFolder = join(folder, this.name);
  }

  /** Last of what the daemons printed. */
  get output(): string {
    return this.#output;
  }

  /** felix's lines on changes of the FIB, as far as they are not too long ago. */
  get fibChanges(): readonly FibChange[] {
    const lines = this.#output.split('\n').filter((line) => /^{.*"fib changed"}$/.test(line));
    return lines.map((line) => JSON.parse(line) as FibChange);
  }

  get pid(): number | undefined {
    return this.#bgpd?.pid;
  }

  async makeRunFolder(): Promise<void> {
    await mkdir(this.runFolder, { recursive: true });
  }

  /** Plays flanneld, starts bgpd and follows its feed. */
  async begin(others: readonly RigNode[], flags: readonly string[], routes: Iterable<Prefix> = []): Promise<void> {
    await this.makeRunFolder();
    const own = { id: LOCAL_GROUP, local: true, node: this.name, endpoint: this.address };
    this.flanneld.setGroup({ ...own, kind: 'blackhole', nextHops: [] });
    for (const other of others) this.setWay(other, true);
    this.flanneld.setRoutes(LOCAL_GROUP, routes);
    this.flanneld.markInSync();
    const socketPath = feedSocketPath(this.runFolder, 'flanneld');
    this.#server = await startFeedServer({ socketPath, table: this.flanneld, log: SILENT });
    this.startBgpd(flags);
    this.#client = watchFeed({
      socketPath: feedSocketPath(this.runFolder, 'bgpd'),
      watcher: 'test',
      view: this.view,
      log: SILENT,
      onChange: (_, cause) => this.onChange(cause),
      onState: () => undefined,
    });
  }

  /** What the played flanneld says of the way to another node: there is one, or none, because of `cause`. */
  setWay(other: RigNode, isUsable: boolean, cause?: Cause): void {
    const hop = { gateway: other.address, device: TUNNEL, onlink: true, weight: 1 };
    const nextHops = isUsable ? [hop] : [];
    const group = { id: 100 + other.number, kind: 'unicast', nextHops, local: false } as const;
    this.flanneld.setGroup({ ...group, node: other.name, endpoint: other.address }, cause);
  }

  /** Starts bgpd, with the flags of before where none are given. */
  startBgpd(flags: readonly string[] = this.#flags): void {
    this.#flags = flags;
    const own = [`--node-name=${this.name}`, `--run-dir=${this.runFolder}`, '--status-port=0'];
    this.#bgpd = this.spawn([
      process.execPath,
      'dist/bgpd/main.js',
      ...own,
      `--etcd-endpoints=${this.endpoint}`,
      ...flags,
    ]);
  }

  startFelix(flags: readonly string[] = []): void {
    const own = [`--node-name=${this.name}`, `--run-dir=${this.runFolder}`, '--status-port=0', '--feed=bgpd'];
    this.spawn([process.execPath, 'dist/felix/main.js', ...own, ...flags]);
  }

  /** Starts a program in the namespace; it ends with the rig. */
  spawn(words: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.namespace, ...words], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#children.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        this.#output = (this.#output + String(bytes)).slice(-OUTPUT_MAX);
      });
    }
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** A program that somebody else started ends with the rig too. */
  adopt(child: ChildProcess): void {
    this.#children.add(child);
  }

  /** Sends bgpd a signal and waits for its end. */
  async endBgpd(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#bgpd;
    this.#bgpd = undefined;
    if (child !== undefined) await endChild(child, signal);
  }

  /** Runs `ip <words>` in the namespace. */
  async ip(words: string): Promise<string> {
    return (await execute('ip', ['-n', this.namespace, ...words.split(' ')], { maxBuffer: 64 << 20 })).stdout;
  }

  /** Runs a command in the namespace; gives its standard output. */
  async run(command: string): Promise<string> {
    return (await execute('ip', ['netns', 'exec', this.namespace, ...command.split(' ')])).stdout;
  }

  /** From now on nothing comes in and nothing goes out, and nobody is told. Resolves once it is so. */
  async cut(): Promise<void> {
    const chain = (hook: string, name: string): string =>
      `chain ${hook} { type filter hook ${hook} priority -300; ${name} != lo drop; };`;
    const rules = `table inet cut { ${chain('output', 'oifname')} ${chain('input', 'iifname')} }`;
    await execute('ip', ['netns', 'exec', this.namespace, 'nft', rules]);
  }

  async mend(): Promise<void> {
    await this.run('nft delete table inet cut');
  }

  /** Takes down this end of the cable to the first node, which takes the carrier from the other end; or both are back. */
  async setCable(up: boolean): Promise<void> {
    await this.ip(`link set ul ${up ? 'up' : 'down'}`);
    if (up) await this.ip(`route replace 192.0.2.1/32 dev ul src ${this.address}`);
  }

  /** Sends a datagram from here with this TTL. */
  async sendDatagram(to: Address, port: number, ttl: number): Promise<void> {
    const send = `s.setTTL(${ttl}); s.send('no BFD', ${port}, '${to}', () => s.close())`;
    const script = `const s = require('dgram').createSocket('udp4'); s.bind(0, '${this.address}', () => { ${send} })`;
    await execute('ip', ['netns', 'exec', this.namespace, process.execPath, '-e', script]);
  }

  /** Value of a metric of bgpd, by its whole name. */
  async metric(name: string): Promise<number> {
    const line = (await this.http('/metrics')).split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length));
  }

  async peers(): Promise<readonly PeerView[]> {
    return (JSON.parse(await this.http('/status')) as { peers: PeerView[] }).peers;
  }

  /** Waits until the session with this peer, and BFD where it is wanted, stand. */
  async isUp(peer: RigNode, withBfd: boolean): Promise<PeerView> {
    return eventually(
      `${this.name} has ${peer.name}`,
      async () => {
        const found = (await this.peers()).find(({ node }) => node === peer.name);
        return found?.state === 'Established' && (!withBfd || found.bfd.state === 'Up') ? found : undefined;
      },
      START,
    );
  }

  /** Body of an answer of bgpd's status server. */
  http(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = get({ socketPath: join(this.runFolder, 'bgpd.http'), path }, (response) => {
        let body = '';
        response.on('data', (bytes) => {
          body += String(bytes);
        });
        response.on('end', () => resolve(body));
      });
      request.on('error', reject);
    });
  }

  async end(): Promise<void> {
    await Promise.all([...this.#children].map((child) => endChild(child, 'SIGKILL')));
    this.#client?.close();
    await this.#server?.close();
  }
}

async function endChild(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}
