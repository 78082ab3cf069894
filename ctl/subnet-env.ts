// `subnet.env`, flannel's hand-over from flanneld to whoever plugs pods: shell-style NAME=value lines.
//
// Read here, written by flanneld. FLANNEL_SUBNET is an interface address (10.5.1.1/24), not a prefix: its first part is
// the bridge's own address.

import { type Address, parseAddress } from '../lib/net/address.ts';
import { addressAt, type Prefix, prefixOf } from '../lib/net/prefix.ts';

export interface SubnetEnv {
  readonly subnet: Prefix;
  /** The bridge's address: the subnet's .1. */
  readonly gateway: Address;
  readonly mtuBytes: number;
}

/** The leased subnet; a text says which line is missing or wrong. */
export function parseSubnetEnv(text: string): SubnetEnv | string {
  const values = new Map(
    text.split('\n').flatMap((line) => {
      const equals = line.indexOf('=');
      return equals < 0 ? [] : [[line.slice(0, equals).trim(), line.slice(equals + 1).trim()] as const];
    }),
  );
  const [gatewayText = '', lengthText = ''] = (values.get('FLANNEL_SUBNET') ?? '').split('/');
  const gateway = parseAddress(gatewayText);
  const subnet = gateway && /^\d+$/.test(lengthText) ? prefixOf(gateway, Number(lengthText)) : undefined;
  if (gateway === undefined || subnet === undefined) return wrongLine(values, 'FLANNEL_SUBNET', '10.5.1.1/24');
  const mtuBytes = Number(values.get('FLANNEL_MTU'));
  // 576 is what every IPv4 host must take (RFC 791); a link beneath it carries no pod.
  if (!Number.isInteger(mtuBytes) || mtuBytes < 576 || mtuBytes > 65_535)
    return wrongLine(values, 'FLANNEL_MTU', '1450');
  return { subnet, gateway, mtuBytes };
}

/** The address of the one pod that lab and compose plug: the subnet's .2. */
export function podAddress(subnet: Prefix): Address {
  const address = addressAt(subnet, 2);
  if (address === undefined) throw new RangeError(`${subnet} is too small for a pod`);
  return address;
}

function wrongLine(values: ReadonlyMap<string, string>, name: string, example: string): string {
  const value = values.get(name);
  return value === undefined ? `${name} is missing` : `${name}=${value} is not like ${name}=${example}`;
}
