// What the daemon and the worker of the batched driver say to each other; everything is plain data.
// Commands are applied between two packets, in order. There are no answers but `opened`: counters are in shared memory.

import type { TunOpening } from '../../lib/kernel/tun-device.ts';
import type { PlaneConfig, PlaneTuning } from './data-plane.ts';

export interface BatchedWorkerData {
  readonly config: PlaneConfig;
  /** Counters, see shared-counters.ts. */
  readonly stats: SharedArrayBuffer;
  /** Descriptor that becomes readable when there are commands. */
  readonly wakeFd: number;
  readonly tuning: PlaneTuning;
  readonly opening: TunOpening;
}

export type BatchedCommand =
  /** See table-changes.ts. */
  | { readonly op: 'change-table'; readonly changes: Int32Array }
  | { readonly op: 'set-mtu'; readonly mtuBytes: number }
  | { readonly op: 'persist' }
  | { readonly op: 'close' };

export type BatchedEvent =
  | { readonly type: 'opened'; readonly offloads: string }
  /** It could not open; `message` is for the operator. */
  | { readonly type: 'refused'; readonly message: string }
  /** It carries no more packets; the thread ends. */
  | { readonly type: 'failed'; readonly message: string };
