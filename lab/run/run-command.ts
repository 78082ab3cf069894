// `lab run` and `lab scenarios`: arguments to scenarios, results to a table, to JSON and to results.json.
//
// The exit code is 1 where an expectation failed; which one and what was measured instead is on the terminal.

import { setMaxListeners } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { renderTable } from '../../ctl/table.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { bringUp, tearDown } from '../cluster.ts';
import { makeComposeCluster, removeComposeCluster } from '../compose/compose-cluster.ts';
import { composeRefusal } from '../compose/compose-limits.ts';
import { impairedLinks } from '../link-ends.ts';
import { resultPage } from '../page/result-page.ts';
import { type Progress, seconds, showProgress } from '../progress.ts';
import { pagePath } from '../result-commands.ts';
import type { Results, RunResult, ScenarioResult } from '../results/results-schema.ts';
import { shortSummary } from '../results/summary.ts';
import { withLabLock } from '../state.ts';
import { buildTopology, type Topology } from '../topology.ts';
import { optionsOf, readTopology, topologySource } from '../topology-spec.ts';
import { namesIn, shippedFolder } from '../yaml-file.ts';
import { NetnsDriver } from './netns-driver.ts';
import { type ActionArguments, readScenario, type Scenario, scenarioSource } from './scenario-spec.ts';
import { type ClusterMaker, runSuite } from './suite.ts';

const EXIT_INTERRUPTED = 130;

export type DriverName = 'netns' | 'compose';

export interface RunRequest {
  /** What the clusters are made of: namespaces, or the containers of docker-compose.yml. */
  readonly driver: DriverName;
  readonly names: readonly string[];
  readonly all: boolean;
  readonly runs: number;
  readonly seed: number;
  readonly json: boolean;
  /** Where results.json goes. */
  readonly output: string;
}

/** `scenarios`: name, topology and the first sentence of each lesson. */
export function listScenarios(json: boolean): number {
  const all = namesIn(shippedFolder('scenarios')).map((name) => readScenario(scenarioSource(name)));
  const facts = all.map(({ name, topology, lesson }) => ({ name, topology, lesson: lesson.trim() }));
  const rows = facts.map(({ name, topology, lesson }) => [name, topology, firstSentence(lesson)]);
  process.stdout.write(
    json ? `${JSON.stringify(facts)}\n` : `${renderTable(['SCENARIO', 'TOPOLOGY', 'LESSON'], rows).join('\n')}\n`,
  );
  return EXIT.ok;
}

/** `run`: 0 when every expectation of every run was fulfilled, else 1. Scenarios and topologies are read first. */
export async function runScenarios(lab: string, request: RunRequest): Promise<number> {
  const scenarios = wantedScenarios(request);
  return withLabLock(lab, 'run', async () => {
    const progress = showProgress();
    const interrupted = new AbortController();
    setMaxListeners(0, interrupted.signal);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
    try {
      const results = await runAll(lab, scenarios, request, progress, interrupted.signal);
      progress.end();
      await writeFile(request.output, `${JSON.stringify(results)}\n`);
      await writeFile(pagePath(request.output), resultPage(results));
      tell(results, request);
      return results.scenarios.every(({ passed }) => passed) ? EXIT.ok : EXIT.internal;
    } catch (error) {
      progress.end();
      if (!interrupted.signal.aborted) throw error;
      process.stderr.write('interrupted: nothing is left of the lab\n');
      return EXIT_INTERRUPTED;
    }
  });
}

async function runAll(
  lab: string,
  scenarios: readonly Scenario[],
  { driver, runs, seed }: RunRequest,
  progress: Progress,
  signal: AbortSignal,
): Promise<Results> {
  const options = {
    ...{ runs, seed, signal },
    say: (text: string) => progress.step(text),
    detail: (text: string) => progress.detail(text),
    done: (result: ScenarioResult) =>
      progress.step(`${result.scenario}: ${result.passed ? 'as expected' : 'NOT as expected'}`),
  };
  return runSuite(scenarios, (driver === 'netns' ? netnsMaker : composeMaker)(lab, progress), options);
}

/**
 * What is asked for, read and found possible with this driver. Throws `ExitError` for the first that is not; of `--all`
 * those are left out, and named on standard error.
 */
