// Linked lists of numbers in flat memory: a change makes no object, so that nothing is left for the garbage collector, whose
// pauses would be pauses of forwarding.
//
// A list is the number of its first node, `NO_LIST` where it is empty; whoever changes it keeps the number that comes back.

export const NO_LIST = -1;
const FIRST_ROOM = 4_096;

export class ListPool {
  #values = new Int32Array(FIRST_ROOM);
  #nexts = new Int32Array(FIRST_ROOM);
  #used = 0;
  /** Nodes that are free, as a list. */
  #free = NO_LIST;

  /** The value at a node, which the list may also be walked by: from `list`, `next` until `NO_LIST`. */
  value(node: number): number {
    return this.#values[node] as number;
  }

  next(node: number): number {
    return this.#nexts[node] as number;
  }

  has(list: number, value: number): boolean {
    for (let node = list; node !== NO_LIST; node = this.next(node)) if (this.value(node) === value) return true;
    return false;
  }

  prepend(list: number, value: number): number {
    const node = this.#take();
    this.#values[node] = value;
    this.#nexts[node] = list;
    return node;
  }

  append(list: number, value: number): number {
    const node = this.prepend(NO_LIST, value);
    if (list === NO_LIST) return node;
    let last = list;
    while (this.next(last) !== NO_LIST) last = this.next(last);
    this.#nexts[last] = node;
    return list;
  }

  /** Without the first node of this value, if there is one. */
  remove(list: number, value: number): number {
    let before = NO_LIST;
    let node = list;
    while (node !== NO_LIST && this.value(node) !== value) {
      before = node;
      node = this.next(node);
    }
    if (node === NO_LIST) return list;
    const rest = this.next(node);
    this.#release(node);
    if (before === NO_LIST) return rest;
    this.#nexts[before] = rest;
    return list;
  }

  /** Frees all nodes of a list; its number means nothing any more. */
  clear(list: number): void {
    for (let node = list; node !== NO_LIST; ) {
      const rest = this.next(node);
      this.#release(node);
      node = rest;
    }
  }

  #take(): number {
    const node = this.#free;
    if (node !== NO_LIST) {
      this.#free = this.next(node);
      return node;
    }
    if (this.#used === this.#values.length) {
      this.#values = grown(this.#values, 2 * this.#used);
      this.#nexts = grown(this.#nexts, 2 * this.#used);
    }
    return this.#used++;
  }

  #release(node: number): void {
    this.#nexts[node] = this.#free;
    this.#free = node;
  }
}

/** A copy of this length, zero behind what there was. */
export function grown(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(length);
  copy.set(array);
  return copy;
}
