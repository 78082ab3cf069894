// The counters of a plane in memory that two threads share: the worker writes them after each round, the daemon reads.
// Each is one 64-bit store and load, so a reader sees an old or a new value, never a torn one.

import { DROP_REASONS, type DropReason, type PlaneStats } from './data-plane.ts';
import type { PlaneCounters } from './plane-counters.ts';

const REASONS = Object.keys(DROP_REASONS) as DropReason[];
const FIELDS = 8;

/** Memory for `publishStats` and `readStats`. */
export function sharedStats(): SharedArrayBuffer {
  return new SharedArrayBuffer((FIELDS + REASONS.length) * Float64Array.BYTES_PER_ELEMENT);
}

/** Called often: it makes nothing. */
export function publishStats(counters: PlaneCounters, peers: number, prefixes: number, memory: Float64Array): void {
  const { tx, rx } = counters;
  memory[0] = tx.packets;
  memory[1] = tx.bytes;
  memory[2] = rx.packets;
  memory[3] = rx.bytes;
  memory[4] = counters.icmpSent;
  memory[5] = counters.icmpLimited;
  memory[6] = peers;
  memory[7] = prefixes;
  for (let i = 0; i < REASONS.length; i++) memory[FIELDS + i] = counters.dropped(REASONS[i] as DropReason);
}

/** A fresh value. */
export function readStats(memory: Float64Array): PlaneStats {
  const at = (i: number): number => memory[i] ?? 0;
  return {
    tx: { packets: at(0), bytes: at(1) },
    rx: { packets: at(2), bytes: at(3) },
    icmpSent: at(4),
    icmpLimited: at(5),
    peers: at(6),
    prefixes: at(7),
    drops: Object.fromEntries(REASONS.map((reason, i) => [reason, at(FIELDS + i)])) as PlaneStats['drops'],
  };
}

/** The counters of several threads as those of one plane. Each thread has the whole table. */
export function addStats(all: readonly PlaneStats[]): PlaneStats {
  const sum = (of: (stats: PlaneStats) => number): number => all.reduce((total, stats) => total + of(stats), 0);
  return {
    tx: { packets: sum(({ tx }) => tx.packets), bytes: sum(({ tx }) => tx.bytes) },
    rx: { packets: sum(({ rx }) => rx.packets), bytes: sum(({ rx }) => rx.bytes) },
    icmpSent: sum(({ icmpSent }) => icmpSent),
    icmpLimited: sum(({ icmpLimited }) => icmpLimited),
    peers: all[0]?.peers ?? 0,
    prefixes: all[0]?.prefixes ?? 0,
    drops: Object.fromEntries(
      REASONS.map((reason) => [reason, sum(({ drops }) => drops[reason])]),
    ) as PlaneStats['drops'],
  };
}
