// Results of made-up runs for the tests of pages and comparisons; each is checked against the schema.
//
// The figures are no measurement: they follow from the run's number, so that a test can say what must be shown.

import {
  RESULTS_SCHEMA,
  type Results,
  type RunResult,
  resultsSchema,
  type ScenarioResult,
} from '../../../../lab/results/results-schema.ts';
import { summarise } from '../../../../lab/results/summary.ts';

const FAULT_MS = 1_000;
const MEND_MS = 3_000;
const DURATION_MS = 4_000;

export interface Sample {
  readonly name?: string;
  readonly nodes?: number;
  readonly runs?: number;
  /** How long detection takes in run 1; 10 ms more in each run after it. */
  readonly detectMs?: number;
  /** These runs lose packets until the fault is mended. */
  readonly neverConverged?: readonly number[];
  readonly withoutLoss?: boolean;
  /** These runs could not be made. */
  readonly notMade?: readonly number[];
  readonly topology?: ScenarioResult['topology'];
  /** Put at the end of every text that a file may have said. */
  readonly hostile?: string;
}

/** A results.json of these scenarios. Throws where it is not as the schema says. */
export function sampleResults(...samples: readonly Sample[]): Results {
  const hostile = samples[0]?.hostile ?? '';
  return resultsSchema.parse({
    schema: RESULTS_SCHEMA,
    madeAt: '2026-01-02T03:04:05.678Z',
    seed: 1,
    machine: { cpus: 2, kernel: `6.1.0${hostile}`, node: `v20.19.0${hostile}` },
    gingham: `0.1.0${hostile}`,
    tookMs: 12_345,
    scenarios: samples.map(sampleScenario),
  });
}

/** One link and a router in the middle. */
export function starTopology(nodes: number, hostile = ''): ScenarioResult['topology'] {
  const names = Array.from({ length: nodes }, (_, at) => `node${at + 1}${hostile}`);
  const router = `router${hostile}`;
  const etcd = `etcd${hostile}`;
  return {
    name: `flat-${nodes}${hostile}`,
    summary: `So many nodes on one link.${hostile}`,
    mode: 'routed',
    machines: [
      ...names.map((name, at) => ({
        ...{ name, kind: 'node' as const, roles: at === 0 ? [`reflector${hostile}`] : [] },
        ...{ address: `192.168.64.${11 + at}${hostile}`, backend: `vxlan${hostile}` },
      })),
      { name: router, kind: 'router', roles: [] },
      { name: etcd, kind: 'etcd', roles: [], address: '192.168.66.10' },
    ],
    links: [...names, etcd].map((name, at) => ({
      ...{ name, ends: [name, router] as [string, string] },
      ...(at === 0 && { delayMs: 10, lossPercent: 0.5, rateMbit: 100 }),
    })),
    services: [{ name: `web${hostile}`, address: '10.96.0.1', nodes: names.slice(1, 3) }],
  };
}

/** Routers in any shape, by the links between them; each machine hangs on the routers it is linked with. */
export function linkedTopology(
  name: string,
  links: readonly (readonly [string, string])[],
): ScenarioResult['topology'] {
  const machines = [...new Set(links.flat())].map((machine) => {
    const kind = /^node\d/.test(machine) ? 'node' : machine.startsWith('etcd') ? 'etcd' : 'router';
    return { name: machine, kind, roles: [], ...(kind !== 'router' && { address: '192.168.100.1' }) } as const;
  });
  return {
    ...{ name, summary: `A ${name}.`, mode: 'routed', services: [] },
    machines: machines.map((machine) => ({ ...machine, roles: [] })),
    links: links.map(([one, other]) => ({ name: `${one}-${other}`, ends: [one, other] })),
  };
}

function sampleScenario(sample: Sample): ScenarioResult {
  const { name = 'kill-node', nodes = 3, runs: count = 1, hostile = '' } = sample;
  const topology = sample.topology ?? starTopology(nodes, hostile);
  const broken = topology.machines[Math.min(1, topology.machines.length - 1)]?.name ?? '';
  const runs = Array.from({ length: count }, (_, at) => sampleRun(sample, topology, at + 1));
  return {
    scenario: `${name}${hostile}`,
    lesson: `A node loses power. Nothing announces it; BFD misses three packets and the session ends.${hostile}`,
    driver: 'netns',
    topology,
    broken: {
      machines: [broken],
      links: topology.links.slice(0, 1).map((link) => link.name),
      processes: [`${topology.machines[0]?.name}/bgpd`],
    },
    impairment: 'none',
    runs,
    ...summarise(runs),
  };
}

