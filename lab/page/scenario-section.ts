// A scenario on the page: verdict, topology, figures, expectations, distribution, where the time went, runs over time. Pure.
//
// Drawn are the slowest run, the median one and those that failed, up to a few; the table of runs has them all.

import type { RunResult, ScenarioResult } from '../results/results-schema.ts';
import { distributionFigure } from './distribution.ts';
import { counted, msText } from './figures.ts';
import { type Html, html } from './html.ts';
import { drawnRuns, wasMade } from './run-facts.ts';
import { stageFigure } from './stage-bars.ts';
import { distributionTable, eventTable, expectationTable, flowTable, pairTable, runTable, verdict } from './tables.ts';
import { faultSpan, timelineFigure, wholeSpan } from './timeline.ts';
import { topologyFigure } from './topology-picture.ts';

/** `id` names the section, and begins all names within it. */
export function scenarioSection(result: ScenarioResult, id: string): Html {
  const { scenario, lesson, driver, topology, broken, runs, passed } = result;
  const made = runs.filter(wasMade);
  const failures = runs.flatMap(({ run, failure }) =>
    failure === undefined ? [] : html`<p class="failure"><b>Run ${run}:</b> ${failure}</p>`,
  );
  const measured =
    made.length === 0
      ? html`<p class="notice">No run could be made: nothing was measured.</p>`
      : measuredPart(result, id);
  return html`<section class="scenario" id="${id}"><div class="head"><h2>${scenario}</h2>${verdict(passed)}<span class="soft">${counted(
    runs.length,
    'run',
  )}, ${driver}${impairmentText(result)}</span></div><p>${lesson}</p>${failures}${keyFigures(result)}${topologyFigure(
    topology,
    broken,
    `${id}-topology`,
  )}<h3>Expectations</h3>${expectationTable(runs)}${measured}</section>`;
}

function measuredPart(result: ScenarioResult, id: string): Html {
  const { runs, convergedMs, lossMs } = result;
  const made = runs.filter(wasMade);
  const converged = made.map((run) => run.convergedMs);
  const pictures =
    made.length === 1
      ? html`<p class="soft">One run has no distribution; every percentile is its value. "--runs 20" makes more.</p>`
      : html`<div class="columns">${distributionFigure(converged, convergedMs, {
          title: `Time to converge, ${made.length} runs`,
          never: 'did not',
          id: `${id}-converged`,
        })}${distributionFigure(
          made.map((run) => run.lossMs),
          lossMs,
          { title: `Longest loss window, ${made.length} runs`, never: 'no value', id: `${id}-loss` },
        )}</div>`;
  const drawn = drawnRuns(runs).map(({ run, why }, at) => {
    const title = `Run ${run.run}${why === '' ? '' : `, ${why}`}`;
    const content = runPart(run, `${id}-run-${run.run}`);
    return at === 0
      ? html`<h3>${title}, over time</h3>${content}`
      : html`<details class="drawn"><summary>${title}, over time</summary>${content}</details>`;
  });
  return html`<h3>Distribution over runs</h3>${pictures}${distributionTable(result)}<h3>Where the time went</h3>${stagesPart(
    made,
    id,
  )}${drawn}<h3>Runs and how well they were measured</h3>${runTable(runs)}<p class="soft">Resolution is the least loss that can be told from
none. A late tick is a packet that the probe sent more than half an interval late; of one core's time the probe took the share given.
Clock: ${made[0]?.probe.clock ?? ''}.</p>`;
}

function stagesPart(made: readonly RunResult[], id: string): Html {
  const figure = stageFigure(made, `${id}-stages`);
  return figure.markup === ''
    ? html`<p class="soft">No daemon told of a change that goes back to the fault, so that there are no stages.</p>`
    : figure;
}

function runPart(run: RunResult, id: string): Html {
  const near = faultSpan(run);
  const whole = wholeSpan(run);
  const enlarged =
    near === undefined ? html`` : timelineFigure(run, near, `The fault of run ${run.run}, enlarged`, `${id}-near`);
  return html`${enlarged}${timelineFigure(run, whole, `Run ${run.run}, the whole`, `${id}-whole`)}${LEGEND}${flowTable(run)}${pairTable(
    run,
  )}<details><summary>Steps and events of run ${run.run} in words (${run.events.length})</summary>${eventTable(run)}</details>`;
}

const LEGEND = html`<p class="soft">Dashed line: the fault; tinted: until it was mended. Hatched: packets lost, by when they were sent. ◆: the packets
take another way. ○: an event of a daemon; ●: an event that goes back to the fault.</p>`;

function keyFigures({ runs, convergedMs, lossMs }: ScenarioResult): Html {
  const made = runs.filter(wasMade);
  const many = made.length > 1;
  const never = made.filter((run) => run.convergedMs === null).length;
  const good = runs.filter((run) => run.passed).length;
  const worst = (value: number | null): string => (many ? `median; p99 ${msText(value)}` : 'one run');
  const by = new Set(made.flatMap(({ stages }) => stages.detectedBy ?? []));
  const cpu = Math.max(0, ...made.map(({ probe }) => probe.cpuShare));
  const [quality] = made.toSorted((a, b) => b.probe.clockErrorMs - a.probe.clockErrorMs);
  return html`<dl class="facts"><div><dt>Converged after</dt><dd>${never > 0 && never === made.length ? 'never' : msText(convergedMs.p50)}<small>${worst(
    convergedMs.p99,
  )}${never > 0 ? `; ${never} of ${made.length} did not` : ''}</small></dd></div><div><dt>Longest loss</dt><dd>${
    made.length > 0 && lossMs.max === 0 ? 'none' : msText(lossMs.p50)
  }<small>${worst(lossMs.p99)}</small></dd></div><div><dt>Told by</dt><dd>${by.size === 0 ? '–' : ([...by][0] ?? '')}<small>${
    by.size > 1 ? `and ${[...by].slice(1).join(', ')}` : 'what noticed it first'
  }</small></dd></div><div><dt>Runs as expected</dt><dd>${good} of ${runs.length}<small>every expectation of the run</small></dd></div><div><dt>Measured to</dt><dd>± ${msText(
    (quality?.probe.resolutionMs ?? 0) + (quality?.probe.clockErrorMs ?? 0),
  )}<small>probe took up to ${(cpu * 100).toFixed(0)} % of a core</small></dd></div></dl>`;
}

function impairmentText({ impairment }: ScenarioResult): string {
  if (impairment === 'none') return '';
  return impairment === 'netem' ? ', links impaired by netem' : ', links impaired by the lab’s own link';
}
