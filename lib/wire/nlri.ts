// Packed IP prefixes: the NLRI encoding of BGP (RFC 4271 section 4.3; for IPv6 RFC 4760 section 5). Pure.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |    length     |            prefix (variable)                      one after another, no count, no padding between;
//
// The length is in bits, the prefix takes ceil(length / 8) bytes. The value of the bits beyond the length is irrelevant
// (section 4.3), so decoding clears them. The confusing thing: the bytes do not say their family; the message around does.
//
// Decoding never throws. It is written for 100,000 prefixes at a time: text is read and made without a general parser.

import { ADDRESS_LENGTH, type Family } from '../net/address.ts';
import { type Prefix, prefixFamily, prefixLength } from '../net/prefix.ts';
import { readIpv6, writeIpv6 } from './ipv6-text.ts';

/** Bytes of the length field. */
const LENGTH_BYTES = 1;

/** Text of every byte, so that a dotted quad is joined from ready-made parts. */
const DECIMAL = Array.from({ length: 256 }, (_, byte) => String(byte));

/** `truncated`: the last prefix is longer than the bytes. `bad-length`: a length above 32 or 128 (RFC 7606 section 5.3). */
export interface NlriError {
  readonly error: 'truncated' | 'bad-length';
  /** Offset of the length byte of the prefix that is wrong. */
  readonly offset: number;
}

/** Bytes that these prefixes take when packed. */
export function nlriLength(prefixes: readonly Prefix[]): number {
  let total = 0;
  for (const prefix of prefixes) total += LENGTH_BYTES + ((prefixLength(prefix) + 7) >> 3);
  return total;
}

/**
 * Packs prefixes, all of one family, into `into` from `offset` on and gives the offset after the last.
 * Throws `RangeError` where `into` is too short (`nlriLength` tells).
 */
export function encodeNlri(prefixes: readonly Prefix[], into: Uint8Array, offset = 0): number {
  let at = offset;
  const scratch = new Uint8Array(ADDRESS_LENGTH[6]);
  for (const prefix of prefixes) {
    const length = prefixLength(prefix);
    const size = (length + 7) >> 3;
    if (at + LENGTH_BYTES + size > into.length) throw new RangeError('not enough room for the packed prefixes');
    into[at++] = length;
    if (prefixFamily(prefix) === 4) writeIpv4(prefix, size, into, at);
    else {
      writeIpv6(scratch, 0, prefix);
      into.set(scratch.subarray(0, size), at);
    }
    at += size;
  }
  return at;
}

/** The packed prefixes in a fresh array. */
export function packPrefixes(prefixes: readonly Prefix[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(nlriLength(prefixes));
  encodeNlri(prefixes, bytes);
  return bytes;
}

/** The prefixes packed in `bytes`, which must be prefixes of `family` to the last byte. */
export function decodeNlri(family: Family, bytes: Uint8Array): Prefix[] | NlriError {
  const longest = ADDRESS_LENGTH[family] * 8;
  const prefixes: Prefix[] = [];
  const scratch = new Uint8Array(ADDRESS_LENGTH[6]);
  let at = 0;
  while (at < bytes.length) {
    const length = bytes[at] as number;
    if (length > longest) return { error: 'bad-length', offset: at };
    const size = (length + 7) >> 3;
    const start = at + LENGTH_BYTES;
    if (start + size > bytes.length) return { error: 'truncated', offset: at };
    prefixes.push(
      family === 4
        ? readIpv4(bytes, start, length, size)
        : ipv6Prefix(bytes.subarray(start, start + size), length, scratch),
    );
    at = start + size;
  }
  return prefixes;
}

/** Writes the first `size` bytes of the dotted quad at the head of `prefix`. */
function writeIpv4(prefix: Prefix, size: number, into: Uint8Array, at: number): void {
  let part = 0;
  let written = 0;
  for (let i = 0; written < size; i++) {
    const code = prefix.charCodeAt(i);
    if (code >= 48) {
      part = part * 10 + code - 48;
    } else {
      // '.' between the parts or '/' after the last: both sort before the digits.
      into[at + written++] = part;
      part = 0;
    }
  }
}

function readIpv4(bytes: Uint8Array, start: number, length: number, size: number): Prefix {
  const last = maskedLastByte(bytes, start, length, size);
  const a = size > 1 ? DECIMAL[bytes[start] as number] : DECIMAL[last];
  const b = size > 2 ? DECIMAL[bytes[start + 1] as number] : size === 2 ? DECIMAL[last] : '0';
  const c = size > 3 ? DECIMAL[bytes[start + 2] as number] : size === 3 ? DECIMAL[last] : '0';
  const d = size === 4 ? DECIMAL[last] : '0';
  return `${a}.${b}.${c}.${d}/${length}` as Prefix;
}

function ipv6Prefix(packed: Uint8Array, length: number, scratch: Uint8Array): Prefix {
  scratch.fill(0, packed.length);
  scratch.set(packed);
  if (packed.length > 0) scratch[packed.length - 1] = maskedLastByte(packed, 0, length, packed.length);
  return `${readIpv6(scratch, 0)}/${length}` as Prefix;
}

/** The last byte of the prefix with the bits beyond its length cleared; 0 for the empty prefix. */
function maskedLastByte(bytes: Uint8Array, start: number, length: number, size: number): number {
  if (size === 0) return 0;
  const last = bytes[start + size - 1] as number;
  return length & 7 ? last & (0xff00 >> (length & 7)) & 0xff : last;
}
