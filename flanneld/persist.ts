// Tries something against etcd until it works: waiting helps when etcd is away, and does not when it says no.
//
// The log gets the first failure and then ever rarer ones (the 2nd, 4th, 8th, ...), each with its count.

import type { Logger } from 'pino';
import { RegistryError } from '../lib/registry/registry.ts';
import { type Backoff, backoffDelayMs } from '../lib/run/backoff.ts';
import { type Clock, pause } from '../lib/run/clock.ts';
import { EXIT, ExitError, errorText } from '../lib/run/exit.ts';

const RETRY: Backoff = { firstMs: 250, capMs: 5_000 };

export interface Persistence {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Thrown by an attempt that should be made again after a wait; its message says what is waited for. */
export class NotYet extends Error {
  override readonly name = 'NotYet';
}

/**
 * The first result of `attempt`. Rejects with the signal's reason when it aborts, with `ExitError` (config) where etcd
 * refuses, and with anything else that `attempt` throws.
 */
export async function persist<T>(what: string, attempt: () => Promise<T>, context: Persistence): Promise<T> {
  const { clock, log, signal } = context;
  for (let failures = 0; ; ) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'refused') {
        throw new ExitError(EXIT.config, `cannot ${what}: etcd refuses`, { cause: error });
      }
      if (!(error instanceof RegistryError || error instanceof NotYet)) throw error;
      failures++;
      if (isMilestone(failures)) log.warn({ failures, reason: errorText(error) }, `waiting to ${what}`);
    }
    await pause(clock, backoffDelayMs(RETRY, failures - 1), signal);
  }
}

/** 1, 2, 4, 8, ...: what of a series of equal failures is worth a log line. */
export function isMilestone(count: number): boolean {
  return (count & (count - 1)) === 0;
}
