// What a benchmark is to `npm run bench`, and what its options look like.
// It knows no benchmark; the list of them is in main.ts.

import { EXIT, ExitError } from '../../lib/run/exit.ts';

export interface Bench {
  readonly name: string;
  /** One line for the list. */
  readonly summary: string;
  /** `args` without --json; `say` takes lines of progress. Cleans up whatever happens, also when it is aborted. */
  run(args: readonly string[], say: (line: string) => void, signal: AbortSignal): Promise<BenchResult>;
}

export interface BenchResult {
  /** What --json prints. */
  readonly json: unknown;
  /** What a person reads. */
  readonly text: string;
}

/** Reads `--name value` and `--name=value` pairs. Throws `ExitError` (usage) for a name that is not among `known`. */
export function readOptions<K extends string>(
  args: readonly string[],
  known: readonly K[],
): Readonly<Partial<Record<K, string>>> {
  const options: Partial<Record<K, string>> = {};
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] as string;
    const [name = '', given] = argument.replace(/^--/, '').split(/=(.*)/s);
    const key = known.find((candidate) => candidate === name);
    const value = given ?? args[++i];
    if (!argument.startsWith('--') || key === undefined || value === undefined) {
      const accepted = known.map((candidate) => `--${candidate} <value>`).join(', ');
      throw new ExitError(EXIT.usage, `option "${argument}" is not accepted or lacks a value; accepted: ${accepted}`);
    }
    options[key] = value;
  }
  return options;
}

/** A whole number of at least 1; `fallback` where it was not given. Throws `ExitError` (usage). */
export function countOption(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1) return value;
  throw new ExitError(EXIT.usage, `--${name} "${text}" is not accepted; accepted: a whole number of at least 1`);
}

/** How kindly the programs of a benchmark run; 0 where it was not given. Throws `ExitError` (usage). */
export function nicenessOption(text: string | undefined): number {
  const value = Number(text ?? 0);
  if (Number.isInteger(value) && value >= -20 && value <= 19) return value;
  throw new ExitError(EXIT.usage, `--nice "${text}" is not accepted; accepted: a whole number from -20 to 19`);
}

/** A list such as `a,b`, all of which must be accepted; all where nothing was given. Throws `ExitError` (usage). */
export function chosenOption<T extends string>(
  name: string,
  text: string | undefined,
  accepted: readonly T[],
): readonly T[] {
  if (text === undefined) return accepted;
  return text.split(',').map((word) => {
    const found = accepted.find((candidate) => candidate === word);
    if (found !== undefined) return found;
    throw new ExitError(EXIT.usage, `--${name} "${word}" is not accepted; accepted: ${accepted.join(', ')}`);
  });
}
