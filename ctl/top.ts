// `gingham top`: a live view of this node: daemons, sessions, routes, the tunnel's packets, drops.
//
// Rates are differences between two looks divided by the time between them; the first look has none. On a terminal the
// view rewrites itself; elsewhere each look is one block, so that it can go into a file.

import { z } from 'zod';
import { pause, systemClock } from '../lib/run/clock.ts';
import { EXIT } from '../lib/run/exit.ts';
import { print } from './answer.ts';
import { askDaemon, askReadiness, DAEMONS, type DaemonName, failingChecks } from './daemon-http.ts';
import { readBgpd, readFelix, readFlanneld, sessionsOf, UNKNOWN } from './daemon-status.ts';
import { renderTable } from './table.ts';
import { yesNoTone } from './tone.ts';

const CLEAR = '\x1b[H\x1b[2J';

/** What each look of `top --json` prints. */
export const topAnswer = z.object({
  at: z.string(),
  daemons: z.array(
    z.object({
      daemon: z.string(),
      ready: z.boolean(),
      detail: z.string(),
      cpuPercent: z.number().optional(),
      residentBytes: z.number().optional(),
    }),
  ),
  sessions: z.object({ up: z.number(), total: z.number() }).optional(),
  routes: z.object({ programmed: z.number(), wanted: z.number() }).optional(),
  /** Per second, through the tunnel device; absent in the first look and where there is no device. */
  tunnel: z
    .object({ inPackets: z.number(), outPackets: z.number(), inBits: z.number(), outBits: z.number() })
    .optional(),
  dropsPerSecond: z.number().optional(),
});

type TopAnswer = z.infer<typeof topAnswer>;

/** Everything that is counted, at one moment. */
interface Look {
  readonly atMs: number;
  readonly cpuSeconds: Readonly<Partial<Record<DaemonName, number>>>;
  readonly device: Readonly<Record<string, number>> | undefined;
  readonly drops: number | undefined;
}

export interface TopOptions {
  readonly intervalMs: number;
  /** Looks; `undefined`: until Ctrl-C. */
  readonly count: number | undefined;
  readonly json: boolean;
}

/** Shows the node again and again; 0. */
export async function showTop(runFolder: string, options: TopOptions, signal?: AbortSignal): Promise<number> {
  let before: Look | undefined;
  for (let shown = 0; options.count === undefined || shown < options.count; shown++) {
    if (shown > 0) await pause(systemClock, options.intervalMs, signal);
    if (signal?.aborted) break;
    const { answer, look } = await lookAt(runFolder, before);
    before = look;
    const onTerminal = process.stdout.isTTY && !options.json;
    print(topAnswer, answer, options.json, (shownAnswer) => [
      ...(onTerminal ? [CLEAR + shownAnswer.at] : [shownAnswer.at]),
      ...topLines(shownAnswer),
      '',
    ]);
  }
  return EXIT.ok;
}

/** The view: a line a daemon, then what goes through. */
export function topLines({ daemons, sessions, routes, tunnel, dropsPerSecond }: TopAnswer): readonly string[] {
  const rows = daemons.map(({ daemon, ready, detail, cpuPercent, residentBytes }) => [
    daemon,
    ready ? 'yes' : 'no',
    cpuPercent === undefined ? UNKNOWN : cpuPercent.toFixed(1),
    residentBytes === undefined ? UNKNOWN : `${Math.round(residentBytes / 2 ** 20)} MB`,
    detail,
  ]);
  const facts = [
    ['sessions', sessions && `${sessions.up} of ${sessions.total} established`],
    ['routes', routes && `${routes.programmed} of ${routes.wanted} in the kernel`],
    ['in', tunnel && `${count(tunnel.inPackets)} packets/s, ${count(tunnel.inBits)}bit/s`],
    ['out', tunnel && `${count(tunnel.outPackets)} packets/s, ${count(tunnel.outBits)}bit/s`],
    ['drops', dropsPerSecond === undefined ? undefined : `${count(dropsPerSecond)} packets/s`],
  ];
  return [
    ...renderTable(['DAEMON', 'READY', 'CPU %', 'MEMORY', ''], rows, yesNoTone),
    '',
    ...facts.flatMap(([name = '', fact]) => (fact === undefined ? [] : [`${name.padEnd(9)} ${fact}`])),
  ];
}

