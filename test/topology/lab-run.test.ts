// `lab run` from end to end on one real cluster: a crash that moves traffic, a link that delays, an expectation that fails.
//
// No time is asserted: how fast is shown by the shipped scenarios, not here. What must hold on any machine, busy or not, is
// which packets arrive, which way they take, who told of the fault, and what the program says.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Results, resultsSchema, type ScenarioResult } from '../../lab/results/results-schema.ts';
import { lab, labName, type Outcome, remainsOf } from './lab-command.ts';

const FILES = {
  crash: `
flows: [node1 > web, node1 > node3]
tcp: [node1 > node3]
steps:
  - {at: 300 ms, kill: node2/bgpd}
  - {at: 350 ms, routes: {to: node2, are: gone, within: 10 s}}
  - {at: 1 s, start: node2/bgpd}
end: 1 s
expect: [no loss on node1 > node3, path of node1 > web changes, detected by stream-ended, no flap]`,
  slow: `
flows: [node1 > node2, node1 > node3]
steps:
  - {at: 200 ms, impair: {link: node2, delay: 30 ms}}
end: 3 s
expect: [no loss on node1 > node3, no duplicates]`,
  dream: `
flows: [node1 > node2]
steps:
  - {at: 200 ms, drop: node2}
end: 1 s
expect: [no loss]`,
} as const;

const name = labName();
let folder: string;
let outcome: Outcome;
let results: Results;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gh-lab-run-'));
  const paths = Object.entries(FILES).map(async ([key, text]) => {
    const lesson = 'A scenario of the test of the lab itself, which teaches nobody anything.';
    const path = join(folder, `${key}.yaml`);
    await writeFile(path, `name: ${key}\ntopology: flat-3\nlesson: ${lesson}\n${text}\n`);
    return path;
  });
  const output = join(folder, 'results.json');
  outcome = await lab(name, 'run', ...(await Promise.all(paths)), '--json', '--output', output);
  results = resultsSchema.parse(JSON.parse(await readFile(output, 'utf8')));
}, 180_000);

afterAll(async () => {
  await lab(name, 'down');
  await rm(folder, { recursive: true, force: true });
});

function scenario(key: keyof typeof FILES): ScenarioResult {
  const found = results.scenarios.find((each) => each.scenario === key);
  if (found === undefined) throw new Error(`${key} was not run: ${outcome.stderr}`);
  return found;
}

it('a crash: traffic moves to the other node, and the join says who told and how long each stage took', () => {
  const { passed, runs, broken } = scenario('crash');
  expect(runs[0]?.expectations.filter((expectation) => !expectation.passed)).toEqual([]);
  expect(passed).toBe(true);
  expect(broken.processes).toEqual(['node2/bgpd']);
  const { stages, stagesMs, flows, tcp } = runs[0] ?? {};
  expect(stages?.cause).toMatch(/^bgpd-\d+-\d+$/);
  expect(stages?.detectedMs).toBeGreaterThan(stages?.injectedMs ?? Number.NaN);
  expect(stages?.kernelWrittenMs).toBeGreaterThan(stages?.detectedMs ?? Number.NaN);
  expect(stagesMs).toMatchObject({
    detect: expect.any(Number),
    decide: expect.any(Number),
    kernel: expect.any(Number),
  });
  const moved = flows?.find(({ to }) => to === 'web')?.pathChanges[0];
  expect(moved).toMatchObject({ was: 'node2, TTL 62', is: 'node3, TTL 62' });
  expect(tcp?.[0]).toMatchObject({ from: 'node1', to: 'node3', connections: 1 });
  expect(tcp?.[0]?.records).toBeGreaterThan(1);
});

it('a link that was told to delay delays its own packets and no others', () => {
  const { runs, impairment } = scenario('slow');
  const delayOf = (to: string): number => runs[0]?.flows.find((flow) => flow.to === to)?.delayMs.p99 ?? Number.NaN;
  expect(['netem', 'lab-link']).toContain(impairment);
  expect(delayOf('node2')).toBeGreaterThanOrEqual(29);
  expect(delayOf('node3')).toBeLessThan(delayOf('node2'));
});

it('an expectation that fails is told with what was measured, and is the exit code', () => {
  const { passed, runs } = scenario('dream');
  expect(passed).toBe(false);
  expect(runs[0]?.expectations[0]?.measured).toMatch(
    / ms \(node1 > node2, [1-9]\d* packets\)$|^\d.* s \(node1 > node2/,
  );
  expect(outcome.stderr).toMatch(/dream, run 1: expected no loss: measured .*node1 > node2/);
  expect(outcome.code).toBe(1);
});

it('standard output is the figures, as documented', () => {
  const figures = JSON.parse(outcome.stdout) as readonly unknown[];
  expect(figures).toHaveLength(3);
  expect(figures[0]).toEqual({
    scenario: 'crash',
    runs: 1,
    passed: true,
    converged_ms: { p50: expect.any(Number), p99: expect.any(Number) },
    loss_ms: { p50: expect.any(Number), p99: expect.any(Number) },
    stages_ms: expect.objectContaining({ detect: { p50: expect.any(Number), p99: expect.any(Number) } }),
  });
});

it('nothing is left', () => {
  expect(remainsOf(name)).toEqual([]);
});
