// Pings from one pod to many at once, and reads what came back.
//
// All of one pod's pings run under a single shell in the pod's namespace: entering a namespace costs more than a ping.

import type { Address } from '../lib/net/address.ts';
import { run } from './child.ts';

/** Seconds that a ping waits for its last reply. */
const REPLY_TIMEOUT_SECONDS = 2;

/** One line per target: its address, then all that ping said. `echo` of an unquoted word list keeps it on one line. */
const SCRIPT =
  'c=$1; shift; for t; do { r=$(ping -n -q -c "$c" -i 0.2 -W "$0" "$t" 2>&1); echo "$t" $r; } & done; wait';

export interface PingTarget {
  readonly node: string;
  readonly address: Address;
}

export interface PingResult {
  readonly from: string;
  readonly to: string;
  readonly address: Address;
  readonly sent: number;
  readonly received: number;
  /** Mean round trip; absent where nothing came back. */
  readonly rttMs?: number;
  /** What ping said instead of counting. */
  readonly error?: string;
}

/** Answer of `ping --json`: `lost` counts the pairs that lost at least one packet. */
export interface PingReport {
  readonly pairs: number;
  readonly lost: number;
  readonly results: readonly PingResult[];
}

/** Sends `count` pings to each target, all targets at once. `inPod` is the prefix that enters the pod's namespace. */
export async function pingFromPod(
  from: string,
  inPod: readonly string[],
  targets: readonly PingTarget[],
  count: number,
  signal?: AbortSignal,
): Promise<readonly PingResult[]> {
  if (targets.length === 0) return [];
  const addresses = targets.map((target) => target.address);
  const argv = [...inPod, 'sh', '-c', SCRIPT, String(REPLY_TIMEOUT_SECONDS), String(count), ...addresses];
  const output = await run(argv, signal === undefined ? {} : { signal });
  return parsePings(from, targets, count, output);
}

/** Reads the script's output; a target without a line counts as lost. */
export function parsePings(
  from: string,
  targets: readonly PingTarget[],
  count: number,
  output: string,
): readonly PingResult[] {
  const lines = new Map(
    output.split('\n').map((line) => {
      const blank = line.indexOf(' ');
      return [line.slice(0, blank), line.slice(blank + 1)] as const;
    }),
  );
  return targets.map(({ node, address }) => {
    const said = lines.get(address) ?? 'ping said nothing';
    const counts = /(\d+) packets transmitted, (\d+) received/.exec(said);
    const mean = /= [\d.]+\/([\d.]+)\//.exec(said);
    return {
      from,
      to: node,
      address,
      sent: counts ? Number(counts[1]) : count,
      received: counts ? Number(counts[2]) : 0,
      ...(mean ? { rttMs: Number(mean[1]) } : {}),
      ...(counts ? {} : { error: said }),
    };
  });
}

/** Sums up; no pair at all is a report too (a cluster of one node). */
export function pingReport(results: readonly PingResult[]): PingReport {
  const lost = results.filter((result) => result.received < result.sent || result.error !== undefined);
  return { pairs: results.length, lost: lost.length, results };
}
