// The data plane on the batched driver, as its owner sees it: threads that forward, commands to them, counters from them.
//
// Nothing here touches a packet. The first thread makes the device, the others (where there are any) add a queue each; the
// kernel gives all packets of a flow to one queue. Every thread has the whole table. Closing waits for all of them.

import { writeSync } from 'node:fs';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { openEvent } from '../../lib/kernel/packet-syscalls.ts';
import { close } from '../../lib/kernel/syscalls.ts';
import type { TunOpening } from '../../lib/kernel/tun-device.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { isArenaMachine } from './arena.ts';
import type { BatchedCommand, BatchedEvent, BatchedWorkerData } from './batched-messages.ts';
import { ChangeOutbox } from './change-outbox.ts';
import type { DataPlane, OpenOptions, PlaneConfig } from './data-plane.ts';
import { addStats, readStats, sharedStats } from './shared-counters.ts';
import { TableChanges } from './table-changes.ts';

const SCRIPT = new URL(`./batched-worker${extname(import.meta.url)}`, import.meta.url);

/** Any non-zero 64-bit number. */
const WAKE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/** A thread that forwards. */
interface PlaneThread {
  /** What it could switch on. */
  readonly offloads: string;
  /** Its counters. */
  readonly memory: Float64Array;
  tell(command: BatchedCommand): void;
  /** Resolves when it has closed its descriptors and is gone. */
  close(): Promise<void>;
}

/** See `OpenDataPlane`; `why` is the reason for this driver. */
export async function openBatchedPlane(config: PlaneConfig, options: OpenOptions, why: string): Promise<DataPlane> {
  if (!isArenaMachine()) {
    throw new ExitError(
      EXIT.environment,
      `the batched driver does not know this machine (${process.arch}): use --io tuntap`,
    );
  }
  let isOver = false;
  const fail = (error: Error): void => {
    if (isOver) return;
    isOver = true;
    options.onFailure(error);
  };
  const threads: PlaneThread[] = [];
  const closeAll = async (): Promise<void> => {
    await Promise.all(threads.map((thread) => thread.close()));
  };
  // Each raw socket would get each packet.
  const { workers = 1 } = config.mode === 'ipip' ? {} : (options.tuning ?? {});
  try {
    for (let i = 0; i < workers; i++) {
      const opening = i > 0 ? 'join' : options.adopt === true ? 'adopt' : 'make';
      threads.push(await startThread(config, options, opening, fail));
    }
  } catch (error) {
    isOver = true;
    await closeAll();
    throw error;
  }
  const tell = (command: BatchedCommand): void => {
    for (const thread of threads) thread.tell(command);
  };
  const table = new TableChanges();
  const outbox = new ChangeOutbox((changes) => tell({ op: 'change-table', changes }));
  const offloads = threads[0]?.offloads ?? '';
  let closing: Promise<void> | undefined;
  return {
    io: { name: 'batched', why: `${why} (${offloads}${workers > 1 ? `; ${workers} threads` : ''})` },
    setPeer: (peer) => outbox.put(table.setPeer(peer)),
    removePeer: (node) => outbox.put(table.removePeer(node)),
    setRoutes: (routes) => {
      for (const route of routes) outbox.put(table.setRoute(route));
    },
    setMtu: (mtuBytes) => tell({ op: 'set-mtu', mtuBytes }),
    stats: () => addStats(threads.map(({ memory }) => readStats(memory))),
    persist: () => threads[0]?.tell({ op: 'persist' }),
    close: () => {
      isOver = true;
      closing ??= closeAll();
      return closing;
    },
  };
}

/** Rejects with the thread's own words where it cannot open. */
async function startThread(
  config: PlaneConfig,
  { tuning = {} }: OpenOptions,
  opening: TunOpening,
  fail: (error: Error) => void,
): Promise<PlaneThread> {
  const wakeFd = openEvent();
  if (wakeFd < 0) throw new ExitError(EXIT.environment, 'cannot make an eventfd');
  const shared = sharedStats();
  const data: BatchedWorkerData = { config, stats: shared, wakeFd, tuning, opening };
  const worker = new Worker(SCRIPT, { workerData: data, name: `plane ${config.deviceName}` });
  let hasEnded = false;
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      hasEnded = true;
      resolve();
    });
  });
  let offloads: string;
  try {
    offloads = await opened(worker);
  } catch (error) {
    await ended;
    close(wakeFd);
    throw error;
  }
  worker.on('message', (event: BatchedEvent) => {
    if (event.type === 'failed') fail(new Error(event.message));
  });
  worker.on('error', fail);
  const tell = (command: BatchedCommand): void => {
    worker.postMessage(command);
    // Commands may outlive the thread, which needs no waking then.
    if (!hasEnded) writeSync(wakeFd, WAKE);
  };
  return {
    offloads,
    memory: new Float64Array(shared),
    tell,
    close: async () => {
      tell({ op: 'close' });
      await ended;
      close(wakeFd);
    },
  };
}

/** Gives what the worker could switch on; rejects with the worker's reason. */
function opened(worker: Worker): Promise<string> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (event: BatchedEvent) => {
      worker.off('error', reject);
      if (event.type === 'opened') resolve(event.offloads);
      else reject(new ExitError(EXIT.environment, event.message));
    });
  });
}
