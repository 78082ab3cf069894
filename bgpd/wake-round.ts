// When peers are told what is due to them: in one round, soon after something changed, and the later the more there were.
//
// Soon is not at once: the turn in which the own feed is sent, and the one that writes it, come first.

import type { Clock } from '../lib/run/clock.ts';

/** Peers told something, for each millisecond of pause before the next round (RFC 4271 section 9.2.1.1 has a fixed time). */
const PEERS_PER_MS = 10;

export class WakeRound {
  readonly #clock: Clock;
  readonly #wake: () => number;
  #scheduled = false;
  #notBeforeMs = 0;

  /** `wake` tells every peer that has something due, and gives how many had. */
  constructor(clock: Clock, wake: () => number) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Many calls before the round, one round. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const clock = this.#clock;
    const round = (): void => {
      this.#scheduled = false;
      this.#notBeforeMs = clock.monotonicMs() + this.#wake() / PEERS_PER_MS;
    };
    const pauseMs = this.#notBeforeMs - clock.monotonicMs();
    if (pauseMs < 1) clock.nextTurn(() => clock.nextTurn(round));
    else clock.after(pauseMs, round);
  }
}
