// Command-line flags and environment variables of a daemon: one table says name, default, help and what is accepted.
//
// A flag wins over its variable, the variable over the default. The table is also the `--help` text, so the two cannot
// disagree. A wrong value ends the program with one line that names the flag, the value and what is accepted.

import { Command, Option } from 'commander';
import { EXIT, ExitError } from './exit.ts';

/** One setting. `parse` gives `undefined` for a text that is not accepted; `accepts` says in words what is. */
export interface Setting<T> {
  readonly help: string;
  readonly accepts: string;
  /** Text of the default, as a user would type it. */
  readonly default: string;
  readonly parse: (text: string) => T | undefined;
  /** The flag may stand without a value, which means "true". */
  readonly isSwitch?: boolean;
  /** Never printed. */
  readonly secret?: boolean;
}

/** The flag of every daemon that reads settings, says what is wrong with them, and ends. */
export const CHECK_SETTINGS = 'check-settings';

export type SettingTable = Readonly<Record<string, Setting<unknown>>>;
export type SettingValues<S extends SettingTable> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
};

/** What a program is, for its `--help`. */
export interface Program {
  readonly name: string;
  readonly summary: string;
  /** Variables are this, then the flag in upper case with `_`: `FLANNELD_` + `ETCD_PREFIX`. */
  readonly envPrefix: string;
}

/** Any text, the empty one included. */
export function text(fallback: string, help: string): Setting<string> {
  return { help, accepts: 'any text', default: fallback, parse: (value) => value };
}

/** A whole number from `min` to `max`; `unit` is said in the error. */
export function integer(fallback: number, min: number, max: number, unit: string, help: string): Setting<number> {
  return {
    help,
    accepts: `a whole number${unit === '' ? '' : ` of ${unit}`} from ${min} to ${max}`,
    default: String(fallback),
    parse(value) {
      const number = Number(value);
      return /^\d+$/.test(value) && number >= min && number <= max ? number : undefined;
    },
  };
}

/** true or false; the bare flag means true. */
export function toggle(fallback: boolean, help: string): Setting<boolean> {
  return {
    help,
    accepts: 'true or false',
    default: String(fallback),
    isSwitch: true,
    parse: (value) =>
      value === 'true' || value === '1' ? true : value === 'false' || value === '0' ? false : undefined,
  };
}

/** One of the listed words. */
export function choice<const W extends string>(words: readonly W[], fallback: W, help: string): Setting<W> {
  return {
    help,
    accepts: `one of ${words.join(', ')}`,
    default: fallback,
    parse: (value) => words.find((word) => word === value),
  };
}

/** A comma-separated list, each part through `parsePart`; the empty text is the empty list. */
export function list<T>(
  fallback: string,
  accepts: string,
  help: string,
  parsePart: (part: string) => T | undefined,
): Setting<readonly T[]> {
  return {
    help,
    accepts: `a comma-separated list of ${accepts}`,
    default: fallback,
    parse(value) {
      const parts = value.split(',').map((part) => part.trim());
      const parsed = parts.filter((part) => part !== '').map(parsePart);
      return parsed.every((part) => part !== undefined) ? (parsed as T[]) : undefined;
    },
  };
}

/** Reads every setting of `table`. Throws `ExitError` (usage) on the first that is wrong; prints help or version and exits when asked to. */
export function readSettings<const S extends SettingTable>(
  program: Program,
  table: S,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): SettingValues<S> {
  const command = new Command(program.name)
    .description(program.summary)
    .helpOption('-h, --help', 'print this and exit');
  command.option(`--${CHECK_SETTINGS}`, 'only say whether flags, variables and the files they name are right');
  command
    .addHelpText('after', HELP_EXIT_CODES)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  for (const [flag, setting] of Object.entries(table)) command.addOption(optionOf(program, flag, setting));
  parseArguments(program, command, argv);
  const given: Record<string, string | boolean> = command.opts();
  const values = Object.entries(table).map(([flag, setting]) => {
    const variable = variableOf(program, flag);
    const fromFlag = given[camelCase(flag)];
    const raw = fromFlag === undefined ? env[variable] : String(fromFlag);
    return [flag, settingValue(program, flag, setting, raw, fromFlag === undefined ? `${variable}=` : `--${flag} `)];
  });
  return Object.fromEntries(values) as SettingValues<S>;
}

const HELP_EXIT_CODES = `
Exit codes: 0 stopped as asked; 1 unexpected failure; 2 a flag or variable is wrong; 3 configuration that was read is
wrong; 4 this machine cannot run it; 5 another node holds what this one held.`;

function optionOf(program: Program, flag: string, setting: Setting<unknown>): Option {
  const form = setting.isSwitch ? `--${flag} [true|false]` : `--${flag} <value>`;
  const facts = `[${setting.accepts}; default: ${setting.default === '' ? 'none' : setting.default}; ${variableOf(program, flag)}]`;
  return new Option(form, `${setting.help} ${facts}`);
}

/** The environment variable of a flag. */
export function variableOf(program: Program, flag: string): string {
  return program.envPrefix + flag.toUpperCase().replaceAll('-', '_');
}

function camelCase(flag: string): string {
  return flag.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

function parseArguments(program: Program, command: Command, argv: readonly string[]): void {
  try {
    command.parse(argv, { from: 'user' });
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === 'commander.helpDisplayed') process.exit(EXIT.ok);
    throw new ExitError(EXIT.usage, `${program.name}: ${message.replace(/^error: /, '')} (see ${program.name} --help)`);
  }
}

function settingValue<T>(
  program: Program,
  flag: string,
  setting: Setting<T>,
  raw: string | undefined,
  origin: string,
): T {
  const parsed = setting.parse(raw ?? setting.default);
  if (parsed !== undefined) return parsed;
  const shown = setting.secret ? '(hidden)' : JSON.stringify(raw ?? setting.default);
  throw new ExitError(
    EXIT.usage,
    `${program.name}: ${origin}${shown} is not accepted: --${flag} takes ${setting.accepts}`,
  );
}
