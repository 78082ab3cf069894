// What the page derives from a run: its stages as spans, which of many runs are drawn. Pure.
//
// Nothing is measured here and nothing is judged: that has been done when the results were written.

import { type RunResult, STAGES, type StageName } from '../results/results-schema.ts';

/** Runs drawn one by one; of the others the tables tell the figures. */
const DRAWN_MAX = 4;

export const STAGE_TEXT: Readonly<Record<StageName, string>> = {
  detect: 'from the fault to the first daemon that noticed it',
  decide: 'until bgpd or flanneld had chosen what to do instead',
  feed: 'until felix had been told',
  kernel: 'until the kernel had taken the routes',
  packet: 'until the first packet got through again',
};

export interface StageSpan {
  readonly stage: StageName;
  readonly fromMs: number;
  readonly toMs: number;
}

/** The stages whose two ends are known, in the run's time. */
export function stageSpans({ stages }: RunResult): readonly StageSpan[] {
  const { injectedMs, detectedMs, decidedMs, feedReceivedMs, kernelWrittenMs, firstPacketMs } = stages;
  const points = [injectedMs, detectedMs, decidedMs, feedReceivedMs, kernelWrittenMs, firstPacketMs];
  return STAGES.flatMap((stage, at) => {
    const [fromMs, toMs] = [points[at] ?? null, points[at + 1] ?? null];
    return fromMs === null || toMs === null ? [] : [{ stage, fromMs, toMs: Math.max(fromMs, toMs) }];
  });
}

/** The run was made: a probe sent something. */
export function wasMade({ flows }: RunResult): boolean {
  return flows.length > 0;
}

/** Slower is what converged later or not at all; of the same, what lost for longer. */
export function bySpeed(runs: readonly RunResult[]): readonly RunResult[] {
  const time = ({ convergedMs }: RunResult): number => convergedMs ?? Number.MAX_VALUE;
  return runs.toSorted((a, b) => time(a) - time(b) || a.lossMs - b.lossMs);
}

/** The runs to draw, the slowest first: it, the median, and what failed. */
export function drawnRuns(runs: readonly RunResult[]): readonly { readonly run: RunResult; readonly why: string }[] {
  const sorted = bySpeed(runs.filter(wasMade));
  const [slowest, median] = [sorted.at(-1), sorted[Math.ceil(sorted.length / 2) - 1]];
  const wanted = [
    ...(slowest === undefined ? [] : [{ run: slowest, why: sorted.length === 1 ? '' : 'the slowest' }]),
    ...(median === undefined || median === slowest ? [] : [{ run: median, why: 'the median' }]),
  ];
  const failed = sorted.filter((run) => !run.passed && wanted.every((other) => other.run !== run));
  return [...wanted, ...failed.map((run) => ({ run, why: 'not as expected' }))].slice(0, DRAWN_MAX);
}
