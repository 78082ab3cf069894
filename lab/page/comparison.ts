// Two results side by side, scenario by scenario: what became slower, what loses more, what is no longer as expected. Pure.
//
// The medians of the runs are compared (of one run: its value). A time is worse when it grew by more than WORSE_BY and by
// more than both results' probes can tell. The stages explain; they alone make no regression, for a fault that is noticed
// later and told faster is none.

import { type Distribution, type Results, type ScenarioResult, STAGES } from '../results/results-schema.ts';
import { wasMade } from './run-facts.ts';

/** As a share of the former value. */
export const WORSE_BY = 0.2;
export const RULE =
  'A time is worse when its median over the runs grew by more than 20 % and by more than the resolution and clock error of ' +
  'the worse of the two probes. A scenario is a regression when convergence or loss is worse, when a greater share of its runs ' +
  'does not converge, or when it was as expected and no longer is. Stages that are worse are marked and count for nothing else.';

export interface MetricChange {
  readonly metric: string;
  /** Medians. */
  readonly beforeMs: number | null;
  readonly afterMs: number | null;
  /** `null` where one of the two is not known. */
  readonly differenceMs: number | null;
  readonly verdict: 'worse' | 'better' | 'same' | 'unknown';
}

export interface ScenarioChange {
  readonly scenario: string;
  /** `only-before` and `only-after` are not compared. */
  readonly verdict: 'regression' | 'better' | 'same' | 'only-before' | 'only-after';
  /** In words; empty unless it is a regression. */
  readonly reasons: readonly string[];
  readonly runs: readonly [before: number, after: number];
  /** The difference that both probes can tell. */
  readonly tellableMs: number;
  /** Convergence, loss, then the stages. */
  readonly metrics: readonly MetricChange[];
}

export interface Comparison {
  readonly rule: string;
  /** What makes the two hard to compare: another machine, another kernel, one run only. */
  readonly cautions: readonly string[];
  readonly regressions: number;
  readonly scenarios: readonly ScenarioChange[];
}

/** `before` and `after` may have been made of different scenarios. */
export function compareResults(before: Results, after: Results): Comparison {
  const names = new Set([...before.scenarios, ...after.scenarios].map(({ scenario }) => scenario));
  const find = ({ scenarios }: Results, name: string): ScenarioResult | undefined =>
    scenarios.find(({ scenario }) => scenario === name);
  const scenarios = [...names].map((name) => compareScenario(name, find(before, name), find(after, name)));
  return {
    rule: RULE,
    cautions: cautionsOf(before, after),
    regressions: scenarios.filter(({ verdict }) => verdict === 'regression').length,
    scenarios,
  };
}

function compareScenario(
  scenario: string,
  before: ScenarioResult | undefined,
  after: ScenarioResult | undefined,
): ScenarioChange {
  const runs = [before?.runs.length ?? 0, after?.runs.length ?? 0] as const;
  if (before === undefined || after === undefined) {
    const verdict = after === undefined ? 'only-before' : 'only-after';
    return { scenario, verdict, reasons: [], runs, tellableMs: 0, metrics: [] };
  }
  const tellableMs = Math.max(...[before, after].map(tellable));
  const change = (metric: string, one: Distribution, other: Distribution): MetricChange =>
    compareTimes(metric, one.p50, other.p50, tellableMs);
  const main = [
    change('converged', before.convergedMs, after.convergedMs),
    change('loss', before.lossMs, after.lossMs),
  ];
  const stages = STAGES.map((stage) => change(stage, before.stagesMs[stage], after.stagesMs[stage]));
  const reasons = [
    ...main.filter(({ verdict }) => verdict === 'worse').map(({ metric }) => `${metric} is worse`),
    ...(shareNotConverged(after) > shareNotConverged(before) ? [`does not converge in ${notConverged(after)}`] : []),
    ...(before.passed && !after.passed ? ['no longer as expected'] : []),
  ];
  const isBetter = main.some(({ verdict }) => verdict === 'better') || (after.passed && !before.passed);
  const verdict = reasons.length > 0 ? 'regression' : isBetter ? 'better' : 'same';
  return { scenario, verdict, reasons, runs, tellableMs, metrics: [...main, ...stages] };
}

function compareTimes(
  metric: string,
  beforeMs: number | null,
  afterMs: number | null,
  tellableMs: number,
): MetricChange {
  if (beforeMs === null || afterMs === null) {
    return { metric, beforeMs, afterMs, differenceMs: null, verdict: 'unknown' };
  }
  const differenceMs = afterMs - beforeMs;
  const smaller = Math.min(beforeMs, afterMs);
  const isDifferent = Math.abs(differenceMs) > Math.max(tellableMs, WORSE_BY * smaller);
  const verdict = isDifferent ? (differenceMs > 0 ? 'worse' : 'better') : 'same';
  return { metric, beforeMs, afterMs, differenceMs, verdict };
}

function tellable({ runs }: ScenarioResult): number {
  return Math.max(0, ...runs.filter(wasMade).map(({ probe }) => probe.resolutionMs + probe.clockErrorMs));
}

function shareNotConverged({ runs }: ScenarioResult): number {
  const made = runs.filter(wasMade);
  return made.length === 0 ? 0 : made.filter(({ convergedMs }) => convergedMs === null).length / made.length;
}

function notConverged({ runs }: ScenarioResult): string {
  const made = runs.filter(wasMade);
  return `${made.filter(({ convergedMs }) => convergedMs === null).length} of ${made.length} runs`;
}

function cautionsOf(before: Results, after: Results): readonly string[] {
  const facts = (one: Results) => ({
    'CPU cores': String(one.machine.cpus),
    kernel: one.machine.kernel,
    'Node.js': one.machine.node,
  });
  const [one, other] = [facts(before), facts(after)];
  const differing = (Object.keys(one) as (keyof typeof one)[]).filter((fact) => one[fact] !== other[fact]);
  const single = [before, after].some(({ scenarios }) => scenarios.some(({ runs }) => runs.length === 1));
  return [
    ...differing.map((fact) => `the machines differ: ${fact} ${one[fact]} before, ${other[fact]} after`),
    ...(single ? ['some scenarios ran only once: one run says little about the next'] : []),
  ];
}
