// Notices that the machine slept. A lease in etcd goes on running out meanwhile; our timers and our clock stand still.
//
// Linux has two clocks that nobody can set: CLOCK_MONOTONIC, which stops in a suspend and which Node's timers go by, and
// CLOCK_BOOTTIME, which goes on. What one is ahead of the other by is the time slept. The wall clock takes no part in
// this: somebody who sets it changes nothing.

import { uptime } from 'node:os';
import type { Clock } from '../lib/run/clock.ts';

const TICK_MS = 1_000;
/** /proc/uptime counts hundredths of a second; less than this is no sleep. */
const SLEEP_MS = 1_000;

/** CLOCK_BOOTTIME, milliseconds. */
export function bootMs(): number {
  return uptime() * 1000;
}

/** Calls `onSleep` with the milliseconds slept, soon after each sleep. The returned function ends it. */
export function watchSleep(
  clock: Clock,
  onSleep: (durationMs: number) => void,
  boot: () => number = bootMs,
): () => void {
  let aheadMs = boot() - clock.monotonicMs();
  let cancel: () => void = () => undefined;
  const tick = (): void => {
    const nowMs = boot() - clock.monotonicMs();
    const sleptMs = nowMs - aheadMs;
    aheadMs = nowMs;
    if (sleptMs >= SLEEP_MS) onSleep(sleptMs);
    cancel = clock.after(TICK_MS, tick);
  };
  cancel = clock.after(TICK_MS, tick);
  return () => cancel();
}
