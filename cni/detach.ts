// DEL and GC: the reverse of ADD, and sound without any of its traces. What is absent is as it should be.
//
// The name of the host's end follows from the container's id, so a lost state folder hides nothing; the allocation goes
// last, so that a DEL that was killed is found by the next DEL or GC.

import type { Kernel } from '../lib/kernel/kernel.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import { ownerOf, withAddresses } from './address-store.ts';
import { release } from './allocate.ts';
import { removeUnusedBridge } from './bridge.ts';
import type { Attachment } from './cni-call.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { listPodRecords, removePodRecord } from './host-route.ts';
import { removePair } from './host-side.ts';
import type { NetConf } from './net-conf.ts';
import { hostInterfaceName } from './pod-names.ts';

/** Unplugs the container's interface. Throws `CniError`. */
export async function detach(conf: NetConf, pod: Attachment): Promise<void> {
  const kernel = openKernel();
  try {
    await unplug(kernel, conf, pod);
    const owner = ownerOf(conf.name, pod);
    await withAddresses(conf.dataFolder, (store) => release(store, owner, Date.now()));
  } finally {
    await kernel.close();
  }
}

/**
 * Removes everything of the network that belongs to none of the attachments that the runtime says are there, and a bridge
 * that nothing is plugged into. Throws `CniError` (7) where the runtime does not say.
 */
export async function collectGarbage(conf: NetConf): Promise<void> {
  const { validAttachments } = conf;
  if (validAttachments === undefined) {
    throw new CniError(CNI_ERROR.invalidConfig, 'cni.dev/valid-attachments is missing: GC removes what is not in it');
  }
  const valid = new Set(validAttachments.map((pod) => hostInterfaceName(conf.name, pod)));
  const isStale = (pod: Attachment): boolean => !valid.has(hostInterfaceName(conf.name, pod));
  const kernel = openKernel();
  try {
    await withAddresses(conf.dataFolder, async (store) => {
      const own = [...store.allocations.values()].filter(({ network }) => network === conf.name);
      const stale = own.filter(isStale);
      for (const pod of stale) {
        await unplug(kernel, conf, pod);
        release(store, pod, Date.now());
      }
    });
    const records = listPodRecords(conf.runFolder).filter(({ network }) => network === conf.name);
    for (const pod of records.filter(isStale)) await unplug(kernel, conf, pod);
    if (conf.mode === 'bridge') await removeUnusedBridge(kernel, conf.bridge.name);
  } finally {
    await kernel.close();
  }
}

async function unplug(kernel: Kernel, conf: NetConf, pod: Attachment): Promise<void> {
  const hostInterface = hostInterfaceName(conf.name, pod);
  // Of whatever mode: the configuration may have changed since ADD.
  removePodRecord(conf.runFolder, hostInterface);
  await removePair(kernel, hostInterface);
}
