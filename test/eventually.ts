// The one way in which a test waits: ask again until it holds, up to a deadline that fails the test with the last answer.
//
// Not a sleep: it returns at the first answer that is neither `undefined`, `false` nor an exception.

export interface Patience {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/** The first good answer of `check`; rejects at the deadline, naming `what` and the last error. */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  { timeoutMs = 10_000, intervalMs = 10 }: Patience = {},
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  let last: unknown = 'it never held';
  for (;;) {
    try {
      const answer = await check();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
