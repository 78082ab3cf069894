// Gathers changes of the forwarding table that are made in one go into messages of a few each: a message costs more than
// what is in it, and too many changes in one would be a pause of forwarding.

/** A command is then some ten microseconds of the worker's time. */
const CHANGES_PER_MESSAGE = 8;

export class ChangeOutbox {
  readonly #send: (changes: Int32Array) => void;
  #words: number[] = [];
  #count = 0;

  constructor(send: (changes: Int32Array) => void) {
    this.#send = send;
  }

  /** Takes one change (table-changes.ts), which is sent before anything else happens in this thread. */
  put(change: readonly number[]): void {
    if (change.length === 0) return;
    if (this.#count === 0) queueMicrotask(() => this.#flush());
    for (const word of change) this.#words.push(word);
    if (++this.#count === CHANGES_PER_MESSAGE) this.#flush();
  }

  #flush(): void {
    if (this.#count === 0) return;
    this.#send(Int32Array.from(this.#words));
    this.#words = [];
    this.#count = 0;
  }
}
