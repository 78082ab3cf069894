// The Internet checksum (RFC 1071): the complement of the one's complement sum of 16-bit words.
//
// Sums are kept unfolded while parts are added, and folded once at the end. A part that is not the last one must have an
// even length. Never throws.
//
// The confusing thing: long parts are added in the byte order of the machine, 32 bits at a time, and the sum is turned
// round at the end; RFC 1071 section 2 (B) shows that this is the same sum.

import { readU16 } from './bytes.ts';
import type { SummingMemory } from './vector-sum.ts';

/** From this length on the words of the memory are added, which takes some setting up (measured: 6 times as fast). */
const WORDS_FROM_LENGTH = 128;

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The array that was added last and views of its memory: a data plane adds parts of one array millions of times. */
let viewed: Uint8Array | undefined;
let words: Uint32Array = new Uint32Array();
let halves: Uint16Array = new Uint16Array();

/** The array whose memory has a function that adds it faster. */
let summed: Uint8Array | undefined;
let sumMemory: (at: number, end: number) => number = () => 0;

/** Parts of `bytes`, which is the whole of this memory, are added by its own function from now on; of one array at a time. */
export function useSummingMemory(bytes: Uint8Array, memory: SummingMemory): void {
  summed = bytes;
  sumMemory = memory.sum;
}

/** Adds the 16-bit words of `bytes[start, end)` to `initial`; an odd last byte is padded with zero. Not folded. */
export function sumWords(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let sum = initial;
  let at = start;
  if (end - start >= WORDS_FROM_LENGTH && IS_LITTLE_ENDIAN) {
    if (bytes !== summed) return initial + sumLong(bytes, start, end);
    at = end - ((end - start) & 15);
    sum += swapped(foldSum(sumMemory(start, at) >>> 0));
  }
  for (; at + 1 < end; at += 2) sum += readU16(bytes, at);
  return at < end ? sum + ((bytes[at] as number) << 8) : sum;
}

/** Folds the carries in, 16 bits. A sum over data that holds its own right checksum folds to 0xffff. */
export function foldSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffffffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** The checksum of `bytes[start, end)`, with the checksum field in it zero; `initial` is the sum of a pseudo-header. */
export function internetChecksum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return ~foldSum(sumWords(bytes, start, end, initial)) & 0xffff;
}

/** At least 8 bytes, below 64 KiB; folded. Aligned words of a little-endian machine, with the ends by hand. */
function sumLong(bytes: Uint8Array, start: number, end: number): number {
  const { byteOffset } = bytes;
  if (viewed !== bytes) {
    const { buffer } = bytes;
    viewed = bytes;
    words = new Uint32Array(buffer, 0, buffer.byteLength >> 2);
    halves = new Uint16Array(buffer, 0, buffer.byteLength >> 1);
  }
  const from = byteOffset + start;
  // At an odd address a first byte stands alone, and each following pair lies the right way round for this machine.
  const isOdd = (from & 1) === 1;
  let at = from + (from & 1);
  const last = byteOffset + end;
  let rest = 0;
  if ((at & 2) === 2) {
    rest = halves[at >> 1] as number;
    at += 2;
  }
  let i = at >> 2;
  const to = last >> 2;
  // At most 16,384 words: `high`, the sum of their upper halves, and that of the lower ones stay below 2^31. The latter
  // is what the sum of the whole words says beyond `high`, also where that one has overflowed.
  let all = 0;
  let high = 0;
  for (; i + 3 < to; i += 4) {
    const a = words[i] as number;
    const b = words[i + 1] as number;
    const c = words[i + 2] as number;
    const d = words[i + 3] as number;
    all = (all + a + b + c + d) | 0;
    high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
  }
  for (; i < to; i++) {
    const a = words[i] as number;
    all = (all + a) | 0;
    high += a >>> 16;
  }
  at = to << 2;
  if (last - at >= 2) {
    rest += halves[at >> 1] as number;
    at += 2;
  }
  if (last > at) rest += bytes[end - 1] as number;
  const low = (all - (high << 16)) >>> 0;
  const sum = foldSum(low + high + rest);
  return isOdd ? sum + ((bytes[start] as number) << 8) : swapped(sum);
}

function swapped(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}
