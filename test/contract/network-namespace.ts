// A network namespace for the thread that runs the test: no name, no clean-up, gone with the last who uses it.
//
// Netlink sockets belong to the namespace of the thread that opens them, and child processes (`ip ...`) to that of the
// thread that starts them, so a test file that enters one sees nothing of the machine's network, nor the machine of it.

import { closeSync, openSync } from 'node:fs';
import { CLONE_NEWNET, enterNamespace, unshare } from '../../lib/kernel/syscalls.ts';

/** Enters a new, empty namespace. The returned function goes back to the one before. Throws without CAP_SYS_ADMIN. */
export function enterNewNetworkNamespace(): () => void {
  const before = openSync('/proc/thread-self/ns/net', 'r');
  const result = unshare(CLONE_NEWNET);
  if (result < 0) {
    closeSync(before);
    throw new Error(`unshare(CLONE_NEWNET) failed with errno ${-result}: this needs root`);
  }
  return () => {
    enterNamespace(before, CLONE_NEWNET);
    closeSync(before);
  };
}
