// How long the batched driver forwards nothing while its table is replaced: 5,000 peers given anew, under the bound that
// batched-loop.ts puts on one look for commands.
//
// A thread of its own plays the worker (table-replace-worker.ts): messages taken from a port, put into the table, look by
// look. What the messages cost this thread, which sends them, is not in it, but this thread and its garbage collector want
// a processor at the same time. So in every other round the same messages go to a port that nobody reads, while the worker
// makes looks of the usual length that change nothing: what these take longer, the machine took and not the table. Of both,
// a look's time is that of the clock, and that which the thread had on a processor.

import { MessageChannel, Worker } from 'node:worker_threads';
import { ChangeOutbox } from '../../flanneld/dataplane/change-outbox.ts';
import { TableChanges } from '../../flanneld/dataplane/table-changes.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import { percentile, rounded } from './statistics.ts';
import { measureLookups } from './table-replace-lookups.ts';
import type { LookTimes, ReplaceReport } from './table-replace-worker.ts';

const LIMIT_US = 1000;
const SCRIPT = new URL('table-replace-worker.js', import.meta.url);

export const TABLE_REPLACE: Bench = {
  name: 'table-replace',
  summary:
    'longest time without forwarding while all peers of the table are replaced, and what a look-up costs (--peers, --rounds)',
  run: runTableReplace,
};

async function runTableReplace(args: readonly string[]): Promise<BenchResult> {
  const options = readOptions(args, ['peers', 'rounds']);
  const peers = countOption('peers', options.peers, 5_000);
  const rounds = countOption('rounds', options.rounds, 10);
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(SCRIPT, { workerData: { port: port2, rounds }, transferList: [port2] });
  const reported = new Promise<ReplaceReport>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const changes = new TableChanges();
  for (let round = 0; round < 2 * rounds; round++) {
    const unread = new MessageChannel();
    const to = round % 2 === 0 ? port1 : unread.port1;
    const outbox = new ChangeOutbox((words) => to.postMessage({ op: 'change-table', changes: words }));
    // Taken while they come, as from a daemon.
    for (let i = 0; i < peers; i++) outbox.put(peerChange(changes, i, round));
    await Promise.resolve();
    port1.postMessage({ op: 'close' });
    await new Promise((resolve) => port1.once('message', resolve));
    unread.port1.close();
  }
  const { replacing, idle } = await reported;
  port1.close();
  const json = {
    peers,
    ...describe('look', replacing),
    replace_all_ms: rounded(sum(replacing) / 1000 / Math.max(1, rounds - 1), 2),
    ...describe('idle_look', idle),
    ...measureLookups(),
  };
  const lines = Object.entries(json).map(([name, value]) => `${name.padEnd(40)}${String(value).padStart(10)}`);
  return { json, text: lines.join('\n') };
}

function describe(name: string, times: LookTimes): Record<string, number | null> {
  const [wallUs, cpuUs] = [times.wallUs, times.cpuUs].map((of) => [...of.subarray(0, times.count)]) as [
    number[],
    number[],
  ];
  return {
    [`${name}s`]: wallUs.length,
    [`${name}_p50_us`]: rounded(percentile(wallUs, 0.5), 1),
    [`${name}_p999_us`]: rounded(percentile(wallUs, 0.999), 1),
    [`${name}_cpu_p999_us`]: rounded(percentile(cpuUs, 0.999), 1),
    [`${name}_max_us`]: rounded(percentile(wallUs, 1), 1),
    [`${name}_cpu_max_us`]: rounded(percentile(cpuUs, 1), 1),
    [`${name}s_over_1ms`]: wallUs.filter((us) => us > LIMIT_US).length,
    [`${name}s_cpu_over_1ms`]: cpuUs.filter((us) => us > LIMIT_US).length,
  };
}

function sum({ wallUs, count }: LookTimes): number {
  return wallUs.subarray(0, count).reduce((total, value) => total + value, 0);
}

/** Every round each peer has another address, another MAC address and other prefixes. */
function peerChange(changes: TableChanges, index: number, round: number): readonly number[] {
  const [high, low] = [index >> 8, index & 0xff];
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return changes.setPeer({
    node: `node${index}`,
    endpoint: address(`192.${round % 200}.${high}.${low}`),
    port: 8472,
    mac: mac(`0e:00:00:${hex(round % 256)}:${hex(high)}:${hex(low)}`),
    subnets: [prefix(`10.${1 + ((index + round) % 200)}.${high}.0/24`), prefix(`10.201.${high}.${low}/32`)],
  });
}
