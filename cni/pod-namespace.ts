// Entering a pod's network namespace: by setns(2), on the plugin's only thread.
//
// Sockets that are opened and files under /proc/sys/net that are read meanwhile are the pod's; sockets that were opened
// before stay the host's. So nothing else may run meanwhile: the plugin does one thing after another.

import { closeSync, fstatSync, openSync } from 'node:fs';
import type { Kernel } from '../lib/kernel/kernel.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import { CLONE_NEWNET, enterNamespace } from '../lib/kernel/syscalls.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';

const OWN_NAMESPACE = '/proc/thread-self/ns/net';

export class PodNamespace {
  /** Open file of the namespace. */
  readonly fd: number;
  readonly path: string;
  readonly #home: number;

  /** Throws `CniError`: 3 where the path leads nowhere, 4 where it is no network namespace or the host's own. */
  constructor(path: string) {
    this.path = path;
    this.#home = openSync(OWN_NAMESPACE, 'r');
    try {
      this.fd = openSync(path, 'r');
    } catch (cause) {
      closeSync(this.#home);
      const reason = `CNI_NETNS=${path} cannot be opened: ${(cause as Error).message}`;
      throw new CniError(CNI_ERROR.unknownContainer, reason, '', { cause });
    }
    if (sameFile(this.fd, this.#home)) {
      this.close();
      throw new CniError(CNI_ERROR.invalidEnvironment, `CNI_NETNS=${path} is the network namespace of the host`);
    }
  }

  /** Runs `work` inside, with a kernel handle of the pod. Throws `CniError` (4) where the file is no network namespace. */
  async within<T>(work: (kernel: Kernel) => Promise<T>): Promise<T> {
    const entered = enterNamespace(this.fd, CLONE_NEWNET);
    if (entered < 0) {
      const reason = `CNI_NETNS=${this.path} cannot be entered: error ${-entered}; it takes a network namespace and root`;
      throw new CniError(CNI_ERROR.invalidEnvironment, reason);
    }
    const kernel = openKernel();
    try {
      return await work(kernel);
    } finally {
      await kernel.close();
      this.#return();
    }
  }

  #return(): void {
    const back = enterNamespace(this.#home, CLONE_NEWNET);
    if (back < 0) throw new Error(`cannot return to the host's network namespace: error ${-back}`);
  }

  close(): void {
    closeSync(this.fd);
    closeSync(this.#home);
  }
}

function sameFile(a: number, b: number): boolean {
  const [first, second] = [fstatSync(a), fstatSync(b)];
  return first.ino === second.ino && first.dev === second.dev;
}
