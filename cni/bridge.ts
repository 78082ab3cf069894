// The node's bridge in mode "bridge": made by the first pod, with the first address of each of the node's subnets.
//
// Level-triggered and safe to run at the same time as another ADD: each step is as good when it is done already. A bridge
// that somebody else made (another CNI plugin, the lab) is used as it is and only gets the addresses that it lacks.

import type { Kernel, KernelChange, Link } from '../lib/kernel/kernel.ts';
import { ensureSysctl } from '../lib/kernel/sysctl.ts';
import { prefixLength } from '../lib/net/prefix.ts';
import type { NodeSubnet } from '../lib/subnet-env.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { linkNamed, madeLink, putLink, writeAll } from './kernel-write.ts';
import type { BridgeConf } from './net-conf.ts';
import { BRIDGE_ALIAS, macOfAddress } from './pod-names.ts';

/** Makes or completes the bridge; as it then is. Throws `CniError` (102). */
export async function ensureBridge(
  kernel: Kernel,
  { name, isGateway }: BridgeConf,
  subnets: readonly NodeSubnet[],
  mtuBytes: number,
): Promise<Link> {
  const found = await linkNamed(kernel, name);
  if (found !== undefined && found.type !== 'bridge') {
    const reason = `bridge: ${name} is there and is no bridge but ${found.type ?? 'another device'}`;
    throw new CniError(CNI_ERROR.invalidConfig, reason);
  }
  if (found === undefined || (await isOurs(kernel, found))) await makeBridge(kernel, name, subnets, mtuBytes, found);
  const bridge = await madeLink(kernel, name);
  if (!bridge.up) await writeAll(kernel, [putLink({ name, up: true })]);
  if (isGateway) await addGateways(kernel, bridge, subnets);
  return { ...bridge, up: true };
}

/** Removes a bridge of ours that has no port left; gives whether it did. */
export async function removeUnusedBridge(kernel: Kernel, name: string): Promise<boolean> {
  const links = await kernel.list('link');
  const bridge = links.find((link) => link.name === name);
  if (bridge?.type !== 'bridge' || bridge.alias !== BRIDGE_ALIAS) return false;
  if (links.some(({ masterIndex }) => masterIndex === bridge.index)) return false;
  await writeAll(kernel, [{ op: 'delete', kind: 'link', name }]);
  return true;
}

/** What pods need to reach beyond their node. Read-only /proc/sys (a container's) is not an error: the host sets it there. */
export function enableForwarding(hasIpv6: boolean): void {
  ensureSysctl('net/ipv4/ip_forward', '1');
  if (hasIpv6) ensureSysctl('net/ipv6/conf/all/forwarding', '1');
}

/** With our alias; or without any alias, address and port: one whose maker was killed before it could say whose it is. */
async function isOurs(kernel: Kernel, bridge: Link): Promise<boolean> {
  if (bridge.alias !== undefined) return bridge.alias === BRIDGE_ALIAS;
  const addresses = await kernel.list('address', { linkIndex: bridge.index });
  return addresses.every(({ address }) => address.startsWith('fe80:'));
}

async function makeBridge(
  kernel: Kernel,
  name: string,
  subnets: readonly NodeSubnet[],
  mtuBytes: number,
  found: Link | undefined,
): Promise<void> {
  if (found?.alias === BRIDGE_ALIAS && found.mtuBytes === mtuBytes && found.up) return;
  // Its own MAC: without one it takes that of its lowest port, and changes it as pods come and go.
  const mac = subnets.map(({ gateway }) => macOfAddress(gateway)).find((each) => each !== undefined);
  await writeAll(kernel, [
    putLink({ name, create: { type: 'bridge' }, alias: BRIDGE_ALIAS, up: true, ...(mac && { mac }) }),
    // Not at creation: the kernel would take that MTU for a first value, and follow the ports afterwards.
    putLink({ name, mtuBytes }),
  ]);
  // A router that takes other routers' advertisements would lose its own default route to one of them.
  ensureSysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
}

async function addGateways(kernel: Kernel, bridge: Link, subnets: readonly NodeSubnet[]): Promise<void> {
  const present = await kernel.list('address', { linkIndex: bridge.index });
  const changes = subnets.flatMap(({ subnet, gateway }): KernelChange[] => {
    if (present.some(({ address }) => address === gateway)) return [];
    const address = { linkIndex: bridge.index, address: gateway, prefixLength: prefixLength(subnet) };
    return [{ op: 'put', kind: 'address', address }];
  });
  await writeAll(kernel, changes);
}
