// `npm run bench -- failover`: from a fault to the kernel, over real bgpd, felix and kernel, and BIRD beside them.
//
// Node 1 has every route from node 2 and from node 3, and uses node 2. Node 2 fails in one of several ways; what is timed is
// from the moment of the fault to the first and to the last route or nexthop object of node 1 that the kernel was told
// anew, by the time stamps of `ip -ts monitor`. Moments of faults are those before the command that makes them.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import type { Prefix } from '../../lib/net/prefix.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { pause, systemClock } from '../../lib/run/clock.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { eventually } from '../eventually.ts';
import { LivenessRig } from '../topology/liveness-rig.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import { birdStack, type Detection, ginghamStack, type Stack } from './failover-stacks.ts';
import { median, percentile, rounded } from './statistics.ts';

type Fault = 'kill' | 'link' | 'cease' | 'silent';

interface Case {
  readonly fault: Fault;
  readonly detection: Detection;
}

interface Row {
  readonly name: Stack['name'];
  readonly fault: string;
  readonly detection: string;
  readonly routes: number;
  readonly runs: number;
  readonly first_ms: Figures;
  readonly last_ms: Figures;
}

interface Figures {
  readonly p50: number | null;
  readonly p99: number | null;
}

const BFD_300: Detection = { name: 'bfd 300x3', bfdIntervalMs: 300 };
const CASES: readonly Case[] = [
  { fault: 'kill', detection: BFD_300 },
  { fault: 'cease', detection: BFD_300 },
  { fault: 'link', detection: BFD_300 },
  { fault: 'silent', detection: { name: 'bfd 50x3', bfdIntervalMs: 50 } },
  { fault: 'silent', detection: { name: 'bfd 100x3', bfdIntervalMs: 100 } },
  { fault: 'silent', detection: BFD_300 },
  { fault: 'silent', detection: { name: 'hold 9', bfdIntervalMs: undefined } },
];

/** What tells of the fault where it is not silence. */
const TOLD_BY: Readonly<Partial<Record<Fault, string>>> = {
  kill: 'stream end',
  cease: 'notification',
  link: 'carrier',
};

/** The kernel is told nothing for so long: it was told all. */
const QUIET_MS = 400;
const FLAP_PAUSE_MS = 500;
/**
 * Where carriers change in quick succession the kernel tells of them once a second (net/core/link_watch.c): the carrier that
 * came back may be told of a second late, and the next change a second after that.
 */
const CARRIER_PAUSE_MS = 2_200;
const FLAP_MINUTES = 1;
const WAIT = { timeoutMs: 60_000, intervalMs: 10 };
const OPTIONS = ['runs', 'routes', 'fault', 'detection', 'stack', 'flap-minutes'] as const;

export const FAILOVER: Bench = {
  name: 'failover',
  summary:
    'from a fault to the kernel, beside BIRD: --runs 20 --routes 1000,100000 --fault kill,link,cease,silent --flap-minutes 1',
  run,
};

/** See `Bench.run`. Options: --runs, --routes, --fault, --detection and --stack (lists), --flap-minutes. */
export async function run(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const options = readOptions(args, OPTIONS);
  const runs = countOption('runs', options.runs, 20);
  const sizes = (options.routes ?? '1000,100000').split(',').map((text) => countOption('routes', text, 1));
  const faults = (options.fault ?? 'kill,link,cease,silent').split(',');
  const wanted = (options.stack ?? 'gingham,bird').split(',');
  const detections = options.detection?.split(',') ?? CASES.map(({ detection }) => detection.name);
  const flapMinutes = minutesOption(options['flap-minutes']);
  if (process.getuid?.() !== 0) throw new ExitError(EXIT.environment, 'failover makes namespaces: run it as root');
  const stacks = [
    ...(wanted.includes('gingham') ? [ginghamStack] : []),
    ...(wanted.includes('bird') && (await isInstalled('bird')) ? [birdStack] : []),
  ];
  const rows: Row[] = [];
  for (const routes of sizes) {
    for (const { fault, detection } of CASES) {
      if (!faults.includes(fault) || !detections.includes(detection.name)) continue;

      for (const stack of stacks) {
        if (signal.aborted) break;
        const row = await measure(stack, { fault, detection }, routes, runs, say, signal);
        rows.push(row);
        say(lineOf(row));
      }
    }
  }
  const flaps = flapMinutes > 0 && !signal.aborted ? await falseFlaps(flapMinutes, say) : { minutes: 0, count: 0 };
  const flapLine = `false flaps at 300x3, all cores busy: ${flaps.count} in ${flaps.minutes} min (--flap-minutes)`;
  const text = [...rows.map(lineOf), flapLine].join('\n');
  return { json: { rows, false_flaps: flaps }, text };
}

