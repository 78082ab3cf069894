// One node for the CNI plugin, without daemons: a network namespace, a subnet.env that the test writes, pods that are
// namespaces, and the plugin called as a runtime calls it: environment and standard input.
//
//   [ gh<pid>c<n>  cni0 10.5.7.1/24 ── gh0123456789a ] ─veth─ [ gh<pid>c<n>p0  eth0 10.5.7.3/24 ]

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const BUNDLE = join(import.meta.dirname, '../../dist/cni/gingham-cni.cjs');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** Of the Debian package containernetworking-plugins. */
export const STOCK_PLUGINS = '/usr/lib/cni';

let made = 0;

/** What a result has; every field that tests look at. */
export interface ResultJson {
  readonly cniVersion: string;
  readonly interfaces: readonly { name: string; mac?: string; mtu?: number; sandbox?: string }[];
  readonly ips: readonly { address: string; gateway?: string; interface?: number; version?: string }[];
  readonly routes: readonly { dst: string; gw?: string }[];
  readonly dns: object;
}

export interface ErrorJson {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export interface CallOptions {
  readonly containerId?: string;
  readonly ifname?: string;
  /** Path; absent: the pod's. Empty: none. */
  readonly netns?: string;
  readonly args?: string;
  /** Over the node's own configuration. */
  readonly conf?: object;
  /** Path of another plugin. */
  readonly plugin?: string;
  /** Sees the process while it runs. */
  readonly onStart?: (child: ChildProcess) => void;
}

export interface Answer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class CniNode {
  readonly namespace: string;
  /** Run folder: of daemons where there are any. */
  readonly folder: string;
  readonly #pods: string[] = [];
  readonly #podPrefix = `gh${process.pid}c${made++}`;

  private constructor(folder: string, namespace?: string) {
    this.folder = folder;
    this.namespace = namespace ?? this.#podPrefix;
  }

  /** A node that somebody else made, with its daemons: only its pods are ours. */
  static of(namespace: string, runFolder: string): CniNode {
    return new CniNode(runFolder, namespace);
  }

  static async make(): Promise<CniNode> {
    const node = new CniNode(await mkdtemp(join(tmpdir(), 'gh-cni-')));
    await execute('ip', ['netns', 'add', node.namespace]);
    await node.ip('link set lo up');
    await node.lease();
    return node;
  }

  get dataFolder(): string {
    return join(this.folder, 'data');
  }

  /** The configuration of the node's network. */
  conf(more: object = {}): object {
    const folders = { runDir: this.folder, dataDir: this.dataFolder };
    return { cniVersion: '1.1.0', name: 'net', type: 'gingham-cni', ...folders, ...more };
  }

  /** Writes subnet.env; dual stack unless `ipv6` is false. */
  async lease({ subnet = '10.5.7.1/24', ipv6 = true, mtu = 1450, masquerade = false } = {}): Promise<void> {
    const lines = [
      'FLANNEL_NETWORK=10.5.0.0/16',
      `FLANNEL_SUBNET=${subnet}`,
      ...(ipv6 ? ['FLANNEL_IPV6_NETWORK=fd00:5::/48', 'FLANNEL_IPV6_SUBNET=fd00:5:0:7::1/64'] : []),
      `FLANNEL_MTU=${mtu}`,
      `FLANNEL_IPMASQ=${masquerade}`,
    ];
    await writeFile(join(this.folder, 'subnet.env'), `${lines.join('\n')}\n`);
  }

  /** Makes namespaces for pods; their names. */
  async pods(count: number): Promise<readonly string[]> {
    const first = this.#pods.length;
    const names = Array.from({ length: count }, (_, at) => `${this.#podPrefix}p${first + at}`);
    this.#pods.push(...names);
    await batch(names.map((name) => `netns add ${name}`));
    return names;
  }

  async pod(): Promise<string> {
    const [name = ''] = await this.pods(1);
    return name;
  }

