// The thread of table-replace.ts: it takes commands as the worker of the batched driver does and says how long that took.
// Not the real loop, which needs a device: table, bound and messages are the real ones.

import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { COMMANDS_PER_LOOK } from '../../flanneld/dataplane/batched-loop.ts';
import type { BatchedCommand } from '../../flanneld/dataplane/batched-messages.ts';
import { ForwardingTable } from '../../flanneld/dataplane/forwarding-table.ts';
import { libcFunction } from '../../lib/kernel/syscalls.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { median } from './statistics.ts';

/** Of each look, microseconds: by the clock, and on a processor; the first `count` are valid. */
export interface LookTimes {
  readonly wallUs: Float64Array;
  readonly cpuUs: Float64Array;
  count: number;
}

export interface ReplaceReport {
  readonly replacing: LookTimes;
  /** Looks of the usual length that change nothing. */
  readonly idle: LookTimes;
}

/** Room is made before, so that measuring makes no garbage. */
const LOOKS_MAX = 1_000_000;
const CLOCK_THREAD_CPUTIME_ID = 3;
const clockGetTime = libcFunction<[number, Uint8Array]>('int clock_gettime(int clock, void *time)');
const timespec = new Uint8Array(16);
/** Lower halves of seconds and nanoseconds, little endian. */
const timespecWords = new Uint32Array(timespec.buffer);

const { port, rounds } = workerData as { readonly port: MessagePort; readonly rounds: number };
const table = new ForwardingTable([prefix('10.0.0.0/24')]);
const replacing = noTimes();
const idle = noTimes();
const warmUp = noTimes();
for (let round = 0; round < rounds; round++) {
  // The first round fills an empty table while code is not compiled yet: it is the start, not a replacement.
  const counts = round > 0;
  takeAll(counts ? replacing : warmUp);
  port.postMessage('taken');
  changeNothing(counts ? idle : warmUp);
  port.postMessage('taken');
}
parentPort?.postMessage({ replacing, idle } satisfies ReplaceReport);
port.close();

function noTimes(): LookTimes {
  return { wallUs: new Float64Array(LOOKS_MAX), cpuUs: new Float64Array(LOOKS_MAX), count: 0 };
}

/** Makes changes until it is told that these were all. */
function takeAll(times: LookTimes): void {
  let isOver = false;
  const take = (): boolean => {
    for (let i = 0; i < COMMANDS_PER_LOOK; i++) {
      const received = receiveMessageOnPort(port) as { readonly message: BatchedCommand } | undefined;
      if (received === undefined) return i > 0;
      if (received.message.op === 'change-table') table.apply(received.message.changes);
      else isOver = true;
    }
    return true;
  };
  while (!isOver) look(times, take);
}

/** Makes looks without a change until it is told that it is over. */
function changeNothing(times: LookTimes): void {
  const usualUs = median([...replacing.wallUs.subarray(0, replacing.count)]) || COMMANDS_PER_LOOK;
  while (receiveMessageOnPort(port) === undefined) {
    look(times, (startedMs) => {
      while ((performance.now() - startedMs) * 1000 < usualUs);
      return true;
    });
  }
}

/** Times one look; one that found nothing to do does not count. */
function look(times: LookTimes, take: (startedMs: number) => boolean): void {
  const startedMs = performance.now();
  const startedCpuUs = threadCpuUs();
  const isReal = take(startedMs);
  const usedUs = threadCpuUs() - startedCpuUs;
  const tookUs = (performance.now() - startedMs) * 1000;
  if (!isReal || times.count === LOOKS_MAX) return;
  times.wallUs[times.count] = tookUs;
  times.cpuUs[times.count++] = usedUs;
}

function threadCpuUs(): number {
  clockGetTime(CLOCK_THREAD_CPUTIME_ID, timespec);
  return (timespecWords[0] as number) * 1e6 + (timespecWords[2] as number) / 1000;
}
