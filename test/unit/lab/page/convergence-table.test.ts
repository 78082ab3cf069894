// The Markdown page of all scenarios.
//
// A dash stands for no value, and nothing that a file says becomes markup.

import { describe, expect, it } from 'vitest';
import { convergencePage } from '../../../../lab/page/convergence-table.ts';
import { sampleResults } from './sample-results.ts';

describe('convergencePage', () => {
  it('has a row for each scenario, and tells how it was made', () => {
    const results = sampleResults(
      { runs: 3 },
      { name: 'quiet', withoutLoss: true },
      { name: 'stuck', neverConverged: [1] },
    );
    const page = convergencePage(results, 'results.json');
    const rows = page.split('\n').filter((line) => line.startsWith('| '));
    expect(rows.slice(2)).toEqual([
      '| kill-node | flat-3 | bfd-down | 197 ms | 207 ms | 197 ms | 207 ms | 190 ms | 4.0 ms | 1.0 ms | 1.0 ms | 1.0 ms | 3 of 3 |',
      '| quiet | flat-3 | bfd-down | 187 ms | 187 ms | 0 ms | 0 ms | 180 ms | 4.0 ms | 1.0 ms | 1.0 ms | – | 1 of 1 |',
      '| stuck | flat-3 | bfd-down | – | – | 2100 ms | 2100 ms | 180 ms | 4.0 ms | 1.0 ms | 1.0 ms | 1914 ms | 0 of 1 |',
    ]);
    expect(page).toContain('npm run lab -- table results.json --output docs/convergence.md');
    expect(page).toContain('Made 2026-01-02 with gingham 0.1.0 on a machine of 2 cores');
    expect(page).toMatch(/resolution was 1\.0 ms, its\s+clock error 0 ms; 0\.5 % of its packets were sent late/);
  });

  it('keeps a hostile name within its cell', () => {
    const page = convergencePage(sampleResults({ hostile: '|<b>\n# x `y` [z](javascript:1)' }), 'results.json');
    expect(page).not.toMatch(/^# x/m);
    expect(page).toContain('kill-node\\|\\<b\\> \\# x \\`y\\` \\[z\\](javascript:1)');
  });

  it('says that nothing could be made', () => {
    expect(convergencePage(sampleResults({ notMade: [1] }), 'r.json')).toContain('No run could be made.');
  });
});
