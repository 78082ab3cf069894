// A timer that ticks by the kernel's clock and can be waited for together with a socket: timerfd_create(2).
//
// Node's own timers are late by a millisecond and more and need the event loop; a probe at 1 kHz has neither to spare.

import { libcFunction, result } from '../../lib/kernel/syscalls.ts';

const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK = 0o4000;

const create = libcFunction<[number, number]>('int timerfd_create(int clock, int flags)');
const setTime = libcFunction<[number, number, Uint8Array, number]>(
  'int timerfd_settime(int fd, int flags, const void *value, uintptr_t old)',
);
const read = libcFunction<[number, Uint8Array, number]>('intptr_t read(int fd, void *bytes, size_t length)');

const expirations = new Uint8Array(8);

/** A descriptor that becomes readable every `intervalUs`, or -errno. */
export function openTickTimer(intervalUs: number): number {
  const fd = result(create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  if (fd < 0) return fd;
  // struct itimerspec: interval and first expiry, each seconds and nanoseconds of 8 bytes.
  const spec = new BigInt64Array(4);
  spec[1] = spec[3] = BigInt(intervalUs) * 1_000n;
  const code = result(setTime(fd, 0, new Uint8Array(spec.buffer), 0));
  return code < 0 ? code : fd;
}

/** Takes the ticks that have come, so that the descriptor is quiet until the next one. */
export function takeTicks(fd: number): void {
  result(read(fd, expirations, expirations.length));
}
