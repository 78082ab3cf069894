// The data plane on the batched driver, as its owner sees it: a thread that forwards, commands to it, counters from it.
// Nothing here touches a packet. Closing waits for the thread, which closes device and socket itself.

import { writeSync } from 'node:fs';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { openEvent } from '../../lib/kernel/packet-syscalls.ts';
import { close } from '../../lib/kernel/syscalls.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { isArenaMachine } from './arena.ts';
import type { BatchedCommand, BatchedEvent, BatchedWorkerData } from './batched-messages.ts';
import type { DataPlane, OpenOptions, PlaneConfig } from './data-plane.ts';
import { readStats, sharedStats } from './shared-counters.ts';

const SCRIPT = new URL(`./batched-worker${extname(import.meta.url)}`, import.meta.url);

/** Any non-zero 64-bit number. */
const WAKE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/** One command is some ten microseconds of the worker's time, so that thousands of routes stall no packet. */
const ROUTES_PER_COMMAND = 16;

/** See `OpenDataPlane`; `why` is the reason for this driver. */
export async function openBatchedPlane(config: PlaneConfig, options: OpenOptions, why: string): Promise<DataPlane> {
  if (!isArenaMachine()) {
    throw new ExitError(
      EXIT.environment,
      `the batched driver does not know this machine (${process.arch}): use --io tuntap`,
    );
  }
  const wakeFd = openEvent();
  if (wakeFd < 0) throw new ExitError(EXIT.environment, 'cannot make an eventfd');
  const shared = sharedStats();
  const memory = new Float64Array(shared);
  const data: BatchedWorkerData = { config, stats: shared, wakeFd };
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
  let isOver = false;
  const fail = (error: Error): void => {
    if (isOver) return;
    isOver = true;
    options.onFailure(error);
  };
  worker.on('message', (event: BatchedEvent) => {
    if (event.type === 'failed') fail(new Error(event.message));
  });
  worker.on('error', fail);
  const tell = (command: BatchedCommand): void => {
    worker.postMessage(command);
    // Commands may outlive the thread, which needs no waking then.
    if (!hasEnded) writeSync(wakeFd, WAKE);
  };
  let closing: Promise<void> | undefined;
  return {
    io: { name: 'batched', why: `${why} (${offloads})` },
    setPeer: (peer) => tell({ op: 'set-peer', peer }),
    removePeer: (node) => tell({ op: 'remove-peer', node }),
    setRoutes: (routes) => {
      for (let at = 0; at < routes.length; at += ROUTES_PER_COMMAND) {
        tell({ op: 'set-routes', routes: routes.slice(at, at + ROUTES_PER_COMMAND) });
      }
    },
    setMtu: (mtuBytes) => tell({ op: 'set-mtu', mtuBytes }),
    stats: () => readStats(memory),
    close: () => {
      isOver = true;
      if (closing === undefined) {
        tell({ op: 'close' });
        closing = ended.then(() => void close(wakeFd));
      }
      return closing;
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
