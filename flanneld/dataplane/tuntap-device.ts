// Opens a TUN or TAP device through node-tuntap2's fork, under the name that was asked for.
//
// What the fork does and does not (3.0.2, Apache-2.0): it opens /dev/net/tun with IFF_NO_PI, lets the kernel choose the
// name, and leaves the device down, without address, with the default MTU. We use its open, its descriptor and its
// release, not its streams, because
//   - its read stream blocks a thread of libuv's pool in read(2): process.exit then waits for a packet that may never
//     come, and so does release();
//   - it allocates 64 KiB for each packet, and copies;
//   - one refused write (the device is down) destroys the write stream and is thrown as an `error` event.
// Instead the event loop polls the descriptor, and reads and writes are plain calls that do not wait.

import { readSync, writeSync } from 'node:fs';
import { errnoName } from '../../lib/kernel/errno.ts';
import { watchReadable } from '../../lib/kernel/syscalls.ts';
import { LINK_NAME_MAX_LENGTH, renameLink } from '../../lib/kernel/tun-device.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';

/** The part of the fork's class that we use; its own type declarations are at a path that its package.json misses. */
interface AddonDevice {
  /** Name that the kernel chose. */
  readonly name: string;
  readonly _fd: number;
  release(done: () => void): void;
}

interface Addon {
  readonly LinuxTun: new () => AddonDevice;
  readonly LinuxTap: new () => AddonDevice;
}

export interface TuntapDevice {
  /** Calls `listener` when there is a frame to read, or nothing more to be expected. Returns what ends it. */
  watch(listener: () => void): () => void;
  /** One frame into `bytes` from `at` on: its length, 0 where there is none now. Throws where the device is gone. */
  read(bytes: Uint8Array, at: number): number;
  /** False where the kernel does not take the frame: the device is down. Throws where the device is gone. */
  write(bytes: Uint8Array, at: number, length: number): boolean;
  /** Closes the descriptor; the device goes with it. */
  close(): Promise<void>;
}

// A name in a variable is one that the compiler does not look up.
const ADDON: string = '@xiaobaidadada/node-tuntap2-wintun';

/** Error codes that mean "not this time": nothing to read, device down, no memory. */
const PASSING: readonly string[] = ['EAGAIN', 'EINTR', 'EIO', 'ENOBUFS', 'ENOMEM', 'EINVAL'];

/** Rejects with `ExitError` (environment). */
export async function openTuntapDevice(kind: 'tun' | 'tap', name: string): Promise<TuntapDevice> {
  if (name.length > LINK_NAME_MAX_LENGTH) {
    throw new ExitError(
      EXIT.environment,
      `device name "${name}" is too long: at most ${LINK_NAME_MAX_LENGTH} characters`,
    );
  }
  const addon = await loadAddon();
  const opened = openAddonDevice(addon, kind, name);
  const code = renameLink(opened.name, name);
  if (code < 0) {
    await release(opened);
    const reason = errnoName(-code);
    const hint = reason === 'EEXIST' ? 'a link of that name exists already' : reason;
    throw new ExitError(EXIT.environment, `cannot name the ${kind} device "${name}": ${hint}`);
  }
  const fd = opened._fd;
  return {
    watch: (listener) => watchReadable(fd, listener),
    read: (bytes, at) => passing(() => readSync(fd, bytes, at, bytes.length - at, null)) ?? 0,
    write: (bytes, at, length) => passing(() => writeSync(fd, bytes, at, length, null)) !== undefined,
    close: () => release(opened),
  };
}

async function loadAddon(): Promise<Addon> {
  try {
    return (await import(ADDON)) as Addon;
  } catch (error) {
    throw new ExitError(
      EXIT.environment,
      'the tuntap driver needs the addon node-tuntap2, which is not installed or was not compiled: install python3, make and g++, then run "npm ci"',
      { cause: error },
    );
  }
}

function openAddonDevice(addon: Addon, kind: 'tun' | 'tap', name: string): AddonDevice {
  try {
    return kind === 'tap' ? new addon.LinuxTap() : new addon.LinuxTun();
  } catch (error) {
    throw new ExitError(EXIT.environment, `cannot open a ${kind} device for "${name}": ${openHint(error)}`, {
      cause: error,
    });
  }
}

function openHint(error: unknown): string {
  const { code, errno } = error as NodeJS.ErrnoException;
  switch (code ?? errnoName(Math.abs(errno ?? 0))) {
    case 'ENOENT':
    case 'ENODEV':
      return '/dev/net/tun is missing (in a container: --device /dev/net/tun)';
    case 'EPERM':
    case 'EACCES':
      return 'not permitted (needs the capability NET_ADMIN and access to /dev/net/tun)';
    default:
      return 'the kernel refused it';
  }
}

function release(device: AddonDevice): Promise<void> {
  return new Promise((resolve) => device.release(resolve));
}

/** `undefined` where the call failed in a way that passes; throws where the device is gone (EBADFD, EFAULT). */
function passing(call: () => number): number | undefined {
  try {
    return call();
  } catch (error) {
    if (PASSING.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
