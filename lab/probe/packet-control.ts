// What the two threads of a probe share: a few words of memory, and what the thread is given at its start.
//
// Pure declarations; the words are Int32 and used with Atomics only.

import type { ProbeFlow } from './probe-messages.ts';

/** Words of the shared memory. */
export const CONTROL = { phase: 0, sent: 1, heard: 2, length: 3 } as const;
export const PHASE = { run: 0, quiet: 1, stop: 2 } as const;

export interface WorkerInput {
  readonly flows: readonly ProbeFlow[];
  readonly control: SharedArrayBuffer;
}
