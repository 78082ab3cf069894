// Runs one pass after another, never two at a time: when poked, at an interval, and again after a failure with backoff.
//
// A poke during a pass means one more pass after it, however many pokes there were. Passes that poke themselves for ever
// (a value that does not stick, somebody who writes it back) are held to a walking pace. A failing pass is logged for the
// first of a series and then ever more rarely.

import type { Logger } from 'pino';
import { type Backoff, backoffDelayMs } from '../../lib/run/backoff.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import { isMilestone } from '../persist.ts';

const RETRY: Backoff = { firstMs: 20, capMs: 5_000 };
/** Passes that may follow each other at once; after them, one per `PACE_MS`. */
const BURST = 10;
const PACE_MS = 100;

export interface ReconcileLoopOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** For the log: `flannel.1`. */
  readonly name: string;
  /** Between two passes that nobody asked for, milliseconds; 50 to 100 % of it. */
  readonly periodMs: number;
  /** `periodic`: nobody asked for it, so look at everything. */
  pass(periodic: boolean): Promise<void>;
}

export class ReconcileLoop {
  readonly #options: ReconcileLoopOptions;
  #running: Promise<void> | undefined;
  #wanted = false;
  #failures = 0;
  #stopped = false;
  #credit = BURST;
  #creditAtMs = 0;
  #cancelTimer: () => void = () => undefined;

  constructor(options: ReconcileLoopOptions) {
    this.#options = options;
  }

  /** Failures in a row up to now. */
  get failures(): number {
    return this.#failures;
  }

  /** Asks for a pass. */
  poke(): void {
    if (this.#stopped) return;
    this.#wanted = true;
    if (this.#running === undefined) this.#next();
  }

  /** Resolves when nothing runs and nothing was asked for. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Ends it; resolves when the running pass, if any, is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.settled();
  }

  #begin(periodic: boolean): void {
    this.#cancelTimer();
    this.#running = this.#run(periodic).finally(() => {
      this.#running = undefined;
      if (this.#stopped) return;
      if (this.#wanted && this.#failures === 0) this.#next();
      else this.#sleep();
    });
  }

  /** The pass that was asked for: now, or at the pace. */
  #next(): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#credit = Math.min(BURST, this.#credit + (nowMs - this.#creditAtMs) / PACE_MS);
    this.#creditAtMs = nowMs;
    this.#cancelTimer();
    if (this.#credit < 1) {
      this.#cancelTimer = clock.after(PACE_MS, () => this.#begin(false));
      return;
    }
    this.#credit--;
    this.#begin(false);
  }

  async #run(periodic: boolean): Promise<void> {
    const { log, name } = this.#options;
    this.#wanted = false;
    try {
      await this.#options.pass(periodic);
      if (this.#failures > 0) log.info({ device: name, failures: this.#failures }, 'reconciled again');
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      if (!isMilestone(this.#failures)) return;
      log.warn({ device: name, failures: this.#failures, reason: errorText(error) }, 'cannot reconcile: trying again');
    }
  }

  #sleep(): void {
    const failed = this.#failures > 0;
    const { clock, periodMs } = this.#options;
    const delayMs = failed ? backoffDelayMs(RETRY, this.#failures - 1) : periodMs * (0.5 + Math.random() / 2);
    this.#cancelTimer = clock.after(delayMs, () => this.#begin(!failed));
  }
}
