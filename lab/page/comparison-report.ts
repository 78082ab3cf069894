// A comparison for people: a table for the terminal and a page like that of a result. Pure.
//
// What is a regression is decided in comparison.ts; here it is only shown, in words as well as in colour.

import { type Results, STAGES } from '../results/results-schema.ts';
import type { Comparison, MetricChange, ScenarioChange } from './comparison.ts';
import { counted, differenceText, msText, NO_VALUE } from './figures.ts';
import { type Html, html } from './html.ts';
import { page } from './result-page.ts';

const VERDICT_TEXT: Readonly<Record<ScenarioChange['verdict'], string>> = {
  regression: 'REGRESSION',
  better: 'better',
  same: 'same',
  'only-before': 'only before',
  'only-after': 'only after',
};
/** In a cell of the terminal's table. */
const MARKS: Readonly<Record<MetricChange['verdict'], string>> = { worse: ' !', better: '', same: '', unknown: '' };
const MAIN_METRICS = ['converged', 'loss'];

/** A table for a terminal: its header, then a row for each scenario. */
export function comparisonTable({ scenarios }: Comparison): readonly (readonly string[])[] {
  const rows = scenarios.map(({ scenario, verdict, metrics, runs }) => {
    const main = MAIN_METRICS.map((name) => wideCell(metrics.find(({ metric }) => metric === name)));
    const stages = STAGES.map((stage) => narrowCell(metrics.find(({ metric }) => metric === stage)));
    return [scenario, `${runs[0]}, ${runs[1]}`, ...main, ...stages, VERDICT_TEXT[verdict]];
  });
  return [['SCENARIO', 'RUNS', 'CONVERGED', 'LOSS', ...STAGES.map((stage) => stage.toUpperCase()), 'VERDICT'], ...rows];
}

/** What stands below it: why, with what care, and by which rule. */
export function comparisonNotes({ scenarios, cautions, regressions, rule }: Comparison): readonly string[] {
  const reasons = scenarios.filter((each) => each.reasons.length > 0);
  return [
    ...reasons.map((each) => `${each.scenario}: ${each.reasons.join('; ')}`),
    ...cautions.map((caution) => `caution: ${caution}`),
    `${counted(regressions, 'regression')}; ! is worse. ${rule}`,
  ];
}

/** The same as a page. The names are of the two files. */
export function comparisonPage(
  comparison: Comparison,
  [before, after]: readonly [Results, Results],
  names: readonly [string, string],
): string {
  const { scenarios, cautions, regressions, rule } = comparison;
  const title = `gingham lab: ${names[0]} and ${names[1]}`;
  const rows = scenarios.map(({ scenario, verdict, reasons, metrics, runs }) => {
    const cells =
      metrics.length === 0
        ? html`<td class="soft" colspan="${2 + STAGES.length}">not compared: it is in one of the two only</td>`
        : html`${metrics.map(metricCell)}`;
    const word = verdict === 'regression' ? `✗ regression` : VERDICT_TEXT[verdict];
    const tone = verdict === 'regression' ? 'no' : verdict === 'better' ? 'yes' : '';
    return html`<tr><th scope="row">${scenario}<br><small class="soft">${runs[0]}, ${counted(runs[1], 'run')}</small></th><td><span class="verdict ${tone}">${word}</span><br><small class="reasons">${reasons.join('; ')}</small></td>${cells}</tr>`;
  });
  const made = [before, after].map(
    ({ madeAt, gingham, machine }, at) =>
      html`<li><b>${names[at] ?? ''}</b>: ${madeAt.slice(0, 16).replace('T', ' ')} UTC, gingham ${gingham}, ${counted(machine.cpus, 'CPU core')}, Linux ${machine.kernel}, Node.js ${machine.node}</li>`,
  );
  const head =
    regressions === 0
      ? html`<span class="verdict yes">✓ no regression</span>`
      : html`<span class="verdict no">✗ ${counted(regressions, 'regression')}</span>`;
  const body = html`<header class="page"><h1>${title}</h1><p>${head}</p><ul class="soft">${made}</ul></header><main>${cautions.map(
    (caution) => html`<p class="notice">Caution: ${caution}.</p>`,
  )}<div class="wide"><table class="comparison"><caption>Medians over the runs: before, below it after, below it the difference.</caption><thead><tr><th>Scenario</th><th>Verdict</th>${[
    ...MAIN_METRICS,
    ...STAGES,
  ].map(
    (name) => html`<th class="number">${name}</th>`,
  )}</tr></thead><tbody>${rows}</tbody></table></div><p class="soft">${rule}</p></main>`;
  return page(title, body);
}

function metricCell({ metric, beforeMs, afterMs, differenceMs, verdict }: MetricChange): Html {
  const isMain = MAIN_METRICS.includes(metric);
  const tone = verdict === 'worse' ? (isMain ? 'worse' : 'slower') : verdict;
  const word = verdict === 'worse' ? '▲ worse' : verdict === 'better' ? '▼ better' : '';
  const difference = differenceMs === null ? '' : differenceText(differenceMs);
  return html`<td class="number ${tone}">${msText(beforeMs)}<br>${msText(afterMs)}<br><small>${difference} ${word}</small></td>`;
}

function wideCell(change: MetricChange | undefined): string {
  if (change === undefined) return NO_VALUE;
  const { beforeMs, afterMs, differenceMs, verdict } = change;
  const difference = differenceMs === null ? '' : ` (${differenceText(differenceMs)})`;
  return `${msText(beforeMs)} → ${msText(afterMs)}${difference}${MARKS[verdict]}`;
}

function narrowCell(change: MetricChange | undefined): string {
  if (change?.differenceMs == null) return NO_VALUE;
  return `${differenceText(change.differenceMs)}${MARKS[change.verdict]}`;
}
