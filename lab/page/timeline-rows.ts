// The rows of a timeline: what each shows and how high it is. Pure.
//
// Shapes tell things apart as well as colours do: steps are bars with their words, lost packets are hatched bars, a change
// of the way is a diamond, an event a ring, an event of the fault's chain a disc.

import type { DaemonEventResult, FlowResult, LossWindow, RunResult, StepResult } from '../results/results-schema.ts';
import { counted, msText, placeOf, type Scale } from './figures.ts';
import { type Html, html } from './html.ts';
import { stageSpans } from './run-facts.ts';

export interface TimelineRow {
  readonly label: string;
  readonly note: string;
  readonly isBad: boolean;
  /** First of its group: a line goes above it. */
  readonly isFirst: boolean;
  readonly height: number;
  /** Drawn with the row's upper edge at 0. */
  readonly marks: Html;
}

const STEP_HEIGHT = 20;
const FLOW_HEIGHT = 22;
const EVENT_HEIGHT = 18;
const SAMPLES_MAX = 10;
/** More processes than this are drawn a row for each node. */
const PROCESS_ROWS_MAX = 9;
const NODE_ROWS_MAX = 20;
/** Anything shorter would not be seen. */
const MARK_WIDTH_MIN = 2.5;
const STEP_TEXT_MAX = 70;
/** Of the page's font at the picture's size; more than the average. */
const CHARACTER_WIDTH = 6.8;

type Bare = Omit<TimelineRow, 'isFirst'>;

/** All rows of a run, as far as they are in the span of the scale. */
export function rowsOf(run: RunResult, scale: Scale): readonly TimelineRow[] {
  const inSpan = (fromMs: number, toMs: number): boolean => fromMs <= scale.toMs && toMs >= scale.fromMs;
  const steps = run.steps
    .filter(({ startedMs, endedMs }) => inSpan(startedMs, endedMs))
    .map((step, at) => stepRow(step, at, scale));
  const spans = stageSpans(run).filter(({ fromMs, toMs }) => inSpan(fromMs, toMs));
  const stages = spans.length === 0 ? [] : [stageRow(run, scale)];
  const tcp = run.tcp.map((stream): Bare => {
    const { from, to, longestGapMs, gapStartMs, connections } = stream;
    const gap = { startMs: gapStartMs ?? 0, endMs: (gapStartMs ?? 0) + longestGapMs, packets: 0 };
    const isSeen = gapStartMs !== null && inSpan(gap.startMs, gap.endMs);
    const marks = isSeen ? lossMark(gap, scale, `longest gap ${msText(longestGapMs)}`) : [];
    const note = `gap ${msText(longestGapMs)}${connections > 1 ? `, ${connections} conn.` : ''}`;
    const line = sentLine(scale);
    return { label: `${from} > ${to}, TCP`, note, isBad: false, height: FLOW_HEIGHT, marks: html`${line}${marks}` };
  });
  const groups = [steps, stages, flowRows(run, scale), tcp, eventRows(run, scale)];
  return groups.flatMap((group) => group.map((row, at) => ({ ...row, isFirst: at === 0 })));
}

function stepRow({ text, role, startedMs, endedMs }: StepResult, at: number, scale: Scale): Bare {
  const [left, right] = [placeOf(scale, startedMs), placeOf(scale, endedMs)];
  const width = Math.max(MARK_WIDTH_MIN, right - left);
  const shown = text.length > STEP_TEXT_MAX ? `${text.slice(0, STEP_TEXT_MAX - 1)}…` : text;
  const room = shown.length * CHARACTER_WIDTH + 12;
  const place =
    right + room < scale.right
      ? { x: left + width + 6, side: '' }
      : left - room > scale.left
        ? { x: left - 6, side: ' turned' }
        : { x: Math.max(scale.left, Math.min(left + 8, scale.right - room)), side: '' };
  const marks = html`<rect class="step ${role}" x="${left}" y="4" width="${width}" height="12" rx="2"><title>${role}: ${text}, ${msText(startedMs)} to ${msText(endedMs)}</title></rect><text class="halo${place.side}" x="${place.x}" y="14">${shown}</text>`;
  const label = at === 0 ? `steps: ${role}` : role;
  return { label, note: `at ${msText(startedMs)}`, isBad: false, height: STEP_HEIGHT, marks };
}

function stageRow(run: RunResult, scale: Scale): Bare {
  const marks = stageSpans(run).map(({ stage, fromMs, toMs }) => {
    const [left, right] = [placeOf(scale, fromMs), placeOf(scale, toMs)];
    const width = Math.max(1, right - left);
    const text =
      width < stage.length * 7 + 6
        ? html``
        : html`<text class="stage-text" x="${left + width / 2}" y="17">${stage}</text>`;
    return html`<g><title>${stage}: ${msText(toMs - fromMs)}</title><rect class="stage ${stage}" x="${left}" y="4" width="${width}" height="18"/>${text}</g>`;
  });
  const by = run.stages.detectedBy;
  return {
    label: 'where the time went',
    note: by === null ? '' : `by ${by}`,
    isBad: false,
    height: 26,
    marks: html`${marks}`,
  };
}

