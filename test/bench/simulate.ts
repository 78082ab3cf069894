// The simulator from the command line: thousands of seeds, one seed again, or a fabric of up to thousands of nodes. What
// is simulated and how to read it: docs/simulation.md.
//
//   simulate --seeds 5000 [--first 1]     simulate --seed 17 [--nodes 5] [--reflectors 2]     simulate --growth 10,100,1000

import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { type GrowthRow, growthText, runGrowth } from '../simulation/growth.ts';
import { PLANTED_BUGS } from '../simulation/planted-bugs.ts';
import { failureText, runSeeds, type SeedsOptions, type SeedsReport } from '../simulation/seeds.ts';
import type { Outcome } from '../simulation/world.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';

const OPTIONS = ['seeds', 'seed', 'first', 'nodes', 'reflectors', 'planted-bug', 'growth', 'check'] as const;
const SEEDS = 1_000;
const GROWTH_REFLECTORS = 4;
/** Clients whose tables are looked at in a fabric. */
const CHECKED = 40;
/** After so many that failed it ends. */
const FAILED_MAX = 10;
const SAY_EVERY = 100;

export const SIMULATE: Bench = {
  name: 'simulate',
  summary:
    'whole nodes in virtual time: --seeds <count>, --seed <seed>, --growth <sizes> (--nodes, --reflectors, --check)',
  run: runSimulate,
};

type Given = ReturnType<typeof readOptions<(typeof OPTIONS)[number]>>;

export async function runSimulate(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const given = readOptions(args, OPTIONS);
  if (given.growth !== undefined) return growth(given, given.growth, say, signal);
  const options = seedsOptions(given);
  if (given.seed !== undefined) return replay(options);
  const first = countOption('first', given.first, 1 + Math.floor(Math.random() * 2 ** 30));
  const count = countOption('seeds', given.seeds, SEEDS);
  const startedMs = performance.now();
  let done = 0;
  let failed = 0;
  const onOutcome = (outcome: Outcome): boolean => {
    if (outcome.violations.length > 0 && failed++ >= 0) say(failureText(outcome, options));
    if (++done % SAY_EVERY === 0) say(`${done} of ${count} seeds from ${first}, ${failed} failed`);
    return failed < FAILED_MAX && !signal.aborted;
  };
  const seeds = Array.from({ length: count }, (_, i) => first + i);
  const report = await runSeeds({ ...options, seeds, onOutcome });
  const wallSeconds = (performance.now() - startedMs) / 1_000;
  return { json: { first, ...report, wallSeconds }, text: seedsText(first, report, wallSeconds, options) };
}

async function replay(options: SeedsOptions): Promise<BenchResult> {
  const outcomes: Outcome[] = [];
  const onOutcome = (outcome: Outcome): boolean => outcomes.push(outcome) > 0;
  await runSeeds({ ...options, onOutcome });
  const [outcome] = outcomes;
  if (outcome === undefined) throw new Error('the seed was not run');
  const { seed, nodes, reflectors, signature, violations, faults, messages, bytes, virtualMs } = outcome;
  const text = [
    `seed ${seed}: ${nodes} nodes, of which ${reflectors} reflect`,
    ...faults.map((line) => `  ${line}`),
    `${messages} messages, ${bytes} bytes, ${(virtualMs / 1_000).toFixed(1)} s of virtual time, signature ${signature}`,
    ...(violations.length === 0 ? ['all held'] : violations),
  ];
  return { json: outcome, text: text.join('\n') };
}

async function growth(
  given: Given,
  text: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const sizes = text.split(',').map((size) => countOption('growth', size, 1));
  const reflectors = given.reflectors === undefined ? GROWTH_REFLECTORS : Number(given.reflectors);
  const checked = countOption('check', given.check, CHECKED);
  const seed = countOption('seed', given.seed, 1);
  const rows: GrowthRow[] = [];
  for (const nodes of sizes) {
    if (signal.aborted) break;
    for (const row of runGrowth({ nodes, reflectors, checked, seed })) {
      rows.push(row);
      say(growthText([row]));
      // A signal is heard between two rows.
      await new Promise((resolve) => setImmediate(resolve));
      if (signal.aborted) break;
    }
  }
  return { json: { reflectors, checked, seed, rows }, text: growthText(rows) };
}

function seedsOptions(given: Given): SeedsOptions {
  const bug = given['planted-bug'];
  if (bug !== undefined && !PLANTED_BUGS.some(({ name }) => name === bug)) {
    const names = PLANTED_BUGS.map(({ name }) => name).join(', ');
    throw new ExitError(EXIT.usage, `--planted-bug "${bug}" is not known; accepted: ${names}`);
  }
  return {
    seeds: [countOption('seed', given.seed, 1)],
    nodes: given.nodes === undefined ? undefined : countOption('nodes', given.nodes, 1),
    reflectors: given.reflectors === undefined ? undefined : reflectorsOf(given.reflectors),
    bug,
  };
}

/** 0 asks for a full mesh. */
function reflectorsOf(text: string): number {
  return text === '0' ? 0 : countOption('reflectors', text, 1);
}

function seedsText(first: number, report: SeedsReport, wallSeconds: number, options: SeedsOptions): string {
  const { seeds, failed, faults, messages, bytes, virtualMs } = report;
  return [
    ...failed.map((outcome) => failureText(outcome, options)),
    `${seeds} seeds from ${first}: ${failed.length} failed; ${faults} faults, ${messages} messages, ${bytes} bytes, ` +
      `${(virtualMs / 3_600_000).toFixed(1)} h of virtual time in ${wallSeconds.toFixed(1)} s`,
  ].join('\n');
}
