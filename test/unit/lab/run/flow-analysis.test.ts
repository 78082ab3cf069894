// Loss windows and the rest from made-up packets: sent every millisecond, heard as the test says.
//
// Times are milliseconds of the run.

import { describe, expect, it } from 'vitest';
import { analyseFlow, type Heard, percentile } from '../../../../lab/run/flow-analysis.ts';

const SENT = Array.from({ length: 10 }, (_, seq) => seq);

function flow(sentMs: readonly number[], heard: readonly Partial<Heard>[]) {
  const packets = heard.map(({ seq = 0, atMs = (sentMs[seq] ?? 0) + 0.2, ttl = 62, by = 'node2' }) => {
    return { seq, atMs, ttl, by };
  });
  return analyseFlow({ from: 'node1', to: 'node2', kind: 'full', intervalMs: 1, sentMs, refused: 0 }, packets);
}

const seqs = (...numbers: readonly number[]): readonly Partial<Heard>[] => numbers.map((seq) => ({ seq }));

describe('loss windows', () => {
  it('are none where all was heard', () => {
    expect(flow(SENT, seqs(...SENT))).toMatchObject({ sent: 10, received: 10, lost: 0, windows: [], longestLossMs: 0 });
  });

  it('reach from the first lost to the first heard after it', () => {
    expect(flow(SENT, seqs(0, 1, 5, 6, 8, 9))).toMatchObject({
      lost: 4,
      windows: [
        { startMs: 2, endMs: 5, packets: 3 },
        { startMs: 7, endMs: 8, packets: 1 },
      ],
      longestLossMs: 3,
    });
  });

  it('that nothing ended have no end and last to the end of the run', () => {
    expect(flow(SENT, seqs(0, 1, 2))).toMatchObject({
      windows: [{ startMs: 3, endMs: null, packets: 7 }],
      longestLossMs: 7,
    });
    expect(flow(SENT, [])).toMatchObject({ received: 0, windows: [{ startMs: 0, endMs: null, packets: 10 }] });
  });

  it('are not made by a sender that paused', () => {
    expect(flow([0, 1, 2, 50, 51], seqs(0, 1, 2, 3, 4))).toMatchObject({ lost: 0, longestLossMs: 0 });
    expect(flow([0, 1, 2, 50, 51], seqs(0, 1, 4))).toMatchObject({ windows: [{ startMs: 2, endMs: 51, packets: 2 }] });
  });

  it('beyond the most that are told are counted, and the longest kept', () => {
    const sent = Array.from({ length: 400 }, (_, seq) => seq);
    const heard = sent.filter((seq) => seq % 4 === 0 && seq !== 200);
    const result = flow(sent, seqs(...heard));
    expect(result.windows).toHaveLength(50);
    expect(result.moreWindows).toBe(49);
    expect(result.longestLossMs).toBe(7);
    expect(result.lost).toBe(301);
  });
});

it('counts a packet that came twice once, and one that came late as reordered, not lost', () => {
  const late = [...seqs(0, 1, 3, 3, 4), { seq: 2, atMs: 4.9 }];
  expect(flow([0, 1, 2, 3, 4], late)).toMatchObject({ received: 5, lost: 0, duplicates: 1, reordered: 1 });
});

it('ignores numbers that were never sent', () => {
  expect(flow([0, 1], [...seqs(0, 1), { seq: 7, atMs: 3 }])).toMatchObject({ received: 2, duplicates: 0 });
});

it('tells where the way changed: another TTL, another pod', () => {
  const heard = [{ seq: 0 }, { seq: 1, ttl: 61 }, { seq: 2, ttl: 61 }, { seq: 3, by: 'node3' }];
  expect(flow([0, 1, 2, 3], heard).pathChanges).toEqual([
    { atMs: 1.2, was: 'node2, TTL 62', is: 'node2, TTL 61' },
    { atMs: 3.2, was: 'node2, TTL 61', is: 'node3, TTL 62' },
  ]);
});

it('takes percentiles by nearest rank', () => {
  expect([0.5, 0.9, 0.99, 1].map((share) => percentile([4, 1, 3, 2], share))).toEqual([2, 4, 4, 4]);
  expect(percentile([], 0.5)).toBeNull();
});
