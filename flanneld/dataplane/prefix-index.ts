// IP prefixes by number, with longest-prefix match, both families; what a number stands for is the caller's business.
//
// A hash table in flat memory, looked into once for each length that some prefix has, longest first: a cluster has two or
// three lengths, and what was found lately is cached above (lookup-cache.ts). Neither a search nor a change makes an object.
//
// The confusing thing: addresses are words here, 32 bits each in network order, one of IPv4 and four of IPv6.

import type { Family } from '../../lib/net/address.ts';
import { readI32 } from '../../lib/wire/bytes.ts';
import type { AddressRange } from './address-ranges.ts';
import { grown, ListPool, NO_LIST } from './list-pool.ts';

export const NO_PREFIX = -1;
/** A power of two. More prefixes than that make longer chains and no pause: nothing is ever hashed anew. */
const BUCKETS = 32_768;
const BUCKET_SHIFT = 17;
/** The golden ratio in 32 bits. */
const SPREAD = 0x9e3779b1;
/** Of a key: family and length, then four words. */
const KEY_WORDS = 5;
const FIRST_ROOM = 8_192;
const FAMILY_SHIFT = 8;

export class PrefixIndex {
  #keys = new Int32Array(FIRST_ROOM * KEY_WORDS);
  #used = 0;
  #size = 0;
  readonly #pool = new ListPool();
  #free = NO_LIST;
  readonly #buckets = new Int32Array(BUCKETS).fill(NO_LIST);
  /** How many prefixes have each length, and the lengths that any has, longest first. */
  readonly #counts = { 4: new Int32Array(33), 6: new Int32Array(129) } as const;
  readonly #lengths = { 4: new Int32Array(33), 6: new Int32Array(129) } as const;
  readonly #lengthCounts = { 4: 0, 6: 0 };
  /** The key that is looked for. */
  readonly #key = new Int32Array(KEY_WORDS);

  get size(): number {
    return this.#size;
  }

  /** The number of exactly this prefix, whose words are at `at`; `NO_PREFIX` where it is not there. */
  find(family: Family, length: number, words: Int32Array, at: number): number {
    this.#setKey(family, length, words, at);
    return this.#lookUp(this.#hash());
  }

  /** As `find`, and adds the prefix where it is not there. */
  add(family: Family, length: number, words: Int32Array, at: number): number {
    this.#setKey(family, length, words, at);
    const bucket = this.#hash();
    const found = this.#lookUp(bucket);
    if (found !== NO_PREFIX) return found;
    const id = this.#take();
    this.#keys.set(this.#key, id * KEY_WORDS);
    this.#buckets[bucket] = this.#pool.prepend(this.#buckets[bucket] as number, id);
    this.#size++;
    if (this.#count(family, length, 1) === 1) this.#listLengths(family);
    return id;
  }

  /** Removes the prefix that has this number; the number may be another's then. */
  remove(id: number): void {
    this.#key.set(this.#keys.subarray(id * KEY_WORDS, (id + 1) * KEY_WORDS));
    const bucket = this.#hash();
    this.#buckets[bucket] = this.#pool.remove(this.#buckets[bucket] as number, id);
    this.#free = this.#pool.prepend(this.#free, id);
    this.#size--;
    const meta = this.#key[0] as number;
    const family = meta >> FAMILY_SHIFT === 4 ? 4 : 6;
    if (this.#count(family, meta & 0xff, -1) === 0) this.#listLengths(family);
  }

  /** The longest prefix that holds the 4 or 16 address bytes at `at`. */
  match(family: Family, bytes: Uint8Array, at: number): number {
    const key = this.#key;
    const lengths = this.#lengths[family];
    const count = this.#lengthCounts[family];
    for (let i = 0; i < count; i++) {
      const length = lengths[i] as number;
      key[0] = (family << FAMILY_SHIFT) | length;
      key[1] = readI32(bytes, at) & maskOf(length, 0);
      for (let word = 1; word < 4; word++) {
        key[1 + word] = family === 4 ? 0 : readI32(bytes, at + 4 * word) & maskOf(length, word);
      }
      const found = this.#lookUp(this.#hash());
      if (found !== NO_PREFIX) return found;
    }
    return NO_PREFIX;
  }

  /** All IPv4 prefixes for which `wants` says so of the number, as ranges of addresses; in no order. */
  ranges4(wants: (id: number) => boolean): AddressRange[] {
    const ranges: AddressRange[] = [];
    for (const bucket of this.#buckets) {
      for (let node = bucket; node !== NO_LIST; node = this.#pool.next(node)) {
        const id = this.#pool.value(node);
        const meta = this.#keys[id * KEY_WORDS] as number;
        if (meta >> FAMILY_SHIFT !== 4 || !wants(id)) continue;
        const first = (this.#keys[id * KEY_WORDS + 1] as number) >>> 0;
        ranges.push({ first, last: first + 2 ** (32 - (meta & 0xff)) - 1 });
      }
    }
    return ranges;
  }

  #setKey(family: Family, length: number, words: Int32Array, at: number): void {
    this.#key[0] = (family << FAMILY_SHIFT) | length;
    for (let word = 0; word < 4; word++) this.#key[1 + word] = words[at + word] as number;
  }

  #hash(): number {
    let mixed = 0;
    for (let i = 0; i < KEY_WORDS; i++) mixed = Math.imul(mixed ^ (this.#key[i] as number), SPREAD);
    return mixed >>> BUCKET_SHIFT;
  }

  #lookUp(bucket: number): number {
    const pool = this.#pool;
    for (let node = this.#buckets[bucket] as number; node !== NO_LIST; node = pool.next(node)) {
      const id = pool.value(node);
      if (this.#isKeyOf(id)) return id;
    }
    return NO_PREFIX;
  }

  #isKeyOf(id: number): boolean {
    for (let i = 0; i < KEY_WORDS; i++) if (this.#keys[id * KEY_WORDS + i] !== this.#key[i]) return false;
    return true;
  }

  #take(): number {
    if (this.#free !== NO_LIST) {
      const id = this.#pool.value(this.#free);
      this.#free = this.#pool.remove(this.#free, id);
      return id;
    }
    if ((this.#used + 1) * KEY_WORDS > this.#keys.length) this.#keys = grown(this.#keys, 2 * this.#keys.length);
    return this.#used++;
  }

  #count(family: Family, length: number, change: number): number {
    const counts = this.#counts[family];
    const count = (counts[length] as number) + change;
    counts[length] = count;
    return count;
  }

  #listLengths(family: Family): void {
    const counts = this.#counts[family];
    let listed = 0;
    for (let length = counts.length - 1; length >= 0; length--) {
      if (counts[length] !== 0) this.#lengths[family][listed++] = length;
    }
    this.#lengthCounts[family] = listed;
  }
}

/** The bits of word `word` that a prefix of `length` bits is about. */
function maskOf(length: number, word: number): number {
  const bits = length - 32 * word;
  if (bits >= 32) return -1;
  return bits <= 0 ? 0 : -1 << (32 - bits);
}
