// The lab's own link without a network: delay to the millisecond of the given clock, loss by the seed, order kept.
//
// What it does between two real interfaces is shown in test/topology.

import { expect, it } from 'vitest';
import { DelayLine } from '../../../../lab/link/delay-line.ts';
import { linkRules, linkTap } from '../../../../lab/link/link-rules.ts';

function passed(line: DelayLine<number>, nowMs: number): readonly number[] {
  const items: number[] = [];
  for (let item = line.take(nowMs); item !== undefined; item = line.take(nowMs)) items.push(item);
  return items;
}

it('holds each packet for the delay and gives them in order', () => {
  const line = new DelayLine<number>(5, 0, 1);
  for (const [item, atMs] of [
    [1, 0],
    [2, 1],
    [3, 4],
  ] as const) {
    line.add(item, atMs);
  }
  expect(line.waitMs(3)).toBe(2);
  expect(passed(line, 4.9)).toEqual([]);
  expect(passed(line, 6)).toEqual([1, 2]);
  expect(passed(line, 100)).toEqual([3]);
  expect(line.waitMs(100)).toBeUndefined();
});

it('loses about its share, and the same packets with the same seed', () => {
  const survivors = (seed: number): readonly number[] => {
    const line = new DelayLine<number>(0, 10, seed);
    for (let i = 0; i < 5_000; i++) line.add(i, 0);
    return passed(line, 0);
  };
  expect(survivors(7)).toEqual(survivors(7));
  expect(survivors(7)).not.toEqual(survivors(8));
  expect(survivors(7).length).toBeGreaterThan(4_400);
  expect(survivors(7).length).toBeLessThan(4_600);
});

it('loses everything at 100 % and nothing at 0 %', () => {
  for (const [loss, count] of [
    [100, 0],
    [0, 1_000],
  ] as const) {
    const line = new DelayLine<number>(0, loss, 1);
    for (let i = 0; i < 1_000; i++) line.add(i, 0);
    expect(passed(line, 0)).toHaveLength(count);
  }
});

it('is bounded as a queue is', () => {
  const line = new DelayLine<number>(1_000, 0, 1);
  for (let i = 0; i < 10_003; i++) line.add(i, 0);
  expect(line.overflowed).toBe(3);
  expect(passed(line, 1_000)).toHaveLength(10_000);
});

it('names what it makes after the interface, within the kernel’s 15 characters', () => {
  expect(linkTap('to-leaf1')).toBe('lk-to-leaf1');
  expect(linkTap('to-abcdefghijkl')).toHaveLength(15);
  expect(linkRules('to-tor1.2')).toContain('add chain netdev ghlink-to-tor1_2 out');
});
