// How gingham's commands for people read their arguments: commander, with errors as one line and an exit code.
//
// The daemons have flags only and read them from a table (lib/run/settings.ts); here are words, as in `lab up --nodes 3`.

import type { Command } from 'commander';
import { EXIT, ExitError } from '../lib/run/exit.ts';

/** An option that may stand before or after the word that names the command. */
export function everywhereOption(
  program: Command,
  flags: string,
  name: string,
  description: string,
  take: (value: string) => void,
): void {
  for (const command of withDescendants(program)) {
    command.option(flags, description).on(`option:${name}`, take);
  }
}

/** Runs the command that `argv` names; gives the exit code of the reading itself. Throws `ExitError` (usage) on one line. */
export async function runCommandLine(program: Command, argv: readonly string[]): Promise<number> {
  for (const command of withDescendants(program)) {
    command.exitOverride().configureOutput({ writeErr: () => undefined });
  }
  if (argv.length === 0) {
    process.stderr.write(program.helpInformation());
    return EXIT.usage;
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === undefined || !code.startsWith('commander.')) throw error;
    if (code === 'commander.helpDisplayed' || code === 'commander.help') return EXIT.ok;
    const reason = message.replace(/^error: /, '').replaceAll('\n', ' ');
    throw new ExitError(EXIT.usage, `${program.name()}: ${reason} (see ${program.name()} --help)`);
  }
}

function withDescendants(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(withDescendants)];
}
