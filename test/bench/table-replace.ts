// How long the batched driver forwards nothing while its table is replaced: 5,000 peers given anew, under the bound that
// batched-loop.ts puts on one look for commands.
//
// A look is measured as the worker makes it: messages taken from a port (and thus copied in), put into the table. What a
// message costs the thread that sends it is not in it. A look's time is that of the clock or that of the processor,
// whichever is less: what the machine gives to other programs meanwhile is not the table's doing.

import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { COMMANDS_PER_LOOK } from '../../flanneld/dataplane/batched-loop.ts';
import type { BatchedCommand } from '../../flanneld/dataplane/batched-messages.ts';
import { ForwardingTable } from '../../flanneld/dataplane/forwarding-table.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import { percentile, rounded } from './statistics.ts';

const LIMIT_US = 1000;

export const TABLE_REPLACE: Bench = {
  name: 'table-replace',
  summary: 'longest time without forwarding while all peers of the table are replaced (--peers, --rounds)',
  run: runTableReplace,
};

async function runTableReplace(args: readonly string[]): Promise<BenchResult> {
  const options = readOptions(args, ['peers', 'rounds']);
  const peers = countOption('peers', options.peers, 5_000);
  const rounds = countOption('rounds', options.rounds, 10);
  const table = new ForwardingTable([prefix('10.0.0.0/24')]);
  const looksUs: number[] = [];
  let totalUs = 0;
  for (let round = 0; round < rounds; round++) {
    const { port1, port2 } = new MessageChannel();
    for (let i = 0; i < peers; i++) port1.postMessage(setPeer(i, round));
    // The first round fills an empty table while code is not compiled yet: it is the start, not a replacement.
    const taken = takeAll(port2, table);
    if (round > 0) {
      looksUs.push(...taken);
      totalUs += taken.reduce((sum, us) => sum + us, 0);
    }
    port1.close();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const json = {
    peers,
    commands_per_look: COMMANDS_PER_LOOK,
    look_max_us: rounded(Math.max(...looksUs), 1),
    look_p999_us: rounded(percentile(looksUs, 0.999), 1),
    look_p50_us: rounded(percentile(looksUs, 0.5), 1),
    looks: looksUs.length,
    looks_over_1ms: looksUs.filter((us) => us > LIMIT_US).length,
    replace_all_ms: rounded(totalUs / 1000 / Math.max(1, rounds - 1), 2),
  };
  const lines = Object.entries(json).map(([name, value]) => `${name.padEnd(20)}${String(value).padStart(10)}`);
  return { json, text: lines.join('\n') };
}

/** Applies all that waits on the port; gives how long each look took, microseconds. */
function takeAll(port: Parameters<typeof receiveMessageOnPort>[0], table: ForwardingTable): number[] {
  const looksUs: number[] = [];
  let hasMore = true;
  while (hasMore) {
    const startedMs = performance.now();
    const startedCpu = process.cpuUsage();
    for (let i = 0; i < COMMANDS_PER_LOOK && hasMore; i++) {
      const received = receiveMessageOnPort(port) as { readonly message: BatchedCommand } | undefined;
      hasMore = received !== undefined;
      if (received?.message.op === 'set-peer') table.set(received.message.peer);
    }
    const { user, system } = process.cpuUsage(startedCpu);
    looksUs.push(Math.min((performance.now() - startedMs) * 1000, user + system));
  }
  return looksUs;
}

/** Every round each peer has another address, another MAC address and another prefix. */
function setPeer(index: number, round: number): BatchedCommand {
  const [high, low] = [index >> 8, index & 0xff];
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  const peer = {
    node: `node${index}`,
    endpoint: address(`192.${round % 200}.${high}.${low}`),
    port: 8472,
    mac: mac(`0e:00:00:${hex(round % 256)}:${hex(high)}:${hex(low)}`),
    subnets: [prefix(`10.${1 + ((index + round) % 200)}.${high}.0/24`), prefix(`10.201.${high}.${low}/32`)],
  };
  return { op: 'set-peer', peer };
}
