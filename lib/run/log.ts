// Logs: one JSON object a line through pino, or readable lines on a terminal.
//
// Field names are the field's own terms (peer, prefix, subnet, device, ...); errors go under `err`.

import { createRequire } from 'node:module';
import { type LogFn, type Logger, type LoggerOptions, pino } from 'pino';
import type { PinoPretty } from 'pino-pretty';
import { EVENTS } from './event-ring.ts';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A logger for one program, to standard output: pretty where that is a terminal, JSON elsewhere. Writes are synchronous. */
export function createLogger(name: string, level: LogLevel): Logger {
  const options: LoggerOptions = {
    name,
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    hooks: { logMethod: recordAndLog },
  };
  if (process.stdout.isTTY) return pino(options, loadPretty()({ sync: true, ignore: 'pid,hostname' }));
  return pino(options, pino.destination({ fd: 1, sync: true }));
}

/** What is logged is an event too, whatever the form of the log. */
function recordAndLog(this: Logger, args: Parameters<LogFn>, method: LogFn, level: number): void {
  const [fields, message]: unknown[] = args;
  if (typeof fields === 'object' && fields !== null) EVENTS.record(String(message), { ...fields, level });
  else EVENTS.record(String(fields), { level });
  method.apply(this, args);
}

/** Loaded where it is needed: a daemon without a terminal starts faster without it. */
function loadPretty(): typeof PinoPretty {
  return createRequire(import.meta.url)('pino-pretty') as typeof PinoPretty;
}
