// docs/convergence.md: all scenarios of a result as a Markdown page. Pure.
//
// The page tells how it was made, on what and how well, so that a figure of it can be made again and judged.

import { type Distribution, type Results, type ScenarioResult, STAGES } from '../results/results-schema.ts';
import { counted, msText, NO_VALUE, shareText } from './figures.ts';
import { STAGE_TEXT, wasMade } from './run-facts.ts';

const TITLES = [
  'scenario',
  'topology',
  'told by',
  'converged p50',
  'p99',
  'loss p50',
  'p99',
  ...STAGES,
  'runs as expected',
];
const TEXT_COLUMNS = 3;

/** The whole page; `file` is what the results were called. */
export function convergencePage(results: Results, file: string): string {
  const { scenarios, machine, madeAt, gingham, seed, tookMs } = results;
  const rows = scenarios.map((scenario) => line(cellsOf(scenario)));
  const rule = TITLES.map((_, at) => (at < TEXT_COLUMNS ? '---' : '---:'));
  const lessons = scenarios.map(({ scenario, lesson }) => `* **${plain(scenario)}**: ${plain(lesson)}`);
  return `# Convergence

How long each scenario of the lab takes to converge, what is lost meanwhile and where the time goes. All of this page is made
by a command, from one run of all scenarios:

\`\`\`
npm run lab -- run --all --output ${file}
npm run lab -- table ${file} --output docs/convergence.md
\`\`\`

Made ${madeAt.slice(0, 10)} with gingham ${plain(gingham)} on a machine of ${counted(machine.cpus, 'core')}, Linux ${plain(machine.kernel)}, Node.js ${plain(machine.node)},
with seed ${seed}; it took ${msText(tookMs)}. ${qualityText(scenarios)}

${line(TITLES)}
${line(rule)}
${rows.join('\n')}

*Converged* is the time from the fault to the end of the last loss window or the last write of a route, whichever is later;
*loss* is the longest time without a packet on the flows that the scenario looks at. Both are over the runs, by nearest rank.
A dash: there is no value, for nothing was lost, nobody noticed, or it did not converge before the fault was mended. The stages
are medians:

${STAGES.map((stage) => `* *${stage}*: ${STAGE_TEXT[stage]}`).join('\n')}

## What each scenario teaches

${lessons.join('\n')}
`;
}

function cellsOf({ scenario, topology, runs, convergedMs, lossMs, stagesMs }: ScenarioResult): readonly string[] {
  const two = ({ p50, p99 }: Distribution): readonly string[] => [msText(p50), msText(p99)];
  const good = runs.filter(({ passed }) => passed).length;
  const stages = STAGES.map((stage) => msText(stagesMs[stage].p50));
  const by = runs.find(wasMade)?.stages.detectedBy ?? NO_VALUE;
  return [scenario, topology.name, by, ...two(convergedMs), ...two(lossMs), ...stages, `${good} of ${runs.length}`];
}

function qualityText(scenarios: readonly ScenarioResult[]): string {
  const probes = scenarios.flatMap(({ runs }) => runs.filter(wasMade).map(({ probe }) => probe));
  if (probes.length === 0) return 'No run could be made.';
  const worst = (of: (probe: (typeof probes)[number]) => number): number => Math.max(...probes.map(of));
  const late = probes.reduce((sum, { lateTicks }) => sum + lateTicks, 0);
  const ticks = probes.reduce((sum, probe) => sum + probe.ticks, 0);
  return `The probe's resolution was ${msText(worst(({ resolutionMs }) => resolutionMs))}, its
clock error ${msText(worst(({ clockErrorMs }) => clockErrorMs))}; ${ticks === 0 ? NO_VALUE : shareText(late / ticks)} of its packets were sent late, and it took at most ${shareText(
    worst(({ cpuShare }) => cpuShare),
  )} of a core.`;
}

function line(cells: readonly string[]): string {
  return `| ${cells.map(plain).join(' | ')} |`;
}

/** Text that Markdown shows as it is, on one line. */
function plain(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[\\`*_{}[\]<>|#]/g, '\\$&')
    .trim();
}
