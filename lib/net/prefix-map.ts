// A map from IP prefixes to values with longest-prefix match: a path-compressed binary trie (a PATRICIA trie), both families.
//
// A node stands for a prefix; below it are only longer prefixes that it contains. A node without value is a fork: it has
// two children, so there are at most twice as many nodes as entries, and a look-up visits at most as many nodes as there
// are stored prefixes around the address. Look-ups allocate nothing. Never throws.

import { type Address, addressBytes, addressFromBytes, type Family, familyOf } from './address.ts';
import { type Prefix, prefixAddress, prefixFamily, prefixLength } from './prefix.ts';

interface Node<T> {
  /** Network-order bytes; those at and behind bit `length` are zero. */
  readonly key: Uint8Array;
  /** Bits. */
  readonly length: number;
  /** Absent in a fork. */
  value: T | undefined;
  zero: Node<T> | undefined;
  one: Node<T> | undefined;
}

type Roots<T> = { [F in Family]: Node<T> | undefined };

/** Values must not be `undefined`. */
export class PrefixMap<T extends NonNullable<unknown>> {
  readonly #roots: Roots<T> = { 4: undefined, 6: undefined };
  #size = 0;

  /** Number of prefixes. */
  get size(): number {
    return this.#size;
  }

  /** The value of exactly this prefix. */
  get(prefix: Prefix): T | undefined {
    const length = prefixLength(prefix);
    const key = addressBytes(prefixAddress(prefix));
    let node = this.#roots[prefixFamily(prefix)];
    while (node !== undefined && node.length <= length && sameBits(node.key, key, 0, 0, node.length)) {
      if (node.length === length) return node.value;
      node = bitAt(key, 0, node.length) ? node.one : node.zero;
    }
    return undefined;
  }

  /** The value of the longest prefix that holds the address. */
  match(address: Address): T | undefined {
    return this.matchBytes(familyOf(address), addressBytes(address), 0);
  }

  /** As `match`, for the 4 or 16 address bytes at `at`. */
  matchBytes(family: Family, bytes: Uint8Array, at: number): T | undefined {
    let best: T | undefined;
    let matched = 0;
    let node = this.#roots[family];
    const bits = family === 4 ? 32 : 128;
    while (node !== undefined && sameBits(node.key, bytes, at, matched, node.length)) {
      if (node.value !== undefined) best = node.value;
      matched = node.length;
      if (matched === bits) break;
      node = bitAt(bytes, at, matched) ? node.one : node.zero;
    }
    return best;
  }

  /** Adds the prefix, or replaces its value. */
  set(prefix: Prefix, value: T): void {
    const family = prefixFamily(prefix);
    const key = addressBytes(prefixAddress(prefix));
    this.#roots[family] = this.#insert(this.#roots[family], key, prefixLength(prefix), value);
  }

  /** Removes exactly this prefix; false where it was not there. */
  delete(prefix: Prefix): boolean {
    const family = prefixFamily(prefix);
    const before = this.#size;
    const key = addressBytes(prefixAddress(prefix));
    this.#roots[family] = this.#remove(this.#roots[family], key, prefixLength(prefix));
    return this.#size < before;
  }

  /** Every prefix and its value: IPv4 first, then by address, shorter first. */
  *entries(): Generator<readonly [Prefix, T]> {
    yield* entriesBelow(this.#roots[4]);
    yield* entriesBelow(this.#roots[6]);
  }

  #insert(node: Node<T> | undefined, key: Uint8Array, length: number, value: T): Node<T> {
    if (node === undefined) {
      this.#size++;
      return { key, length, value, zero: undefined, one: undefined };
    }
    const common = commonBits(node.key, key, Math.min(node.length, length));
    if (common === node.length && common === length) {
      if (node.value === undefined) this.#size++;
      node.value = value;
      return node;
    }
    if (common === node.length) {
      if (bitAt(key, 0, common)) node.one = this.#insert(node.one, key, length, value);
      else node.zero = this.#insert(node.zero, key, length, value);
      return node;
    }
    this.#size++;
    const added: Node<T> = { key, length, value, zero: undefined, one: undefined };
    if (common === length) return withChild(added, node);
    const fork: Node<T> = {
      key: maskedCopy(key, common),
      length: common,
      value: undefined,
      zero: undefined,
      one: undefined,
    };
    return withChild(withChild(fork, node), added);
  }

  #remove(node: Node<T> | undefined, key: Uint8Array, length: number): Node<T> | undefined {
    if (node === undefined || node.length > length || !sameBits(node.key, key, 0, 0, node.length)) return node;
    if (node.length === length) {
      if (node.value !== undefined) this.#size--;
      node.value = undefined;
    } else if (bitAt(key, 0, node.length)) {
      node.one = this.#remove(node.one, key, length);
    } else {
      node.zero = this.#remove(node.zero, key, length);
    }
    // A fork with one child says nothing that the child does not say.
    if (node.value !== undefined || (node.zero !== undefined && node.one !== undefined)) return node;
    return node.zero ?? node.one;
  }
}

function withChild<T>(parent: Node<T>, child: Node<T>): Node<T> {
  if (bitAt(child.key, 0, parent.length)) parent.one = child;
  else parent.zero = child;
  return parent;
}

function* entriesBelow<T>(node: Node<T> | undefined): Generator<readonly [Prefix, T]> {
  if (node === undefined) return;
  if (node.value !== undefined) yield [`${addressFromBytes(node.key)}/${node.length}` as Prefix, node.value];
  yield* entriesBelow(node.zero);
  yield* entriesBelow(node.one);
}

function bitAt(bytes: Uint8Array, at: number, bit: number): boolean {
  return ((bytes[at + (bit >> 3)] as number) & (0x80 >> (bit & 7))) !== 0;
}

/** Whether bits [from, to) of `key` and of the bytes at `at` agree; bits before `from` in the same byte are compared too. */
function sameBits(key: Uint8Array, bytes: Uint8Array, at: number, from: number, to: number): boolean {
  const whole = to >> 3;
  for (let i = from >> 3; i < whole; i++) if (key[i] !== bytes[at + i]) return false;
  return (
    (to & 7) === 0 || (((key[whole] as number) ^ (bytes[at + whole] as number)) & (0xff00 >> (to & 7)) & 0xff) === 0
  );
}

/** How many leading bits, at most `limit`, the two keys share. */
function commonBits(a: Uint8Array, b: Uint8Array, limit: number): number {
  for (let i = 0; i * 8 < limit; i++) {
    const difference = (a[i] as number) ^ (b[i] as number);
    if (difference !== 0) return Math.min(limit, i * 8 + Math.clz32(difference) - 24);
  }
  return limit;
}

function maskedCopy(key: Uint8Array, length: number): Uint8Array {
  const copy = new Uint8Array(key.length);
  copy.set(key.subarray(0, (length + 7) >> 3));
  if (length & 7) copy[length >> 3] = (copy[length >> 3] as number) & (0xff00 >> (length & 7));
  return copy;
}
