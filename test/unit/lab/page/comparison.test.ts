// What is a regression between two results, and what only looks like one.
//
// Medians of made-up runs: converged after detection and seven milliseconds.

import { describe, expect, it } from 'vitest';
import { compareResults } from '../../../../lab/page/comparison.ts';
import { comparisonNotes, comparisonPage, comparisonTable } from '../../../../lab/page/comparison-report.ts';
import { type Sample, sampleResults } from './sample-results.ts';

describe('compareResults', () => {
  it.each([
    ['the same', {}, {}, 'same', []],
    ['23 % slower', { detectMs: 193 }, { detectMs: 239 }, 'regression', ['converged is worse', 'loss is worse']],
    ['18 % slower', { detectMs: 193 }, { detectMs: 229 }, 'same', []],
    ['much slower, but less than the probe can tell', { detectMs: 0 }, { detectMs: 0.9 }, 'same', []],
    ['23 % faster', { detectMs: 239 }, { detectMs: 193 }, 'better', []],
    [
      'no longer converging in one of four runs',
      { runs: 4 },
      { runs: 4, neverConverged: [4] },
      'regression',
      ['does not converge in 1 of 4 runs', 'no longer as expected'],
    ],
    ['no worse where it never did', { neverConverged: [1] }, { neverConverged: [1] }, 'same', []],
    ['converging again', { neverConverged: [1] }, {}, 'better', []],
    ['a median that one slow run does not move', { runs: 5 }, { runs: 5, detectMs: 180 }, 'same', []],
    ['no longer made', { runs: 2 }, { runs: 2, notMade: [2] }, 'regression', ['no longer as expected']],
    ['loss where there was none', { withoutLoss: true }, {}, 'regression', ['loss is worse']],
  ] satisfies [string, Sample, Sample, string, string[]][])('%s', (_name, before, after, verdict, reasons) => {
    const { scenarios, regressions } = compareResults(sampleResults(before), sampleResults(after));
    expect(scenarios[0]).toMatchObject({ verdict, reasons });
    expect(regressions).toBe(verdict === 'regression' ? 1 : 0);
  });

  it('gives both medians and the difference of every metric', () => {
    const before = sampleResults({ runs: 3 });
    const after = sampleResults({ runs: 3, detectMs: 280, withoutLoss: true });
    const { metrics } = compareResults(before, after).scenarios[0] ?? {};
    expect(metrics?.map(({ metric }) => metric)).toEqual([
      ...['converged', 'loss', 'detect', 'decide', 'feed', 'kernel', 'packet'],
    ]);
    expect(metrics?.[0]).toEqual({
      ...{ metric: 'converged', beforeMs: 197, afterMs: 297, differenceMs: 100, verdict: 'worse' },
    });
    expect(metrics?.[1]).toMatchObject({ beforeMs: 197, afterMs: 0, verdict: 'better' });
    expect(metrics?.[6]).toEqual({
      ...{ metric: 'packet', beforeMs: 1, afterMs: null, differenceMs: null, verdict: 'unknown' },
    });
  });

  it('does not compare what is in one of the two only, and says what makes comparing hard', () => {
    const before = sampleResults({ name: 'a' }, { name: 'b' });
    const after = {
      ...sampleResults({ name: 'b' }, { name: 'c' }),
      machine: { cpus: 8, kernel: '6.1.0', node: 'v20.19.0' },
    };
    const { scenarios, cautions } = compareResults(before, after);
    expect(scenarios.map(({ scenario, verdict }) => `${scenario} ${verdict}`)).toEqual([
      ...['a only-before', 'b same', 'c only-after'],
    ]);
    expect(cautions).toEqual([
      'the machines differ: CPU cores 2 before, 8 after',
      'some scenarios ran only once: one run says little about the next',
    ]);
  });
});

describe('the report of a comparison', () => {
  const before = sampleResults({ runs: 3 }, { name: 'gone', runs: 2 });
  const after = sampleResults({ runs: 3, detectMs: 280, neverConverged: [1] });
  const comparison = compareResults(before, after);

  it('is a table with the worse marked, the reasons and the rule', () => {
    const [, kill, gone] = comparisonTable(comparison).map((row) => row.join(' | '));
    expect(kill).toMatch(/^kill-node \| 3, 3 \| 197 ms → 297 ms \(\+100 ms\) ! \| .*\+100 ms ! .*REGRESSION$/);
    expect(gone).toMatch(/^gone \| 2, 0 \| – .*only before$/);
    const notes = comparisonNotes(comparison);
    expect(notes[0]).toBe(
      'kill-node: converged is worse; loss is worse; does not converge in 1 of 3 runs; no longer as expected',
    );
    expect(notes.at(-1)).toMatch(/^1 regression; ! is worse\. A time is worse when/);
  });

  it('is a page that says the same in words', () => {
    const page = comparisonPage(comparison, [before, after], ['a.json', '<b>.json']);
    expect(page).toContain('✗ regression');
    expect(page).toContain('▲ worse');
    expect(page).toContain('not compared: it is in one of the two only');
    expect(page).toContain('&lt;b&gt;.json');
  });
});
