// Names, alias and MAC addresses that follow from what a pod is: nothing has to be remembered to find its interface again.
//
// The host's end of a pod's veth pair is `gh` and 11 hex digits of a hash of network, container and interface: 15 bytes,
// all that a name may have.

import { createHash } from 'node:crypto';
import { type Address, addressBytes, familyOf } from '../lib/net/address.ts';
import { type Mac, mac, macFromBytes } from '../lib/net/mac.ts';
import type { Attachment } from './cni-call.ts';

/** Alias of a bridge that the plugin made. */
export const BRIDGE_ALIAS = 'gingham';

/** The node's end of every pod without a bridge: pods hold it as the MAC of their gateway. */
export const ROUTED_GATEWAY_MAC: Mac = mac('0a:58:a9:fe:01:01');

export function hostInterfaceName(network: string, { containerId, ifname }: Attachment): string {
  const hash = createHash('sha256').update(`${network}\0${containerId}\0${ifname}`).digest('hex');
  return `gh${hash.slice(0, 11)}`;
}

/** Alias of a pod's host interface; felix knows pods by it. IFALIASZ is 256 bytes. */
export function podAlias(containerId: string): string {
  return `gingham:${containerId}`.slice(0, 255);
}

/**
 * A locally administered MAC that follows from an IPv4 address, 0a:58 and its four bytes: whoever has the address in an
 * ARP table has the right MAC for its next owner. `undefined` for IPv6, where there are not enough bytes.
 */
export function macOfAddress(address: Address): Mac | undefined {
  if (familyOf(address) === 6) return undefined;
  return macFromBytes(Uint8Array.of(0x0a, 0x58, ...addressBytes(address)));
}
