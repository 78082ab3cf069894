// A token bucket (RFC 4443 section 2.4 f asks for one): so many at once, so many per second in the long run.
// Time is a number that the caller gives; it may stand still but must not go back.

export class TokenBucket {
  readonly #burst: number;
  readonly #perMs: number;
  #tokens: number;
  #filledAtMs = Number.NEGATIVE_INFINITY;

  /** Starts full. */
  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#tokens = burst;
  }

  /** Takes one token where there is one. `nowMs` is monotonic. */
  take(nowMs: number): boolean {
    const filled = this.#tokens + (nowMs - this.#filledAtMs) * this.#perMs;
    this.#tokens = Math.min(this.#burst, filled);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
