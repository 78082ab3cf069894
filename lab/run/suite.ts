// Runs scenarios, several times each: clusters are made once for all scenarios of a topology, checked between runs, and made
// anew where a scenario left one that does not recover.
//
// Which driver makes the clusters is given; what is here knows none of them.

import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { errorText } from '../../lib/run/exit.ts';
import {
  RESULTS_SCHEMA,
  type Results,
  type RunResult,
  type ScenarioResult,
  STAGES,
} from '../results/results-schema.ts';
import { summarise } from '../results/summary.ts';
import { brokenBy } from './broken-parts.ts';
import type { ClusterDriver, ClusterFacts, ClusterLogs } from './cluster-driver.ts';
import { LinkImpairer } from './link-impairer.ts';
import { runScenario } from './run-scenario.ts';
import type { Scenario } from './scenario-spec.ts';
import { waitHealthy } from './waiting.ts';

const HEALTHY_WITHIN_MS = 30_000;

/** Makes clusters and removes them; one at a time. */
export interface ClusterMaker {
  make(topology: string, signal: AbortSignal): Promise<ClusterDriver & ClusterLogs>;
  remove(): Promise<void>;
}

export interface SuiteOptions {
  readonly runs: number;
  readonly seed: number;
  readonly say: (step: string) => void;
  readonly detail: (text: string) => void;
  /** A scenario is done. */
  readonly done: (result: ScenarioResult) => void;
  readonly signal: AbortSignal;
}

/** Runs all, grouped by topology. Rejects where a cluster cannot be made. */
export async function runSuite(
  scenarios: readonly Scenario[],
  maker: ClusterMaker,
  options: SuiteOptions,
): Promise<Results> {
  const startMs = performance.now();
  const results: ScenarioResult[] = [];
  for (const topology of new Set(scenarios.map((scenario) => scenario.topology))) {
    const group = scenarios.filter((scenario) => scenario.topology === topology);
    const host = new ClusterHost(topology, maker, options);
    try {
      for (const scenario of group) {
        const result = await runRepeatedly(scenario, host, options);
        results.push(result);
        options.done(result);
      }
    } finally {
      await maker.remove();
    }
  }
  return {
    schema: RESULTS_SCHEMA,
    madeAt: new Date().toISOString(),
    seed: options.seed,
    machine: { cpus: cpus().length, kernel: release(), node: process.version },
    gingham: version(),
    tookMs: performance.now() - startMs,
    scenarios: results,
  };
}

async function runRepeatedly(scenario: Scenario, host: ClusterHost, options: SuiteOptions): Promise<ScenarioResult> {
  const runs: RunResult[] = [];
  let impairment: ScenarioResult['impairment'] = 'none';
  let facts: ClusterFacts | undefined;
  for (let run = 1; run <= options.runs; run++) {
    const seed = options.seed + run - 1;
    const title = `${scenario.name}, run ${run} of ${options.runs}`;
    options.say(title);
    const driver = await host.healthy();
    facts = driver.facts;
    const impairer = new LinkImpairer(driver, seed);
    const say = (text: string): void => {
      if (text.startsWith('\t')) options.detail(text.trim());
      else options.say(`${title}: ${text}`);
    };
    const { signal } = options;
    try {
      runs.push(await runScenario(driver, scenario, { run, seed, impairer, say, signal }));
    } catch (error) {
      signal.throwIfAborted();
      runs.push(failedRun(run, seed, errorText(error)));
    }
    impairment = impairer.used === 'none' ? facts.impairment : impairer.used;
  }
  if (facts === undefined) throw new RangeError('a suite has at least one run');
  return {
    scenario: scenario.name,
    lesson: scenario.lesson.trim(),
    driver: facts.driver,
    topology: facts.picture,
    broken: brokenBy(scenario, facts),
    impairment,
    runs,
    ...summarise(runs),
  };
}

/** The cluster of one topology: made when first wanted, and again where it does not recover. */
class ClusterHost {
  readonly #topology: string;
  readonly #maker: ClusterMaker;
  readonly #options: SuiteOptions;
  #driver: (ClusterDriver & ClusterLogs) | undefined;

  constructor(topology: string, maker: ClusterMaker, options: SuiteOptions) {
    this.#topology = topology;
    this.#maker = maker;
    this.#options = options;
  }

  async healthy(): Promise<ClusterDriver & ClusterLogs> {
    const { signal, say } = this.#options;
    if (this.#driver !== undefined) {
      const healed = await waitHealthy(this.#driver, HEALTHY_WITHIN_MS, signal).then(
        () => true,
        () => false,
      );
      signal.throwIfAborted();
      if (healed) return this.#driver;
      say(`the cluster of ${this.#topology} does not recover: making it anew`);
      this.#driver = undefined;
      await this.#maker.remove();
    }
    this.#driver = await this.#maker.make(this.#topology, signal);
    return this.#driver;
  }
}

function failedRun(run: number, seed: number, failure: string): RunResult {
  const stages = { cause: null, detectedBy: null, node: null, injectedMs: 0, firstPacketMs: null };
  return {
    ...{
      run,
      seed,
      durationMs: 0,
      passed: false,
      failure,
      steps: [],
      convergedMs: null,
      lossMs: 0,
      flows: [],
      tcp: [],
    },
    stages: { ...stages, detectedMs: null, decidedMs: null, feedReceivedMs: null, kernelWrittenMs: null },
    stagesMs: Object.fromEntries(STAGES.map((name) => [name, null])) as RunResult['stagesMs'],
    ...{ events: [], eventsDropped: 0, expectations: [] },
    probe: {
      ...{ resolutionMs: 1, clockErrorMs: 0, clock: 'none', ticks: 0, lateTicks: 0, worstLateMs: 0, cpuShare: 0 },
      processes: 0,
    },
  };
}

function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
