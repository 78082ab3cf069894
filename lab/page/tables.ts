// The page's tables: expectations, percentiles, loss of every pair, runs, steps and events in words. Pure.
//
// They hold what the pictures show, for who reads with a screen reader, on paper or with a search.

import {
  type Distribution,
  type ExpectationResult,
  type FlowResult,
  type RunResult,
  type ScenarioResult,
  STAGES,
} from '../results/results-schema.ts';
import { msText, NO_VALUE, shareText } from './figures.ts';
import { type Html, html } from './html.ts';
import { STAGE_TEXT, wasMade } from './run-facts.ts';

/** With more columns than this a table of pairs is narrowed. */
const DENSE_FROM = 10;

/** Yes or no in a sign, a word and a colour. */
export function verdict(
  isGood: boolean,
  [yes, no]: readonly [string, string] = ['as expected', 'not as expected'],
): Html {
  return html`<span class="verdict ${isGood ? 'yes' : 'no'}">${isGood ? `✓ ${yes}` : `✗ ${no}`}</span>`;
}

/** Each expectation once, with how many runs fulfilled it and what the worst of them showed. */
export function expectationTable(runs: readonly RunResult[]): Html {
  const texts = [...new Set(runs.flatMap(({ expectations }) => expectations.map(({ text }) => text)))];
  const rows = texts.map((text) => {
    const found = runs.flatMap(({ run, expectations }) =>
      expectations.filter((each) => each.text === text).map((each) => ({ run, ...each })),
    );
    const failed = found.filter(({ passed }) => !passed);
    const shown = failed.length > 0 ? failed : found;
    return html`<tr><td>${verdict(failed.length === 0, ['passed', 'failed'])}</td><th scope="row">${text}</th><td class="number">${
      found.length - failed.length
    } of ${found.length}</td><td class="text">${measuredText(shown)}</td></tr>`;
  });
  return html`<div class="wide"><table class="expectations"><thead><tr><th>Result</th><th>Expected</th><th class="number">Runs passed</th><th>Measured</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

/** Percentiles of convergence, loss and every stage. */
export function distributionTable({ convergedMs, lossMs, stagesMs }: ScenarioResult): Html {
  const row = (name: Html, { p50, p90, p99, max }: Distribution): Html =>
    html`<tr><th scope="row">${name}</th>${[p50, p90, p99, max].map((value) => html`<td class="number">${msText(value)}</td>`)}</tr>`;
  const stages = STAGES.map((stage) =>
    row(
      html`<span class="key"><i class="${stage}"></i></span>${stage} <span class="soft">${STAGE_TEXT[stage]}</span>`,
      stagesMs[stage],
    ),
  );
  return html`<div class="wide"><table class="percentiles"><thead><tr><th>Time</th><th class="number">p50</th><th class="number">p90</th><th class="number">p99</th><th class="number">max</th></tr></thead><tbody>${row(
    html`converged`,
    convergedMs,
  )}${row(html`loss <span class="soft">longest window of a full-rate flow</span>`, lossMs)}${stages}</tbody></table></div>`;
}

/** From row to column: the longest loss window of the pair. */
export function pairTable({ flows, run }: RunResult): Html {
  const senders = inOrder(flows.map(({ from }) => from));
  const receivers = inOrder(flows.map(({ to }) => to));
  const cell = (from: string, to: string): Html => {
    const flow = flows.find((each) => each.from === from && each.to === to);
    if (flow === undefined) return html`<td class="none">${from === to ? '' : NO_VALUE}</td>`;
    const { kind, lost, sent, longestLossMs, intervalMs } = flow;
    const words = `${from} > ${to}: ${lost} of ${sent} packets lost, one every ${msText(intervalMs)}`;
    const shown = lost === 0 ? '0' : Math.round(longestLossMs).toString();
    return html`<td class="${lost === 0 ? 'none' : 'lost'}${kind === 'full' ? ' full' : ''}" title="${words}">${shown}</td>`;
  };
  const rows = senders.map(
    (from) => html`<tr><th scope="row">${from}</th>${receivers.map((to) => cell(from, to))}</tr>`,
  );
  return html`<p class="small-text">Longest loss window of every pair in ms in run ${run}, from row to column. Framed: a packet every ${msText(
    flows.find(({ kind }) => kind === 'full')?.intervalMs ?? 1,
  )}; the others: ${sampleText(flows)}.</p><div class="wide"><table class="pairs${receivers.length > DENSE_FROM ? ' dense' : ''}"><thead><tr><td></td>${receivers.map((to) => html`<th scope="col"><span>${to}</span></th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

/** Flows of the full rate and streams, in numbers. */
export function flowTable({ flows, tcp, run }: RunResult): Html {
  const rows = flows
    .filter(({ kind }) => kind === 'full')
    .map(
      ({
        from,
        to,
        sent,
        lost,
        longestLossMs,
        windows,
        moreWindows,
        duplicates,
        reordered,
        refused,
        pathChanges,
        delayMs,
      }) => {
        const numbers = [
          sent,
          lost,
          msText(longestLossMs),
          windows.length + moreWindows,
          duplicates,
          reordered,
          refused,
        ];
        const cells = [...numbers, pathChanges.length, `${msText(delayMs.p50)} / ${msText(delayMs.p99)}`];
        return html`<tr><th scope="row">${from} > ${to}</th>${cells.map((each) => html`<td class="number">${String(each)}</td>`)}</tr>`;
      },
    );
  const streams = tcp.map(
    ({ from, to, longestGapMs, connections, records }) =>
      html`<tr><th scope="row">${from} > ${to}, TCP</th><td class="number">${String(records)}</td><td class="text" colspan="8">longest gap ${msText(longestGapMs)}, ${
        connections === 1 ? 'the first connection lived through' : `${connections} connections`
      }</td></tr>`,
  );
  const titles = [
    'Sent',
    'Lost',
    'Longest window',
    'Windows',
    'Duplicates',
    'Reordered',
    'Refused',
    'Way changed',
    'Delay p50 / p99',
  ];
  return html`<div class="wide"><table class="flows"><caption>Full-rate flows of run ${run}</caption><thead><tr><th>Flow</th>${titles.map(
    (title) => html`<th class="number">${title}</th>`,
  )}</tr></thead><tbody>${rows}${streams}</tbody></table></div>`;
}

/** All runs, a line each, with how good the measuring was. */
export function runTable(runs: readonly RunResult[]): Html {
  const rows = runs.map((run) => {
    const { convergedMs, lossMs, passed, seed, probe, stages } = run;
    const made = wasMade(run);
    const late =
      probe.ticks === 0 ? NO_VALUE : `${shareText(probe.lateTicks / probe.ticks)}, ${msText(probe.worstLateMs)}`;
    const cells = [
      made ? (convergedMs === null ? 'no' : msText(convergedMs)) : NO_VALUE,
      made ? msText(lossMs) : NO_VALUE,
      stages.detectedBy ?? NO_VALUE,
      ...(made
        ? [msText(probe.resolutionMs), msText(probe.clockErrorMs), late, shareText(probe.cpuShare)]
        : ['', '', '', '']),
    ];
    return html`<tr><th scope="row">${String(run.run)}</th><td>${verdict(passed, ['yes', 'no'])}</td>${cells.map(
      (each) => html`<td class="number">${each}</td>`,
    )}<td class="number">${String(seed)}</td></tr>`;
  });
  const titles = [
    'Converged',
    'Loss',
    'Told by',
    'Resolution',
    'Clock error',
    'Late ticks, worst',
    'Probe CPU',
    'Seed',
  ];
  return html`<div class="wide"><table class="runs"><thead><tr><th>Run</th><th>As expected</th>${titles.map(
    (title) => html`<th class="number">${title}</th>`,
  )}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

/** Steps and events of a run in words, in the order of time. */
export function eventTable({ events, eventsDropped, steps }: RunResult): Html {
  const all = [
    ...steps.map(({ startedMs, role, text }) => ({
      atMs: startedMs,
      process: 'lab',
      text: `${role}: ${text}`,
      cause: '',
    })),
    ...events.map(({ atMs, process, text, cause = '' }) => ({ atMs, process, text, cause })),
  ].toSorted((a, b) => a.atMs - b.atMs);
  const rows = all.map(
    ({ atMs, process, text, cause }) =>
      html`<tr><td class="number">${(Math.round(atMs * 10) / 10).toFixed(1)}</td><th scope="row">${process}</th><td class="text">${text}</td><td>${cause}</td></tr>`,
  );
  const missing = eventsDropped === 0 ? '' : ` ${eventsDropped} events are not in the result.`;
  return html`<div class="wide"><table class="events"><caption>Times in milliseconds since the beginning of the run.${missing}</caption><thead><tr><th class="number">At, ms</th><th>Process</th><th>Event</th><th>Cause</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function measuredText(results: readonly (ExpectationResult & { readonly run: number })[]): string {
  const [first] = results;
  if (first === undefined) return NO_VALUE;
  if (results.every(({ measured }) => measured === first.measured)) return first.measured;
  return `${first.measured} (run ${first.run}; ${results.length - 1} more)`;
}

function sampleText(flows: readonly FlowResult[]): string {
  const interval = flows.find(({ kind }) => kind === 'sample')?.intervalMs;
  return interval === undefined ? 'none' : `one every ${msText(interval)}, which is the least loss that they show`;
}

function inOrder(names: readonly string[]): readonly string[] {
  return [...new Set(names)].toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}
