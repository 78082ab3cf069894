// One run of one scenario on a cluster that is healthy: probes, steps at their times, then what it all came to.
//
//   probes send ── t = 0 ── steps ── end ── probes report ── events and logs ── expectations
//
// The moment of the first step moves by a little from run to run, by the seed: a fault always at the same point of a
// timer's period would show one figure again and again, and not the right one.

import { pause, systemClock } from '../../lib/run/clock.ts';
import { monotonicUs } from '../../lib/run/event-ring.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import type { RunResult, StepResult } from '../results/results-schema.ts';
import { ACTIONS, type ActionContext, mendAll } from './actions.ts';
import type { ClusterDriver, ClusterLogs, ClusterNode } from './cluster-driver.ts';
import { EventCollector } from './daemon-events.ts';
import type { LinkImpairer } from './link-impairer.ts';
import { type ProbeFlowPlan, ProbeSet } from './probe-set.ts';
import { assembleRun } from './run-result.ts';
import { type Scenario, type Step, stepText } from './scenario-spec.ts';
import { seeded } from './seeded.ts';

const FULL_INTERVAL_US = 1_000;
const TCP_INTERVAL_US = 10_000;
/** All other pairs together send about so many packets a second. */
const SAMPLES_PER_SECOND = 600;
const SAMPLE_INTERVAL_MIN_US = 20_000;
/** Packets before the first step, so that there is something to compare with. */
const SETTLE_MS = 300;
const JITTER_MS = 100;
const COLLECT_EVERY_MS = 1_000;
const LIVE_EVERY_MS = 200;

export interface RunOptions {
  readonly run: number;
  readonly seed: number;
  readonly impairer: LinkImpairer;
  /** For people: what happens now. */
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Runs it and mends what it broke. Rejects where it could not be run at all; a step that failed is in the result. */
export async function runScenario(
  driver: ClusterDriver & ClusterLogs,
  scenario: Scenario,
  options: RunOptions,
): Promise<RunResult> {
  const { signal, say } = options;
  const nodes = await driver.nodes();
  const collector = new EventCollector(driver, nodes);
  await collector.begin();
  const logMarks = await driver.logMarks();
  const plans = planFlows(driver, nodes, scenario);
  say('starting probes');
  const probes = await ProbeSet.start(driver, nodes, plans);
  const context: ActionContext = {
    ...{ driver, impairer: options.impairer, nodes, burners: [], signal },
    pause: (ms) => pause(systemClock, ms, signal),
  };
  const watching = watch(collector, probes, say);
  try {
    await context.pause(SETTLE_MS);
    const startUs = monotonicUs();
    const { steps, failure } = await takeSteps(scenario, options, context, startUs);
    const endUs = monotonicUs();
    const reports = await probes.stop(context.pause);
    await watching.stop();
    await collector.collect();
    const errors = await driver.errorsSince(logMarks);
    const { events, dropped } = collector.all();
    const measured = { startUs, endUs, steps, failure, reports, plans, events, dropped, errors };
    return assembleRun(scenario, driver.facts, { run: options.run, seed: options.seed }, measured);
  } finally {
    await watching.stop();
    probes.kill();
    say('mending');
    await mendAll(context);
  }
}

/** Full rate for the scenario's flows, a sample of every other pair, streams. Throws `ExitError` for a name that is none. */
function planFlows(driver: ClusterDriver, nodes: readonly ClusterNode[], scenario: Scenario): readonly ProbeFlowPlan[] {
  const addressOf = (name: string): string => {
    const service = driver.facts.picture.services.find((each) => each.name === name);
    const found = service?.address ?? nodes.find((node) => node.name === name)?.pod;
    if (found !== undefined) return found;
    throw new ExitError(EXIT.config, `lab: ${scenario.name}: topology ${scenario.topology} has no ${name} to send to`);
  };
  const pairs = nodes.flatMap(({ name: from }) => nodes.flatMap(({ name: to }) => (from === to ? [] : [{ from, to }])));
  const others = pairs.filter(({ from, to }) => !scenario.flows.some((flow) => flow.from === from && flow.to === to));
  const sampleUs = Math.max(SAMPLE_INTERVAL_MIN_US, Math.round((others.length / SAMPLES_PER_SECOND) * 1e6));
  const wanted = [
    ...scenario.flows.map((flow) => ({ ...flow, kind: 'full' as const, intervalUs: FULL_INTERVAL_US })),
    ...others.map((flow) => ({ ...flow, kind: 'sample' as const, intervalUs: sampleUs })),
    ...scenario.tcp.map((flow) => ({ ...flow, kind: 'tcp' as const, intervalUs: TCP_INTERVAL_US })),
  ];
  return wanted.map((flow, id) => ({ ...flow, id, address: addressOf(flow.to) }));
}

async function takeSteps(
  { steps, end }: Scenario,
  { seed, say, signal }: RunOptions,
  context: ActionContext,
  startUs: number,
): Promise<{ readonly steps: readonly StepResult[]; readonly failure: string | undefined }> {
  const nowMs = (): number => (monotonicUs() - startUs) / 1_000;
  const shiftMs = seeded(seed)() * JITTER_MS;
  const taken: StepResult[] = [];
  for (const step of steps) {
    const plannedMs = step.atMs + shiftMs;
    await context.pause(Math.max(0, plannedMs - nowMs()));
    signal.throwIfAborted();
    const text = stepText(step);
    say(text);
    const startedMs = nowMs();
    const failure = await act(step, context);
    taken.push({ text, role: step.role, plannedMs, startedMs, endedMs: nowMs() });
    if (failure !== undefined) return { steps: taken, failure: `${text}: ${failure}` };
  }
  // A step that took long leaves as much time to see what came of it as one that did not.
  const afterLastMs = end - (steps.at(-1)?.atMs ?? 0);
  await context.pause(Math.max(0, end + shiftMs - nowMs(), afterLastMs));
  signal.throwIfAborted();
  return { steps: taken, failure: undefined };
}

async function act({ name, argument }: Step, context: ActionContext): Promise<string | undefined> {
  const action = ACTIONS[name] as (argument: unknown, context: ActionContext) => Promise<unknown>;
  return action(argument, context).then(
    () => undefined,
    (error: unknown) => errorText(error).replace(/^lab: /, ''),
  );
}

/** Takes events now and then, and tells how the packets fare. */
function watch(collector: EventCollector, probes: ProbeSet, say: (text: string) => void): { stop(): Promise<void> } {
  const ending = new AbortController();
  const every = async (ms: number, work: () => unknown): Promise<void> => {
    while (!ending.signal.aborted) {
      await pause(systemClock, ms, ending.signal);
      await work();
    }
  };
  const collecting = every(COLLECT_EVERY_MS, () => collector.collect());
  const telling = every(LIVE_EVERY_MS, () => {
    const { sent, heard } = probes.live();
    say(`\t${sent} packets sent, ${Math.max(0, sent - heard)} not heard`);
  });
  return {
    async stop() {
      ending.abort();
      await Promise.all([collecting, telling]);
    },
  };
}
