// How every command that looks at something answers: a table for people, JSON of a known shape for programs.
//
// The shape is checked before it is printed: what `--json` gives is what the reference says, or the command fails.

import type { z } from 'zod';
import { EXIT, ExitError } from '../lib/run/exit.ts';

/** Seconds in the units of an age, from the largest. */
const AGE_UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const;

/** Prints `answer` as one line of JSON, or the lines that `table` makes of it. */
export function print<T>(
  schema: z.ZodType<T>,
  answer: T,
  json: boolean,
  table: (answer: T) => readonly string[],
): void {
  process.stdout.write(`${json ? JSON.stringify(schema.parse(answer)) : table(answer).join('\n')}\n`);
}

/** The answer of a daemon, or `ExitError` (environment) with the text that says why there is none. */
export function answered<T extends object>(answer: T | string): T {
  if (typeof answer === 'string') throw new ExitError(EXIT.environment, `gingham: ${answer}`);
  return answer;
}

/** Names as people count them: node2 before node10. */
export function byName(a: { readonly node: string }, b: { readonly node: string }): number {
  return a.node.localeCompare(b.node, 'en', { numeric: true });
}

/** The time since `since` (ISO 8601) in its two largest units: `3m12s`; at least 0 s where clocks disagree. */
export function ageOf(since: string, nowMs = Date.now()): string {
  return duration(Math.max(0, (nowMs - Date.parse(since)) / 1000));
}

/** Seconds in their two largest units: `2d4h`, `3m12s`, `7s`. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const first = AGE_UNITS.findIndex(([, size]) => whole >= size);
  if (first < 0) return '0s';
  let rest = whole;
  let text = '';
  for (const [unit, size] of AGE_UNITS.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}
