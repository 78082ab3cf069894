// The shape of results.json: what `lab run` writes, and what pages, comparisons and other programs read.
//
// All times within a run are milliseconds since its beginning, by the machine's monotonic clock, which probes, daemons
// and the lab share; they have fractions. Durations are milliseconds too. docs/lab.md explains each field by example.

import { z } from 'zod';

/** Changes whenever a reader of the former shape would be misled. */
export const RESULTS_SCHEMA = 'gingham-lab-results/1';

const ms = z.number();
const count = z.int().min(0);
/** Percentiles over runs by nearest rank; `null` where no run gave a value. */
const distribution = z.strictObject({
  p50: ms.nullable(),
  p90: ms.nullable(),
  p99: ms.nullable(),
  max: ms.nullable(),
});

/** What the picture of a topology needs. Names are those of the YAML file. */
const topology = z.strictObject({
  name: z.string(),
  summary: z.string(),
  mode: z.enum(['routed', 'flannel']),
  machines: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(['node', 'router', 'etcd']),
      /** `reflector`; empty for most. */
      roles: z.array(z.string()),
      /** Underlay address that others use; absent for routers. */
      address: z.string().optional(),
      backend: z.string().optional(),
    }),
  ),
  /** Each link once. A network with many machines is a link from each of them to its router. */
  links: z.array(
    z.strictObject({
      name: z.string(),
      ends: z.tuple([z.string(), z.string()]),
      delayMs: ms.optional(),
      lossPercent: z.number().optional(),
      rateMbit: z.number().optional(),
    }),
  ),
  /** Addresses that several nodes offer at once. */
  services: z.array(z.strictObject({ name: z.string(), address: z.string(), nodes: z.array(z.string()) })),
});

/** What a scenario breaks, by name, for marking it in the picture. */
const broken = z.strictObject({
  machines: z.array(z.string()),
  links: z.array(z.string()),
  /** `node2/bgpd`. */
  processes: z.array(z.string()),
});

const step = z.strictObject({
  /** As written in the scenario. */
  text: z.string(),
  role: z.enum(['fault', 'mend', 'check']),
  plannedMs: ms,
  /** Just before it was done, and when it was done. */
  startedMs: ms,
  endedMs: ms,
});

/** Packets lost in a row. The end is when the first packet that got through again was sent; `null`: none did. */
export const lossWindowSchema = z.strictObject({ startMs: ms, endMs: ms.nullable(), packets: count });

const flow = z.strictObject({
  from: z.string(),
  /** A node (its pod) or a service. */
  to: z.string(),
  /** `full`: every millisecond, what expectations look at; `sample`: the other pairs. */
  kind: z.enum(['full', 'sample']),
  intervalMs: ms,
  sent: count,
  received: count,
  lost: count,
  duplicates: count,
  reordered: count,
  /** Sends that the kernel refused (no route); counted as lost. */
  refused: count,
  /** The longest windows in order of time, and how many more there were. */
  windows: z.array(lossWindowSchema),
  moreWindows: count,
  /** Longest window: from the first lost to the first that got through, or to the end of the run. 0 without loss. */
  longestLossMs: ms,
  /** The packets began to take another way: another TTL, or another pod answered for the service. */
  pathChanges: z.array(z.strictObject({ atMs: ms, was: z.string(), is: z.string() })),
  /** One-way delay of received packets, sender and receiver on one clock. */
  delayMs: z.strictObject({ p50: ms.nullable(), p99: ms.nullable() }),
});

const tcpFlow = z.strictObject({
  from: z.string(),
  to: z.string(),
  intervalMs: ms,
  records: count,
  /** Longest time without a record at the receiver, less the interval; and when it began. */
  longestGapMs: ms,
  gapStartMs: ms.nullable(),
  /** Connections made: 1 where the first one lived through the run. */
  connections: count,
});

/** An event of a daemon: `/events` of its status socket. */
const event = z.strictObject({
  atMs: ms,
  /** `node1/bgpd`. */
  process: z.string(),
  kind: z.string(),
  /** Joins the events of one fault across daemons and nodes. */
  cause: z.string().optional(),
  /** For people. */
  text: z.string(),
});

