// Where the time went, run by run: a bar of five parts for each, all on one axis. SVG, pure.
//
// A run whose chain is not known from end to end has a bar of the parts that are known.

import { type RunResult, STAGES } from '../results/results-schema.ts';
import { msText, placeOf, scaleOf, tickText } from './figures.ts';
import { type Html, html } from './html.ts';
import { stageSpans } from './run-facts.ts';

const WIDTH = 1_000;
const PLOT = { left: 70, right: 900 };
const TOP = 6;
const BAR = 18;
const GAP = 5;

/** Empty where no run has a stage. */
export function stageFigure(runs: readonly RunResult[], id: string): Html {
  const bars = runs
    .map((run) => ({ run, spans: stageSpans(run), startMs: run.stages.injectedMs }))
    .filter(({ spans }) => spans.length > 0);
  if (bars.length === 0) return html``;
  const longest = Math.max(...bars.flatMap(({ spans, startMs }) => spans.map(({ toMs }) => toMs - startMs)));
  const scale = scaleOf(0, longest, PLOT.left, PLOT.right);
  const bottom = TOP + bars.length * (BAR + GAP);
  const rows = bars.map(({ run, spans, startMs }, at) => {
    const y = TOP + at * (BAR + GAP);
    const parts = spans.map(({ stage, fromMs, toMs }) => {
      const [left, right] = [placeOf(scale, fromMs - startMs), placeOf(scale, toMs - startMs)];
      const width = Math.max(1, right - left);
      const words = `${stage} ${msText(toMs - fromMs)}`;
      const text = [words, stage].find((each) => each.length * 6.6 + 8 < width);
      return html`<g><title>run ${run.run}: ${words}</title><rect class="stage ${stage}" x="${left}" y="${y}" width="${width}" height="${BAR}"/>${
        text === undefined ? '' : html`<text class="stage-text" x="${left + width / 2}" y="${y + 13}">${text}</text>`
      }</g>`;
    });
    const end = Math.max(...spans.map(({ toMs }) => toMs)) - startMs;
    return html`<text class="label" x="0" y="${y + 13}">run ${run.run}</text>${parts}<text class="note" x="${placeOf(scale, end) + 6}" y="${y + 13}">${msText(end)}</text>`;
  });
  const ticks = scale.ticksMs.map((ms) => {
    const x = placeOf(scale, ms);
    return html`<path class="grid" d="M${x} ${TOP}V${bottom}"/><text class="tick" x="${x}" y="${bottom + 14}">${tickText(scale, ms)}</text>`;
  });
  const title = `Milliseconds after the fault, of each run: ${STAGES.join(', ')}`;
  return html`<figure class="stages"><div class="wide"><svg viewBox="0 0 ${WIDTH} ${bottom + 20}" role="img" aria-labelledby="${id}-title"><title id="${id}-title">${title}</title>${ticks}${rows}</svg></div></figure>`;
}