function sampleRun(sample: Sample, topology: ScenarioResult['topology'], run: number): RunResult {
  const { detectMs = 180, neverConverged = [], withoutLoss = false, notMade = [], hostile = '' } = sample;
  const nodes = topology.machines.filter(({ kind }) => kind === 'node').map(({ name }) => name);
  const never = neverConverged.includes(run);
  const detect = detectMs + 10 * (run - 1);
  const detectedMs = FAULT_MS + detect;
  const writtenMs = detectedMs + 6;
  const firstPacketMs = withoutLoss ? null : never ? MEND_MS + 100 : writtenMs + 1;
  const lossMs = firstPacketMs === null ? 0 : firstPacketMs - FAULT_MS;
  const windows = lossMs === 0 ? [] : [{ startMs: FAULT_MS, endMs: firstPacketMs, packets: Math.round(lossMs) }];
  const pairs = nodes.flatMap((from) => nodes.flatMap((to) => (from === to ? [] : [{ from, to }])));
  const cause = `bgpd-1-${run}${hostile}`;
  const event = (atMs: number, process: string, text: string, joined = false) => ({
    ...{ atMs, process, kind: `fib changed${hostile}`, text: `${text}${hostile}`, ...(joined && { cause }) },
  });
  const base = {
    ...{
      run,
      seed: run,
      passed: !never,
      durationMs: DURATION_MS,
      convergedMs: never ? null : writtenMs + 1 - FAULT_MS,
    },
    steps: [
      { text: `power-off node2${hostile}`, role: 'fault' as const, plannedMs: 1_000, startedMs: 1_000, endedMs: 1_040 },
      { text: `power-on node2${hostile}`, role: 'mend' as const, plannedMs: 3_000, startedMs: MEND_MS, endedMs: 3_090 },
    ],
    lossMs,
    flows: pairs.map(({ from, to }, at) => ({
      ...{ from, to, kind: at === 0 ? ('full' as const) : ('sample' as const), intervalMs: at === 0 ? 1 : 20 },
      ...{ sent: 4_000, received: 4_000 - Math.round(lossMs), lost: at % 4 === 0 ? Math.round(lossMs) : 0 },
      ...{ duplicates: 0, reordered: 0, refused: 0, windows: at % 4 === 0 ? windows : [], moreWindows: 0 },
      longestLossMs: at % 4 === 0 ? lossMs : 0,
      pathChanges: at === 0 ? [{ atMs: writtenMs + 1, was: `node2, TTL 62${hostile}`, is: 'node3, TTL 62' }] : [],
      delayMs: { p50: 0.06, p99: 0.3 },
    })),
    tcp: [
      {
        ...{ from: nodes[0] ?? 'node1', to: nodes.at(-1) ?? 'node1', intervalMs: 5, records: 790 },
        ...{ longestGapMs: lossMs, gapStartMs: FAULT_MS, connections: 1 },
      },
    ],
    stages: {
      ...{ cause, detectedBy: `bfd-down${hostile}`, node: nodes[0] ?? 'node1', injectedMs: FAULT_MS, detectedMs },
      ...{ decidedMs: detectedMs + 4, feedReceivedMs: detectedMs + 5, kernelWrittenMs: writtenMs, firstPacketMs },
    },
    stagesMs: {
      detect,
      decide: 4,
      feed: 1,
      kernel: 1,
      packet: firstPacketMs === null ? null : firstPacketMs - writtenMs,
    },
    events: nodes.flatMap((node) => [
      event(detectedMs, `${node}/bgpd`, 'BFD session: peer node2, from Up, to Down', true),
      event(writtenMs, `${node}/felix`, 'fib changed: 1 route', node === nodes[0]),
      event(3_400, `${node}/bgpd`, 'session established'),
    ]),
    eventsDropped: 2,
    expectations: [
      {
        text: `converged <= 400 ms${hostile}`,
        passed: !never,
        measured: never ? 'not before it was mended' : `${lossMs} ms`,
      },
      { text: 'no flap', passed: true, measured: `none${hostile}` },
    ],
    probe: {
      ...{ resolutionMs: 1, clockErrorMs: 0, clock: `CLOCK_MONOTONIC${hostile}`, ticks: 4_000, lateTicks: 20 },
      ...{ worstLateMs: 2.5, cpuShare: 0.08, processes: nodes.length },
    },
  };
  if (!notMade.includes(run)) return base;
  const nothing = { flows: [], tcp: [], events: [], steps: [], expectations: [], convergedMs: null, lossMs: 0 };
  const stages = { ...base.stages, detectedMs: null, decidedMs: null, feedReceivedMs: null, kernelWrittenMs: null };
  return {
    ...{ ...base, ...nothing, passed: false, durationMs: 0, failure: `the cluster does not come up${hostile}` },
    stages: { ...stages, cause: null, detectedBy: null, node: null, firstPacketMs: null },
    stagesMs: { detect: null, decide: null, feed: null, kernel: null, packet: null },
  };
}
