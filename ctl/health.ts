// `gingham health <daemon>`: is this daemon ready? For container health checks, so it imports next to nothing.
//
// It asks the daemon itself, so a container is healthy exactly when the daemon says that its promises hold.

import { EXIT, ExitError } from '../lib/run/exit.ts';
import { askReadiness, DAEMONS, type DaemonName, failingChecks } from './daemon-http.ts';

/** Exit code 0 when the daemon's /readyz holds, 1 (with the failing checks on standard error) when it does not. */
export async function health(daemonName: string, runFolder: string): Promise<number> {
  const daemon = DAEMONS.find((name) => name === daemonName);
  if (daemon === undefined) {
    throw new ExitError(EXIT.usage, `gingham health: ${JSON.stringify(daemonName)} is none of ${DAEMONS.join(', ')}`);
  }
  const problem = await problemOf(daemon, runFolder);
  if (problem === undefined) return EXIT.ok;
  process.stderr.write(`${problem}\n`);
  return EXIT.internal;
}

async function problemOf(daemon: DaemonName, runFolder: string): Promise<string | undefined> {
  const readiness = await askReadiness(runFolder, daemon);
  if (typeof readiness === 'string') return readiness;
  return readiness.ready ? undefined : `${daemon} is not ready: ${failingChecks(readiness)}`;
}
