// What a pod's interface is to be, decided before anything is made: its addresses, gateways and routes. Pure: what makes
// it so is pod-side.ts.
//
//            bridge mode                               routed mode
//   address  10.5.7.9/24, fd00:5:0:7::9/64             10.5.7.9/32, fd00:5:0:7::9/128
//   gateway  the subnet's .1, on the bridge            169.254.1.1 and fe80::1: permanent neighbours, felix has them answered

import { type Address, address, type Family, familyOf } from '../lib/net/address.ts';
import { type Prefix, prefix, prefixContains, prefixFamily, prefixLength } from '../lib/net/prefix.ts';
import type { NodeSubnet, SubnetEnv } from '../lib/subnet-env.ts';
import { subnetsOf } from './allocate.ts';
import type { PodRoute } from './conf-routes.ts';
import type { NetConf } from './net-conf.ts';

const ROUTED_GATEWAY: Readonly<Record<Family, Address>> = { 4: address('169.254.1.1'), 6: address('fe80::1') };
const HOST_LENGTH = { 4: 32, 6: 128 } as const;
const EVERYWHERE: Readonly<Record<Family, Prefix>> = { 4: prefix('0.0.0.0/0'), 6: prefix('::/0') };

export interface PodAddress {
  readonly address: Address;
  readonly prefixLength: number;
  /** Absent where the bridge has no address. */
  readonly gateway?: Address;
}

export interface PodPlan {
  readonly addresses: readonly PodAddress[];
  /** Each with its gateway. */
  readonly routes: readonly (PodRoute & { readonly gw?: Address })[];
  readonly mtuBytes: number;
}

export function planPod(conf: NetConf, env: SubnetEnv, given: readonly Address[]): PodPlan {
  const subnets = subnetsOf(env);
  const addresses = given.map((each) => planAddress(conf, subnets, each));
  const gatewayOf = (family: Family): Address | undefined =>
    addresses.find(({ address }) => familyOf(address) === family)?.gateway;
  const routes = [...ownRoutes(conf, env, addresses), ...conf.routes].map((route) => {
    const gw = route.gw ?? gatewayOf(prefixFamily(route.dst));
    return gw === undefined ? route : { ...route, gw };
  });
  return { addresses, routes, mtuBytes: conf.mtuBytes ?? env.mtuBytes };
}

function planAddress(conf: NetConf, subnets: readonly NodeSubnet[], given: Address): PodAddress {
  const family = familyOf(given);
  if (conf.mode === 'routed') {
    return { address: given, prefixLength: HOST_LENGTH[family], gateway: ROUTED_GATEWAY[family] };
  }
  const own = subnets.find(({ subnet }) => prefixContains(subnet, given));
  const length = own === undefined ? HOST_LENGTH[family] : prefixLength(own.subnet);
  return { address: given, prefixLength: length, ...(own && conf.bridge.isGateway && { gateway: own.gateway }) };
}

/** To everywhere; or, where the pod's default route is another plugin's, to the cluster. */
function ownRoutes(conf: NetConf, env: SubnetEnv, addresses: readonly PodAddress[]): readonly PodRoute[] {
  const families = addresses.filter(({ gateway }) => gateway !== undefined).map((own) => familyOf(own.address));
  const isDefault = conf.mode === 'routed' || conf.bridge.isDefaultGateway;
  const destinations = isDefault ? families.map((family) => EVERYWHERE[family]) : env.networks;
  return destinations
    .filter((dst) => families.includes(prefixFamily(dst)))
    .filter((dst) => !conf.routes.some((route) => route.dst === dst && route.table === undefined))
    .map((dst) => ({ dst }));
}

/** The prefix of one address: how a pod without a bridge stands in routes. */
export function hostPrefix(of: Address): Prefix {
  return prefix(`${of}/${HOST_LENGTH[familyOf(of)]}`);
}
