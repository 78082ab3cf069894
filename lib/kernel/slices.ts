// Long work on the main thread, cut so that the event loop gets its turn every few milliseconds.
// Nothing is pre-empted: the work says where it can be cut.

import { setImmediate as nextTurn } from 'node:timers/promises';

/** Longest stretch of work before the event loop runs; a piece of work that has begun is not cut further. */
const SLICE_MS = 8;

/** A function to await after each piece of work: it lets the event loop run when a slice is over. */
export function slices(): () => Promise<void> {
  let startedAt = performance.now();
  return async () => {
    if (performance.now() - startedAt < SLICE_MS) return;
    await nextTurn();
    startedAt = performance.now();
  };
}
