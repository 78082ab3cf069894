// What flanneld knows of its node and network, where it gets it from, and what its lease says of it.
// Read once at the start; while flanneld runs it is brought up to date by tenure.ts.

import type { Kernel } from '../lib/kernel/kernel.ts';
import { familyOf } from '../lib/net/address.ts';
import type { Prefix } from '../lib/net/prefix.ts';
import type { Registry } from '../lib/registry/registry.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import type { Backend } from './backend/backend.ts';
import type { FlanneldConfig } from './config.ts';
import type { LeaseTerms } from './lease/acquire-lease.ts';
import { describeFaults, isConfigFault, type NetworkConfig, parseNetworkConfig } from './lease/network-config.ts';
import type { Subnets } from './lease/pick-subnet.ts';
import { NotYet } from './persist.ts';
import { chooseUnderlay, type Underlay, type UnderlayWish } from './underlay.ts';
import { listNetwork } from './underlay-watch.ts';

/** What of this node may change while it runs. */
export interface NodeFacts {
  network: NetworkConfig;
  underlay: Underlay;
  /** From subnet.env, for the next choice of a subnet. */
  previous: Subnets | undefined;
}

/** Where in etcd the network config is. */
export function configKey({ etcdPrefix }: FlanneldConfig): string {
  return `${etcdPrefix}/config`;
}

/** Throws `NotYet` where there is none, `ExitError` (config) where it is wrong. */
export async function fetchConfig(
  config: FlanneldConfig,
  registry: Registry,
): Promise<{ readonly network: NetworkConfig; readonly text: string }> {
  const key = configKey(config);
  const entry = await registry.get(key);
  if (entry === undefined) {
    throw new NotYet(`etcd has no ${key}: write one, such as {"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}`);
  }
  const network = parseNetworkConfig(entry.value);
  if (isConfigFault(network)) throw new ExitError(EXIT.config, `network config ${key}: ${describeFaults(network)}`);
  return { network, text: entry.value };
}

/** The networks that this flanneld makes. */
export function overlayOf({ pool, pool6 }: NetworkConfig): readonly Prefix[] {
  return pool6 === undefined ? [pool.network] : [pool.network, pool6.network];
}

/** Throws `ExitError` (environment) where none can be chosen. */
export async function findUnderlay(config: FlanneldConfig, network: NetworkConfig, kernel: Kernel): Promise<Underlay> {
  const chosen = chooseUnderlay(await listNetwork(kernel), await underlayWish(config, network, kernel));
  if (typeof chosen === 'string') throw new ExitError(EXIT.environment, `flanneld: ${chosen}`);
  return chosen;
}

/** What to choose the underlay by, now. */
export async function underlayWish(
  { iface, ifaceRegex, ifaceCanReach, publicIp }: FlanneldConfig,
  network: NetworkConfig,
  kernel: Kernel,
): Promise<UnderlayWish> {
  const route = ifaceCanReach && (await kernel.routeTo(ifaceCanReach));
  const canReach = ifaceCanReach && { address: ifaceCanReach, linkIndex: route?.linkIndex };
  return { iface, ifaceRegex, canReach, publicIp, overlay: overlayOf(network) };
}

/** Looks at the node as it is at the time of each use. */
export function leaseTerms(
  config: FlanneldConfig,
  facts: NodeFacts,
  backend: Backend,
  { registry, clock, log }: Pick<LeaseTerms, 'registry' | 'clock' | 'log'>,
): LeaseTerms {
  return {
    ...{ registry, clock, log },
    get config() {
      return facts.network;
    },
    get publicIps() {
      return [facts.underlay.publicIp, facts.underlay.local];
    },
    get previous() {
      return facts.previous;
    },
    etcdPrefix: config.etcdPrefix,
    nodeName: config.node,
    ttlSeconds: config.leaseTtlSeconds,
    attributes(_, before) {
      const { publicIp } = facts.underlay;
      const address = familyOf(publicIp) === 4 ? { publicIp } : { publicIp6: publicIp };
      return { ...address, ...backend.leaseData(before), nodeName: config.node };
    },
  };
}
