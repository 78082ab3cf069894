// A cluster of real bgpd processes on the loopback, with an etcd of its own and, per node, a flanneld that the test plays.
//
//   test: FeedTable ─flanneld.sock─▶ bgpd 127.0.0.2 ◀─gRPC─▶ bgpd 127.0.0.3 ─bgpd.sock─▶ FeedView :test
//
// Nothing here touches the kernel: no root, no namespaces. Ports are free ones, so that any number may run at once.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Cause } from '../../lib/feed/feed.ts';
import { type FeedClient, watchFeed } from '../../lib/feed/feed-client.ts';
import { type FeedServer, feedSocketPath, startFeedServer } from '../../lib/feed/feed-server.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { type FeedChange, FeedView } from '../../lib/feed/feed-view.ts';
import { type Address, address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { EtcdProcess } from './etcd-process.ts';

const SILENT = pino({ level: 'silent' });

/** Id of the local group in every played flanneld; the group of node n is 100 + n. */
const LOCAL_GROUP = 1;

/** What a test wants to see of /status. */
export interface BgpdStatus {
  readonly peers: readonly {
    readonly node: string;
    readonly state: string;
    readonly whyDown?: string;
    readonly staleFamilies?: readonly number[];
    readonly longLivedFamilies?: readonly number[];
    readonly sessions: number;
    readonly routesReceived: number;
    readonly routesAdvertised: number;
    readonly updatesFlawed: number;
    readonly updatesLooped: number;
  }[];
  readonly routes: {
    readonly count: number;
    readonly list: readonly {
      readonly prefix: string;
      readonly nextHops: readonly string[];
      readonly reason: string;
    }[];
  };
}

export class BgpdCluster {
  readonly etcd: EtcdProcess;
  readonly #folder: string;
  readonly #nodes: BgpdNode[] = [];

  private constructor(etcd: EtcdProcess, folder: string) {
    this.etcd = etcd;
    this.#folder = folder;
  }

  static async start(): Promise<BgpdCluster> {
    return new BgpdCluster(await EtcdProcess.start(), await mkdtemp(join(tmpdir(), 'gh-bgpd-')));
  }

  /** Adds node number `number` (2 to 254), whose flanneld leads to the nodes numbered `others`. */
  async node(number: number, others: readonly number[], flags: readonly string[] = []): Promise<BgpdNode> {
    const node = new BgpdNode(number, join(this.#folder, String(number)), this.etcd.endpoint, flags);
    this.#nodes.push(node);
    await node.begin(others);
    return node;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.end()));
    await this.etcd.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export class BgpdNode {
  readonly name: string;
  readonly address: Address;
  /** What the played flanneld says. */
  readonly flanneld = new FeedTable();
  /** What bgpd serves. */
  readonly view = new FeedView();
  /** Called for each change of what bgpd serves. */
  onChange: (change: FeedChange, cause: Cause | undefined) => void = () => undefined;
  readonly #runFolder: string;
  readonly #endpoint: string;
  readonly #flags: readonly string[];
  #server: FeedServer | undefined;
  #client: FeedClient | undefined;
  #child: ChildProcess | undefined;
  #output = '';

  constructor(number: number, runFolder: string, endpoint: string, flags: readonly string[]) {
    this.name = `node${number}`;
    this.address = nodeAddress(number);
    this.#runFolder = runFolder;
    this.#endpoint = endpoint;
    this.#flags = flags;
  }

  get runFolder(): string {
    return this.#runFolder;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Last of what bgpd printed. */
  get output(): string {
    return this.#output;
  }

  async begin(others: readonly number[]): Promise<void> {
    await mkdir(this.#runFolder, { recursive: true });
    this.flanneld.setGroup({
      id: LOCAL_GROUP,
      kind: 'blackhole',
      nextHops: [],
      local: true,
      node: this.name,
      endpoint: this.address,
    });
    for (const other of others) this.setWay(other);
    this.flanneld.markInSync();
    this.#server = await startFeedServer({
      socketPath: feedSocketPath(this.#runFolder, 'flanneld'),
      table: this.flanneld,
      log: SILENT,
    });
    this.start();
    this.#client = watchFeed({
      socketPath: feedSocketPath(this.#runFolder, 'bgpd'),
      watcher: 'test',
      view: this.view,
      log: SILENT,
      onChange: (change, cause) => this.onChange(change, cause),
      onState: () => undefined,
    });
  }

  /** flanneld's group that leads to another node. */
  setWay(other: number, gateway = `10.5.${other}.0`): void {
    this.flanneld.setGroup({
      id: 100 + other,
      kind: 'unicast',
      nextHops: [{ gateway: address(gateway), device: 'flannel.1', onlink: true, weight: 1 }],
      local: false,
      node: `node${other}`,
      endpoint: nodeAddress(other),
    });
  }

  removeWay(other: number): void {
    this.flanneld.removeGroup(100 + other);
  }

  /** flanneld says that these prefixes end here. */
  originate(prefixes: Iterable<Prefix>, cause?: Cause): void {
    this.flanneld.setRoutes(LOCAL_GROUP, prefixes, cause);
  }

  withdraw(prefixes: Iterable<Prefix>, cause?: Cause): void {
    this.flanneld.withdraw(prefixes, cause);
  }

  start(): void {
    const args = [
      'dist/bgpd/main.js',
      `--node-name=${this.name}`,
      `--run-dir=${this.#runFolder}`,
      `--etcd-endpoints=${this.#endpoint}`,
      '--listen-port=0',
      '--status-port=0',
      '--gobgp-address=',
      ...this.#flags,
    ];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        this.#output = (this.#output + String(bytes)).slice(-65_536);
      });
    }
  }

  /** Sends a signal and waits for the end; gives the exit code. */
  async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
    return child.exitCode;
  }

  /** Waits for bgpd to end by itself; gives the exit code. */
  async exit(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    await new Promise((resolve) => child.once('exit', resolve));
    return child.exitCode;
  }

  async end(): Promise<void> {
    await this.kill('SIGKILL');
    this.#client?.close();
    await this.#server?.close();
  }

  async status(): Promise<BgpdStatus> {
    return JSON.parse(await this.http('/status')) as BgpdStatus;
  }

  /** Body of an answer of the status server. */
  http(path: string): Promise<string> {
    return this.#ask('GET', path);
  }

  /** Asks bgpd for an action. */
  post(path: string): Promise<string> {
    return this.#ask('POST', path);
  }

  #ask(method: string, path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const where = { socketPath: join(this.#runFolder, 'bgpd.http'), path, method };
      const request = httpRequest(where, (response) => {
        let body = '';
        response.on('data', (bytes) => {
          body += String(bytes);
        });
        response.on('end', () => resolve(body));
      });
      request.on('error', reject);
      request.end();
    });
  }

  /** Gateways to which bgpd's feed sends a prefix: `undefined` where it has no route, none for a blackhole. */
  gateways(of: string): readonly string[] | undefined {
    const id = this.view.groupOf(prefix(of));
    const group = id === undefined ? undefined : this.view.groups.get(id);
    return group?.nextHops.map((hop) => String(hop.gateway));
  }

  /** Waits until it is ready. */
  async ready(): Promise<void> {
    const isReady = async () => (JSON.parse(await this.http('/readyz')) as { ready: boolean }).ready;
    await eventually(`${this.name} is ready`, isReady, { timeoutMs: 30_000, intervalMs: 20 });
  }

  /** Largest resident memory so far, MB. */
  async peakRssMb(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }
}

export function nodeAddress(number: number): Address {
  return address(`127.0.0.${number}`);
}

/** `count` /24 prefixes, all different, from `first`.0.0.0 on. */
export function manyPrefixes(count: number, first = 20): Prefix[] {
  return Array.from({ length: count }, (_, i) => prefix(`${first + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`));
}
