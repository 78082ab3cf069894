// Giving a pod its addresses, one of each family of the node's subnets, and taking them back.
//
// All or nothing: both are picked before the first is written. An address that was freed a moment ago is not given again
// unless it is asked for: what still has it in mind (ARP tables, half-open connections) must not meet a new pod.

import { type Address, type Family, familyOf } from '../lib/net/address.ts';
import { prefixFamily } from '../lib/net/prefix.ts';
import type { NodeSubnet, SubnetEnv } from '../lib/subnet-env.ts';
import type { LockedAddresses, Owner } from './address-store.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { isInRange, pickAddress, rangeOf, rangeSize } from './pick-address.ts';

export interface AllocationOptions {
  /** Asked for; at most one of each family. */
  readonly requested: readonly Address[];
  readonly reuseDelaySeconds: number;
  readonly nowUnixMs: number;
}

/** The node's subnets. */
export function subnetsOf(env: SubnetEnv): readonly NodeSubnet[] {
  return [env, ...(env.ipv6 === undefined ? [] : [env.ipv6])];
}

/**
 * Addresses for this interface, in the order of the subnets. Throws `CniError`: 7 where one that is asked for can be none,
 * 100 where all are in use, 101 where the one asked for is, 11 where all that are free were freed just now.
 */
export function allocate(
  store: LockedAddresses,
  owner: Owner,
  subnets: readonly NodeSubnet[],
  options: AllocationOptions,
): readonly Address[] {
  const requested = checkRequested(subnets, options.requested);
  const cooling = coolingAddresses(store, options);
  const picked = subnets.map((own) => {
    const wanted = requested.get(prefixFamily(own.subnet));
    return wanted === undefined ? pickFree(store, own, cooling) : takeRequested(store, wanted);
  });
  for (const address of picked) store.give(address, owner, options.nowUnixMs);
  const last = Object.fromEntries(picked.map((address) => [String(familyOf(address)), address]));
  store.remember({
    last: { ...store.recent.last, ...last },
    // What is no longer kept back need not be remembered: the file stays small.
    released: Object.fromEntries(Object.entries(store.recent.released).filter(([address]) => cooling.has(address))),
  });
  return picked;
}

/** Frees what this interface has; gives what that was. */
export function release(store: LockedAddresses, owner: Owner, nowUnixMs: number): readonly Address[] {
  const freed = store.of(owner).map(({ address }) => address);
  for (const address of freed) store.free(address, nowUnixMs);
  return freed;
}

function checkRequested(subnets: readonly NodeSubnet[], requested: readonly Address[]): ReadonlyMap<Family, Address> {
  const byFamily = new Map<Family, Address>();
  for (const address of requested) {
    const own = subnets.find(({ subnet }) => prefixFamily(subnet) === familyOf(address));
    if (own === undefined || !isInRange(rangeOf(own.subnet), address)) {
      const accepts = subnets.map(({ subnet }) => `${subnet} from its fourth address on`).join(', ');
      throw new CniError(CNI_ERROR.invalidConfig, `address ${address} cannot be a pod's on this node: ${accepts} can`);
    }
    if (byFamily.has(familyOf(address)) && byFamily.get(familyOf(address)) !== address) {
      const both = `${byFamily.get(familyOf(address))} and ${address}`;
      throw new CniError(CNI_ERROR.invalidConfig, `addresses ${both}: a pod has one address of a family`);
    }
    byFamily.set(familyOf(address), address);
  }
  return byFamily;
}

function coolingAddresses(
  { recent }: LockedAddresses,
  { reuseDelaySeconds, nowUnixMs }: AllocationOptions,
): ReadonlySet<string> {
  const since = nowUnixMs - reuseDelaySeconds * 1000;
  // A time in the future is one from before the clock was set.
  const recently = Object.entries(recent.released).filter(([, unixMs]) => unixMs > since && unixMs <= nowUnixMs);
  return new Set(recently.map(([address]) => address));
}

function pickFree(store: LockedAddresses, { subnet }: NodeSubnet, cooling: ReadonlySet<string>): Address {
  const range = rangeOf(subnet);
  const previous = store.recent.last[String(prefixFamily(subnet))];
  const { allocations } = store;
  const free = pickAddress(range, (address) => allocations.has(address) || cooling.has(address), previous);
  if (free !== undefined) return free;
  const used = [...allocations.keys()].filter((address) => isInRange(range, address)).length;
  const count = `${used} of ${rangeSize(range)} addresses of ${subnet} are in use`;
  if (BigInt(used) >= rangeSize(range))
    throw new CniError(CNI_ERROR.addressesExhausted, `no address is free: ${count}`);
  throw new CniError(CNI_ERROR.tryAgainLater, `no address is free yet: ${count}, the rest were freed just now`);
}

function takeRequested({ allocations }: LockedAddresses, address: Address): Address {
  const holder = allocations.get(address);
  if (holder === undefined) return address;
  const whose = `container ${holder.containerId} (${holder.ifname}, network ${holder.network})`;
  throw new CniError(CNI_ERROR.addressTaken, `address ${address} is in use by ${whose}`);
}
