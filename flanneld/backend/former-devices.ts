// Removes what an earlier run with another backend left of this network: a tunnel device of ours whose address lies in it.
//
// Another network's device (one flanneld per network may run on a node) has its address elsewhere and is let be.

import type { Kernel, Link } from '../../lib/kernel/kernel.ts';
import { type Prefix, prefixContains } from '../../lib/net/prefix.ts';
import { applyAll, deviceError } from './device-fault.ts';
import { ALIAS } from './tunnel-device.ts';

/** Deletes them; gives their names. Throws `ExitError` where it may not. `keep` is the device of the backend that runs now, if it has one. */
export async function removeFormerDevices(
  kernel: Kernel,
  networks: readonly Prefix[],
  keep: string | undefined,
): Promise<readonly string[]> {
  const addresses = await kernel.list('address');
  const isFormer = ({ index, name, alias }: Link): boolean =>
    alias === ALIAS &&
    name.startsWith('flannel') &&
    name !== keep &&
    addresses.some(
      ({ linkIndex, address }) => linkIndex === index && networks.some((network) => prefixContains(network, address)),
    );
  const names = (await kernel.list('link')).filter(isFormer).map(({ name }) => name);
  for (const name of names) {
    await applyAll(kernel, [{ op: 'delete', kind: 'link', name }]).catch((error: unknown) => {
      throw deviceError(error, `room: ${name} of another backend is in the way`);
    });
  }
  return names;
}
