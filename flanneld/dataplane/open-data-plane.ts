// Opens the user-space data plane with the driver that was asked for, or with the best one that works on this machine.
//
// A driver is loaded only when it is taken, so that a missing optional addon is no concern of nodes that do not use it.

import { removePersistentTun } from '../../lib/kernel/tun-device.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import type { DataPlane, OpenOptions, PlaneConfig } from './data-plane.ts';

/** See `OpenDataPlane`. */
export async function openDataPlane(config: PlaneConfig, options: OpenOptions): Promise<DataPlane> {
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
