// From what was sent and what was heard to loss windows, duplicates, reordering and changes of the way. Pure.
//
// Loss is by number: a packet that was never sent is not lost, so that a pause of the sender is none. A window is as long as
// the time from the sending of the first lost packet to the sending of the first one after it that was heard.

import type { FlowResult, LossWindow } from '../results/results-schema.ts';

/** Windows that are told one by one; the longest. */
const WINDOWS_MAX = 50;
const PATH_CHANGES_MAX = 50;

/** A packet as it came in; `by` is the pod that heard it. */
export interface Heard {
  readonly seq: number;
  readonly atMs: number;
  readonly ttl: number;
  readonly by: string;
}

export interface SentFlow {
  readonly from: string;
  readonly to: string;
  readonly kind: FlowResult['kind'];
  readonly intervalMs: number;
  /** When packet 0, 1, 2, ... was sent, in the run's time. */
  readonly sentMs: readonly number[];
  readonly refused: number;
}

/** `heard` may come from several pods, in any order. */
export function analyseFlow(flow: SentFlow, heard: readonly Heard[]): FlowResult {
  const { from, to, kind, intervalMs, sentMs, refused } = flow;
  const inOrder = heard.toSorted((a, b) => a.atMs - b.atMs);
  const seen = new Uint8Array(sentMs.length);
  const delays: number[] = [];
  let duplicates = 0;
  let reordered = 0;
  let newest = -1;
  for (const { seq, atMs } of inOrder) {
    const sentAt = sentMs[seq];
    if (sentAt === undefined) continue;
    if (seen[seq] === 1) {
      duplicates++;
      continue;
    }
    seen[seq] = 1;
    delays.push(atMs - sentAt);
    if (seq < newest) reordered++;
    newest = Math.max(newest, seq);
  }
  const all = lossWindows(sentMs, seen);
  const endMs = (sentMs.at(-1) ?? 0) + intervalMs;
  const windows = all
    .toSorted((a, b) => b.packets - a.packets)
    .slice(0, WINDOWS_MAX)
    .toSorted((a, b) => a.startMs - b.startMs);
  const lost = all.reduce((sum, { packets }) => sum + packets, 0);
  return {
    ...{ from, to, kind, intervalMs, sent: sentMs.length, received: sentMs.length - lost, lost },
    ...{ duplicates, reordered, refused, windows, moreWindows: all.length - windows.length },
    longestLossMs: Math.max(0, ...all.map((window) => (window.endMs ?? endMs) - window.startMs)),
    pathChanges: pathChanges(inOrder),
    delayMs: { p50: percentile(delays, 0.5), p99: percentile(delays, 0.99) },
  };
}

/** Packets lost in a row, by when they were sent. */
export function lossWindows(sentMs: readonly number[], seen: Uint8Array): readonly LossWindow[] {
  const windows: LossWindow[] = [];
  for (let seq = 0; seq < sentMs.length; seq++) {
    if (seen[seq] === 1) continue;
    const first = seq;
    while (seq < sentMs.length && seen[seq] !== 1) seq++;
    windows.push({ startMs: sentMs[first] ?? 0, endMs: sentMs[seq] ?? null, packets: seq - first });
  }
  return windows;
}

/** The value at this share of the sorted list, by nearest rank; `null` of none. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

function pathChanges(heard: readonly Heard[]): FlowResult['pathChanges'] {
  const changes: { atMs: number; was: string; is: string }[] = [];
  let was: string | undefined;
  for (const { atMs, ttl, by } of heard) {
    const is = `${by}, TTL ${ttl}`;
    if (was !== undefined && was !== is && changes.length < PATH_CHANGES_MAX) changes.push({ atMs, was, is });
    was = is;
  }
  return changes;
}