  /** Runs the plugin once; never rejects because of what it says. */
  call(command: string, pod: string, options: CallOptions = {}): Promise<Answer> {
    const { containerId = pod, ifname = 'eth0', netns = `/run/netns/${pod}`, args, conf = this.conf() } = options;
    const env = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_IFNAME: ifname,
      CNI_PATH: STOCK_PLUGINS,
      ...(netns !== '' && { CNI_NETNS: netns }),
      ...(args !== undefined && { CNI_ARGS: args }),
      // The stock plugins look for iptables.
      ...(options.plugin !== undefined && { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }),
    };
    const argv = options.plugin === undefined ? [process.execPath, BUNDLE] : [options.plugin];
    const child = spawn('nsenter', [`--net=/run/netns/${this.namespace}`, '--', ...argv], { env });
    options.onStart?.(child);
    const out = { stdout: '', stderr: '' };
    child.stdout.on('data', (bytes) => {
      out.stdout += String(bytes);
    });
    child.stderr.on('data', (bytes) => {
      out.stderr += String(bytes);
    });
    // One that is killed does not read.
    child.stdin.on('error', () => undefined);
    child.stdin.end(JSON.stringify(conf));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...out })));
  }

  /** ADD that works. */
  async add(pod: string, options: CallOptions = {}): Promise<ResultJson> {
    const answer = await this.call('ADD', pod, options);
    if (answer.code !== 0 || answer.stderr !== '') throw new Error(`ADD: ${answer.stdout}${answer.stderr}`);
    return JSON.parse(answer.stdout) as ResultJson;
  }

  /** A command without a result that works. */
  async done(command: string, pod: string, options: CallOptions = {}): Promise<void> {
    const answer = await this.call(command, pod, options);
    if (answer.code !== 0 || answer.stdout !== '' || answer.stderr !== '') {
      throw new Error(`${command}: ${answer.stdout}${answer.stderr}`);
    }
  }

  /** A command that fails with an error as the specification wants it. */
  async refused(command: string, pod: string, options: CallOptions = {}): Promise<ErrorJson> {
    const answer = await this.call(command, pod, options);
    if (answer.code === 0) throw new Error(`${command} worked: ${answer.stdout}`);
    return JSON.parse(answer.stdout) as ErrorJson;
  }

  /** GC of all but these. */
  collect(valid: readonly string[], more: object = {}): Promise<void> {
    const attachments = valid.map((containerID) => ({ containerID, ifname: 'eth0' }));
    return this.done('GC', '', { conf: this.conf({ ...more, 'cni.dev/valid-attachments': attachments }) });
  }

  /** `ip <words>` in the node, or in a pod; its standard output. */
  async ip(words: string, namespace: string = this.namespace): Promise<string> {
    const { stdout } = await execute('ip', ['-n', namespace, ...words.split(' ')], { maxBuffer: OUTPUT_BYTES_MAX });
    return stdout;
  }

  /** A command in the node, or in a pod; its standard output. */
  async run(command: readonly string[], namespace: string = this.namespace): Promise<string> {
    const argv = [`--net=/run/netns/${namespace}`, '--', ...command];
    const { stdout } = await execute('nsenter', argv, { maxBuffer: OUTPUT_BYTES_MAX });
    return stdout;
  }

  /** Starts a command in a pod; resolves once it has printed `ready`. */
  async start(command: readonly string[], namespace: string, ready: string): Promise<ChildProcess> {
    const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, '--', ...command]);
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (bytes) => String(bytes).includes(ready) && resolve());
      child.once('close', (code) => reject(new Error(`${command[0]} ended with ${code}`)));
    });
    return child;
  }

  /** Whether an address answers a ping from a pod. */
  async reaches(pod: string, address: string): Promise<boolean> {
    const argv = ['ping', '-n', '-c', '1', '-W', '2', address];
    return this.run(argv, pod).then(
      () => true,
      () => false,
    );
  }

  /**
   * All that a pod may leave behind on its node: links, addresses, neighbours, routes, nexthops, rules, files. Without what
   * the kernel changes by itself, such as link-local addresses that are tentative for a while.
   */
  async traces(): Promise<string> {
    const kernel = await Promise.all(
      [
        '-o link show',
        '-o address show',
        'neighbour show nud permanent',
        'route show table all',
        '-6 route show table all',
        'nexthop show',
        'rule show',
      ].map((words) => this.ip(words)),
    );
    const rules = await this.run(['iptables-save']).catch(() => '');
    const files = (await readdir(this.folder, { recursive: true })).sort().join('\n');
    const lines = kernel.join('').split('\n');
    const lasting = lines.filter((line) => !/fe80|anycast|^multicast/.test(line));
    const state = / (linkdown|tentative)| <[^>]*>| state \w+/g;
    return `${lasting.join('\n').replaceAll(state, '')}${rules.replaceAll(/^#.*$/gm, '')}${files}`;
  }

  /** The addresses that are in use, by the files that say so. */
  async allocated(): Promise<readonly string[]> {
    const names = await readdir(this.dataFolder).catch(() => []);
    return names.filter((name) => name.startsWith('10.') || name.includes(':'));
  }

  async remove(): Promise<void> {
    const isOwn = this.namespace === this.#podPrefix;
    await batch([...this.#pods, ...(isOwn ? [this.namespace] : [])].map((name) => `netns delete ${name}`));
    if (isOwn) await rm(this.folder, { recursive: true, force: true });
  }
}

function batch(lines: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile('ip', ['-batch', '-'], (error) => (error === null ? resolve() : reject(error)));
    child.stdin?.end(`${lines.join('\n')}\n`);
  });
}
