// Which notifications are echoes of our own writes, so that an old echo is not taken for somebody else's change.
//
// The kernel tells of every change in order, ours included, but later: two writes of one key in quick succession bring
// the first one's echo after the second write. While an echo is owed, a notification for its key says nothing new; the
// last one owed is the truth again.
//
// The confusing thing: an echo may never come (a write that changed nothing, notifications that were lost). A debt that
// is not paid in time means that something was missed, and only a listing tells what.

/** An echo comes within milliseconds; after this much it does not come any more. */
const PATIENCE_MS = 2_000;

interface Debt {
  count: number;
  sinceMs: number;
}

export class EchoLedger<K> {
  readonly #debts = new Map<K, Debt>();

  /** A write of this key is about to be sent: one notification is owed. */
  expect(key: K, nowMs: number): void {
    const count = this.#debts.get(key)?.count ?? 0;
    // Set anew, so that the oldest debt is always the first.
    this.#debts.delete(key);
    this.#debts.set(key, { count: count + 1, sinceMs: nowMs });
  }

  /** The write was refused: nothing is owed for it. */
  cancel(key: K): void {
    this.#pay(key);
  }

  /**
   * A notification came. `ours`: it is, or may be, an echo. `last`: no other is owed after it, so that it is the truth.
   */
  arrived(key: K): { readonly ours: boolean; readonly last: boolean } {
    const ours = this.#debts.has(key);
    if (ours) this.#pay(key);
    return { ours, last: !this.#debts.has(key) };
  }

  /** Forgets everything that is owed: a listing has told the truth. */
  clear(): void {
    this.#debts.clear();
  }

  /** When the oldest debt is overdue, by the clock of `expect`; `undefined` where nothing is owed. */
  get overdueAtMs(): number | undefined {
    const oldest = this.#debts.values().next();
    return oldest.done ? undefined : oldest.value.sinceMs + PATIENCE_MS;
  }

  #pay(key: K): void {
    const debt = this.#debts.get(key);
    if (debt !== undefined && --debt.count <= 0) this.#debts.delete(key);
  }
}
