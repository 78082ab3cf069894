// What subnet.env says that the traffic rules need: the cluster's networks, this node's subnets, and whether pods are to
// be masqueraded. flanneld writes the file; it is the one place where `--ip-masq` is recorded.
//
// The confusing thing: for the flannel CNI plugin FLANNEL_IPMASQ=true means that masquerading is *done* (by felix) and
// that the plugin must not do it as well.

import type { Prefix } from '../../lib/net/prefix.ts';
import { parseSubnetEnv } from '../../lib/subnet-env.ts';

export interface ClusterFacts {
  readonly networks: readonly Prefix[];
  readonly subnets: readonly Prefix[];
  readonly masquerade: boolean;
}

/** The facts in the text of a subnet.env; `undefined` where it is not whole or names no network. */
export function parseClusterFacts(text: string): ClusterFacts | undefined {
  const env = parseSubnetEnv(text);
  if (typeof env === 'string' || env.networks.length === 0) return undefined;
  const subnets = [env.subnet, ...(env.ipv6 ? [env.ipv6.subnet] : [])];
  return { networks: env.networks, subnets, masquerade: env.masquerade };
}
