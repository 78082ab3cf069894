// From runs to distributions, and what a program reads on standard output (`lab run --json`).
//
// Pure. Percentiles are by nearest rank; a run without a value (nothing was lost, nobody detected it) is left out.

import { percentile } from '../run/flow-analysis.ts';
import { type Distribution, type RunResult, type ScenarioResult, STAGES, type StageName } from './results-schema.ts';

export interface ShortSummary {
  readonly scenario: string;
  readonly runs: number;
  readonly passed: boolean;
  readonly converged_ms: Short;
  readonly loss_ms: Short;
  readonly stages_ms: Readonly<Record<StageName, Short>>;
}

type Short = Pick<Distribution, 'p50' | 'p99'>;

/** What of a scenario's result follows from its runs. */
export function summarise(
  runs: readonly RunResult[],
): Pick<ScenarioResult, 'passed' | 'convergedMs' | 'lossMs' | 'stagesMs'> {
  const made = runs.filter(({ flows }) => flows.length > 0);
  return {
    passed: runs.every(({ passed }) => passed),
    convergedMs: distribution(made.map(({ convergedMs }) => convergedMs)),
    lossMs: distribution(made.map(({ lossMs }) => lossMs)),
    stagesMs: byStage((name) => distribution(made.map(({ stagesMs }) => stagesMs[name]))),
  };
}

/** The few figures that a program compares. */
export function shortSummary({ scenario, runs, passed, convergedMs, lossMs, stagesMs }: ScenarioResult): ShortSummary {
  return {
    scenario,
    runs: runs.length,
    passed,
    converged_ms: short(convergedMs),
    loss_ms: short(lossMs),
    stages_ms: byStage((name) => short(stagesMs[name])),
  };
}

function distribution(values: readonly (number | null)[]): Distribution {
  const known = values.filter((value) => value !== null);
  const at = (share: number): number | null => percentile(known, share);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

function byStage<T>(of: (name: StageName) => T): Record<StageName, T> {
  return Object.fromEntries(STAGES.map((name) => [name, of(name)])) as Record<StageName, T>;
}

/** To the microsecond: what is beyond is no measurement, but binary fractions. */
function short({ p50, p99 }: Distribution): Short {
  const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value * 1_000) / 1_000);
  return { p50: rounded(p50), p99: rounded(p99) };
}
