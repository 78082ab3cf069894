// Notices a step of the reconciler that does not end: a listing or a write for which the kernel lets felix wait for ever
// would otherwise look like a felix with nothing to do.

import type { Clock } from '../../lib/run/clock.ts';

/** Far beyond a listing of a million routes on a busy machine. */
const STEP_MAX_MS = 60_000;

export type Step = 'list' | 'settle' | 'write';

/** The step at work, for `/status`. */
export interface StepAtWork {
  readonly step: Step;
  readonly sinceMs: number;
}

export class Watchdog {
  readonly #clock: Clock;
  readonly #late: (error: Error) => void;
  #at: StepAtWork | undefined;

  /** `late` is told, once for each, of a step that takes longer than a minute. */
  constructor(clock: Clock, late: (error: Error) => void) {
    this.#clock = clock;
    this.#late = late;
  }

  /** The step at work; `undefined` between two. */
  get at(): StepAtWork | undefined {
    return this.#at;
  }

  /** Runs one step and watches it. Gives and throws what it does. */
  async watch<T>(step: Step, run: () => Promise<T>): Promise<T> {
    this.#at = { step, sinceMs: this.#clock.monotonicMs() };
    const cancel = this.#clock.after(STEP_MAX_MS, () =>
      this.#late(new Error(`the step "${step}" has not ended within ${STEP_MAX_MS / 1000} s`)),
    );
    try {
      return await run();
    } finally {
      cancel();
      this.#at = undefined;
    }
  }
}
