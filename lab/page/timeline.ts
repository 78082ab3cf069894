// A run as a picture over time: steps, stages, packets lost on each flow, what the daemons told. SVG, pure.
//
// The same picture serves the whole run and the fault enlarged; they differ in the span. Lists and tables on the page say
// the same in words: every mark has a title, but a title cannot be read on paper.

import type { RunResult } from '../results/results-schema.ts';
import { phaseOf } from '../run/run-result.ts';
import { placeOf, type Scale, scaleOf, tickText } from './figures.ts';
import { type Html, html } from './html.ts';
import { rowsOf, type TimelineRow } from './timeline-rows.ts';

const WIDTH = 1_000;
const PLOT = { left: 178, right: 862 };
const AXIS_HEIGHT = 26;
const LABEL_MAX = 25;
const NOTE_MAX = 22;

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The run from `fromMs` to `toMs`. `id` must be the page's only one of its kind. */
export function timelineFigure(run: RunResult, { fromMs, toMs }: Span, title: string, id: string): Html {
  const scale = scaleOf(fromMs, toMs, PLOT.left, PLOT.right);
  const rows = rowsOf(run, scale);
  const placed: { readonly row: TimelineRow; readonly y: number }[] = [];
  let y = AXIS_HEIGHT;
  for (const row of rows) {
    placed.push({ row, y });
    y += row.height;
  }
  const height = y + AXIS_HEIGHT;
  return html`<figure class="timeline"><div class="wide"><svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${id}-title">
<title id="${id}-title">${title}</title>${phaseMarkup(run, scale, y)}${axis(scale, y)}${placed.map(
    ({ row, y: top }, at) => rowMarkup(row, top, at),
  )}</svg></div><figcaption>${title}</figcaption></figure>`;
}

/** From just before the fault to just after the last effect of it; `undefined` where that is most of the run anyway. */
export function faultSpan(run: RunResult): Span | undefined {
  const { fromMs, toMs } = phaseOf(run.steps, run.durationMs);
  const { kernelWrittenMs, firstPacketMs, injectedMs } = run.stages;
  const windows = run.flows.filter(({ kind }) => kind === 'full').flatMap((flow) => flow.windows);
  const ends = windows
    .filter(({ startMs }) => startMs >= fromMs - 1 && startMs <= toMs)
    .map(({ endMs }) => endMs ?? toMs);
  const last = Math.max(injectedMs, kernelWrittenMs ?? 0, firstPacketMs ?? 0, ...ends.filter((end) => end <= toMs));
  const length = Math.max(20, last - fromMs);
  const span = { fromMs: Math.max(0, fromMs - length * 0.08), toMs: Math.min(run.durationMs, last + length * 0.25) };
  return span.toMs - span.fromMs > run.durationMs * 0.7 ? undefined : span;
}

/** The run, and what was lost just before or after it. */
export function wholeSpan({ flows, durationMs }: RunResult): Span {
  const windows = flows.flatMap((flow) => flow.windows);
  const fromMs = Math.min(0, ...windows.map(({ startMs }) => startMs));
  return { fromMs, toMs: Math.max(durationMs, ...windows.map(({ startMs, endMs }) => endMs ?? startMs)) };
}

/** The time between the fault and what mends it. */
function phaseMarkup(run: RunResult, scale: Scale, bottom: number): Html {
  if (!run.steps.some(({ role }) => role === 'fault')) return html``;
  const { fromMs, toMs } = phaseOf(run.steps, run.durationMs);
  const [left, right] = [placeOf(scale, fromMs), placeOf(scale, toMs)];
  const isSeen = fromMs >= scale.fromMs;
  const line = html`<path class="fault-line" d="M${left} ${AXIS_HEIGHT - 6}V${bottom}"/>`;
  return html`<rect class="phase" x="${left}" y="${AXIS_HEIGHT}" width="${right - left}" height="${bottom - AXIS_HEIGHT}"><title>not mended yet</title></rect>${
    isSeen ? line : ''
  }`;
}

function axis(scale: Scale, bottom: number): Html {
  return html`${scale.ticksMs.map((ms) => {
    const x = placeOf(scale, ms);
    const text = tickText(scale, ms);
    return html`<path class="grid" d="M${x} ${AXIS_HEIGHT}V${bottom}"/><text class="tick" x="${x}" y="${AXIS_HEIGHT - 9}">${text}</text><text class="tick" x="${x}" y="${
      bottom + 17
    }">${text}</text>`;
  })}`;
}

function rowMarkup({ label, note, isBad, isFirst, height, marks }: TimelineRow, y: number, at: number): Html {
  const middle = height / 2;
  const rule = isFirst && at > 0 ? html`<path class="rule" d="M0 0H${WIDTH}"/>` : html``;
  return html`<g transform="translate(0 ${y})">${rule}<text class="label" x="0" y="${middle + 4}">${cut(label, LABEL_MAX)}<title>${label}</title></text>${marks}<text class="note${
    isBad ? ' bad' : ''
  }" x="${PLOT.right + 8}" y="${middle + 4}">${cut(note, NOTE_MAX)}</text></g>`;
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