/**
 * Where the time of one fault went: its slowest chain from detection to the kernel, and the first packet after it.
 * Points are times in the run; `null` where nothing told of it (nobody detected it, or no packet was lost).
 */
const stages = z.strictObject({
  cause: z.string().nullable(),
  /** What told: `bfd-down`, `stream-ended`, `update-received`, ... */
  detectedBy: z.string().nullable(),
  /** The node whose kernel was written last. */
  node: z.string().nullable(),
  injectedMs: ms,
  detectedMs: ms.nullable(),
  decidedMs: ms.nullable(),
  feedReceivedMs: ms.nullable(),
  kernelWrittenMs: ms.nullable(),
  firstPacketMs: ms.nullable(),
});

/** Durations from each point to the next; what the distributions are of. */
export const STAGES = ['detect', 'decide', 'feed', 'kernel', 'packet'] as const;
export type StageName = (typeof STAGES)[number];

const expectation = z.strictObject({ text: z.string(), passed: z.boolean(), measured: z.string() });

/** How good the measuring was: read this before believing a millisecond. */
const probe = z.strictObject({
  /** Least loss window that can be told apart from none: one interval. */
  resolutionMs: ms,
  /** Worst disagreement of the clocks that were used; 0 where they are one. */
  clockErrorMs: ms,
  clock: z.string(),
  /** Ticks that a sender should have made and made late by more than half an interval, and the latest one. */
  ticks: count,
  lateTicks: count,
  worstLateMs: ms,
  /** CPU time of all probe processes per time of the run, of one core: 0.05 is 5 % of a core. */
  cpuShare: z.number(),
  processes: count,
});

const run = z.strictObject({
  run: z.int().min(1),
  seed: z.int(),
  durationMs: ms,
  passed: z.boolean(),
  /** Why the run could not be made; absent where it was. */
  failure: z.string().optional(),
  steps: z.array(step),
  /** From the first fault to the last effect before it was mended: the last loss window's end or kernel write. */
  convergedMs: ms.nullable(),
  /** Longest loss window of the full-rate flows. */
  lossMs: ms,
  flows: z.array(flow),
  tcp: z.array(tcpFlow),
  stages,
  stagesMs: z.record(z.enum(STAGES), ms.nullable()),
  events: z.array(event),
  /** Events that were not fetched or did not fit. */
  eventsDropped: count,
  expectations: z.array(expectation),
  probe,
});

const scenario = z.strictObject({
  scenario: z.string(),
  lesson: z.string(),
  driver: z.enum(['netns', 'compose']),
  topology,
  broken,
  /** How links are delayed and made to lose: by the kernel's netem, by the lab's own link, or not at all. */
  impairment: z.enum(['none', 'netem', 'lab-link']),
  runs: z.array(run).min(1),
  passed: z.boolean(),
  convergedMs: distribution,
  lossMs: distribution,
  stagesMs: z.record(z.enum(STAGES), distribution),
});

export const resultsSchema = z.strictObject({
  schema: z.literal(RESULTS_SCHEMA),
  /** ISO 8601, UTC. */
  madeAt: z.string(),
  seed: z.int(),
  machine: z.strictObject({ cpus: z.int(), kernel: z.string(), node: z.string() }),
  gingham: z.string(),
  tookMs: ms,
  scenarios: z.array(scenario),
});

export type Results = Readonly<z.infer<typeof resultsSchema>>;
export type ScenarioResult = Readonly<z.infer<typeof scenario>>;
export type RunResult = Readonly<z.infer<typeof run>>;
export type FlowResult = Readonly<z.infer<typeof flow>>;
export type TcpResult = Readonly<z.infer<typeof tcpFlow>>;
export type LossWindow = Readonly<z.infer<typeof lossWindowSchema>>;
export type StepResult = Readonly<z.infer<typeof step>>;
export type Stages = Readonly<z.infer<typeof stages>>;
export type DaemonEventResult = Readonly<z.infer<typeof event>>;
export type ExpectationResult = Readonly<z.infer<typeof expectation>>;
export type ProbeQuality = Readonly<z.infer<typeof probe>>;
export type Distribution = Readonly<z.infer<typeof distribution>>;
export type TopologyPicture = Readonly<z.infer<typeof topology>>;
export type Broken = Readonly<z.infer<typeof broken>>;
