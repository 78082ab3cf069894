// What each lab command does, once its arguments are read. Each gives the code to exit with.
//
// Arguments and help are in main.ts, the making and removing of a lab in cluster.ts.

import { setMaxListeners } from 'node:events';
import { fileURLToPath } from 'node:url';
import { runOnTerminal } from '../ctl/child.ts';
import { type PingReport, type PingResult, pingReport } from '../ctl/pod-ping.ts';
import { isAlive, signalProcess } from '../ctl/process-identity.ts';
import { EXIT, ExitError, errorText } from '../lib/run/exit.ts';
import { bringUp, findLab, tearDown } from './cluster.ts';
import { ended, livingProcess } from './lab-process.ts';
import { startPlace } from './launch.ts';
import { inNamespace } from './namespaces.ts';
import { findPlace, findProcess } from './node-daemons.ts';
import { observe, whatIsMissing } from './observe.ts';
import type { LabOptions } from './options.ts';
import { pingAllPods } from './pod-mesh.ts';
import { type Progress, seconds, showProgress } from './progress.ts';
import { labTitle, lossLines, statusReport, statusTable } from './report.ts';
import { labNames, readLabRecord, withLabLock } from './state.ts';
import type { Topology } from './topology.ts';
import type { YamlSource } from './yaml-file.ts';

/** Signals that end a process, and how long `kill` waits for that. */
const ENDING_SIGNALS: readonly string[] = ['KILL', 'TERM', 'INT', 'HUP', 'QUIT'];
const END_TIMEOUT_MS = 10_000;

/** `exec node1 -- gingham ...` needs no installed command. */
const GINGHAM = fileURLToPath(new URL('../ctl/main.js', import.meta.url));

/** How long `up` pings again where a packet was lost. */
const PING_PATIENCE_MS = 10_000;

/** Exit code of a program that Ctrl-C ended: 128 + SIGINT. */
const EXIT_INTERRUPTED = 130;

