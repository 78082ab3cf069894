// The programs that the route exchange benchmark compares: gingham's bgpd, BIRD and gobgpd, a sender and a receiver of each.
//
// A sender holds all routes before its receiver starts. The clock starts where the receiver says, in its own log, that the
// session is established, and ends where it says that it has all routes: the same for all three.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { watchFeed } from '../../lib/feed/feed-client.ts';
import { feedSocketPath, startFeedServer } from '../../lib/feed/feed-server.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import type { BenchNode } from './node-pair.ts';

export const execute = promisify(execFile);
/** Longest wait for anything. */
const PATIENCE_MS = 120_000;

const SILENT = pino({ level: 'silent' });

/** A program in a namespace, its output line by line. */
export class Speaker {
  readonly #child: ChildProcess;
  #output = '';
  readonly #waiting: (() => void)[] = [];

  constructor(node: BenchNode, words: readonly string[]) {
    this.#child = spawn('ip', ['netns', 'exec', node.namespace, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (bytes) => {
        this.#output += String(bytes);
        for (const look of this.#waiting) look();
      });
    }
  }

  /** When its output first had `text` in it, performance.now(); rejects where it ends, takes too long or is not wanted. */
  async says(text: string, signal: AbortSignal, withinMs = PATIENCE_MS): Promise<number> {
    const seen = await new Promise<number | undefined>((resolve) => {
      const look = (): void => {
        if (this.#output.includes(text)) resolve(performance.now());
      };
      this.#waiting.push(look);
      this.#child.once('exit', () => resolve(undefined));
      AbortSignal.any([signal, AbortSignal.timeout(withinMs)]).addEventListener('abort', () => resolve(undefined));
      look();
    });
    if (seen === undefined) throw new Error(`"${text}" was not said: ${this.#output.slice(-1_000)}`);
    return seen;
  }

  /** Largest resident memory so far, MB. */
  async peakRssMb(): Promise<number> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}

/** The flanneld of a node, as far as bgpd needs one, and the feed that its bgpd serves. */
export class PlayedNode {
  readonly flanneld = new FeedTable();
  readonly view = new FeedView();
  readonly folder: string;
  #changed: () => void = () => undefined;
  readonly #closers: (() => unknown)[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  async serve(node: BenchNode, other: BenchNode, routes: readonly Prefix[]): Promise<void> {
    const own = { kind: 'blackhole', nextHops: [], local: true, node: '', endpoint: address(node.underlay) } as const;
    this.flanneld.setGroup({ id: 1, ...own });
    const nextHops = [{ gateway: address(other.overlay), device: 'flannel.1', onlink: true, weight: 1 }];
    const way = { kind: 'unicast', nextHops, local: false, node: '', endpoint: address(other.underlay) } as const;
    this.flanneld.setGroup({ id: 2, ...way });
    if (routes.length > 0) this.flanneld.setRoutes(1, routes);
    this.flanneld.markInSync();
    const socketPath = feedSocketPath(this.folder, 'flanneld');
    const server = await startFeedServer({ socketPath, table: this.flanneld, log: SILENT });
    this.#closers.push(() => server.close());
  }

  /** Watches what the node's bgpd serves. */
  watch(): void {
    const client = watchFeed({
      socketPath: feedSocketPath(this.folder, 'bgpd'),
      watcher: 'bench',
      view: this.view,
      log: SILENT,
      onChange: () => this.#changed(),
      onState: () => undefined,
    });
    this.#closers.push(() => client.close());
  }

  /** When the feed first had `count` routes, performance.now(). */
  has(count: number, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      this.#changed = () => {
        if (this.view.routeCount >= count) resolve(performance.now());
      };
      this.#changed();
    });
  }

  ask(method: 'GET' | 'POST', path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: `${this.folder}/bgpd.http`, path, method }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => resolve(Buffer.concat(parts).toString()));
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  async close(): Promise<void> {
    for (const close of this.#closers) await close();
  }
}

/** Polls until `look` holds; gives when, performance.now(). Rejects where that takes too long or is not wanted. */
export async function until(look: () => Promise<boolean>, signal: AbortSignal): Promise<number> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (performance.now() < deadlineMs) {
    signal.throwIfAborted();
    if (await look().catch(() => false)) return performance.now();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not within ${PATIENCE_MS} ms`);
}

/** `count` different /24 prefixes. */
export function manyPrefixes(count: number): Prefix[] {
  return Array.from({ length: count }, (_, i) => prefix(`${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`));
}

/** Where a program is; `undefined` where it is not installed. */
export async function whereIs(name: string): Promise<string | undefined> {
  return await execute('which', [name]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
}
