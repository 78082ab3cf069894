// Waiting for a fact: ask again and again until it holds, the deadline passes or the signal aborts.
//
// For what offers no event: another process's socket, a file, the kernel's tables.

import { pause, systemClock } from '../lib/run/clock.ts';

export interface PollOptions {
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The first answer of `probe` that is not `undefined`; `undefined` once the deadline has passed or the signal aborted. */
export async function poll<T>(
  options: PollOptions,
  probe: () => T | undefined | Promise<T | undefined>,
): Promise<T | undefined> {
  const deadlineMs = systemClock.monotonicMs() + options.timeoutMs;
  for (;;) {
    if (options.signal?.aborted) return undefined;
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (systemClock.monotonicMs() >= deadlineMs) return undefined;
    await pause(systemClock, options.intervalMs, options.signal);
  }
}
