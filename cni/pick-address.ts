// Which address a pod gets: the next free one after the last that was given, so that one that was freed is used again as
// late as can be. Pure.
//
// Never given: the subnet's first address (network), its second (.1: the node's own), its third (.2: the pod that lab and
// compose plug for `gingham ping`), and the last of an IPv4 subnet (broadcast).

import { type Address, addressFromInteger, addressToInteger } from '../lib/net/address.ts';
import { type Prefix, prefixAddress, prefixContains, prefixFamily, prefixLastAddress } from '../lib/net/prefix.ts';

const RESERVED_AT_START = 3n;

/** First and last address that a pod can have, as integers; first is greater where there is none. */
export interface AddressRange {
  readonly subnet: Prefix;
  readonly first: bigint;
  readonly last: bigint;
}

export function rangeOf(subnet: Prefix): AddressRange {
  const last = addressToInteger(prefixLastAddress(subnet));
  return {
    subnet,
    first: addressToInteger(prefixAddress(subnet)) + RESERVED_AT_START,
    last: prefixFamily(subnet) === 4 ? last - 1n : last,
  };
}

export function isInRange({ subnet, first, last }: AddressRange, address: Address): boolean {
  if (!prefixContains(subnet, address)) return false;
  const value = addressToInteger(address);
  return value >= first && value <= last;
}

/** How many addresses the range has. */
export function rangeSize({ first, last }: AddressRange): bigint {
  return last < first ? 0n : last - first + 1n;
}

/** The next address after `previous` that is not taken, around the end of the range; `undefined` where all are. */
export function pickAddress(
  range: AddressRange,
  isTaken: (address: Address) => boolean,
  previous: Address | undefined,
): Address | undefined {
  const { subnet, first, last } = range;
  const family = prefixFamily(subnet);
  const size = rangeSize(range);
  const start = previous !== undefined && isInRange(range, previous) ? addressToInteger(previous) + 1n : first;
  for (let step = 0n; step < size; step++) {
    const value = start + step > last ? start + step - size : start + step;
    const candidate = addressFromInteger(family, value);
    if (candidate !== undefined && !isTaken(candidate)) return candidate;
  }
  return undefined;
}
