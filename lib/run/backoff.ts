// Delays between attempts: exponential with a cap and jitter, a pure value that the caller steps.
//
// Jitter is downwards only (50 to 100 % of the nominal delay), so that the cap is a promise.

export interface Backoff {
  readonly firstMs: number;
  readonly capMs: number;
}

/** Delay before attempt `attempt` (0 for the first retry), milliseconds. `random` is in [0, 1). */
export function backoffDelayMs(backoff: Backoff, attempt: number, random: number = Math.random()): number {
  const nominal = Math.min(backoff.capMs, backoff.firstMs * 2 ** Math.min(attempt, 30));
  return nominal * (0.5 + random / 2);
}
