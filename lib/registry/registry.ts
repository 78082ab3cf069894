// The registry: the few things that gingham asks of etcd, as an interface.
//
// `etcd-registry.ts` is the real one and the only importer of etcd3; `test/fakes/memory-registry.ts` one with state,
// compaction, expiry and injectable failures. Both pass `test/contract/registry.contract.ts`.
//
// Revisions are etcd's: one counter for the whole store; an entry's `modRevision` is the store's revision at its last
// write, so "unchanged since I read it" is one comparison.

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly modRevision: bigint;
  /** Id of the etcd lease it hangs on; `undefined` for an entry that stays (a reservation). */
  readonly leaseId?: string;
}

/** All entries under a prefix, as they stood at `revision`. */
export interface Snapshot {
  readonly entries: readonly Entry[];
  readonly revision: bigint;
}

/**
 * A watch is level-triggered: first a `snapshot`, then changes in order. After a compaction or any doubt a new
 * `snapshot` comes, and the watcher compares values. `disconnected` says that what is known may be getting old.
 */
export type RegistryEvent =
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly type: 'put'; readonly entry: Entry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: bigint }
  | { readonly type: 'disconnected'; readonly reason: string };

/** `unavailable`: etcd did not answer, waiting may help. `refused`: it answered no (authentication, quota), its words in the message. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: 'unavailable' | 'refused';

  constructor(code: RegistryError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** An entry that may be created. */
export interface Candidate {
  readonly key: string;
  readonly value: string;
}

/** How deep a transaction may nest. */
export const CANDIDATES_MAX = 32;

/** What must hold for a write to happen: the key is absent, or was last written at this revision. */
export type Precondition = { readonly absent: true } | { readonly modRevision: bigint };

/** The etcd leases on which entries hang; as `Registry` rejects and waits. */
export interface EntryLeases {
  /** Seconds until the lease of this entry runs out; `undefined` where it has none, 0 where it already has. */
  secondsLeft(entry: Entry): Promise<number | undefined>;

  /**
   * Begins the time to live of this entry's lease anew: nothing is written, no watch is told. False where it has none or it
   * has run out. True says nothing of the entry: another lease may have come in place of this one.
   */
  renew(entry: Entry): Promise<boolean>;
}

/** Every method rejects with `RegistryError`, and has an upper bound on how long it waits. */
export interface Registry extends EntryLeases {
  /** One entry, or `undefined` where there is none. */
  get(key: string): Promise<Entry | undefined>;

  /** Every entry whose key starts with `prefix`. */
  list(prefix: string): Promise<Snapshot>;

  /**
   * One transaction: where `precondition` holds for `key`, writes it on a fresh etcd lease of `ttlSeconds` (without
   * lease where that is `undefined`). Gives the new entry, or `undefined` where the precondition did not hold; then
   * nothing was written and no lease is left behind. The lease of the entry that was replaced is revoked.
   */
  put(
    key: string,
    value: string,
    precondition: Precondition,
    ttlSeconds: number | undefined,
  ): Promise<Entry | undefined>;

  /**
   * One transaction: writes the first of the candidates whose key is absent, on a fresh etcd lease of `ttlSeconds`. Gives
   * that entry, or `undefined` where all keys were there; then nothing was written and no lease is left behind. Takes at
   * most `CANDIDATES_MAX`.
   */
  create(candidates: readonly Candidate[], ttlSeconds: number): Promise<Entry | undefined>;

  /** Deletes `key` where it was last written at `modRevision`; false where it was not, and then nothing happened. */
  delete(key: string, modRevision: bigint): Promise<boolean>;

  /** Watches a prefix until `signal` aborts, reconnecting with backoff for as long as that takes. Never rejects. */
  watch(prefix: string, listener: (event: RegistryEvent) => void, signal: AbortSignal): void;

  /** Ends every watch and connection. */
  close(): Promise<void>;
}