function flowRows({ flows }: RunResult, scale: Scale): readonly Bare[] {
  const full = flows.filter(({ kind }) => kind === 'full');
  const sampled = flows.filter(({ kind }) => kind === 'sample');
  const lossy = sampled.filter(({ lost }) => lost > 0).toSorted((a, b) => b.longestLossMs - a.longestLossMs);
  const shown = lossy.slice(0, SAMPLES_MAX);
  const rest = sampled.length - shown.length;
  const quiet = lossy.length <= SAMPLES_MAX ? 'no loss' : 'see the table';
  const others = { label: `${rest} other pairs, sampled`, note: quiet, isBad: false, height: EVENT_HEIGHT };
  return [
    ...[...full, ...shown].map((flow) => flowRow(flow, scale)),
    ...(rest > 0 ? [{ ...others, marks: html`` }] : []),
  ];
}

function flowRow(flow: FlowResult, scale: Scale): Bare {
  const { from, to, kind, pathChanges, moreWindows } = flow;
  const windows = flow.windows.filter(
    ({ startMs, endMs }) => startMs <= scale.toMs && (endMs ?? scale.toMs) >= scale.fromMs,
  );
  const lost = windows.reduce((sum, { packets }) => sum + packets, 0);
  const longest = Math.max(0, ...windows.map(({ startMs, endMs }) => (endMs ?? scale.toMs) - startMs));
  const losses = windows.map((window) => {
    const words = `${counted(window.packets, 'packet')} lost, ${msText(window.startMs)} to ${window.endMs === null ? 'the end' : msText(window.endMs)}`;
    return lossMark(window, scale, words);
  });
  const changes = pathChanges
    .filter(({ atMs }) => atMs >= scale.fromMs && atMs <= scale.toMs)
    .map(({ atMs, was, is }) => {
      const title = `${msText(atMs)}: another way, ${was} before, ${is} now`;
      return html`<path class="change" transform="translate(${placeOf(scale, atMs)} ${FLOW_HEIGHT / 2})" d="M0 -6L5 0L0 6L-5 0Z"><title>${title}</title></path>`;
    });
  return {
    label: `${from} > ${to}${kind === 'full' ? '' : ', sampled'}`,
    note:
      lost === 0
        ? flow.lost === 0
          ? 'no loss'
          : 'no loss here'
        : `${moreWindows > 0 ? '≥ ' : ''}${lost} lost, ${msText(longest)}`,
    isBad: lost > 0,
    height: FLOW_HEIGHT,
    marks: html`${sentLine(scale)}${losses}${changes}`,
  };
}

function sentLine({ left, right }: Scale): Html {
  return html`<path class="sent" d="M${left} ${FLOW_HEIGHT / 2}H${right}"/>`;
}

function lossMark({ startMs, endMs }: LossWindow, scale: Scale, words: string): Html {
  const [left, right] = [placeOf(scale, startMs), placeOf(scale, endMs ?? scale.toMs)];
  const width = Math.max(MARK_WIDTH_MIN, right - left);
  return html`<rect class="loss" x="${left}" y="4" width="${width}" height="${FLOW_HEIGHT - 8}"><title>${words}</title></rect>`;
}

function eventRows({ events, stages }: RunResult, scale: Scale): readonly Bare[] {
  const inSpan = events.filter(({ atMs }) => atMs >= scale.fromMs && atMs <= scale.toMs);
  const processes = new Set(inSpan.map(({ process }) => process));
  const rowName = (process: string): string =>
    processes.size > PROCESS_ROWS_MAX ? (process.split('/')[0] ?? process) : process;
  const names = [...new Set(inSpan.map(({ process }) => rowName(process)))].toSorted((a, b) =>
    a.localeCompare(b, 'en', { numeric: true }),
  );
  const rows = names.slice(0, NODE_ROWS_MAX).map((name): Bare => {
    const own = inSpan.filter(({ process }) => rowName(process) === name);
    const marks = own.map((event) => eventMark(event, stages.cause, scale));
    return {
      label: name,
      note: counted(own.length, 'event'),
      isBad: false,
      height: EVENT_HEIGHT,
      marks: html`${marks}`,
    };
  });
  const more = names.length - NODE_ROWS_MAX;
  const rest = { label: `${more} more with events`, note: 'see the list', isBad: false, height: EVENT_HEIGHT };
  return more > 0 ? [...rows, { ...rest, marks: html`` }] : rows;
}

function eventMark({ atMs, process, text, cause }: DaemonEventResult, chain: string | null, scale: Scale): Html {
  const isChain = cause !== undefined && cause === chain;
  const words = `${msText(atMs)}, ${process}: ${text}`;
  return html`<circle class="event${isChain ? ' chain' : ''}" cx="${placeOf(scale, atMs)}" cy="${EVENT_HEIGHT / 2}" r="${isChain ? 5 : 4}"><title>${words}</title></circle>`;
}
