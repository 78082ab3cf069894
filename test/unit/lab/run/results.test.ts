// results.json: the example that the page names fits the schema, strays are refused, and distributions are what they say.
//
// The whole way from a cluster to the file is in test/topology/lab-run.test.ts.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type Results, resultsSchema } from '../../../../lab/results/results-schema.ts';
import { shortSummary, summarise } from '../../../../lab/results/summary.ts';

const TEXT = readFileSync(new URL('../../../../lab/results/example.json', import.meta.url), 'utf8');

function example(): Results {
  return resultsSchema.parse(JSON.parse(TEXT));
}

it('the example fits the schema', () => {
  expect(example().scenarios[0]?.scenario).toBe('kill-node');
});

it.each([
  ['"schema": "gingham-lab-results/1"', '"schema": "gingham-lab-results/2"'],
  ['"driver": "netns"', '"driver": "vms"'],
  ['"seed"', '"sed"'],
  ['"passed": true', '"passed": "yes"'],
])('%s as %s is refused', (right, wrong) => {
  expect(TEXT).toContain(right);
  expect(resultsSchema.safeParse(JSON.parse(TEXT.replace(right, wrong))).success).toBe(false);
});

it('distributions are over the runs that gave a value', () => {
  const [run] = example().scenarios[0]?.runs ?? [];
  if (run === undefined) throw new Error('the example has a run');
  const runs = [10, 30, 20, null].map((convergedMs, at) => ({ ...run, convergedMs, lossMs: at, passed: at !== 3 }));
  const failed = { ...run, flows: [], convergedMs: null, lossMs: 0, passed: false };
  const summary = summarise([...runs, failed]);
  expect(summary).toMatchObject({
    passed: false,
    convergedMs: { p50: 20, p90: 30, p99: 30, max: 30 },
    lossMs: { p50: 1, p90: 3, p99: 3, max: 3 },
  });
  expect(summarise([failed]).lossMs).toEqual({ p50: null, p90: null, p99: null, max: null });
});

it('the short form has the documented keys, and figures to the microsecond', () => {
  const [scenario] = example().scenarios;
  if (scenario === undefined) throw new Error('the example has a scenario');
  const short = shortSummary(scenario);
  expect(Object.keys(short)).toEqual(['scenario', 'runs', 'passed', 'converged_ms', 'loss_ms', 'stages_ms']);
  expect(Object.keys(short.stages_ms)).toEqual(['detect', 'decide', 'feed', 'kernel', 'packet']);
  expect(scenario.lossMs).toMatchObject({ p50: 773.8349999999999, p99: 906.7660000000001 });
  expect(short.loss_ms).toEqual({ p50: 773.835, p99: 906.766 });
});