async function measure(
  make: (rig: LivenessRig) => Stack,
  { fault, detection }: Case,
  count: number,
  runs: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Row> {
  const rig = await LivenessRig.make(3);
  const firsts: number[] = [];
  const lasts: number[] = [];
  try {
    const stack = make(rig);
    const routes = prefixes(count);
    const monitor = new Monitor(rig);
    // Else the kernel tells of every route of a nexthop object that was replaced, as if it had been written.
    await rig.node(1).run('sysctl -q -w net.ipv4.nexthop_compat_mode=0');
    let knownMs: number | undefined;
    rig.node(1).onChange = (cause) => {
      if (cause !== undefined) knownMs = Number(cause.detectedUnixUs) / 1000;
    };
    await stack.begin(routes, detection);
    for (let i = 0; i < runs && !signal.aborted; i++) {
      await stack.ready();
      await usesGateway(rig, routes, rig.node(2).address);
      await monitor.quiet();
      const faultMs = await makeFault(rig, stack, fault, () => monitor.restart());
      // Nothing is asked before the kernel was told: every `ip` that starts takes a core from what is timed.
      await monitor.heard();
      await monitor.quiet();
      await usesGateway(rig, routes, rig.node(3).address);
      await monitor.quiet();
      const { firstMs, lastMs } = monitor.span(rig.node(3).number, faultMs);
      firsts.push(firstMs);
      lasts.push(lastMs);
      const span = `${firstMs.toFixed(1)} .. ${lastMs.toFixed(1)} ms`;
      say(`  ${stack.name} ${fault} ${detection.name} ${count}: ${span}${stagesOf(rig, knownMs, faultMs)}`);
      await mend(rig, stack, fault);
    }
    const figures = { first_ms: figuresOf(firsts), last_ms: figuresOf(lasts) };
    return {
      name: stack.name,
      fault,
      detection: TOLD_BY[fault] ?? detection.name,
      routes: count,
      runs: firsts.length,
      ...figures,
    };
  } catch (error) {
    say(rig.node(1).output.slice(-6_000));
    throw error;
  } finally {
    await rig.remove();
  }
}

/** The stages of the last change, where bgpd and felix run: until bgpd knew, in it, on the way to felix, in felix to the end. */
function stagesOf(rig: LivenessRig, knownMs: number | undefined, faultMs: number): string {
  const { ribUs = 0, feedUs = 0, kernelUs } = rig.node(1).fibChanges.at(-1) ?? {};
  if (knownMs === undefined || kernelUs === undefined) return '';
  const stages = [knownMs - faultMs, ribUs / 1000, feedUs / 1000, kernelUs / 1000].map((ms) => ms.toFixed(1));
  return ` (known + rib + feed + kernel: ${stages.join(' + ')})`;
}

/** Makes the fault; gives the moment before it, milliseconds since the Unix epoch. */
async function makeFault(rig: LivenessRig, stack: Stack, fault: Fault, before: () => void): Promise<number> {
  before();
  const two = rig.node(2);
  const atMs = performance.timeOrigin + performance.now();
  switch (fault) {
    case 'kill':
      await stack.end('SIGKILL');
      break;
    case 'cease':
      await stack.end('SIGTERM');
      break;
    case 'link':
      await two.setCable(false);
      break;
    case 'silent':
      await two.cut();
      break;
  }
  return atMs;
}

async function mend(rig: LivenessRig, stack: Stack, fault: Fault): Promise<void> {
  const two = rig.node(2);
  if (fault === 'silent') await two.mend();
  else if (fault === 'link') {
    await two.setCable(true);
    await pause(systemClock, CARRIER_PAUSE_MS);
  } else await stack.restart();
}

/** Waits until the kernel of node 1 sends the first and the last of the routes this way. */
async function usesGateway(rig: LivenessRig, routes: readonly Prefix[], gateway: string): Promise<void> {
  const addresses = [routes[0], routes.at(-1)].map((route) => String(route).replace(/0\/24$/, '1'));
  for (const to of addresses) {
    await eventually(
      `${to} by ${gateway}`,
      async () => (await rig.node(1).ip(`route get ${to}`)).includes(` via ${gateway} `),
      WAIT,
    );
  }
}

/** `ip -ts monitor` in node 1: which time stamps belong to lines that tell of something new. */
class Monitor {
  readonly #child: ChildProcess;
  #text = '';
  #heardMs = 0;

  constructor(rig: LivenessRig) {
    const { namespace } = rig.node(1);
    const words = ['stdbuf', '-oL', 'ip', '-rcvbuf', '67108864', '-ts', 'monitor', 'route', 'nexthop'];
    this.#child = spawn('ip', ['netns', 'exec', namespace, ...words], { env: { ...process.env, TZ: 'UTC' } });
    rig.node(1).adopt(this.#child);
    this.#child.stdout?.on('data', (bytes) => {
      this.#text += String(bytes);
      this.#heardMs = performance.now();
    });
  }

  restart(): void {
    this.#text = '';
  }

  /** Something since `restart`. */
  async heard(): Promise<void> {
    await eventually('a change in the kernel', () => this.#text !== '', WAIT);
  }

  async quiet(): Promise<void> {
    await eventually('quiet', () => performance.now() - this.#heardMs > QUIET_MS, WAIT);
  }

  /** From `sinceMs` to the first and the last line that sends something to node `number`, milliseconds. */
  span(number: number, sinceMs: number): { readonly firstMs: number; readonly lastMs: number } {
    const stamps: number[] = [];
    for (const line of this.#text.split('\n')) {
      const stamp = /^\[([\d:.T-]+)\] (?!\[?\w*\]?Deleted)/.exec(line)?.[1];
      if (stamp === undefined || line.includes('Deleted') || !line.includes(`192.0.2.${number}`)) continue;
      stamps.push(stampMs(stamp) - sinceMs);
    }
    const after = stamps.filter((ms) => ms > 0);
    return { firstMs: after[0] ?? Number.NaN, lastMs: after.at(-1) ?? Number.NaN };
  }
}

/** `2026-11-21T10:20:55.123456`, UTC, with its microseconds. */
function stampMs(stamp: string): number {
  const [seconds = '', micros = '0'] = stamp.split('.');
  return Date.parse(`${seconds}Z`) + Number(micros) / 1000;
}

/** Two nodes at 300x3 with every core busy: how often BFD said Down. */
async function falseFlaps(minutes: number, say: (line: string) => void): Promise<{ minutes: number; count: number }> {
  const rig = await LivenessRig.make(2);
  try {
    const [a, b] = [rig.node(1), rig.node(2)];
    await Promise.all([a.begin([b], []), b.begin([a], [])]);
    await a.isUp(b, true);
    for (let core = 0; core < availableParallelism(); core++)
      a.spawn([process.execPath, '-e', 'for (;;) Math.random()']);
    const endMs = performance.now() + minutes * 60_000;
    while (performance.now() < endMs) await pause(systemClock, FLAP_PAUSE_MS);
    const downs = [...(await a.peers()), ...(await b.peers())].map(({ bfd }) => bfd.downs);
    const count = downs.reduce((sum, each) => sum + each, 0);
    say(`false flaps at 300x3 with every core busy: ${count} in ${minutes} min`);
    return { minutes, count };
  } finally {
    await rig.remove();
  }
}

/** 0 for none. Throws `ExitError` (usage). */
function minutesOption(text: string | undefined): number {
  const value = Number(text ?? FLAP_MINUTES);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new ExitError(EXIT.usage, `--flap-minutes "${text}" is not accepted; accepted: a number from 0 on`);
}

function prefixes(count: number): Prefix[] {
  return Array.from({ length: count }, (_, i) => prefix(`${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`));
}

function figuresOf(samples: readonly number[]): Figures {
  return { p50: rounded(median(samples), 1), p99: rounded(percentile(samples, 0.99), 1) };
}

function lineOf({ name, fault, detection, routes, runs, first_ms, last_ms }: Row): string {
  const figures = `first ${first_ms.p50} (p99 ${first_ms.p99}) ms, last ${last_ms.p50} (p99 ${last_ms.p99}) ms`;
  return `${name.padEnd(8)} ${fault.padEnd(7)} ${detection.padEnd(16)} ${routes} routes, ${runs} runs: ${figures}`;
}

async function isInstalled(command: string): Promise<boolean> {
  return promisify(execFile)('which', [command]).then(
    () => true,
    () => false,
  );
}
