// IPv6 addresses between bytes and canonical text, fast: what lib/net/address.ts does through a library, done here without
// making anything but the result, because a listing has hundreds of thousands of them. The library is the reference in
// test/property/ipv6-text.test.ts.
//
// Only canonical text (RFC 5952, as every `Address` is) is read; anything else gives other bytes, never an exception.

import type { Address } from '../net/address.ts';

const LENGTH = 16;
const COLON = 58;
const SLASH = 47;
const LETTER_A = 97;
const DIGIT_0 = 48;

/** Writes the 16 bytes of an address, or of the address part of a prefix, at `at`. */
export function writeIpv6(bytes: Uint8Array, at: number, text: string): void {
  const end = at + LENGTH;
  bytes.fill(0, at, end);
  let to = at;
  let group = 0;
  let digits = 0;
  /** Where `::` stood: the groups after it belong to the end. */
  let gap = -1;
  for (let i = 0; i < text.length && to < end; i++) {
    const code = text.charCodeAt(i);
    if (code === SLASH) break;
    if (code !== COLON) {
      group = (group << 4) | (code >= LETTER_A ? code - LETTER_A + 10 : code - DIGIT_0);
      digits++;
      continue;
    }
    if (digits > 0) {
      bytes[to++] = group >> 8;
      bytes[to++] = group & 0xff;
    }
    if (text.charCodeAt(i + 1) === COLON) gap = to;
    group = 0;
    digits = 0;
  }
  if (digits > 0 && to < end) {
    bytes[to++] = group >> 8;
    bytes[to++] = group & 0xff;
  }
  if (gap < 0 || to === end) return;
  bytes.copyWithin(end - (to - gap), gap, to);
  bytes.fill(0, gap, end - (to - gap));
}

/** The address in the 16 bytes from `at` on. RFC 5952: no leading zeros, `::` for the longest run of two or more zero groups. */
export function readIpv6(bytes: Uint8Array, at: number): Address {
  let runStart = -1;
  let runEnd = -1;
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (to < 8 && groupAt(bytes, at, to) === 0) to++;
    // The first of equally long runs (section 4.2.3), and never a single group (4.2.2).
    if (to - from > Math.max(1, runEnd - runStart)) {
      runStart = from;
      runEnd = to;
    }
    if (to > from) from = to;
  }
  if (runStart < 0) return joinGroups(bytes, at, 0, 8) as Address;
  return `${joinGroups(bytes, at, 0, runStart)}::${joinGroups(bytes, at, runEnd, 8)}` as Address;
}

function groupAt(bytes: Uint8Array, at: number, index: number): number {
  return ((bytes[at + index * 2] ?? 0) << 8) | (bytes[at + index * 2 + 1] ?? 0);
}

function joinGroups(bytes: Uint8Array, at: number, from: number, to: number): string {
  let text = '';
  for (let index = from; index < to; index++) {
    text += index === from ? groupAt(bytes, at, index).toString(16) : `:${groupAt(bytes, at, index).toString(16)}`;
  }
  return text;
}
