// Figures as people read them, and axes with round numbers. Pure.
//
// A dash is a value that there is not: nothing was lost, nobody detected it, it did not converge.

export const NO_VALUE = '–';
const ROUND_STEPS = [1, 2, 5, 10];

/** Maps milliseconds to a place on a picture. */
export interface Scale {
  readonly fromMs: number;
  readonly toMs: number;
  readonly left: number;
  readonly right: number;
  readonly ticksMs: readonly number[];
}

/** `0.06 ms`, `3.4 ms`, `256 ms`, `12.5 s`. */
export function msText(ms: number | null): string {
  if (ms === null) return NO_VALUE;
  if (ms === 0) return '0 ms';
  if (Math.abs(ms) >= 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${ms.toFixed(Math.abs(ms) < 1 ? 2 : Math.abs(ms) < 10 ? 1 : 0)} ms`;
}

/** `+12 ms`, `−0.4 ms`. */
export function differenceText(ms: number): string {
  return `${ms > 0 ? '+' : ms < 0 ? '−' : '±'}${msText(Math.abs(ms))}`;
}

/** `12.5 %` of 0.125. */
export function shareText(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** `1 run`, `3 runs`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`;
}

/** The first of many, and how many more there are. */
export function firstOf(names: readonly string[], most: number): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(', ')} and ${more} more` : names.join(', ');
}

/** An axis between two pixels with about `ticks` round numbers on it. A span of nothing is taken as a millisecond. */
export function scaleOf(fromMs: number, toMs: number, left: number, right: number, ticks = 7): Scale {
  const end = toMs > fromMs ? toMs : fromMs + 1;
  return { fromMs, toMs: end, left, right, ticksMs: roundNumbers(fromMs, end, ticks) };
}

/** Where a time is on the picture; what is beyond an end is at that end. */
export function placeOf({ fromMs, toMs, left, right }: Scale, ms: number): number {
  const share = (Math.min(toMs, Math.max(fromMs, ms)) - fromMs) / (toMs - fromMs);
  return left + share * (right - left);
}

/** A tick's text: all of an axis in one unit. */
export function tickText({ fromMs, toMs }: Scale, ms: number): string {
  const spanMs = toMs - fromMs;
  if (ms === 0) return '0';
  if (spanMs >= 2_000) return `${Number((ms / 1_000).toFixed(2))} s`;
  return `${Number(ms.toFixed(spanMs < 10 ? 2 : 0))} ms`;
}

function roundNumbers(from: number, to: number, count: number): readonly number[] {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (ROUND_STEPS.find((each) => each * power >= rough) ?? 10);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}
