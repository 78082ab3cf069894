// Opens the user-space data plane with the driver that was asked for, or with the best one that works on this machine.
//
// A driver is loaded only when it is taken, so that a missing optional addon is no concern of nodes that do not use it.

import { EXIT, ExitError } from '../../lib/run/exit.ts';
import type { DataPlane, OpenOptions, PlaneConfig } from './data-plane.ts';

/** See `OpenDataPlane`. */
export async function openDataPlane(config: PlaneConfig, options: OpenOptions): Promise<DataPlane> {
  if (options.io === 'batched') {
    throw new ExitError(EXIT.usage, '--io batched is not available in this version: use auto or tuntap');
  }
  const { openTuntapPlane } = await import('./tuntap-plane.ts');
  const why = options.io === 'auto' ? 'the only driver in this version' : 'asked for with --io';
  return openTuntapPlane(config, options, why);
}
