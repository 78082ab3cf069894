// The page of a results.json: one HTML file that needs nothing else, neither network nor script nor font. Pure.
//
// Its content security policy forbids all three, so that a name in a result could not fetch anything even if an escape were
// missing.

import type { Results, ScenarioResult } from '../results/results-schema.ts';
import { counted, msText, NO_VALUE } from './figures.ts';
import { type Html, html } from './html.ts';
import { wasMade } from './run-facts.ts';
import { scenarioSection } from './scenario-section.ts';
import { STYLE } from './style.ts';
import { verdict } from './tables.ts';

/** The whole page. */
export function resultPage(results: Results): string {
  const { scenarios, madeAt, machine, gingham, seed, tookMs } = results;
  const good = scenarios.filter(({ passed }) => passed).length;
  const [only] = scenarios;
  const title =
    scenarios.length === 1 && only !== undefined
      ? `gingham lab: ${only.scenario}`
      : `gingham lab: ${scenarios.length} scenarios`;
  const facts = `${madeAt.slice(0, 16).replace('T', ' ')} UTC, gingham ${gingham}, ${counted(machine.cpus, 'CPU core')}, Linux ${machine.kernel}, Node.js ${machine.node}, seed ${seed}, took ${msText(tookMs)}.`;
  const body = html`<header class="page"><h1>${title}</h1><p class="soft">${facts}</p></header><main>${
    scenarios.length > 1 ? overview(scenarios, good) : ''
  }${scenarios.map((scenario, at) => scenarioSection(scenario, `scenario-${at + 1}`))}</main>`;
  return page(title, body);
}

/** An HTML document around a body of ours. */
export function page(title: string, body: Html): string {
  return html`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>${title}</title><style>${STYLE}</style></head><body>${PATTERNS}${body}<footer><p>Percentiles are by nearest rank. A loss window lasts from the
sending of the first lost packet to the sending of the first that got through again. Times are of one monotonic clock, but for the error given.</p></footer></body></html>
`.markup;
}

const PATTERNS = html`<svg class="patterns" aria-hidden="true" focusable="false"><defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-ground" width="5" height="5"/><path class="hatch-line" d="M0 0V5"/></pattern></defs></svg>`;

function overview(scenarios: readonly ScenarioResult[], good: number): Html {
  const rows = scenarios.map(({ scenario, runs, passed, convergedMs, lossMs, topology }, at) => {
    const times = [convergedMs.p50, convergedMs.p99, lossMs.p50, lossMs.p99].map(
      (value) => html`<td class="number">${msText(value)}</td>`,
    );
    const by = runs.find(wasMade)?.stages.detectedBy ?? NO_VALUE;
    return html`<tr><th scope="row"><a href="#scenario-${at + 1}">${scenario}</a></th><td>${topology.name}</td><td class="number">${
      runs.filter((run) => run.passed).length
    }/${runs.length}</td>${times}<td>${by}</td><td>${verdict(passed, ['yes', 'no'])}</td></tr>`;
  });
  return html`<p>${verdict(good === scenarios.length, [
    `all ${scenarios.length} scenarios as expected`,
    `${scenarios.length - good} of ${scenarios.length} scenarios not as expected`,
  ])}</p><div class="wide"><table class="overview"><thead><tr><th>Scenario</th><th>Topology</th><th class="number">Runs</th><th class="number">Converged p50</th><th class="number">p99</th><th class="number">Loss p50</th><th class="number">p99</th><th>Told by</th><th>As expected</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}
