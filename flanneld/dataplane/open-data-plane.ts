// Opens the user-space data plane with the driver that was asked for, or with the best one that works on this machine.
//
// A driver is loaded only when it is taken, so that a missing optional addon is no concern of nodes that do not use it.

import { removePersistentTun } from '../../lib/kernel/tun-device.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import type { DataPlane, OpenOptions, PlaneConfig } from './data-plane.ts';

/** See `OpenDataPlane`. */
export async function openDataPlane(config: PlaneConfig, options: OpenOptions): Promise<DataPlane> {
  if (config.mode === 'ipip') return openIpip(config, options);
  if (options.io === 'tuntap') return openTuntap(config, options, 'asked for with --io');
  if (options.io === 'batched') return openBatched(config, options, 'asked for with --io');
  try {
    return await openBatched(config, options, 'the faster driver');
  } catch (error) {
    if (!(error instanceof ExitError) || error.exitCode !== EXIT.environment) throw error;
    // What both drivers need fails again, and then with the words of the one that was tried last.
    return openTuntap(config, options, `batched does not work here: ${errorText(error)}`);
  }
}

/** Raw sockets are the tuntap driver's: they have neither segmentation nor coalescing to gain from batches. */
async function openIpip(config: PlaneConfig, options: OpenOptions): Promise<DataPlane> {
  if (options.io === 'batched') {
    throw new ExitError(EXIT.usage, 'the backend ipip has no batched driver: use --io auto or tuntap');
  }
  return openTuntap(config, options, options.io === 'auto' ? 'the driver that has raw sockets' : 'asked for with --io');
}

async function openTuntap(config: PlaneConfig, options: OpenOptions, why: string): Promise<DataPlane> {
  const { openTuntapPlane } = await import('./tuntap-plane.ts');
  // It can only make devices, not take one over.
  if (options.adopt === true) removePersistentTun(config.mode === 'vxlan' ? 'tap' : 'tun', config.deviceName);
  return openTuntapPlane(config, options, why);
}

async function openBatched(config: PlaneConfig, options: OpenOptions, why: string): Promise<DataPlane> {
  const { openBatchedPlane } = await import('./batched-plane.ts');
  return openBatchedPlane(config, options, why);
}
