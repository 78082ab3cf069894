// Gives the calling thread a table of file descriptors of its own: unshare(2) with CLONE_FILES.
//
// A process that is killed gives back its memory first and its descriptors after that, in the last of its threads to end:
// with hundreds of megabytes its connections stay open for tens of milliseconds. The descriptors of a thread with its own
// table go when that thread ends.
//
// The confusing thing: the new table begins as a copy, and a copy of a socket keeps its connection, or its port, after the other
// threads have closed theirs. So all sockets are closed in it, but for the standard streams, whose numbers nothing else may
// have; what the thread's event loop is made of is no socket.

import { readdirSync, readlinkSync } from 'node:fs';
import { close, unshare } from './syscalls.ts';

const CLONE_FILES = 0x400;
const FOLDER = '/proc/thread-self/fd';
/** Standard input, output and error; a service manager may have made them sockets. */
const STANDARD_MAX = 2;

/** Call it before the thread opens anything. 0, or -errno: -EPERM where a filter of system calls forbids it (seccomp). */
export function takeOwnDescriptors(): number {
  const code = unshare(CLONE_FILES);
  if (code < 0) return code;
  for (const name of readdirSync(FOLDER)) {
    const fd = Number(name);
    if (fd > STANDARD_MAX && targetOf(name)?.startsWith('socket:') === true) close(fd);
  }
  return 0;
}

/** The descriptor of the listing itself is gone by now. */
function targetOf(name: string): string | undefined {
  try {
    return readlinkSync(`${FOLDER}/${name}`);
  } catch {
    return undefined;
  }
}
