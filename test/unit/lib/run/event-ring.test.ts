// The ring of a daemon's last events: bounded, numbered without gaps, and honest about what it dropped.
//
// The clock is a counter; that log lines and feed changes land in it is shown on a running lab.

import { expect, it } from 'vitest';
import { EventRing, monotonicOf, monotonicUs } from '../../../../lib/run/event-ring.ts';

function parsed(text: string): readonly unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

it('gives what came after the number that the reader has seen', () => {
  let now = 0;
  const ring = new EventRing(10, () => ++now);
  ring.record('session ended', { peer: 'node2', cause: 'bgpd-1-1' });
  ring.record('fib changed', { totalUs: 12n });
  expect(parsed(ring.lines(1))).toEqual([
    { last: 2, dropped: 0, atUs: 3 },
    { seq: 2, atUs: 2, kind: 'fib changed', fields: { totalUs: 12 } },
  ]);
  expect(parsed(ring.lines(2))).toEqual([{ last: 2, dropped: 0, atUs: 4 }]);
});

it('drops the oldest and says how many of those asked for are gone', () => {
  const ring = new EventRing(3, () => 0);
  for (let i = 1; i <= 5; i++) ring.record(`event ${i}`, {});
  expect(parsed(ring.lines(0))).toMatchObject([{ last: 5, dropped: 2 }, { seq: 3 }, { seq: 4 }, { seq: 5 }]);
  expect(parsed(ring.lines(1))).toMatchObject([{ dropped: 1 }, { seq: 3 }, { seq: 4 }, { seq: 5 }]);
  expect(parsed(ring.lines(9))).toMatchObject([{ last: 5, dropped: 0 }]);
});

it('turns a wall clock stamp of this process into the monotonic clock', () => {
  const before = monotonicUs();
  const stamp = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1_000));
  const after = monotonicUs();
  const us = monotonicOf(stamp);
  expect(us).toBeGreaterThanOrEqual(before - 1_000);
  expect(us).toBeLessThanOrEqual(after + 1_000);
});
