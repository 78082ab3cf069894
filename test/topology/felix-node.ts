// One node for felix: a network namespace on the real kernel, a felix process in it, and a feed that the test plays.
//
//   test: FeedTable ─flanneld.sock─▶ [ gh<pid>f<n>  felix ─rtnetlink─▶ routes
//                                      u0 192.0.2.1/24, 2001:db8::1/64 ──veth── u1     flannel.1 (VXLAN) ]
//
// The feed's socket is a file, so it needs no network: felix runs inside the namespace, the test outside.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { pino } from 'pino';
import type { FeedGroup } from '../../lib/feed/feed.ts';
import { type FeedServer, feedSocketPath, startFeedServer } from '../../lib/feed/feed-server.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { address } from '../../lib/net/address.ts';
import { eventually } from '../eventually.ts';

const execute = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../dist/felix/main.js');
const SILENT = pino({ level: 'silent' });
/** A machine that runs other tests as well takes its time to start a process. */
const START_MS = 15_000;
const OUTPUT_MAX = 60_000;
/** Of one command: 100,000 routes are some megabytes. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

let made = 0;

/** A route as `ip -json route` shows it, nexthop objects resolved. */
export interface ShownRoute {
  readonly dst: string;
  readonly type?: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly metric?: number;
  readonly protocol?: string;
  readonly nhid?: number;
  readonly flags: readonly string[];
  readonly nexthops?: readonly { readonly gateway: string; readonly dev: string; readonly weight: number }[];
}

export class FelixNode {
  readonly namespace = `gh${process.pid}f${made++}`;
  feed = new FeedTable();
  readonly #children = new Set<ChildProcess>();
  readonly #folder: string;
  #server: FeedServer | undefined;
  #felix: ChildProcess | undefined;
  #output = '';

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the namespace and its devices; starts nothing. */
  static async make(): Promise<FelixNode> {
    const node = new FelixNode(await mkdtemp(join(tmpdir(), 'gh-felix-')));
    await execute('ip', ['netns', 'add', node.namespace]);
    await node.run('sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0');
    await node.ip('link set lo up');
    await node.ip('link add u0 type veth peer name u1');
    await node.ip('address add 192.0.2.1/24 dev u0');
    await node.ip('address add 2001:db8::1/64 dev u0 nodad');
    await node.ip('link set u0 up');
    await node.ip('link set u1 up');
    await node.makeVtep();
    return node;
  }

  get runFolder(): string {
    return this.#folder;
  }

  /** What felix printed since it was started. */
  get output(): string {
    return this.#output;
  }

  /** What felix logged since it was started, line by line. */
  get logged(): readonly { readonly msg: string; readonly [field: string]: unknown }[] {
    const lines = this.#output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as { msg: string });
  }

  async makeVtep(): Promise<void> {
    await this.ip('link add flannel.1 type vxlan id 1 local 192.0.2.1 dev u0 dstport 8472 nolearning');
    await this.ip('address add 10.5.1.0/32 dev flannel.1');
    await this.ip('link set flannel.1 up');
  }

