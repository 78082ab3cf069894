// Puts together what a run showed: flows from the probes' reports, phases from the steps, stages from the events, verdicts.
//
// Pure: reports and events in, a RunResult out, all in the run's own time.

import type { ProbeReport } from '../probe/probe-messages.ts';
import type {
  Broken,
  DaemonEventResult,
  FlowResult,
  ProbeQuality,
  RunResult,
  StepResult,
  TcpResult,
} from '../results/results-schema.ts';
import { brokenBy } from './broken-parts.ts';
import type { ClusterFacts } from './cluster-driver.ts';
import type { DaemonEvent } from './daemon-events.ts';
import { judge } from './expectations.ts';
import { analyseFlow, type Heard } from './flow-analysis.ts';
import type { ProbeFlowPlan } from './probe-set.ts';
import type { Scenario } from './scenario-spec.ts';
import { joinStages, kernelWrites, type Phase, stageDurations } from './stage-join.ts';

/** Events told in results; the first of them. */
const EVENTS_MAX = 400;
const SESSION_ENDED = 'session ended';

export interface Measured {
  readonly startUs: number;
  readonly endUs: number;
  readonly steps: readonly StepResult[];
  readonly failure: string | undefined;
  readonly reports: ReadonlyMap<string, ProbeReport>;
  readonly plans: readonly ProbeFlowPlan[];
  readonly events: readonly DaemonEvent[];
  readonly dropped: number;
  readonly errors: readonly string[];
}

/** The result of the run. */
export function assembleRun(
  scenario: Scenario,
  facts: ClusterFacts,
  numbers: { readonly run: number; readonly seed: number },
  measured: Measured,
): RunResult {
  const { startUs, endUs, steps, failure, events, dropped, errors } = measured;
  const inRun = (atUs: number): number => rounded((atUs - startUs) / 1_000);
  const durationMs = inRun(endUs);
  const flows = flowResults(measured, inRun);
  const tcp = tcpResults(measured, inRun);
  const phase = phaseOf(steps, durationMs);
  const { convergedMs, firstPacketMs } = convergence(flows, events, phase, inRun);
  const stages = joinStages(events, phase, inRun, firstPacketMs);
  const flaps = flapsOf(events, brokenBy(scenario, facts));
  const shown = { convergedMs, flows, tcp, stages, flaps, errors };
  const expectations = scenario.expect.map((expectation) => judge(expectation, shown));
  const told = events.slice(0, EVENTS_MAX).map((event) => eventResult(event, inRun));
  return {
    ...numbers,
    durationMs,
    passed: failure === undefined && expectations.every(({ passed }) => passed),
    ...(failure !== undefined && { failure }),
    steps: [...steps],
    convergedMs,
    lossMs: Math.max(0, ...flows.filter(({ kind }) => kind === 'full').map(({ longestLossMs }) => longestLossMs)),
    flows,
    tcp,
    stages,
    stagesMs: stageDurations(stages),
    events: told,
    eventsDropped: dropped + events.length - told.length,
    expectations,
    probe: qualityOf(measured, facts),
  };
}

/** From the first fault to what mends it, or to the end. */
export function phaseOf(steps: readonly StepResult[], durationMs: number): Phase {
  const at = steps.findIndex(({ role }) => role === 'fault');
  const mend = steps.slice(at + 1).find(({ role }) => role === 'mend');
  return { fromMs: steps[at]?.startedMs ?? 0, toMs: mend?.startedMs ?? durationMs };
}

function convergence(
  flows: readonly FlowResult[],
  events: readonly DaemonEvent[],
  phase: Phase,
  inRun: (atUs: number) => number,
): { readonly convergedMs: number | null; readonly firstPacketMs: number | null } {
  const { fromMs, toMs } = phase;
  const windows = flows
    .filter(({ kind }) => kind === 'full')
    .flatMap((flow) => flow.windows)
    .filter(({ startMs, endMs }) => startMs < toMs && (endMs ?? toMs) >= fromMs);
  const ends = windows.map(({ endMs }) => endMs ?? Number.POSITIVE_INFINITY);
  const lastEnd = Math.max(Number.NEGATIVE_INFINITY, ...ends);
  const firstPacketMs = Number.isFinite(lastEnd) ? lastEnd : null;
  // A loss that only the mending ended is no convergence.
  if (lastEnd > toMs) return { convergedMs: null, firstPacketMs };
  const lastWrite = kernelWrites(events, phase, inRun).at(-1)?.atMs ?? fromMs;
  return { convergedMs: rounded(Math.max(lastEnd, lastWrite, fromMs) - fromMs), firstPacketMs };
}

