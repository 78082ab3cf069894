// `subnet.env`, flannel's hand-over from flanneld to whoever plugs pods: shell-style NAME=value lines.
//
// Read here, written by flanneld. FLANNEL_SUBNET is an interface address (10.5.1.1/24), not a prefix: its first part is
// the bridge's own address.

import { type Address, type Family, familyOf, parseAddress } from './net/address.ts';
import { addressAt, type Prefix, prefixOf } from './net/prefix.ts';

/** A subnet of this node, and the address in it that is the node's: the subnet's .1. */
export interface NodeSubnet {
  readonly subnet: Prefix;
  readonly gateway: Address;
}

export interface SubnetEnv extends NodeSubnet {
  readonly mtuBytes: number;
  /** Where the cluster has IPv6 as well. */
  readonly ipv6?: NodeSubnet;
  /** The cluster's networks, at most one of each family. */
  readonly networks: readonly Prefix[];
  /** felix masquerades what pods send out of the cluster network. */
  readonly masquerade: boolean;
}

/** The leased subnets; a text says which line is missing or wrong. */
export function parseSubnetEnv(text: string): SubnetEnv | string {
  const values = new Map(
    text.split('\n').flatMap((line) => {
      const equals = line.indexOf('=');
      return equals < 0 ? [] : [[line.slice(0, equals).trim(), line.slice(equals + 1).trim()] as const];
    }),
  );
  const ipv4 = readSubnet(values.get('FLANNEL_SUBNET'), 4);
  if (ipv4 === undefined) return wrongLine(values, 'FLANNEL_SUBNET', '10.5.1.1/24');
  const ipv6 = readSubnet(values.get('FLANNEL_IPV6_SUBNET'), 6);
  if (ipv6 === undefined && values.has('FLANNEL_IPV6_SUBNET')) {
    return wrongLine(values, 'FLANNEL_IPV6_SUBNET', 'fd00:5:1::1/64');
  }
  const mtuBytes = Number(values.get('FLANNEL_MTU'));
  // 576 is what every IPv4 host must take (RFC 791); a link beneath it carries no pod.
  if (!Number.isInteger(mtuBytes) || mtuBytes < 576 || mtuBytes > 65_535)
    return wrongLine(values, 'FLANNEL_MTU', '1450');
  const networks = [readSubnet(values.get('FLANNEL_NETWORK'), 4), readSubnet(values.get('FLANNEL_IPV6_NETWORK'), 6)];
  return {
    ...ipv4,
    mtuBytes,
    ...(ipv6 && { ipv6 }),
    networks: networks.flatMap((network) => network?.subnet ?? []),
    masquerade: values.get('FLANNEL_IPMASQ') === 'true',
  };
}

/** The address of the one pod that lab and compose plug: the subnet's .2. */
export function podAddress(subnet: Prefix): Address {
  const address = addressAt(subnet, 2);
  if (address === undefined) throw new RangeError(`${subnet} is too small for a pod`);
  return address;
}

function readSubnet(value: string | undefined, family: Family): NodeSubnet | undefined {
  const [gatewayText = '', lengthText = ''] = (value ?? '').split('/');
  const gateway = parseAddress(gatewayText);
  if (gateway === undefined || familyOf(gateway) !== family || !/^\d+$/.test(lengthText)) return undefined;
  const subnet = prefixOf(gateway, Number(lengthText));
  return subnet && { subnet, gateway };
}

function wrongLine(values: ReadonlyMap<string, string>, name: string, example: string): string {
  const value = values.get(name);
  return value === undefined ? `${name} is missing` : `${name}=${value} is not like ${name}=${example}`;
}
