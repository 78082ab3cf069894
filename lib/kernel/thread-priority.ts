// Puts the calling thread before all others of the machine that have no deadline: SCHED_RR, sched(7). For a thread that works for
// microseconds and must not wait, never for one that computes: it would starve the rest.

import { endianness } from 'node:os';
import { libcFunction, result } from './syscalls.ts';

const SCHED_RR = 2;

const schedSetScheduler = libcFunction<[number, number, Uint8Array]>(
  'int sched_setscheduler(int pid, int policy, const void *parameter)',
);

/** The lowest real-time priority for the calling thread alone (pid 0). 0, or -errno: -EPERM without CAP_SYS_NICE. */
export function makeThreadRealTime(): number {
  const parameter = new Uint8Array(4);
  new DataView(parameter.buffer).setInt32(0, 1, endianness() === 'LE');
  return result(schedSetScheduler(0, SCHED_RR, parameter));
}
