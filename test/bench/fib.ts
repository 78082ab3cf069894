// felix's way from a feed to the kernel's FIB, against `ip -batch` with the same routes in the same run. Root only: it
// works in a network namespace of its own, which goes with the process.
//
// The confusing thing: `ip -batch` is handed a file of commands, felix the events of a feed; both times end when the kernel
// has taken the last route.

import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { FeedEvent, FeedGroup } from '../../lib/feed/feed.ts';
import { CLONE_NEWNET, unshare } from '../../lib/kernel/syscalls.ts';
import { address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import { type FibRig, startFibRig } from './fib-rig.ts';
import { median, rounded } from './statistics.ts';

const execute = promisify(execFile);

/** Prefixes in one event, as flanneld and bgpd send them. */
const PREFIXES_PER_EVENT = 4_000;
const CHANGED_ROUTES = 1_000;
const IP_NEXTHOP_ID = 7;

export const FIB: Bench = {
  name: 'fib',
  summary: 'routes into the kernel against ip -batch, resync, changes, group swap (--routes, --rounds; root)',
  run: runFib,
};

interface Row {
  readonly name: string;
  readonly routes: number;
  readonly ms: number | null;
}

async function runFib(args: readonly string[], say: (line: string) => void, signal: AbortSignal): Promise<BenchResult> {
  const options = readOptions(args, ['routes', 'rounds']);
  const count = countOption('routes', options.routes, 100_000);
  const rounds = countOption('rounds', options.rounds, 3);
  if (unshare(CLONE_NEWNET) < 0) throw new ExitError(EXIT.environment, 'bench fib needs root: it makes a namespace');
  for (const words of [
    'link add d0 type veth peer name d1',
    'link set d1 up',
    'address add 192.0.2.1/24 dev d0',
    'link set d0 up',
  ]) {
    execFileSync('ip', words.split(' '));
  }
  const folder = await mkdtemp(join(tmpdir(), 'gingham-fib-'));
  try {
    const bench = new FibBench(count, folder, say);
    await bench.prepare();
    for (let round = 0; round < rounds && !signal.aborted; round++) await bench.round(round);
    return bench.result();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

class FibBench {
  readonly #prefixes: readonly Prefix[];
  readonly #folder: string;
  readonly #say: (line: string) => void;
  readonly #times = new Map<string, { readonly routes: number; readonly ms: number[] }>();
  #listings = 0;
  #rssBytes = 0;

  constructor(count: number, folder: string, say: (line: string) => void) {
    this.#prefixes = Array.from({ length: count }, (_, i) =>
      prefix(`${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`),
    );
    this.#folder = folder;
    this.#say = say;
  }

  async prepare(): Promise<void> {
    const write = (name: string, lines: readonly string[]): Promise<void> =>
      writeFile(join(this.#folder, name), `${lines.join('\n')}\n`);
    await write(
      'plain',
      this.#prefixes.map((to) => `route add ${to} via 192.0.2.2 dev d0 proto 99`),
    );
    await write('group', [
      `nexthop add id 1 via 192.0.2.2 dev d0`,
      `nexthop add id 2 via 192.0.2.3 dev d0`,
      `nexthop add id ${IP_NEXTHOP_ID} group 1/2`,
      ...this.#prefixes.map((to) => `route add ${to} nhid ${IP_NEXTHOP_ID} proto 99`),
    ]);
  }

  async round(round: number): Promise<void> {
    this.#say(`round ${round + 1}`);
    for (const kind of ['plain', 'group'] as const) {
      await this.#time(`ip_batch_${kind}`, this.#prefixes.length, async () => {
        const startedMs = performance.now();
        await execute('ip', ['-batch', join(this.#folder, kind)]);
        return performance.now() - startedMs;
      });
      // Routes that point at an object go with it.
      if (kind === 'group') await this.#swapByIp();
      await execute('ip', kind === 'plain' ? ['route', 'flush', 'proto', '99'] : ['nexthop', 'flush']);
    }
    await this.#felix(true);
    await this.#felix(false);
  }

  result(): BenchResult {
    const rows = [...this.#times].map(([name, { routes, ms }]): Row => ({ name, routes, ms: rounded(median(ms), 1) }));
    const msOf = (name: string): number => median(this.#times.get(name)?.ms ?? [Number.NaN]);
    const json = {
      rows,
      ratios: {
        plain_vs_ip_batch: rounded(msOf('felix_plain') / msOf('ip_batch_plain'), 3),
        group_vs_ip_batch: rounded(msOf('felix_group') / msOf('ip_batch_group'), 3),
      },
      resync_unchanged_ms: rounded(msOf('resync_unchanged'), 1),
      changes_1000_ms: rounded(msOf('changes_1000'), 1),
      group_swap_ms: rounded(msOf('group_swap'), 2),
      rss_mb: rounded(this.#rssBytes / 2 ** 20, 0),
    };
    const lines = [
      ...rows.map(
        ({ name, routes, ms }) =>
          `${name.padEnd(26)}${String(routes).padStart(8)} routes ${String(ms).padStart(10)} ms`,
      ),
      ...Object.entries(json.ratios).map(([name, value]) => `${name.padEnd(26)}${String(value).padStart(8)}`),
      `listings beyond the first ${this.#listings}, resident memory ${json.rss_mb} MB`,
    ];
    return { json, text: lines.join('\n') };
  }

  async #felix(plain: boolean): Promise<void> {
    const kind = plain ? 'plain' : 'group';
    const rig = startFibRig(plain);
    try {
      const first: FeedEvent[] = [{ type: 'group', group: group(1, '192.0.2.2', ...(plain ? [] : ['192.0.2.3'])) }];
      await this.#time(`felix_${kind}`, this.#prefixes.length, () =>
        rig.feed([...first, ...routes(1, this.#prefixes), { type: 'in-sync' }]),
      );
      await rig.quiet();
      this.#listings = Math.max(this.#listings, rig.listings() - 1);
      if (!plain) await this.#changes(rig);
      await this.#time(`felix_${kind}_withdraw`, this.#prefixes.length, () =>
        rig.feed(chunks(this.#prefixes).map((prefixes) => ({ type: 'withdrawn', prefixes }))),
      );
    } finally {
      await rig.stop();
    }
    const left = await execute('ip', ['-4', 'route', 'show', 'proto', '71']);
    if (left.stdout.trim() !== '') throw new Error('felix left routes behind');
  }

  /** What the kernel itself needs to change a group under all its routes, the start of a process included. */
  async #swapByIp(): Promise<void> {
    await execute('ip', ['nexthop', 'replace', 'id', '3', 'via', '192.0.2.4', 'dev', 'd0']);
    await this.#time('ip_group_swap', this.#prefixes.length, async () => {
      const startedMs = performance.now();
      await execute('ip', ['nexthop', 'replace', 'id', `${IP_NEXTHOP_ID}`, 'group', '3']);
      return performance.now() - startedMs;
    });
  }

  async #changes(rig: FibRig): Promise<void> {
    const writes = rig.passes.length;
    await this.#time('resync_unchanged', this.#prefixes.length, () => rig.resync());
    if (rig.passes.length !== writes) throw new Error('a resync of unchanged routes wrote something');
    const swaps = ['192.0.2.4', '192.0.2.5', '192.0.2.6'];
    for (const gateway of swaps) {
      await this.#time('group_swap', this.#prefixes.length, () =>
        rig.feed([{ type: 'group', group: group(1, gateway) }]),
      );
    }
    await this.#time('changes_1000', CHANGED_ROUTES, () =>
      rig.feed([
        { type: 'group', group: group(2, '192.0.2.7') },
        ...routes(2, this.#prefixes.slice(0, CHANGED_ROUTES)),
      ]),
    );
    this.#rssBytes = Math.max(this.#rssBytes, process.memoryUsage.rss());
  }

  async #time(name: string, count: number, run: () => Promise<number>): Promise<void> {
    const before = process.cpuUsage();
    const ms = await run();
    // Of this process: what is left when the machine has other work as well.
    const { user, system } = process.cpuUsage(before);
    const cpu = `${(user / 1000).toFixed(0)} ms user, ${(system / 1000).toFixed(0)} ms system`;
    this.#say(`  ${name.padEnd(24)}${ms.toFixed(1).padStart(8)} ms (${cpu})`);
    const times = this.#times.get(name) ?? { routes: count, ms: [] };
    times.ms.push(ms);
    this.#times.set(name, times);
  }
}

function group(id: number, ...gateways: readonly string[]): FeedGroup {
  const nextHops = gateways.map((gateway) => ({ gateway: address(gateway), device: 'd0', onlink: false, weight: 1 }));
  return { id, kind: 'unicast', nextHops, local: false, node: '' };
}

function routes(id: number, prefixes: readonly Prefix[]): FeedEvent[] {
  return chunks(prefixes).map((some) => ({ type: 'routes', group: id, prefixes: some }));
}

function chunks(prefixes: readonly Prefix[]): Prefix[][] {
  const result: Prefix[][] = [];
  for (let at = 0; at < prefixes.length; at += PREFIXES_PER_EVENT) {
    result.push(prefixes.slice(at, at + PREFIXES_PER_EVENT));
  }
  return result;
}