function flowResults({ reports, plans }: Measured, inRun: (atUs: number) => number): FlowResult[] {
  const heard = new Map<number, Heard[]>();
  for (const [by, report] of reports) {
    const flowIds = new Uint16Array(bytesOf(report.heard.flow));
    const seqs = new Uint32Array(bytesOf(report.heard.seq));
    const times = new Float64Array(bytesOf(report.heard.atUs));
    const ttls = new Uint8Array(bytesOf(report.heard.ttl));
    for (const [at, id] of flowIds.entries()) {
      const packet = { seq: seqs[at] ?? 0, atMs: inRun(times[at] ?? 0), ttl: ttls[at] ?? 0, by };
      const list = heard.get(id);
      if (list === undefined) heard.set(id, [packet]);
      else list.push(packet);
    }
  }
  return plans.flatMap(({ id, from, to, kind, intervalUs }) => {
    const sent = reports.get(from)?.sent.find((flow) => flow.id === id);
    if (kind === 'tcp' || sent === undefined) return [];
    const all = Array.from(new Float64Array(bytesOf(sent.sentUs)), inRun);
    // What was sent before the run began went to receivers that did not all listen yet.
    const before = all.filter((ms) => ms < 0).length;
    const flow = { from, to, kind, intervalMs: intervalUs / 1_000, sentMs: all.slice(before), refused: sent.refused };
    const own = (heard.get(id) ?? []).map((packet) => ({ ...packet, seq: packet.seq - before }));
    return [
      analyseFlow(
        flow,
        own.filter(({ seq }) => seq >= 0),
      ),
    ];
  });
}

function tcpResults({ reports, plans }: Measured, inRun: (atUs: number) => number): TcpResult[] {
  const streams = [...reports.values()].flatMap(({ tcp }) => tcp);
  return plans.flatMap(({ id, from, to, kind, intervalUs }) => {
    if (kind !== 'tcp') return [];
    const found = streams.find((stream) => stream.id === id);
    const intervalMs = intervalUs / 1_000;
    return [
      {
        ...{ from, to, intervalMs, records: found?.records ?? 0, connections: found?.connections ?? 0 },
        longestGapMs: rounded(Math.max(0, (found?.longestGapUs ?? 0) / 1_000 - intervalMs)),
        gapStartMs: found?.gapStartUs == null ? null : inRun(found.gapStartUs),
      },
    ];
  });
}

/** Sessions that ended though neither end was broken. */
function flapsOf(events: readonly DaemonEvent[], { machines, processes }: Broken): readonly string[] {
  const touched = new Set([...machines, ...processes.map((name) => name.split('/')[0] ?? name)]);
  return events.flatMap(({ kind, node, fields }) => {
    if (kind !== SESSION_ENDED || touched.has(node) || touched.has(String(fields['peer']))) return [];
    return [`${node} - ${String(fields['peer'])}: ${String(fields['reason'])}`];
  });
}

function eventResult(event: DaemonEvent, inRun: (atUs: number) => number): DaemonEventResult {
  const { cause, level: _level, ...rest } = event.fields;
  const parts = Object.entries(rest).filter(([, value]) => typeof value !== 'object');
  const details = parts.map(([name, value]) => `${name} ${String(value)}`).join(', ');
  return {
    atMs: inRun(event.atUs),
    process: `${event.node}/${event.daemon}`,
    kind: event.kind,
    ...(typeof cause === 'string' && { cause }),
    text: details === '' ? event.kind : `${event.kind}: ${details}`.slice(0, 300),
  };
}

function qualityOf({ reports, startUs, endUs, plans }: Measured, { driver, clockErrorMs }: ClusterFacts): ProbeQuality {
  const full = new Set(plans.filter(({ kind }) => kind === 'full').map(({ id }) => id));
  const senders = [...reports.values()].flatMap(({ sent }) => sent.filter(({ id }) => full.has(id)));
  const sum = (of: (sender: (typeof senders)[number]) => number): number =>
    senders.reduce((total, sender) => total + of(sender), 0);
  const cpuUs = [...reports.values()].reduce((total, report) => total + report.cpuUs, 0);
  return {
    resolutionMs: 1,
    clockErrorMs,
    clock: driver === 'netns' ? 'CLOCK_MONOTONIC of one kernel' : 'CLOCK_MONOTONIC of the containers’ one host',
    ticks: sum(({ ticks }) => ticks),
    lateTicks: sum(({ lateTicks }) => lateTicks),
    worstLateMs: rounded(Math.max(0, ...senders.map(({ worstLateUs }) => worstLateUs)) / 1_000),
    cpuShare: rounded(cpuUs / (endUs - startUs)),
    processes: reports.size,
  };
}

function bytesOf(base64: string): ArrayBuffer {
  // A copy, for views of more than a byte need an offset that is a multiple of their size.
  return new Uint8Array(Buffer.from(base64, 'base64')).buffer;
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
