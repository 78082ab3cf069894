// Polling: the first answer, the deadline, the abort.
//
// With the real clock, in milliseconds.

import { expect, it } from 'vitest';
import { poll } from '../../../ctl/poll.ts';

it('gives the first answer, falsy ones included', async () => {
  const answers = [undefined, undefined, false, true];
  expect(await poll({ timeoutMs: 1_000, intervalMs: 1 }, () => answers.shift())).toBe(false);
  expect(answers).toEqual([true]);
});

it('gives undefined after the deadline, having asked at least once', async () => {
  let asked = 0;
  const probe = (): undefined => void asked++;
  expect(await poll({ timeoutMs: 0, intervalMs: 1 }, probe)).toBeUndefined();
  expect(asked).toBe(1);
});

it('ends at once when the signal aborts', async () => {
  const abort = new AbortController();
  const polling = poll({ timeoutMs: 60_000, intervalMs: 60_000, signal: abort.signal }, () => undefined);
  abort.abort();
  expect(await polling).toBeUndefined();
});
