// How a time was distributed over the runs: a dot for each run, a line for each percentile. SVG, pure.
//
// Runs without a value stand in a column of their own, for "never" is not a large number.

import type { Distribution } from '../results/results-schema.ts';
import { msText, placeOf, scaleOf, tickText } from './figures.ts';
import { type Html, html } from './html.ts';

const WIDTH = 540;
const PLOT = { left: 8, right: 440 };
const AXIS_Y = 96;
const DOT = 4.5;
/** Of the small font; more than the average. */
const CHARACTER_WIDTH = 6.2;
const PERCENTILES = ['p50', 'p90', 'p99', 'max'] as const;

/** `values` are the runs' in their order; `never` says what a run without one did. */
export function distributionFigure(
  values: readonly (number | null)[],
  distribution: Distribution,
  { title, never, id }: { readonly title: string; readonly never: string; readonly id: string },
): Html {
  const known = values.filter((value) => value !== null);
  const missing = values.length - known.length;
  const scale = scaleOf(0, Math.max(1, ...known) * 1.06, PLOT.left, PLOT.right, 6);
  const heights = new Map<number, number>();
  const dots = known
    .toSorted((a, b) => a - b)
    .map((value) => {
      const x = placeOf(scale, value);
      const column = Math.round(x / (2 * DOT));
      const below = heights.get(column) ?? 0;
      heights.set(column, below + 1);
      const y = AXIS_Y - 7 - Math.min(below, 4) * 2 * DOT;
      return html`<circle class="dot" cx="${x}" cy="${y}" r="${DOT}"><title>${msText(value)}</title></circle>`;
    });
  // Equal percentiles share a line.
  const lines = new Map<number, string[]>();
  for (const name of PERCENTILES) {
    const value = distribution[name];
    if (value !== null && known.length > 1) lines.set(value, [...(lines.get(value) ?? []), name]);
  }
  const marks = [...lines].map(([value, names], at) => {
    const x = placeOf(scale, value);
    const y = 12 + at * 13;
    const words = `${names.join(', ')} ${msText(value)}`;
    const turned = x + words.length * CHARACTER_WIDTH > (missing === 0 ? WIDTH : PLOT.right);
    const line = html`<path class="percentile" d="M${x} ${y - 8}V${AXIS_Y}"/>`;
    const text = html`<text class="halo small${turned ? ' turned' : ''}" x="${x + (turned ? -5 : 5)}" y="${y}">${words}</text>`;
    return { line, text };
  });
  const ticks = scale.ticksMs.map((ms) => {
    const x = placeOf(scale, ms);
    return html`<path class="grid" d="M${x} ${AXIS_Y}V${AXIS_Y + 5}"/><text class="tick" x="${x}" y="${AXIS_Y + 18}">${tickText(scale, ms)}</text>`;
  });
  const absent =
    missing === 0
      ? html``
      : html`<path class="rule" d="M${PLOT.right + 8} 8V${AXIS_Y + 5}"/><text class="never" x="${PLOT.right + 18}" y="50">${missing} of ${values.length}</text><text class="never" x="${PLOT.right + 18}" y="66">${never}</text>`;
  return html`<figure class="distribution"><svg viewBox="0 0 ${WIDTH} ${AXIS_Y + 24}" role="img" aria-labelledby="${id}-title"><title id="${id}-title">${title}</title><path class="axis" d="M${PLOT.left} ${AXIS_Y}H${PLOT.right}"/>${ticks}${marks.map(({ line }) => line)}${dots}${marks.map(({ text }) => text)}${absent}</svg><figcaption>${title}</figcaption></figure>`;
}
