// Backoff: doubles, stays under the cap whatever the attempt, jitters downwards only.
//
// The random number is given, so each expected delay is exact.

import { expect, it } from 'vitest';
import { backoffDelayMs } from '../../../../lib/run/backoff.ts';

const backoff = { firstMs: 100, capMs: 5_000 };

it('doubles from the first delay to the cap', () => {
  expect([0, 1, 2, 5, 6, 7].map((attempt) => backoffDelayMs(backoff, attempt, 1))).toEqual([
    100, 200, 400, 3_200, 5_000, 5_000,
  ]);
});

it('takes off at most half', () => {
  expect(backoffDelayMs(backoff, 0, 0)).toBe(50);
  expect(backoffDelayMs(backoff, 1_000_000, 0)).toBe(2_500);
});
