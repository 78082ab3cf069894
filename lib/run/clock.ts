// Time as an injected number, so that nothing in a core or a test waits for a real second.
//
// `monotonicMs` is for intervals and deadlines (never jumps); `unixMicros` is for stamps that leave the process.

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back, unaffected by clock changes. */
  monotonicMs(): number;
  /** Microseconds since the Unix epoch, by the wall clock. */
  unixMicros(): bigint;
  /** Runs `callback` once after `delayMs`; the returned function cancels it and may be called at any time. */
  after(delayMs: number, callback: () => void): () => void;
  /** Runs `callback` in the next turn of the event loop: what can be read by then was read. */
  nextTurn(callback: () => void): void;
}

/** The machine's clock. Its timers keep the process alive until they fire or are cancelled. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  unixMicros: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  nextTurn: (callback) => void setImmediate(callback),
};

/** Resolves after `delayMs`, or at once when `signal` aborts: the caller looks at the signal. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      cancel();
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal?.addEventListener('abort', finish, { once: true });
  });
}
