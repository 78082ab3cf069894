// What was found lately, by address: consecutive packets ask for the same few, and a search among ten thousand prefixes costs
// a cache miss or more for each length that they have.
//
// Direct-mapped: an address has one place, and who comes later to it has it. Everything in it is forgotten at once, by
// counting on; that costs nothing, so that a change of the prefixes may always do it. Allocates nothing.

import type { Family } from '../../lib/net/address.ts';
import { readI32 } from '../../lib/wire/bytes.ts';

/** A power of two. */
const PLACES = 4_096;
const PLACE_SHIFT = 20;
/** The golden ratio in 32 bits: neighbouring addresses go far apart. */
const SPREAD = 0x9e3779b1;
const WORDS = { 4: 1, 6: 4 } as const;

export class LookupCache {
  readonly #search: (family: Family, bytes: Uint8Array, at: number) => number;
  readonly #keys = { 4: new Int32Array(PLACES), 6: new Int32Array(4 * PLACES) } as const;
  readonly #found = { 4: new Int32Array(PLACES), 6: new Int32Array(PLACES) } as const;
  readonly #ages = { 4: new Float64Array(PLACES), 6: new Float64Array(PLACES) } as const;
  #age = 1;

  /** `search` is what gives the answer where it is not known: any number of 32 bits. */
  constructor(search: (family: Family, bytes: Uint8Array, at: number) => number) {
    this.#search = search;
  }

  /** What the search gave, or gives, for the 4 or 16 address bytes at `at`. */
  find(family: Family, bytes: Uint8Array, at: number): number {
    const keys = this.#keys[family];
    const words = WORDS[family];
    let mixed = 0;
    for (let i = 0; i < words; i++) mixed = Math.imul(mixed ^ readI32(bytes, at + 4 * i), SPREAD);
    const place = mixed >>> PLACE_SHIFT;
    let isSame = this.#ages[family][place] === this.#age;
    for (let i = 0; i < words && isSame; i++) isSame = keys[place * words + i] === readI32(bytes, at + 4 * i);
    if (isSame) return this.#found[family][place] as number;
    const found = this.#search(family, bytes, at);
    for (let i = 0; i < words; i++) keys[place * words + i] = readI32(bytes, at + 4 * i);
    this.#found[family][place] = found;
    this.#ages[family][place] = this.#age;
    return found;
  }

  /** Answers may be others now. */
  forget(): void {
    this.#age++;
  }
}
