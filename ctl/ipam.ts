// `gingham ipam show|check|release`: which pod has which address on this node, and whether the kernel agrees.
//
// The CNI plugin owns the files; they are read and changed here through its own code, under its lock.

import { type Allocation, withAddresses } from '../cni/address-store.ts';
import { CniError } from '../cni/cni-error.ts';
import { hostInterfaceName } from '../cni/pod-names.ts';
import type { Link } from '../lib/kernel/kernel.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import { compareAddresses } from '../lib/net/address.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { renderTable } from './table.ts';

const POD_ALIAS = /^gingham:./;

/** Prints every address that is in use. */
export async function ipamShow(stateFolder: string, json: boolean): Promise<number> {
  const allocations = await read(stateFolder);
  const rows = allocations.map((each) => ({ ...each, hostInterface: hostInterfaceName(each.network, each) }));
  const table = renderTable(
    ['ADDRESS', 'NETWORK', 'CONTAINER', 'INTERFACE', 'HOST INTERFACE', 'SINCE'],
    rows.map((row) => [
      row.address,
      row.network,
      row.containerId,
      row.ifname,
      row.hostInterface,
      new Date(row.sinceUnixMs).toISOString(),
    ]),
  );
  process.stdout.write(`${json ? JSON.stringify(rows) : table.join('\n')}\n`);
  return EXIT.ok;
}

/** Prints what does not fit together; 0 where all does, else 1. */
export async function ipamCheck(stateFolder: string, json: boolean): Promise<number> {
  const allocations = await read(stateFolder);
  const kernel = openKernel();
  try {
    const problems = findProblems(allocations, await kernel.list('link'));
    const lines = problems.length === 0 ? [`${allocations.length} addresses, nothing amiss`] : problems;
    process.stdout.write(`${json ? JSON.stringify({ addresses: allocations.length, problems }) : lines.join('\n')}\n`);
    return problems.length === 0 ? EXIT.ok : EXIT.internal;
  } finally {
    await kernel.close();
  }
}

/** Frees an address, or all of a container's. The container's interface stays: this is for one that is gone. */
export async function ipamRelease(stateFolder: string, what: string): Promise<number> {
  const freed = await guarded(() =>
    withAddresses(stateFolder, (store) => {
      const found = [...store.allocations.values()].filter(
        (each) => each.address === what || each.containerId === what,
      );
      for (const { address } of found) store.free(address, Date.now());
      return found;
    }),
  );
  if (freed.length === 0) {
    throw new ExitError(
      EXIT.environment,
      `gingham: ${what} is neither an address in use nor a container: see "ipam show"`,
    );
  }
  process.stdout.write(`${freed.map(({ address, containerId }) => `${address} of ${containerId}`).join('\n')}\n`);
  return EXIT.ok;
}

/** In words: addresses without an interface, interfaces without an address. */
export function findProblems(allocations: readonly Allocation[], links: readonly Link[]): readonly string[] {
  const names = new Set(links.map(({ name }) => name));
  const lost = allocations.filter((each) => !names.has(hostInterfaceName(each.network, each)));
  const known = new Set(allocations.map((each) => hostInterfaceName(each.network, each)));
  const strays = links.filter(({ name, alias }) => POD_ALIAS.test(alias ?? '') && !known.has(name));
  return [
    ...lost.map(
      ({ address, network, containerId, ifname }) =>
        `${address}: container ${containerId} (${ifname}, network ${network}) has no interface on this node`,
    ),
    ...strays.map(({ name, alias }) => `${name}: a pod's interface (${alias}) that has no address`),
  ];
}

async function read(stateFolder: string): Promise<readonly Allocation[]> {
  const all = await guarded(() => withAddresses(stateFolder, (store) => [...store.allocations.values()]));
  return all.toSorted((a, b) => compareAddresses(a.address, b.address));
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw new ExitError(EXIT.environment, `gingham: ${error.message}`, { cause: error });
  }
}
