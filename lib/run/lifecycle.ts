// The life of a daemon process: read settings, start, wait for a signal or a fatal error, stop in order, exit with a code.
//
// A daemon is a function from context to a running thing with `stop`. Nothing else calls process.exit or installs signals.

import { mkdir } from 'node:fs/promises';
import { EXIT, ExitError, errorText } from './exit.ts';
import type { Logger } from './log.ts';
import { openServiceManager } from './service-manager.ts';
import { CHECK_SETTINGS } from './settings.ts';

/** Stopping takes at most this long; then the process ends all the same. */
export const STOP_DEADLINE_MS = 1_800;

export interface DaemonContext {
  readonly log: Logger;
  /** Aborts when the daemon is asked to stop. */
  readonly signal: AbortSignal;
  /** Ends the daemon with this error: an `ExitError` gives its own exit code, any other 1. */
  fail(error: unknown): void;
}

export interface RunningDaemon {
  /** Stops in order; called once. */
  stop(): Promise<void>;
}

/**
 * Runs until SIGTERM, SIGINT or `context.fail`, then exits the process. Never returns. With --check-settings it exits at
 * once: whoever calls this has read its settings.
 */
export async function runDaemon(
  log: Logger,
  start: (context: DaemonContext) => Promise<RunningDaemon>,
): Promise<never> {
  if (process.argv.includes(`--${CHECK_SETTINGS}`)) process.exit(EXIT.ok);
  const manager = await openServiceManager();
  const stopping = new AbortController();
  let end: (reason: unknown) => void = () => undefined;
  const ended = new Promise<unknown>((resolve) => {
    end = resolve;
  });
  const fail = (reason: unknown): void => {
    if (stopping.signal.aborted && typeof reason !== 'string') log.warn({ err: reason }, 'failure while stopping');
    end(reason);
  };
  // Not `once`: a second signal while stopping (timeout, Ctrl-C and a parent that forwards it) must not cut the stop short.
  for (const event of ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection']) process.on(event, fail);
  const starting = start({ log, signal: stopping.signal, fail }).catch((error: unknown) => {
    fail(error);
    return undefined;
  });
  // Not when all promises hold: a node may wait for etcd for hours, and must not be ended for it.
  manager.ready();
  const reason = await ended;
  manager.stopping();
  stopping.abort();
  const exitCode = typeof reason === 'string' ? EXIT.ok : reportFailure(log, reason);
  if (typeof reason === 'string') log.info({ signal: reason }, 'stopping');
  setTimeout(() => endAfterDeadline(log, exitCode), STOP_DEADLINE_MS).unref();
  await starting
    .then((daemon) => daemon?.stop())
    .catch((error: unknown) => log.warn({ err: error }, 'stopping was not clean'));
  if (exitCode === EXIT.ok) log.info('stopped');
  process.exit(exitCode);
}

/** Runs `main` of a daemon or command, turning an `ExitError` thrown before there is a log into one line on standard error. */
export async function runMain(main: () => Promise<unknown>): Promise<void> {
  try {
    await main();
  } catch (error) {
    process.stderr.write(
      error instanceof ExitError
        ? `${error.message}\n`
        : `${error instanceof Error ? error.stack : errorText(error)}\n`,
    );
    process.exit(error instanceof ExitError ? error.exitCode : EXIT.internal);
  }
}

/** Makes the folder for sockets, mode 0755: the sockets in it are 0600. */
export async function ensureRunFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new ExitError(EXIT.environment, `cannot make the run folder ${path} (--run-dir)`, { cause: error });
  }
}

function reportFailure(log: Logger, error: unknown): number {
  if (error instanceof ExitError) {
    log.fatal({ exitCode: error.exitCode }, errorText(error));
    return error.exitCode;
  }
  log.fatal({ err: error, exitCode: EXIT.internal }, 'unexpected failure');
  return EXIT.internal;
}

function endAfterDeadline(log: Logger, exitCode: number): never {
  log.error({ deadlineMs: STOP_DEADLINE_MS }, 'stopping took too long: ending');
  process.exit(exitCode === EXIT.ok ? EXIT.internal : exitCode);
}