/** `up`: makes or completes the lab, pings every pod from every pod, prints the table. */
export async function up(lab: string, given: Partial<LabOptions>, source?: YamlSource): Promise<number> {
  const before = await readLabRecord(lab);
  return withLabLock(lab, 'up', async () => {
    const progress = showProgress();
    const interrupted = new AbortController();
    // Fifty nodes wait on it at once; Node.js takes more than ten listeners for a leak.
    setMaxListeners(0, interrupted.signal);
    const interrupt = (): void => {
      if (interrupted.signal.aborted) return;
      progress.step('interrupted: clearing');
      interrupted.abort();
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
    try {
      return await bringUpAndShow(lab, given, progress, interrupted.signal, source);
    } catch (error) {
      progress.end();
      if (!interrupted.signal.aborted) throw hinted(error, lab);
      // A lab that ran before this command is not this command's to remove.
      if (before === undefined || before === 'unreadable' || before.phase === 'making') {
        await tearDown(lab);
        process.stderr.write(`lab ${lab}: interrupted, nothing is left of it\n`);
      } else {
        process.stderr.write(`lab ${lab}: interrupted; it ran before and is left as it is\n`);
      }
      return EXIT_INTERRUPTED;
    }
  });
}

/** `down`: removes the lab, or whatever a crash left of it. */
export async function down(lab: string): Promise<number> {
  const startMs = performance.now();
  const known = (await readLabRecord(lab)) !== undefined;
  const count = await withLabLock(lab, 'down', () => tearDown(lab));
  const took = seconds(performance.now() - startMs);
  print([known || count > 0 ? `lab ${lab} is gone: ${count} processes ended, ${took}` : `there is no lab ${lab}`]);
  return EXIT.ok;
}

/** `status`: 0 when every daemon is ready and every node knows every other, else 1. */
export async function status(lab: string, json: boolean): Promise<number> {
  const topology = await theLab(lab);
  const views = await observe(topology);
  const missing = whatIsMissing(views);
  if (json) print([JSON.stringify(statusReport(topology, views, missing))]);
  else print([labTitle(topology), '', ...statusTable(views), ...afterBlank(missing)]);
  return missing.length === 0 ? EXIT.ok : EXIT.internal;
}

/** `ping`: 0 when no pair lost a packet, else 1. */
export async function ping(lab: string, count: number, json: boolean): Promise<number> {
  const topology = await theLab(lab);
  const report = await pingAllPods(topology, count, neverAborts());
  if (json) print([JSON.stringify(report)]);
  else print([`${report.pairs} pairs, ${report.lost} lost`, ...lossLines(report)]);
  return report.lost === 0 ? EXIT.ok : EXIT.internal;
}

/** `exec`: the command's own exit code. */
export async function exec(lab: string, where: string, command: readonly string[]): Promise<number> {
  const { namespace, runFolder } = findPlace(await theLab(lab), where);
  const env = runFolder === undefined ? process.env : { ...process.env, GINGHAM_RUN_DIR: runFolder };
  // commander hands a "--" on where options are passed through.
  const [program = '', ...args] = command[0] === '--' ? command.slice(1) : command;
  const argv = program === 'gingham' ? [process.execPath, GINGHAM, ...args] : [program, ...args];
  return runOnTerminal([...inNamespace(namespace), ...argv], env);
}

/** `kill`: sends a signal to a daemon; one that ends it is waited for. */
export async function kill(lab: string, name: string, signal: string): Promise<number> {
  const place = findProcess(await theLab(lab), name);
  const record = livingProcess(place);
  if (record === undefined) throw new ExitError(EXIT.internal, `lab: ${place.title} does not run`);
  signalProcess(record, `SIG${signal}` as NodeJS.Signals);
  if (ENDING_SIGNALS.includes(signal) && !(await ended([record], END_TIMEOUT_MS)) && isAlive(record)) {
    throw new ExitError(
      EXIT.internal,
      `lab: ${place.title} (process ${record.pid}) still runs 10 s after SIG${signal}`,
    );
  }
  return EXIT.ok;
}

/** `start`: starts a daemon that has ended; one that runs is left alone. */
export async function start(lab: string, name: string): Promise<number> {
  const topology = await theLab(lab);
  const place = findProcess(topology, name);
  if (livingProcess(place) !== undefined) {
    process.stderr.write(`lab: ${place.title} runs already\n`);
    return EXIT.ok;
  }
  await startPlace(topology, name, place.daemon);
  return EXIT.ok;
}

/** The lab of this name; throws `ExitError` with the names there are. */
export async function theLab(lab: string): Promise<Topology> {
  const topology = await findLab(lab);
  if (topology !== undefined) return topology;
  const others = (await labNames()).filter((name) => name !== lab);
  const hint = others.length === 0 ? '"lab up" makes one' : `there is ${others.join(', ')} (--name)`;
  throw new ExitError(EXIT.environment, `lab: there is no lab ${lab}: ${hint}`);
}

async function bringUpAndShow(
  lab: string,
  given: Partial<LabOptions>,
  progress: Progress,
  signal: AbortSignal,
  source: YamlSource | undefined,
): Promise<number> {
  const { topology, existed, started, views, convergedMs } = await bringUp(lab, given, progress, signal, source);
  progress.step('pinging every pod from every pod');
  const pings = await pingUntilAllAnswer(topology, signal);
  progress.end();
  const took = existed
    ? `the lab ran already; ${started === 0 ? 'nothing had to be started' : `${started} daemons started again`}`
    : `start to converged: ${seconds(convergedMs)}`;
  const end = `${took}; pod to pod: ${pings.pairs - pings.lost} of ${pings.pairs} pairs; all: ${seconds(progress.elapsedMs())}`;
  print([labTitle(topology), '', ...statusTable(views, pings), '', end, ...lossLines(pings)]);
  return pings.lost === 0 ? EXIT.ok : EXIT.internal;
}

/** Converged means that every pair got a packet through: pings again for a while where one never did. Links may lose some. */
async function pingUntilAllAnswer(topology: Topology, signal: AbortSignal): Promise<PingReport> {
  const deadlineMs = performance.now() + PING_PATIENCE_MS;
  const best = new Map<string, PingResult>();
  for (;;) {
    const { results } = await pingAllPods(topology, 1, signal);
    signal.throwIfAborted();
    for (const result of results) {
      const pair = `${result.from} ${result.to}`;
      if (!best.get(pair)?.received) best.set(pair, result);
    }
    const report = pingReport([...best.values()]);
    if (report.lost === 0 || performance.now() > deadlineMs) return report;
  }
}

/** A failure of `up` leaves the lab for a look; says how to look and how to clear. */
function hinted(error: unknown, lab: string): unknown {
  if (error instanceof ExitError && error.exitCode !== EXIT.internal) return error;
  const name = lab === 'default' ? '' : ` --name ${lab}`;
  const hint = `     left as it is: see "lab status${name}" and "lab logs${name} node1/flanneld"; "lab down${name}" clears it`;
  const exitCode = error instanceof ExitError ? error.exitCode : EXIT.internal;
  return new ExitError(exitCode, `${errorLines(error)}\n${hint}`, { cause: error });
}

function errorLines(error: unknown): string {
  return error instanceof ExitError ? error.message : `lab: ${errorText(error)}`;
}

function afterBlank(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', ...lines];
}

function neverAborts(): AbortSignal {
  return new AbortController().signal;
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}
