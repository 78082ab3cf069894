// The node's end of a pod's veth pair: a port of the bridge, or, without one, a link that felix gives what it needs.
//
// The pair is made in one message, the pod's end at once in the pod's namespace under its own name: there is no moment at
// which it lies in the host's, and no name there that two pods could want.

import type { Kernel, Link } from '../lib/kernel/kernel.ts';
import { ensureSysctl } from '../lib/kernel/sysctl.ts';
import { type Address, familyOf } from '../lib/net/address.ts';
import type { Mac } from '../lib/net/mac.ts';
import type { Attachment } from './cni-call.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { madeLink, putLink, writeAll } from './kernel-write.ts';
import { podAlias, ROUTED_GATEWAY_MAC } from './pod-names.ts';

export interface PairSpec {
  readonly hostInterface: string;
  readonly pod: Attachment;
  readonly mtuBytes: number;
  readonly podMac: Mac | undefined;
  /** Open file of the pod's namespace. */
  readonly namespaceFd: number;
}

/** Makes the pair with its end here as a port of the bridge, up. Throws `CniError` (102, or 104 where the pod has the name). */
export async function makeBridgePort(kernel: Kernel, pair: PairSpec, bridge: Link, hairpin: boolean): Promise<Link> {
  const own = { name: pair.hostInterface, alias: podAlias(pair.pod.containerId), masterIndex: bridge.index, up: true };
  await makePair(kernel, pair, { ...own, ...(hairpin && { hairpin }) });
  return madeLink(kernel, pair.hostInterface);
}

/** Makes the pair with its end here as the pod's router, up. Throws as `makeBridgePort`. */
export async function makeRoutedPort(kernel: Kernel, pair: PairSpec): Promise<Link> {
  const { hostInterface: name, pod } = pair;
  await makePair(kernel, pair, { name, alias: podAlias(pod.containerId), mac: ROUTED_GATEWAY_MAC, up: true });
  ensureSysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
  return madeLink(kernel, name);
}

/** Removes the pair, and with it all that the pod has of it; an absent one is fine. Throws `CniError` (102). */
export async function removePair(kernel: Kernel, hostInterface: string): Promise<void> {
  await writeAll(kernel, [{ op: 'delete', kind: 'link', name: hostInterface }]);
}

async function makePair(
  kernel: Kernel,
  { hostInterface, pod, mtuBytes, podMac, namespaceFd }: PairSpec,
  spec: Parameters<typeof putLink>[0],
): Promise<void> {
  const peer = { name: pod.ifname, namespaceFd, ...(podMac && { mac: podMac }) };
  const [refused] = await kernel.apply([putLink({ ...spec, create: { type: 'veth', peer }, mtuBytes })]);
  if (refused === undefined) return;
  if (refused.code === 'EEXIST') {
    throw new CniError(CNI_ERROR.alreadyAttached, `the container has an interface ${pod.ifname} already`);
  }
  const reason = refused.message === undefined ? refused.code : `${refused.code}: ${refused.message}`;
  throw new CniError(CNI_ERROR.kernelRefused, `the kernel refused veth pair ${hostInterface}: ${reason}`);
}

/** The address families that are in these addresses. */
export function includesIpv6(addresses: readonly Address[]): boolean {
  return addresses.some((address) => familyOf(address) === 6);
}
