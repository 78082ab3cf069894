// One at a time among processes: flock(2), which the kernel gives back when its holder ends, however it ends.
//
// The lock is of the open file, so nobody else may open the descriptor's file for it; the file itself stays.

import { closeSync, openSync } from 'node:fs';
import { LOCK, lockFile, waitForLock } from '../lib/kernel/syscalls.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';

/** Longer than 200 pods that are added at once take on a slow machine. */
const WAIT_MS = 60_000;

/** Runs `use` while holding the lock. Throws `CniError` (5 where the file cannot be opened, 11 where it never came free). */
export async function withFileLock<T>(path: string, use: () => T | Promise<T>): Promise<T> {
  let fd: number;
  try {
    fd = openSync(path, 'a', 0o644);
  } catch (cause) {
    throw new CniError(CNI_ERROR.ioFailure, `cannot open ${path}: ${(cause as Error).message}`, '', { cause });
  }
  try {
    if (lockFile(fd, LOCK.exclusive | LOCK.nonBlock) < 0) await waited(fd, path);
    return await use();
  } finally {
    closeSync(fd);
  }
}

async function waited(fd: number, path: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    const reason = `another process has held ${path} for ${WAIT_MS / 1000} s`;
    timer = setTimeout(() => reject(new CniError(CNI_ERROR.tryAgainLater, reason)), WAIT_MS);
  });
  try {
    if ((await Promise.race([waitForLock(fd), tooLong])) < 0) {
      throw new CniError(CNI_ERROR.ioFailure, `cannot lock ${path}: the file system has no flock(2)`);
    }
  } finally {
    clearTimeout(timer);
  }
}
