// IP prefixes (CIDR blocks) as values: a branded string, canonical address + "/" + length, host bits zero.
//
// "10.5.1.7/24" is not a prefix but an interface address; `parsePrefix` refuses it and `prefixOf` masks it.
// Never throws except where a doc comment says so.

import {
  ADDRESS_LENGTH,
  type Address,
  addressBytes,
  addressFromBytes,
  addressFromInteger,
  addressToInteger,
  compareAddresses,
  type Family,
  familyOf,
  parseAddress,
} from './address.ts';

/** Canonical text of a prefix: `10.5.1.0/24`, `fd00:5::/48`. */
export type Prefix = string & { readonly __brand: 'Prefix' };

/** Reads `address/length` with all host bits zero; `undefined` otherwise. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const parsed = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  if (parsed === undefined || !/^\d{1,3}$/.test(text.slice(slash + 1))) return undefined;
  const result = prefixOf(parsed, Number(text.slice(slash + 1)));
  return result !== undefined && prefixAddress(result) === parsed ? result : undefined;
}

/** As `parsePrefix`, for text that the program itself wrote. Throws `TypeError` where it is none. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new TypeError(`not an IP prefix: ${JSON.stringify(text)}`);
  return parsed;
}

/** The prefix of `length` bits that holds `of`; `undefined` where the length is outside the family's range. */
export function prefixOf(of: Address, length: number): Prefix | undefined {
  const bits = ADDRESS_LENGTH[familyOf(of)] * 8;
  if (!Number.isInteger(length) || length < 0 || length > bits) return undefined;
  if (length === bits) return `${of}/${length}` as Prefix;
  const bytes = addressBytes(of);
  const whole = length >> 3;
  if (length & 7) bytes[whole] = (bytes[whole] ?? 0) & (0xff00 >> (length & 7));
  bytes.fill(0, length & 7 ? whole + 1 : whole);
  return `${addressFromBytes(bytes)}/${length}` as Prefix;
}

/** The first (network) address. */
export function prefixAddress(value: Prefix): Address {
  return value.slice(0, value.lastIndexOf('/')) as Address;
}

/** Length in bits. */
export function prefixLength(value: Prefix): number {
  return Number(value.slice(value.lastIndexOf('/') + 1));
}

/** 4 or 6. */
export function prefixFamily(value: Prefix): Family {
  return value.includes(':') ? 6 : 4;
}

/** The last address of the prefix (the broadcast address of an IPv4 subnet). */
export function prefixLastAddress(value: Prefix): Address {
  const bytes = addressBytes(prefixAddress(value));
  const length = prefixLength(value);
  for (let bit = length; bit < bytes.length * 8; bit++) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return addressFromBytes(bytes) as Address;
}

/** The address `offset` after the first one, inside the prefix; `undefined` where it lies outside. */
export function addressAt(value: Prefix, offset: number): Address | undefined {
  const result = addressFromInteger(prefixFamily(value), addressToInteger(prefixAddress(value)) + BigInt(offset));
  return result !== undefined && prefixContains(value, result) ? result : undefined;
}

/** Whether the address lies in the prefix; false across families. */
export function prefixContains(value: Prefix, candidate: Address): boolean {
  return prefixOf(candidate, prefixLength(value)) === value;
}

/** Whether two prefixes share an address: one holds the other, or they are equal. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  const shorter = prefixLength(a) <= prefixLength(b) ? a : b;
  return prefixContains(shorter, prefixAddress(shorter === a ? b : a));
}

/** Orders by family, address, then length (shorter first); for sorting. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  return compareAddresses(prefixAddress(a), prefixAddress(b)) || prefixLength(a) - prefixLength(b);
}
