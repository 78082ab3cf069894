// STATUS: whether an ADD could be served now. Silence is yes; otherwise the error says what is missing.
//
// 50 where only new pods suffer, 51 where those that are there do as well: in mode "routed" a route that is lost stays
// lost without felix.

import { accessSync, constants, mkdirSync } from 'node:fs';
import { withAddresses } from './address-store.ts';
import { subnetsOf } from './allocate.ts';
import { readSubnetEnv } from './attach.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { silentDaemons } from './host-route.ts';
import type { NetConf } from './net-conf.ts';
import { isInRange, rangeOf, rangeSize } from './pick-address.ts';

/** Throws `CniError` (50 or 51). */
export async function pluginStatus(conf: NetConf): Promise<void> {
  try {
    const subnets = subnetsOf(readSubnetEnv(conf.subnetFile));
    mkdirSync(conf.dataFolder, { recursive: true, mode: 0o755 });
    accessSync(conf.dataFolder, constants.W_OK);
    const addresses = await withAddresses(conf.dataFolder, ({ allocations }) => [...allocations.keys()]);
    for (const { subnet } of subnets) {
      const range = rangeOf(subnet);
      const used = addresses.filter((address) => isInRange(range, address)).length;
      if (BigInt(used) < rangeSize(range)) continue;
      throw new Error(`no address is free: ${used} of ${rangeSize(range)} addresses of ${subnet} are in use`);
    }
  } catch (cause) {
    throw new CniError(CNI_ERROR.notAvailable, (cause as Error).message, '', { cause });
  }
  if (conf.mode !== 'routed') return;
  const silent = await silentDaemons(conf.runFolder);
  if (silent.length === 0) return;
  const reason = `not running: ${silent.join(', ')} (${conf.runFolder}): routes of pods are neither made nor mended`;
  throw new CniError(CNI_ERROR.notAvailableLimited, reason);
}
