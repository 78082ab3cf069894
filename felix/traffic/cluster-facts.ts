// What subnet.env says that the traffic rules need: the cluster's networks, this node's subnets, and whether pods are to
// be masqueraded. flanneld writes the file; it is the one place where `--ip-masq` is recorded.
//
// The confusing thing: for the flannel CNI plugin FLANNEL_IPMASQ=true means that masquerading is *done* (by felix) and
// that the plugin must not do it as well.

import { parseAddress } from '../../lib/net/address.ts';
import { type Prefix, prefixOf } from '../../lib/net/prefix.ts';

export interface ClusterFacts {
  readonly networks: readonly Prefix[];
  readonly subnets: readonly Prefix[];
  readonly masquerade: boolean;
}

/** The facts in the text of a subnet.env; `undefined` where it names no subnet or network that can be read. */
export function parseClusterFacts(text: string): ClusterFacts | undefined {
  const networks = prefixesOf(text, ['FLANNEL_NETWORK', 'FLANNEL_IPV6_NETWORK']);
  const subnets = prefixesOf(text, ['FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET']);
  if (networks.length === 0 || subnets.length === 0) return undefined;
  return { networks, subnets, masquerade: /^FLANNEL_IPMASQ=true\s*$/m.test(text) };
}

/** A subnet is written as its first host's address: the rest of the bits are cut off. */
function prefixesOf(text: string, names: readonly string[]): Prefix[] {
  return names.flatMap((name) => {
    const value = new RegExp(`^${name}=(\\S+)/(\\d{1,3})\\s*$`, 'm').exec(text);
    const address = parseAddress(value?.[1] ?? '');
    const prefix = address && prefixOf(address, Number(value?.[2]));
    return prefix === undefined ? [] : [prefix];
  });
}
