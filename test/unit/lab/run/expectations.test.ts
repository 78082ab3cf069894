// Expectations: each sentence read, each judged on a run that fulfils it and on one that does not, with what was measured.
//
// Phases and what a scenario breaks, which the verdicts rest on, are here too.

import { describe, expect, it } from 'vitest';
import type { FlowResult, StepResult } from '../../../../lab/results/results-schema.ts';
import { brokenBy } from '../../../../lab/run/broken-parts.ts';
import { judge, parseExpectation, type Shown } from '../../../../lab/run/expectations.ts';
import { phaseOf } from '../../../../lab/run/run-result.ts';
import { readScenario, scenarioSource } from '../../../../lab/run/scenario-spec.ts';

const FLOW: FlowResult = {
  ...{ from: 'node1', to: 'web', kind: 'full', intervalMs: 1, sent: 1_000, received: 860, lost: 140 },
  ...{ duplicates: 1, reordered: 2, refused: 0, windows: [{ startMs: 100, endMs: 240, packets: 140 }], moreWindows: 0 },
  longestLossMs: 140,
  pathChanges: [{ atMs: 240, was: 'node2, TTL 62', is: 'node3, TTL 62' }],
  delayMs: { p50: 0.1, p99: 0.2 },
};
const CLEAN: FlowResult = {
  ...FLOW,
  ...{
    to: 'node3',
    lost: 0,
    received: 1_000,
    longestLossMs: 0,
    windows: [],
    duplicates: 0,
    reordered: 0,
    pathChanges: [],
  },
};
const NO_STAGES = {
  ...{ cause: null, detectedBy: 'bfd-down', node: null, injectedMs: 100, detectedMs: null, decidedMs: null },
  ...{ feedReceivedMs: null, kernelWrittenMs: null, firstPacketMs: null },
};
const SHOWN: Shown = { convergedMs: 145, flows: [FLOW, CLEAN], tcp: [], stages: NO_STAGES, flaps: [], errors: [] };
const STREAM = { from: 'node1', to: 'node3', intervalMs: 10, records: 50, gapStartMs: 1, connections: 1 };

function verdict(text: string, change: Partial<Shown> = {}) {
  const parsed = parseExpectation(text);
  if (typeof parsed === 'string') throw new Error(parsed);
  return judge(parsed, { ...SHOWN, ...change });
}

it.each([
  ['loss <= 200 ms', true, '140 ms (node1 > web, 140 packets)'],
  ['loss <= 0.1 s', false, '140 ms (node1 > web, 140 packets)'],
  ['loss on node1 > node3 <= 1 ms', true, '0.0 ms (node1 > node3, 0 packets)'],
  ['no loss', false, '140 ms (node1 > web, 140 packets)'],
  ['no loss on node1 > node3', true, '0.0 ms (node1 > node3, 0 packets)'],
  ['converged <= 145 ms', true, '145 ms'],
  ['converged <= 0.1 s', false, '145 ms'],
  ['no flap', true, 'none'],
  ['no log at error', true, 'none'],
  ['no duplicates', false, '1'],
  ['no reordering', false, '2'],
  ['detected by bfd-down', true, 'bfd-down'],
  ['detected by peer-down', false, 'bfd-down'],
  ['detected by peer-down or bfd-down', true, 'bfd-down'],
  ['detected by peer-down or ceased', false, 'bfd-down'],
  ['some loss on node1 > web', true, '140 packets'],
  ['some loss on node1 > node3', false, '0 packets'],
  ['path of node1 > web changes', true, '1 changes'],
  ['path of node1 > node3 changes', false, '0 changes'],
])('%s', (text, passed, measured) => {
  expect(verdict(text)).toEqual({ text, passed, measured });
});

it('fails what could not be measured', () => {
  expect(verdict('no loss', { flows: [] })).toMatchObject({ passed: false, measured: 'nothing sent' });
  expect(verdict('no loss', { flows: [{ ...CLEAN, sent: 0 }] }).passed).toBe(false);
  expect(verdict('converged <= 1 s', { convergedMs: null })).toMatchObject({ passed: false });
  expect(verdict('tcp gap <= 1 s').passed).toBe(false);
});

it('looks at streams, sessions and logs', () => {
  const tcp = [{ ...STREAM, longestGapMs: 230 }];
  expect(verdict('tcp gap <= 300 ms', { tcp })).toMatchObject({ passed: true, measured: '230 ms' });
  expect(verdict('tcp gap <= 200 ms', { tcp }).passed).toBe(false);
  expect(verdict('no flap', { flaps: ['node1 - node3: x'] })).toMatchObject({
    measured: '1 sessions: node1 - node3: x',
  });
  expect(verdict('no log at error', { errors: ['node1/felix: y'] }).passed).toBe(false);
});

it.each(['loss < 1 ms', 'loss <= 1', 'converged on node1 > web <= 1 s', 'no fun', ''])('refuses %j', (text) => {
  expect(parseExpectation(text)).toMatch(/^takes "loss <= 200 ms"/);
});

describe('the phase that is measured', () => {
  const step = (role: StepResult['role'], startedMs: number): StepResult => {
    return { text: role, role, plannedMs: startedMs, startedMs, endedMs: startedMs + 1 };
  };

  it('is from the first fault to what mends it, or to the end', () => {
    expect(phaseOf([step('check', 1), step('fault', 5), step('check', 7), step('mend', 9)], 20)).toEqual({
      fromMs: 5,
      toMs: 9,
    });
    expect(phaseOf([step('mend', 1), step('fault', 5)], 20)).toEqual({ fromMs: 5, toMs: 20 });
  });
});

it('knows what a scenario breaks', () => {
  const picture = {
    ...{ name: 't', summary: 's', mode: 'routed' as const, services: [] },
    machines: [{ name: 'node2', kind: 'node' as const, roles: [] }],
    links: [{ name: 'node2', ends: ['node2', 'router'] as [string, string] }],
  };
  const broken = (name: string) => brokenBy(readScenario(scenarioSource(name)), { picture, etcdMembers: ['etcd'] });
  expect(broken('kill-node')).toEqual({ machines: ['node2'], links: [], processes: [] });
  expect(broken('link-down')).toEqual({ machines: ['node2'], links: ['node2'], processes: [] });
  expect(broken('kill-felix')).toEqual({ machines: [], links: [], processes: ['node1/felix'] });
  expect(broken('etcd-loss')).toEqual({ machines: [], links: [], processes: ['etcd'] });
});
