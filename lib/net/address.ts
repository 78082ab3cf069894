// IP addresses as values: a branded string in canonical text (dotted quad, or RFC 5952 for IPv6).
//
// Text, not bytes, because addresses are mostly map keys, log fields and JSON; two equal addresses are `===`.
// Bytes appear only at the wire (`addressBytes`, `addressFromBytes`). Never throws except where a doc comment says so.
// An IPv4-mapped IPv6 address (::ffff:10.0.0.1) stays IPv6: it is never silently turned into IPv4.

import ipaddr from 'ipaddr.js';

export type Family = 4 | 6;

/** Canonical text of an IPv4 or IPv6 address, without zone. */
export type Address = string & { readonly __brand: 'Address' };

/** Bytes in an address of each family. */
export const ADDRESS_LENGTH = { 4: 4, 6: 16 } as const;

/** Reads an address in any standard notation; `undefined` where it is none. Leading zeros in a dotted quad are refused. */
export function parseAddress(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return text as Address;
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text).toRFC5952String() as Address;
}

/** As `parseAddress`, for text that the program itself wrote. Throws `TypeError` where it is none. */
export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new TypeError(`not an IP address: ${JSON.stringify(text)}`);
  return parsed;
}

/** 4 or 6. */
export function familyOf(value: Address): Family {
  return value.includes(':') ? 6 : 4;
}

/** Network-order bytes, 4 or 16 of them, in a fresh array. */
export function addressBytes(value: Address): Uint8Array {
  if (familyOf(value) === 6) return Uint8Array.from(ipaddr.IPv6.parse(value).toByteArray());
  const bytes = new Uint8Array(4);
  let at = 0;
  let part = 0;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 46) {
      bytes[at++] = part;
      part = 0;
    } else {
      part = part * 10 + code - 48;
    }
  }
  bytes[at] = part;
  return bytes;
}

/** The address in 4 or 16 network-order bytes; `undefined` for any other length. */
export function addressFromBytes(bytes: Uint8Array): Address | undefined {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Address;
  if (bytes.length !== 16) return undefined;
  return new ipaddr.IPv6([...bytes]).toRFC5952String() as Address;
}

/** The address as an unsigned integer, most significant byte first. */
export function addressToInteger(value: Address): bigint {
  let result = 0n;
  for (const byte of addressBytes(value)) result = (result << 8n) | BigInt(byte);
  return result;
}

/** The address of `family` with this integer value; `undefined` outside the family's range. */
export function addressFromInteger(family: Family, value: bigint): Address | undefined {
  const length = ADDRESS_LENGTH[family];
  if (value < 0n || value >= 1n << BigInt(length * 8)) return undefined;
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return addressFromBytes(bytes);
}

/** Orders IPv4 before IPv6, then by value; for sorting. */
export function compareAddresses(a: Address, b: Address): number {
  if (a === b) return 0;
  const x = addressBytes(a);
  const y = addressBytes(b);
  if (x.length !== y.length) return x.length - y.length;
  return Buffer.compare(x, y);
}
