// subnet.env: what this node leased, for whoever plugs pods in (the flannel CNI plugin, scripts), under flannel's names.
//
//   FLANNEL_NETWORK=10.5.0.0/16
//   FLANNEL_SUBNET=10.5.72.1/24        the first address that a pod or bridge may have, not the network address
//   FLANNEL_IPV6_NETWORK, FLANNEL_IPV6_SUBNET        where the node has IPv6
//   FLANNEL_MTU=1450
//   FLANNEL_IPMASQ=false               --ip-masq: "true" makes felix masquerade, and tells the plugin that it must not
//
// Written whole and renamed into place, so that a reader sees the old one or the new one. It is also the memory of which
// subnet the node had, for the case that etcd lost it.

import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { addressAt, type Prefix, prefixLength } from '../lib/net/prefix.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { parseSubnetEnv } from '../lib/subnet-env.ts';
import type { NetworkConfig } from './lease/network-config.ts';
import type { Subnets } from './lease/pick-subnet.ts';

/** The text of subnet.env. */
export function renderSubnetFile(
  config: NetworkConfig,
  { subnet, subnet6 }: Subnets,
  mtuBytes: number,
  ipMasq = false,
): string {
  const lines = [`FLANNEL_NETWORK=${config.pool.network}`, `FLANNEL_SUBNET=${firstHost(subnet)}`];
  if (config.pool6 !== undefined && subnet6 !== undefined) {
    lines.push(`FLANNEL_IPV6_NETWORK=${config.pool6.network}`, `FLANNEL_IPV6_SUBNET=${firstHost(subnet6)}`);
  }
  lines.push(`FLANNEL_MTU=${mtuBytes}`, `FLANNEL_IPMASQ=${ipMasq}`);
  return `${lines.join('\n')}\n`;
}

/** The subnets in the file; `undefined` where there is no such file, or one that is not whole. */
export async function readSubnetFile(path: string): Promise<Subnets | undefined> {
  const env = await readFile(path, 'utf8').then(parseSubnetEnv, () => '');
  if (typeof env === 'string') return undefined;
  return { subnet: env.subnet, ...(env.ipv6 && { subnet6: env.ipv6.subnet }) };
}

/** Replaces the file in one step, mode 0644. Throws `ExitError` (environment) where it cannot. */
export async function writeSubnetFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const file = await open(temporary, 'w', 0o644);
    try {
      await file.chmod(0o644);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new ExitError(EXIT.environment, `cannot write ${path} (--subnet-file)`, { cause: error });
  }
}

/** subnet.env kept up to date: written when it would say something else than it does, one write after another. */
export class SubnetFile {
  readonly #path: string;
  readonly #render: () => string;
  #written = '';
  #last: Promise<void> = Promise.resolve();

  /** `render` says what should be in it now. */
  constructor(path: string, render: () => string) {
    this.#path = path;
    this.#render = render;
  }

  /** Resolves when the file says what it should. Rejects with `ExitError` (environment) where it cannot be written. */
  keep(): Promise<void> {
    const text = this.#render();
    if (text !== this.#written) {
      this.#written = text;
      this.#last = this.#last.then(() => writeSubnetFile(this.#path, text));
    }
    return this.#last;
  }
}

function firstHost(subnet: Prefix): string {
  return `${addressAt(subnet, 1)}/${prefixLength(subnet)}`;
}
