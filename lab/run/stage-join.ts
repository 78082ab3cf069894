// Where the time of a fault went: daemons' events joined by cause, and set between the fault and the first packet. Pure.
//
//   injected --detect--> detected --decide--> decided --feed--> received --kernel--> written --packet--> first packet
//     (lab)          (some daemon)        (bgpd or flanneld)      (felix)        (felix)            (probe)
//
// Of several chains the one whose kernel was written last counts: until then the cluster had not converged.

import { STAGES, type StageName, type Stages } from '../results/results-schema.ts';
import type { DaemonEvent } from './daemon-events.ts';

/** felix's event of a written pass, and the feed's of a change that leaves. */
const WRITTEN = 'fib changed';
const LEFT = 'feed changed';
/** Stamps of two threads of one machine are this close. */
const SLACK_MS = 5;

export interface Phase {
  /** The fault. */
  readonly fromMs: number;
  /** When it was mended, or the end of the run. */
  readonly toMs: number;
}

/** `toMs` turns a stamp into the run's time; `firstPacketMs` is the end of the last loss window of the phase. */
export function joinStages(
  events: readonly DaemonEvent[],
  { fromMs, toMs }: Phase,
  inRun: (atUs: number) => number,
  firstPacketMs: number | null,
): Stages {
  const none = { cause: null, detectedBy: null, node: null, injectedMs: fromMs, firstPacketMs };
  const written = kernelWrites(events, { fromMs, toMs }, inRun).findLast(({ cause }) => cause !== undefined);
  const cause = written?.cause;
  if (written === undefined || cause === undefined) {
    return { ...none, detectedMs: null, decidedMs: null, feedReceivedMs: null, kernelWrittenMs: null };
  }
  const left = events.filter((event) => event.kind === LEFT && event.fields['cause'] === cause);
  const stamps = left.map(({ fields }) => Number(fields['detectedUs'])).filter((us) => inRun(us) >= fromMs - SLACK_MS);
  const own = left.find(({ node }) => node === written.node) ?? left.at(-1);
  const decidedUs = own === undefined ? undefined : Number(own.fields['decidedUs']);
  return {
    ...none,
    cause,
    detectedBy: textOf(own?.fields['causeKind']) ?? written.kind,
    node: written.node,
    detectedMs: stamps.length === 0 ? null : Math.max(fromMs, inRun(Math.min(...stamps))),
    decidedMs: decidedUs === undefined ? null : inRun(decidedUs),
    feedReceivedMs: written.atMs - written.kernelMs,
    kernelWrittenMs: written.atMs,
  };
}

/** Durations from each point to the next; `null` where one of the two is not known, never below 0. */
export function stageDurations(stages: Stages): Record<StageName, number | null> {
  const { injectedMs, detectedMs, decidedMs, feedReceivedMs, kernelWrittenMs, firstPacketMs } = stages;
  const points = [injectedMs, detectedMs, decidedMs, feedReceivedMs, kernelWrittenMs, firstPacketMs];
  const spans = STAGES.map((name, at) => {
    const [from, to] = [points[at] ?? null, points[at + 1] ?? null];
    return [name, from === null || to === null ? null : Math.max(0, to - from)] as const;
  });
  return Object.fromEntries(spans) as Record<StageName, number | null>;
}

/** Writes of any kernel within the phase, oldest first. */
export function kernelWrites(events: readonly DaemonEvent[], { fromMs, toMs }: Phase, inRun: (atUs: number) => number) {
  return events
    .filter(({ kind }) => kind === WRITTEN)
    .map(({ node, atUs, fields }) => {
      const cause = textOf(fields['cause']);
      const kind = textOf(fields['kind']) ?? 'repair';
      return { node, atMs: inRun(atUs), cause, kind, kernelMs: Number(fields['kernelUs'] ?? 0) / 1_000 };
    })
    .filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
