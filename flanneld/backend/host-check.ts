// What a backend needs of this machine, asked before anything is written to etcd: a lease that was taken by a node that
// cannot use it would keep others out for a day.
//
// Not a promise that the device can be made: a kernel without VXLAN says so only then, and the lease is given back.

import { open } from 'node:fs/promises';
import type { Kernel } from '../../lib/kernel/kernel.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import type { Backend } from './backend.ts';
import { applyAll, deviceError } from './device-fault.ts';

/** Nobody has a device of this name; the kernel looks at the capability before it looks for the device. */
const NO_DEVICE = 'gingham-probe';
const TUN = '/dev/net/tun';

/** Throws `ExitError` (environment) where the backend cannot run here. */
export async function checkHost(kernel: Kernel, { name, deviceName }: Backend, tun: string = TUN): Promise<void> {
  if (deviceName === undefined) return;
  try {
    await applyAll(kernel, [{ op: 'delete', kind: 'link', name: NO_DEVICE }]);
  } catch (error) {
    throw deviceError(error, deviceName);
  }
  if (name !== 'vxlan-user' && name !== 'udp') return;
  try {
    await (await open(tun, 'r+')).close();
  } catch (error) {
    throw new ExitError(
      EXIT.environment,
      `cannot make ${deviceName}: flanneld needs ${tun} (give the container that device, or load the module tun)`,
      { cause: error },
    );
  }
}
