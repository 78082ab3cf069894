// Expectations of a scenario: their few sentences, and whether a run fulfils them. Pure.
//
// A sentence is what a person would say: `loss on node1 > web <= 200 ms`, `converged <= 1 s`, `no flap`. Not fulfilled is also
// what could not be measured: no packet sent proves no absence of loss.

import type { ExpectationResult, RunResult } from '../results/results-schema.ts';

const LIMIT = /^(loss|converged|tcp gap)(?: on (\S+ > \S+))? <= (\d+(?:\.\d+)?) ?(ms|s)$/;
const NO_LOSS = /^no loss(?: on (\S+ > \S+))?$/;
const SOME_LOSS = /^some loss on (\S+ > \S+)$/;
const DETECTED = /^detected by ([a-z-]+)(?: or ([a-z-]+))?$/;
const PATH = /^path of (\S+ > \S+) changes$/;
const ABSENT = {
  'no flap': 'flap',
  'no log at error': 'log',
  'no duplicates': 'duplicates',
  'no reordering': 'order',
} as const;
export const EXPECTATION_ACCEPTS =
  'takes "loss <= 200 ms", "loss on node1 > web <= 1 s", "no loss", "some loss on node1 > web", "converged <= 1 s", "tcp gap <= 1 s", "no flap", ' +
  '"no log at error", "no duplicates", "no reordering", "detected by bfd-down" or "path of node1 > web changes"';

type Limited = 'loss' | 'converged' | 'tcp gap';

export interface Expectation {
  readonly text: string;
  readonly kind: Limited | 'some loss' | 'detected' | 'path' | (typeof ABSENT)[keyof typeof ABSENT];
  /** Absent: all full-rate flows. */
  readonly flow: string | undefined;
  readonly limitMs: number | undefined;
  /** Any of them. */
  readonly words: readonly string[];
}

/** What a run showed, as far as expectations look at it. */
export interface Shown extends Pick<RunResult, 'convergedMs' | 'flows' | 'tcp' | 'stages'> {
  /** Sessions that ended between two machines that nobody broke: `node1 - node3`. */
  readonly flaps: readonly string[];
  readonly errors: readonly string[];
}

/** Reads one sentence; a text says what is accepted. */
export function parseExpectation(text: string): Expectation | string {
  const base = { text, flow: undefined, limitMs: undefined, words: [] };
  const [, limited, flow, number, unit] = LIMIT.exec(text) ?? [];
  if (limited !== undefined && (flow === undefined || limited !== 'converged')) {
    return { ...base, kind: limited as Limited, flow, limitMs: Number(number) * (unit === 's' ? 1_000 : 1) };
  }
  const noLoss = NO_LOSS.exec(text);
  if (noLoss !== null) return { ...base, kind: 'loss', flow: noLoss[1], limitMs: 0 };
  const someLoss = SOME_LOSS.exec(text)?.[1];
  if (someLoss !== undefined) return { ...base, kind: 'some loss', flow: someLoss };
  const [, ...detected] = DETECTED.exec(text) ?? [];
  if (detected.length > 0) return { ...base, kind: 'detected', words: detected.filter(Boolean) };
  const path = PATH.exec(text)?.[1];
  if (path !== undefined) return { ...base, kind: 'path', flow: path };
  const absent = Object.entries(ABSENT).find(([sentence]) => sentence === text)?.[1];
  return absent === undefined ? EXPECTATION_ACCEPTS : { ...base, kind: absent };
}

/** Whether the run is as expected, and what was measured. */
export function judge(expectation: Expectation, shown: Shown): ExpectationResult {
  const { passed, measured } = verdict(expectation, shown);
  return { text: expectation.text, passed, measured };
}

type Verdict = Omit<ExpectationResult, 'text'>;

function verdict({ kind, flow: named, limitMs = 0, words }: Expectation, shown: Shown): Verdict {
  const isMeant = ({ from, to }: { readonly from: string; readonly to: string }): boolean =>
    named === undefined || `${from} > ${to}` === named;
  const flows = shown.flows.filter((flow) => flow.kind === 'full' && isMeant(flow));
  switch (kind) {
    case 'loss': {
      // Something must have been sent, or the absence of loss says nothing.
      if (flows.length === 0 || flows.some(({ sent }) => sent === 0))
        return { passed: false, measured: 'nothing sent' };
      const worst = flows.reduce((one, other) => (other.longestLossMs > one.longestLossMs ? other : one));
      const measured = `${text(worst.longestLossMs)} (${worst.from} > ${worst.to}, ${worst.lost} packets)`;
      return {
        passed: limitMs === 0 ? flows.every(({ lost }) => lost === 0) : worst.longestLossMs <= limitMs,
        measured,
      };
    }
    case 'some loss': {
      const lost = flows.reduce((sum, flow) => sum + flow.lost, 0);
      return { passed: lost > 0, measured: `${lost} packets` };
    }
    case 'converged': {
      const { convergedMs } = shown;
      if (convergedMs === null) return { passed: false, measured: 'not before it was mended' };
      return { passed: convergedMs <= limitMs, measured: text(convergedMs) };
    }
    case 'tcp gap': {
      const streams = shown.tcp.filter(isMeant);
      const worst = Math.max(...streams.map(({ longestGapMs }) => longestGapMs));
      const heard = streams.length > 0 && streams.every(({ records }) => records > 1);
      return heard ? { passed: worst <= limitMs, measured: text(worst) } : { passed: false, measured: 'nothing heard' };
    }
    case 'detected': {
      const by = shown.stages.detectedBy;
      return { passed: by !== null && words.includes(by), measured: by ?? 'nothing' };
    }
    case 'path': {
      const count = flows.reduce((sum, flow) => sum + flow.pathChanges.length, 0);
      return { passed: count > 0, measured: `${count} changes` };
    }
    case 'flap':
      return none(shown.flaps, 'sessions');
    case 'log':
      return none(shown.errors, 'lines');
    case 'duplicates':
      return zero(flows.reduce((sum, flow) => sum + flow.duplicates, 0));
    case 'order':
      return zero(flows.reduce((sum, flow) => sum + flow.reordered, 0));
  }
}

function none(found: readonly string[], what: string): Verdict {
  const [first] = found;
  return first === undefined
    ? { passed: true, measured: 'none' }
    : { passed: false, measured: `${found.length} ${what}: ${first}` };
}

function zero(count: number): Verdict {
  return { passed: count === 0, measured: String(count) };
}

function text(ms: number): string {
  return ms >= 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}
