#!/usr/bin/env node
// The gingham command: `gingham ping`, `gingham status`, ... on a node or in its container.
//
// `health` is run by container engines every few seconds, so it is read here by hand and loads next to nothing.

import { EXIT, ExitError, errorText } from '../lib/run/exit.ts';
import { health } from './health.ts';

const DEFAULT_RUN_FOLDER = '/run/gingham';

try {
  process.exitCode = await main(process.argv.slice(2), process.env['GINGHAM_RUN_DIR'] ?? DEFAULT_RUN_FOLDER);
} catch (error) {
  process.stderr.write(
    `${error instanceof ExitError ? errorText(error) : ((error as Error).stack ?? String(error))}\n`,
  );
  process.exitCode = error instanceof ExitError ? error.exitCode : EXIT.internal;
}

async function main(argv: readonly string[], runFolder: string): Promise<number> {
  const [command, daemon, flag, folder, ...more] = argv;
  if (command === 'health' && daemon !== undefined && !daemon.startsWith('-') && more.length === 0) {
    if (flag === undefined) return health(daemon, runFolder);
    if (flag === '--run-dir' && folder !== undefined) return health(daemon, folder);
  }
  const { runCommand } = await import('./commands.ts');
  return runCommand(argv, runFolder);
}