  /** Serves the feed. */
  async serve(): Promise<void> {
    const socketPath = feedSocketPath(this.#folder, 'flanneld');
    this.#server = await startFeedServer({ socketPath, table: this.feed, log: SILENT });
  }

  /** Ends the feed, as the end of its daemon would. */
  async endFeed(): Promise<void> {
    await this.#server?.close();
  }

  /** Starts felix in the namespace, as a child of `before` (`setpriv ...`) where that is given. */
  startFelix(flags: readonly string[] = [], before: readonly string[] = []): ChildProcess {
    const own = [
      '--run-dir',
      this.#folder,
      '--node-name',
      'n1',
      '--status-port',
      '0',
      '--resync-interval-seconds',
      '600',
    ];
    const argv = ['netns', 'exec', this.namespace, ...before, process.execPath, MAIN, ...own, ...flags];
    const child = spawn('ip', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        this.#output = (this.#output + String(bytes)).slice(-OUTPUT_MAX);
      });
    }
    this.#children.add(child);
    this.#felix = child;
    return child;
  }

  /** Sends felix a signal that does not end it. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#felix?.kill(signal);
  }

  /** Ends felix with this signal and waits for its end; gives the exit code. */
  async endFelix(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#felix;
    if (child === undefined) throw new Error('felix is not running');
    const ended = endOf(child);
    child.kill(signal);
    return ended;
  }

  /** Waits until every check of /readyz holds. */
  async ready(): Promise<void> {
    await eventually('felix is ready', async () => (await this.http('/readyz')).status === 200, {
      timeoutMs: START_MS,
    });
  }

  async http(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const request = get({ socketPath: join(this.#folder, 'felix.http'), path }, (response) => {
        let body = '';
        response.on('data', (bytes) => {
          body += String(bytes);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      request.on('error', reject);
    });
  }

  /** The value of one metric, by its name and labels as /metrics shows them. */
  async metric(name: string): Promise<number | undefined> {
    const { body } = await this.http('/metrics');
    const line = body.split('\n').find((candidate) => candidate.startsWith(`gingham_felix_${name} `));
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  }

  /** Runs `ip <words>` in the namespace; gives its standard output. */
  async ip(words: string): Promise<string> {
    const { stdout } = await execute('ip', ['-n', this.namespace, ...words.split(' ')], {
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    return stdout;
  }

  /** Runs a command in the namespace; gives its standard output. */
  async run(command: string): Promise<string> {
    const { stdout } = await execute('ip', ['netns', 'exec', this.namespace, ...command.split(' ')]);
    return stdout;
  }

  /** Routes of the main table with our protocol, sorted by destination. */
  async routes(family: 4 | 6 = 4): Promise<readonly ShownRoute[]> {
    const text = await this.ip(`-${family} -json route show proto 71`);
    const routes = JSON.parse(text || '[]') as ShownRoute[];
    return routes.sort((a, b) => a.dst.localeCompare(b.dst));
  }

  async hasRoute(dst: string): Promise<boolean> {
    return (await this.routes()).some((route) => route.dst === dst);
  }

  /** Everything of ours as text: to see that nothing changed. */
  async fib(): Promise<string> {
    const parts = ['route show table all proto 71', '-6 route show table all proto 71', 'nexthop show proto 71'];
    return (await Promise.all(parts.map((part) => this.ip(part)))).join('');
  }

  /** Follows `ip monitor route nexthop` until stopped; what it saw of our protocol. */
  async monitor(): Promise<{ stop(): Promise<readonly string[]> }> {
    const child = spawn('ip', ['netns', 'exec', this.namespace, 'stdbuf', '-oL', 'ip', 'monitor', 'route', 'nexthop']);
    this.#children.add(child);
    const PROBE = '203.0.113.1';
    const lines: string[] = [];
    let probesSeen = 0;
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith(`Deleted ${PROBE}`)) probesSeen++;
      if (line.trim() !== '' && !line.includes(PROBE)) lines.push(line);
    });
    // A route that nobody else makes: once it is told of, everything before it has been. Asked again until then,
    // since the kernel drops what a listener is too slow to take.
    const told = async (): Promise<boolean> => {
      const before = probesSeen;
      await this.ip(`route replace ${PROBE}/32 dev lo proto 99`);
      await this.ip(`route del ${PROBE}/32 dev lo proto 99`);
      return probesSeen > before;
    };
    await eventually('the monitor listens', told);
    return {
      async stop() {
        await eventually('the monitor has told all', told);
        child.kill();
        return lines;
      },
    };
  }

  /** Ends everything and removes the namespace. */
  async remove(): Promise<void> {
    for (const child of this.#children) {
      const ended = endOf(child);
      child.kill('SIGKILL');
      await ended;
    }
    await this.endFeed();
    await execute('ip', ['netns', 'del', this.namespace]);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A group that leads to the node with subnet 10.5.<id>.0/24, as flanneld makes it. */
export function vtepGroup(id: number, gateway = `10.5.${id}.0`): FeedGroup {
  const hop = { gateway: address(gateway), device: 'flannel.1', onlink: true, weight: 1 };
  return { id, kind: 'unicast', nextHops: [hop], local: false, node: `n${id}` };
}

/** A group of gateways behind the underlay card; the first has the greater weight. */
export function ecmpGroup(id: number, ...gateways: readonly string[]): FeedGroup {
  const nextHops = gateways.map((gateway, at) => ({
    gateway: address(gateway),
    device: 'u0',
    onlink: false,
    weight: at === 0 ? 3 : 1,
  }));
  return { id, kind: 'unicast', nextHops, local: false, node: '' };
}

export function localGroup(id: number): FeedGroup {
  return { id, kind: 'blackhole', nextHops: [], local: true, node: 'n1' };
}

/** The exit code, once the process and its output have ended. */
export function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('close', resolve));
}
