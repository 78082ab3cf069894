// The probes of one run: a process in every pod that sends or hears, started, followed, stopped, their reports put together.
//
// Flow numbers are given here, so that a receiver knows a flow wherever it comes from.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { type ProbeOrder, type ProbeReport, probeLineSchema } from '../probe/probe-messages.ts';
import type { ClusterDriver, ClusterNode } from './cluster-driver.ts';

const START_TIMEOUT_MS = 90_000;
const REPORT_TIMEOUT_MS = 20_000;
/** Packets on their way when sending ends. */
const LINGER_MS = 400;

export interface ProbeFlowPlan {
  readonly id: number;
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly intervalUs: number;
  readonly kind: 'full' | 'sample' | 'tcp';
}

interface Probe {
  readonly node: string;
  readonly child: ChildProcess;
  readonly ready: Promise<void>;
  readonly report: Promise<ProbeReport>;
  live: { readonly sent: number; readonly heard: number };
}

export class ProbeSet {
  readonly #probes: readonly Probe[];

  private constructor(probes: readonly Probe[]) {
    this.#probes = probes;
  }

  /** Starts a probe in the pod of every node, and waits until all send. Throws `ExitError` with what one said last. */
  static async start(
    driver: ClusterDriver,
    nodes: readonly ClusterNode[],
    flows: readonly ProbeFlowPlan[],
  ): Promise<ProbeSet> {
    const probes = nodes.map(({ name }) => startProbe(driver, name, orderOf(name, flows)));
    const set = new ProbeSet(probes);
    try {
      await within(Promise.all(probes.map(({ ready }) => ready)), START_TIMEOUT_MS, 'the probes do not start');
      return set;
    } catch (error) {
      set.kill();
      throw error;
    }
  }

  get count(): number {
    return this.#probes.length;
  }

  /** Packets sent and heard so far, a quarter of a second old. */
  live(): { readonly sent: number; readonly heard: number } {
    const sum = (of: (probe: Probe) => number): number => this.#probes.reduce((total, probe) => total + of(probe), 0);
    return { sent: sum(({ live }) => live.sent), heard: sum(({ live }) => live.heard) };
  }

  /** Ends sending, then everything; the reports by node. */
  async stop(pause: (ms: number) => Promise<void>): Promise<ReadonlyMap<string, ProbeReport>> {
    for (const { child } of this.#probes) child.stdin?.write('quiet\n');
    await pause(LINGER_MS);
    for (const { child } of this.#probes) child.stdin?.write('stop\n');
    const reports = this.#probes.map(async ({ node, report }) => [node, await report] as const);
    return new Map(await within(Promise.all(reports), REPORT_TIMEOUT_MS, 'the probes do not report'));
  }

  kill(): void {
    for (const { child } of this.#probes) child.kill('SIGKILL');
  }
}

function orderOf(node: string, flows: readonly ProbeFlowPlan[]): ProbeOrder {
  const own = flows.filter(({ from }) => from === node);
  const told = ({ id, address, intervalUs }: ProbeFlowPlan) => ({ id, to: address, intervalUs });
  return {
    udp: own.filter(({ kind }) => kind !== 'tcp').map(told),
    tcp: own.filter(({ kind }) => kind === 'tcp').map(told),
  };
}

function startProbe(driver: ClusterDriver, node: string, order: ProbeOrder): Probe {
  const { nodeBinary, programFolder } = driver.facts;
  const child = driver.spawn(`${node}/pod`, [nodeBinary, `${programFolder}/lab/probe/main.js`]);
  let said = '';
  child.stderr?.on('data', (bytes) => {
    said += String(bytes).slice(0, 2_000);
  });
  // A probe that has ended is told by its exit, not by its input.
  child.stdin?.on('error', () => undefined);
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    // Not 'exit', which may come before the last that it wrote, and that is its report.
    child.once('close', (code, signal) => {
      const why = said.trim() || `${signal ?? `exit code ${code}`}`;
      reject(new ExitError(EXIT.internal, `lab: the probe in ${node} ended: ${why}`));
    });
  });
  let ready: () => void = () => undefined;
  let reported: (report: ProbeReport) => void = () => undefined;
  const isReady = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const hasReported = new Promise<ProbeReport>((resolve) => {
    reported = resolve;
  });
  const probe: Probe = {
    node,
    child,
    ready: Promise.race([isReady, ended]),
    report: Promise.race([hasReported, ended]),
    live: { sent: 0, heard: 0 },
  };
  probe.report.catch(() => undefined);
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const told = probeLineSchema.parse(JSON.parse(line));
      if ('ready' in told) ready();
      else if ('live' in told) probe.live = told.live;
      else reported(told.report);
    });
  }
  child.stdin?.write(`${JSON.stringify(order)}\n`);
  return probe;
}

async function within<T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ExitError(EXIT.internal, `lab: ${what} within ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