function wantedScenarios({ names, all, driver }: RunRequest): readonly Scenario[] {
  const asked = all ? namesIn(shippedFolder('scenarios')) : names;
  if (asked.length === 0) throw new ExitError(EXIT.usage, 'lab: run takes names of scenarios, or --all');
  return asked.flatMap((name) => {
    const scenario = readScenario(scenarioSource(name));
    const source = topologySource(scenario.topology);
    const spec = readTopology(source);
    const topology = buildTopology(scenario.name, optionsOf(spec), source);
    const refusal = driver === 'compose' ? composeRefusal(scenario, spec) : impairedTwice(scenario, topology);
    if (refusal === undefined) return [scenario];
    if (!all) throw new ExitError(EXIT.usage, `lab: ${scenario.name}: ${refusal}`);
    process.stderr.write(`left out: ${scenario.name}: ${refusal}\n`);
    return [];
  });
}

/** A link has one impairment at a time, and the topology's stays. */
function impairedTwice({ steps }: Scenario, topology: Topology): string | undefined {
  const impaired = impairedLinks(topology);
  const links = steps.flatMap(({ name, argument }) =>
    name === 'impair' ? [(argument as ActionArguments['impair']).link] : [],
  );
  const twice = links.find((link) => impaired.has(link));
  return twice === undefined ? undefined : `link ${twice} is impaired by topology ${topology.spec.name} already`;
}

/** Containers of docker-compose.yml, as one project of this name. */
function composeMaker(lab: string, progress: Progress): ClusterMaker {
  return {
    async make(topology, signal) {
      await removeComposeCluster(lab);
      return makeComposeCluster(lab, topologySource(topology), progress, signal);
    },
    remove: () => removeComposeCluster(lab),
  };
}

/** Clusters in network namespaces, one after the other under one name. */
function netnsMaker(lab: string, progress: Progress): ClusterMaker {
  return {
    async make(topology, signal) {
      await tearDown(lab);
      const source = topologySource(topology);
      const made = await bringUp(lab, optionsOf(readTopology(source)), progress, signal, source);
      return new NetnsDriver(made.topology);
    },
    async remove() {
      await tearDown(lab);
    },
  };
}

function tell(results: Results, { json, output }: RunRequest): void {
  const { scenarios, tookMs } = results;
  if (json) {
    const short = scenarios.map(shortSummary);
    process.stdout.write(`${JSON.stringify(short.length === 1 ? short[0] : short)}\n`);
  } else {
    const passed = scenarios.filter((scenario) => scenario.passed).length;
    const end = `${passed} of ${scenarios.length} scenarios as expected, ${seconds(tookMs)}; ${output}, ${pagePath(output)}`;
    process.stdout.write(`${[...resultTable(scenarios), '', end].join('\n')}\n`);
  }
  const failures = scenarios.flatMap((scenario) => scenario.runs.flatMap((run) => failuresOf(scenario, run)));
  for (const line of failures) process.stderr.write(`${line}\n`);
}

/** A line for each scenario. */
export function resultTable(scenarios: readonly ScenarioResult[]): readonly string[] {
  const rows = scenarios.map(({ scenario, runs, passed, convergedMs, lossMs }) => {
    const good = runs.filter((run) => run.passed).length;
    const times = [convergedMs.p50, convergedMs.p99, lossMs.p50, lossMs.p99].map(cell);
    return [scenario, `${good}/${runs.length}`, ...times, runs[0]?.stages.detectedBy ?? '-', passed ? 'yes' : 'NO'];
  });
  const header = ['SCENARIO', 'RUNS', 'CONVERGED P50', 'P99', 'LOSS P50', 'P99', 'TOLD BY', 'AS EXPECTED'];
  return renderTable(header, rows);
}

function failuresOf({ scenario }: ScenarioResult, { run, failure, expectations }: RunResult): readonly string[] {
  const failed = expectations.filter(({ passed }) => !passed);
  const lines = failed.map(({ text, measured }) => `${scenario}, run ${run}: expected ${text}: measured ${measured}`);
  return failure === undefined ? lines : [`${scenario}, run ${run}: ${failure}`, ...lines];
}

function cell(ms: number | null): string {
  if (ms === null) return '-';
  return ms >= 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

function firstSentence(text: string): string {
  return `${text.replaceAll(/\s+/g, ' ').split(/[.:] /)[0]?.replace(/\.$/, '') ?? ''}.`;
}
