// Logs: one JSON object a line through pino, or readable lines on a terminal.
//
// Field names are the field's own terms (peer, prefix, subnet, device, ...); errors go under `err`.

import { createRequire } from 'node:module';
import { type Logger, pino } from 'pino';
import type { PinoPretty } from 'pino-pretty';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A logger for one program, to standard output: pretty where that is a terminal, JSON elsewhere. Writes are synchronous. */
export function createLogger(name: string, level: LogLevel): Logger {
  const options = { name, level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime };
  if (process.stdout.isTTY) return pino(options, loadPretty()({ sync: true, ignore: 'pid,hostname' }));
  return pino(options, pino.destination({ fd: 1, sync: true }));
}

/** Loaded where it is needed: a daemon without a terminal starts faster without it. */
function loadPretty(): typeof PinoPretty {
  return createRequire(import.meta.url)('pino-pretty') as typeof PinoPretty;
}
