// Events of several daemons joined by cause: which chain counts, what is not known, and what must not be taken for it.
//
// Stamps are microseconds; the run begins at 1,000,000.

import { describe, expect, it } from 'vitest';
import type { DaemonEvent } from '../../../../lab/run/daemon-events.ts';
import { joinStages, kernelWrites, stageDurations } from '../../../../lab/run/stage-join.ts';

const PHASE = { fromMs: 100, toMs: 2_000 };
const inRun = (atUs: number): number => (atUs - 1_000_000) / 1_000;

function left(node: string, cause: string, detectedMs: number, decidedMs: number): DaemonEvent {
  const fields = { cause, causeKind: 'bfd-down', detectedUs: us(detectedMs), decidedUs: us(decidedMs) };
  return { node, daemon: 'bgpd', atUs: us(decidedMs), kind: 'feed changed', fields };
}

function written(node: string, cause: string | undefined, atMs: number, kernelUs = 500): DaemonEvent {
  const fields = { ...(cause !== undefined && { cause, kind: 'bfd-down' }), kernelUs };
  return { node, daemon: 'felix', atUs: us(atMs), kind: 'fib changed', fields };
}

function us(ms: number): number {
  return 1_000_000 + ms * 1_000;
}

describe('joinStages', () => {
  it('follows one cause from detection to the kernel', () => {
    const stages = joinStages([left('node1', 'a', 250, 251), written('node1', 'a', 253)], PHASE, inRun, 254);
    expect(stages).toEqual({
      ...{ cause: 'a', detectedBy: 'bfd-down', node: 'node1', injectedMs: 100, detectedMs: 250, decidedMs: 251 },
      ...{ feedReceivedMs: 252.5, kernelWrittenMs: 253, firstPacketMs: 254 },
    });
    expect(stageDurations(stages)).toEqual({ detect: 150, decide: 1, feed: 1.5, kernel: 0.5, packet: 1 });
  });

  it('takes the chain that was written last, with the detection of the node that saw it first', () => {
    const events = [
      left('node2', 'a', 200, 201),
      written('node2', 'a', 202),
      left('node1', 'b', 240, 241),
      left('node3', 'b', 240, 245),
      written('node1', 'b', 243),
      written('node3', 'b', 247),
    ];
    expect(joinStages(events, PHASE, inRun, null)).toMatchObject({
      ...{ cause: 'b', node: 'node3', detectedMs: 240, decidedMs: 245, kernelWrittenMs: 247, firstPacketMs: null },
    });
  });

  it('leaves out what was before the fault, after the mending, and repairs', () => {
    const events = [written('node1', 'old', 50), written('node1', undefined, 300), written('node1', 'late', 2_500)];
    const stages = joinStages(events, PHASE, inRun, null);
    expect(stages).toMatchObject({ cause: null, detectedMs: null, kernelWrittenMs: null });
    expect(Object.values(stageDurations(stages))).toEqual([null, null, null, null, null]);
  });

  it('does not believe a detection from before the fault', () => {
    const events = [left('node1', 'a', 20, 251), written('node1', 'a', 253)];
    expect(joinStages(events, PHASE, inRun, null)).toMatchObject({ cause: 'a', detectedMs: null, decidedMs: 251 });
  });

  it('gives no negative time where the packet came through before the last kernel was written', () => {
    const stages = joinStages([left('node1', 'a', 250, 251), written('node1', 'a', 253)], PHASE, inRun, 252);
    expect(stageDurations(stages).packet).toBe(0);
  });
});

it('kernelWrites tells repairs too', () => {
  expect(kernelWrites([written('node1', undefined, 300)], PHASE, inRun)).toEqual([
    { node: 'node1', atMs: 300, cause: undefined, kind: 'repair', kernelMs: 0.5 },
  ]);
});
