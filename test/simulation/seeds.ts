// Many seeds, one after the other: which failed, and the command that runs a failed one again. One run is world.ts; what a
// person or a test does with the report is theirs.

import { planterOf } from './planted-bugs.ts';
import { type Outcome, runWorld, type WorldOptions } from './world.ts';

export interface SeedsOptions {
  readonly seeds: Iterable<number>;
  readonly nodes?: number | undefined;
  readonly reflectors?: number | undefined;
  /** Name of a planted bug. */
  readonly bug?: string | undefined;
  /** Called after each seed; false ends it. */
  readonly onOutcome?: (outcome: Outcome) => boolean;
}

/** Sums over all seeds, and the outcomes of those that failed. */
export interface SeedsReport {
  seeds: number;
  messages: number;
  bytes: number;
  faults: number;
  virtualMs: number;
  readonly failed: Outcome[];
}

/** Runs them. Throws `RangeError` for a planted bug that there is not. */
export async function runSeeds(options: SeedsOptions): Promise<SeedsReport> {
  const report: SeedsReport = { seeds: 0, messages: 0, bytes: 0, faults: 0, virtualMs: 0, failed: [] };
  for (const seed of options.seeds) {
    const outcome = await runWorld(worldOf(seed, options));
    report.seeds++;
    report.messages += outcome.messages;
    report.bytes += outcome.bytes;
    report.faults += outcome.faults.length;
    report.virtualMs += outcome.virtualMs;
    if (outcome.violations.length > 0) report.failed.push(outcome);
    if (options.onOutcome?.(outcome) === false) break;
  }
  return report;
}

/** The command that runs one seed of such a run again, to the same signature. */
export function replayCommand(seed: number, { nodes, reflectors, bug }: Omit<SeedsOptions, 'seeds'>): string {
  const words = [
    `--seed ${seed}`,
    ...(nodes === undefined ? [] : [`--nodes ${nodes}`]),
    ...(reflectors === undefined ? [] : [`--reflectors ${reflectors}`]),
    ...(bug === undefined ? [] : [`--planted-bug ${bug}`]),
  ];
  return `npm run bench -- simulate ${words.join(' ')}`;
}

/** What a person needs of a seed that failed. */
export function failureText(outcome: Outcome, options: Omit<SeedsOptions, 'seeds'>): string {
  return [
    `seed ${outcome.seed} (signature ${outcome.signature}):`,
    ...outcome.violations.map((line) => `  ${line}`),
    `  replay with: ${replayCommand(outcome.seed, options)}`,
  ].join('\n');
}

function worldOf(seed: number, { nodes, reflectors, bug }: SeedsOptions): WorldOptions {
  const meddle = planterOf(bug);
  if (meddle === undefined) throw new RangeError(`there is no planted bug ${bug}`);
  return { seed, meddle, ...(nodes !== undefined && { nodes }), ...(reflectors !== undefined && { reflectors }) };
}