async function lookAt(
  runFolder: string,
  before: Look | undefined,
): Promise<{ readonly answer: TopAnswer; readonly look: Look }> {
  const [flanneld, bgpd, felix, ...processes] = await Promise.all([
    readFlanneld(runFolder),
    readBgpd(runFolder),
    readFelix(runFolder),
    ...DAEMONS.map((daemon) => lookAtProcess(runFolder, daemon)),
  ]);
  const known = typeof flanneld === 'string' ? undefined : flanneld;
  const atMs = systemClock.monotonicMs();
  const look: Look = {
    atMs,
    cpuSeconds: Object.fromEntries(processes.map(({ daemon, cpuSeconds }) => [daemon, cpuSeconds])),
    device: known?.deviceCounters ?? undefined,
    drops: known && sumOf(known.drops ?? {}) + sumOf(pick(known.deviceCounters ?? {}, /Dropped$/)),
  };
  const seconds = before === undefined ? undefined : (atMs - before.atMs) / 1000;
  const rate = (now: number | undefined, then: number | undefined): number | undefined =>
    seconds === undefined || now === undefined || then === undefined ? undefined : Math.max(0, now - then) / seconds;
  const ofDevice = (name: string): number => rate(look.device?.[name], before?.device?.[name]) ?? 0;
  const hasRates = seconds !== undefined && look.device !== undefined && before?.device !== undefined;
  const dropsPerSecond = rate(look.drops, before?.drops);
  const answer: TopAnswer = {
    at: new Date().toISOString(),
    daemons: processes.map(({ daemon, ready, detail, cpuSeconds, residentBytes }) => {
      const cpu = rate(cpuSeconds, before?.cpuSeconds[daemon]);
      return {
        ...{ daemon, ready, detail },
        ...(cpu !== undefined && { cpuPercent: cpu * 100 }),
        ...(residentBytes !== undefined && { residentBytes }),
      };
    }),
    ...(typeof bgpd !== 'string' && { sessions: sessionsOf(bgpd) }),
    ...(typeof felix !== 'string' && {
      routes: { programmed: felix.routes.programmed, wanted: felix.routes.wanted },
    }),
    ...(hasRates && {
      tunnel: {
        inPackets: ofDevice('rxPackets'),
        outPackets: ofDevice('txPackets'),
        inBits: ofDevice('rxBytes') * 8,
        outBits: ofDevice('txBytes') * 8,
      },
    }),
    ...(dropsPerSecond !== undefined && { dropsPerSecond }),
  };
  return { answer, look };
}

async function lookAtProcess(
  runFolder: string,
  daemon: DaemonName,
): Promise<{ daemon: DaemonName; ready: boolean; detail: string; cpuSeconds?: number; residentBytes?: number }> {
  const [readiness, metrics] = await Promise.all([
    askReadiness(runFolder, daemon),
    askDaemon(runFolder, daemon, '/metrics'),
  ]);
  if (typeof readiness === 'string') return { daemon, ready: false, detail: readiness };
  const detail = readiness.ready ? '' : failingChecks(readiness);
  const body = typeof metrics === 'string' ? '' : metrics.body;
  const cpuSeconds = metricOf(body, 'process_cpu_seconds_total');
  const residentBytes = metricOf(body, 'process_resident_memory_bytes');
  return {
    ...{ daemon, ready: readiness.ready, detail },
    ...(cpuSeconds !== undefined && { cpuSeconds }),
    ...(residentBytes !== undefined && { residentBytes }),
  };
}

/** The value of a metric without labels in the text format of Prometheus. */
function metricOf(text: string, name: string): number | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.split(' ')[1]);
}

function pick(counters: Readonly<Record<string, number>>, names: RegExp): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(counters).filter(([name]) => names.test(name)));
}

function sumOf(counters: Readonly<Record<string, number>>): number {
  return Object.values(counters).reduce((sum, value) => sum + value, 0);
}

/** A number with a unit that keeps it short: `1.2 k`, `340 M`; the unit's letter comes last. */
function count(value: number): string {
  const units = ['', 'k', 'M', 'G'];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${size.toFixed(unit === 0 || size >= 100 ? 0 : 1)} ${units[unit]}`;
}
