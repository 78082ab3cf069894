// A private etcd for a test: its own ports, its own data folder, gone without a trace after `stop`.
//
// Ports are picked by the kernel (bind to 0, close, use): two of these may lose a race for one port, so a start that
// fails is tried again on others. `kill` and `start` on the same object keep data and ports: etcd "away" and back.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../eventually.ts';

const HEALTHY_WITHIN_MS = 15_000;
const START_ATTEMPTS = 5;

export interface EtcdOptions {
  /** Network namespace to run in; the test's own where absent. */
  readonly namespace?: string;
  /** Address on which clients are served. */
  readonly address?: string;
  /** Client port; a free one where absent. */
  readonly port?: number;
  /** More flags: TLS files, `--auth-token`, ... */
  readonly flags?: readonly string[];
  readonly scheme?: 'http' | 'https';
  /** Flags for etcdctl that reach it: TLS files. */
  readonly ctlFlags?: readonly string[];
}

export class EtcdProcess {
  readonly endpoint: string;
  readonly #options: EtcdOptions;
  readonly #folder: string;
  readonly #ports: { readonly client: number; readonly peer: number };
  #child: ChildProcess | undefined;
  #output = '';

  private constructor(options: EtcdOptions, folder: string, ports: { client: number; peer: number }) {
    this.#options = options;
    this.#folder = folder;
    this.#ports = ports;
    this.endpoint = `${options.scheme ?? 'http'}://${options.address ?? '127.0.0.1'}:${ports.client}`;
  }

  /** Starts one and waits until it answers. */
  static async start(options: EtcdOptions = {}): Promise<EtcdProcess> {
    for (let attempt = 1; ; attempt++) {
      const folder = await mkdtemp(join(tmpdir(), 'gh-etcd-'));
      const etcd = new EtcdProcess(options, folder, {
        client: options.port ?? (await freePort()),
        peer: await freePort(),
      });
      try {
        await etcd.start();
        return etcd;
      } catch (error) {
        await etcd.stop();
        if (attempt >= START_ATTEMPTS) throw error;
      }
    }
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it again after `kill`, with the same data and ports. */
  async start(): Promise<void> {
    const { namespace } = this.#options;
    // Its peer URL is on the loopback, which is down in a new namespace.
    if (namespace !== undefined) await promisify(execFile)('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
    const address = this.#options.address ?? '127.0.0.1';
    const peerUrl = `http://127.0.0.1:${this.#ports.peer}`;
    const args = [
      `--name=test`,
      `--data-dir=${this.#folder}/data`,
      `--listen-client-urls=${this.#options.scheme ?? 'http'}://${address}:${this.#ports.client}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=test=${peerUrl}`,
      // One member elects itself: no reason to wait a second for that.
      '--heartbeat-interval=10',
      '--election-timeout=100',
      ...(this.#options.flags ?? []),
    ];
    const [command = '', ...rest] = this.#inNamespace('etcd', args);
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        this.#output = (this.#output + String(bytes)).slice(-8_192);
      });
    }
    let ended = false;
    child.once('exit', () => {
      ended = true;
    });
    try {
      await eventually(
        'etcd is healthy',
        async () => ended || (await this.ctl('endpoint', 'health').then(() => true)),
        {
          timeoutMs: HEALTHY_WITHIN_MS,
          intervalMs: 50,
        },
      );
    } catch (error) {
      throw new Error(`etcd did not start: ${this.#output}`, { cause: error });
    }
    if (ended) throw new Error(`etcd ended: ${this.#output}`);
  }

  /** Runs etcdctl against it and gives what it printed. */
  async ctl(...args: readonly string[]): Promise<string> {
    const flags = [`--endpoints=${this.endpoint}`, '--command-timeout=2s', ...(this.#options.ctlFlags ?? [])];
    const [command = '', ...rest] = this.#inNamespace('etcdctl', [...flags, ...args]);
    const env = { ...process.env, ETCDCTL_API: '3' };
    return (await promisify(execFile)(command, rest, { env, encoding: 'utf8' })).stdout;
  }

  /** Copies what it holds, for `restore`. */
  async snapshot(): Promise<void> {
    await rm(this.#snapshot, { force: true });
    await this.ctl('snapshot', 'save', this.#snapshot);
  }

  /** Starts it, after `kill`, from the copy instead of its data: its revision goes back. */
  async restore(): Promise<void> {
    await rm(`${this.#folder}/data`, { recursive: true, force: true });
    const peerUrl = `http://127.0.0.1:${this.#ports.peer}`;
    const cluster = [`--initial-cluster=test=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`];
    const [command = '', ...rest] = this.#inNamespace('etcdctl', [
      ...['snapshot', 'restore', this.#snapshot, '--name=test', `--data-dir=${this.#folder}/data`],
      ...cluster,
    ]);
    await promisify(execFile)(command, rest, { env: { ...process.env, ETCDCTL_API: '3' } });
    await this.start();
  }

  get #snapshot(): string {
    return `${this.#folder}/snapshot.db`;
  }

  /** Ends it at once, keeping its data. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** Freezes (SIGSTOP) or thaws it: connections stay open and nothing is answered. */
  freeze(frozen: boolean): void {
    this.#child?.kill(frozen ? 'SIGSTOP' : 'SIGCONT');
  }

  /** Ends it and removes its data. Harmless when called twice. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #inNamespace(command: string, args: readonly string[]): string[] {
    const { namespace } = this.#options;
    return namespace === undefined ? [command, ...args] : ['ip', 'netns', 'exec', namespace, command, ...args];
  }
}

/** A TCP port that nothing listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const bound = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (bound === null || typeof bound === 'string') throw new Error('no port was bound');
  return bound.port;
}
