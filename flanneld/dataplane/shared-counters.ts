// The counters of a plane in memory that two threads share: the worker writes them after each round, the daemon reads.
// Each is one 64-bit store and load, so a reader sees an old or a new value, never a torn one.

import { DROP_REASONS, type DropReason, type PlaneStats } from './data-plane.ts';

const REASONS = Object.keys(DROP_REASONS) as DropReason[];
const FIELDS = 8;

/** Memory for `publishStats` and `readStats`. */
export function sharedStats(): SharedArrayBuffer {
  return new SharedArrayBuffer((FIELDS + REASONS.length) * Float64Array.BYTES_PER_ELEMENT);
}

export function publishStats(stats: PlaneStats, memory: Float64Array): void {
  const { tx, rx, drops, icmpSent, icmpLimited, peers, prefixes } = stats;
  memory.set([tx.packets, tx.bytes, rx.packets, rx.bytes, icmpSent, icmpLimited, peers, prefixes]);
  for (const [i, reason] of REASONS.entries()) memory[FIELDS + i] = drops[reason];
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
