// Underlay addresses by number: who sends from each, and how many routes lead to it. An address without either is gone.
// A hash table in flat memory, as prefix-index.ts.

import type { Family } from '../../lib/net/address.ts';
import { readI32 } from '../../lib/wire/bytes.ts';
import { grown, type ListPool, NO_LIST } from './list-pool.ts';

export const NO_ENDPOINT = -1;
const BUCKETS = 16_384;
const BUCKET_SHIFT = 18;
const SPREAD = 0x9e3779b1;
const FIRST_ROOM = 8_192;
/** Of an endpoint: family, four address words, its peers as a list, routes. */
const AT = { family: 0, address: 1, peers: 5, routes: 6, length: 7 } as const;

export class EndpointIndex {
  #fields = new Int32Array(FIRST_ROOM * AT.length);
  #used = 0;
  readonly #pool: ListPool;
  #free = NO_LIST;
  readonly #buckets = new Int32Array(BUCKETS).fill(NO_LIST);
  readonly #words = new Int32Array(4);

  /** Lists of peers are in `pool`. */
  constructor(pool: ListPool) {
    this.#pool = pool;
  }

  /** The endpoint whose 4 or 16 address bytes are at `at`. */
  findBytes(family: Family, bytes: Uint8Array, at: number): number {
    const words = this.#words;
    words[0] = readI32(bytes, at);
    for (let i = 1; i < 4; i++) words[i] = family === 4 ? 0 : readI32(bytes, at + 4 * i);
    return this.#lookUp(family, words, 0);
  }

  /** The endpoint whose address words are at `at`, made where there is none. */
  add(family: Family, words: Int32Array, at: number): number {
    const found = this.#lookUp(family, words, at);
    if (found !== NO_ENDPOINT) return found;
    const id = this.#take();
    const field = id * AT.length;
    this.#fields[field + AT.family] = family;
    for (let i = 0; i < 4; i++) this.#fields[field + AT.address + i] = words[at + i] as number;
    this.#fields[field + AT.peers] = NO_LIST;
    this.#fields[field + AT.routes] = 0;
    const bucket = bucketOf(family, words, at);
    this.#buckets[bucket] = this.#pool.prepend(this.#buckets[bucket] as number, id);
    return id;
  }

  /** Slots of the peers there, the one set last first. */
  peersOf(id: number): number {
    return this.#fields[id * AT.length + AT.peers] as number;
  }

  addPeer(id: number, slot: number): void {
    this.#fields[id * AT.length + AT.peers] = this.#pool.prepend(this.peersOf(id), slot);
  }

  removePeer(id: number, slot: number): void {
    this.#fields[id * AT.length + AT.peers] = this.#pool.remove(this.peersOf(id), slot);
    this.#sweep(id);
  }

  /** One route more, or one less. */
  countRoute(id: number, change: 1 | -1): void {
    const at = id * AT.length + AT.routes;
    this.#fields[at] = (this.#fields[at] as number) + change;
    if (change < 0) this.#sweep(id);
  }

  #sweep(id: number): void {
    const field = id * AT.length;
    if (this.#fields[field + AT.peers] !== NO_LIST || this.#fields[field + AT.routes] !== 0) return;
    const family = this.#fields[field + AT.family] as Family;
    const bucket = bucketOf(family, this.#fields, field + AT.address);
    this.#buckets[bucket] = this.#pool.remove(this.#buckets[bucket] as number, id);
    this.#free = this.#pool.prepend(this.#free, id);
  }

  #lookUp(family: Family, words: Int32Array, at: number): number {
    const pool = this.#pool;
    let node = this.#buckets[bucketOf(family, words, at)] as number;
    for (; node !== NO_LIST; node = pool.next(node)) {
      const id = pool.value(node);
      if (this.#isAt(id, family, words, at)) return id;
    }
    return NO_ENDPOINT;
  }

  #isAt(id: number, family: Family, words: Int32Array, at: number): boolean {
    const field = id * AT.length;
    if (this.#fields[field + AT.family] !== family) return false;
    for (let i = 0; i < 4; i++) if (this.#fields[field + AT.address + i] !== words[at + i]) return false;
    return true;
  }

  #take(): number {
    if (this.#free !== NO_LIST) {
      const id = this.#pool.value(this.#free);
      this.#free = this.#pool.remove(this.#free, id);
      return id;
    }
    if ((this.#used + 1) * AT.length > this.#fields.length) this.#fields = grown(this.#fields, 2 * this.#fields.length);
    return this.#used++;
  }
}

function bucketOf(family: Family, words: Int32Array, at: number): number {
  let mixed: number = family;
  for (let i = 0; i < 4; i++) mixed = Math.imul(mixed ^ (words[at + i] as number), SPREAD);
  return mixed >>> BUCKET_SHIFT;
}
