// An etcd in memory: one revision counter, leases that run out by an injected clock, watches that can be compacted.
//
// `MemoryEtcd` is the store and what an operator or a fault does to it; `registry()` gives a client of it, which passes
// the same contract as the real one. Answers come in a later turn of the event loop. Where `interleave` is set it is
// awaited before an operation is done and again before its answer is given: a scheduler can stand between the two.

import type { Candidate, Entry, Precondition, Registry, RegistryEvent, Snapshot } from '../../lib/registry/registry.ts';
import { RegistryError } from '../../lib/registry/registry.ts';
import { type StreamSink, superviseWatch, WATCH_TIMES, type WatchStream } from '../../lib/registry/watch-supervisor.ts';
import type { Clock } from '../../lib/run/clock.ts';

export type Operation = 'get' | 'list' | 'put' | 'create' | 'delete' | 'secondsLeft' | 'renew' | 'open';

/** `lost-answer`: the operation is done, and the caller is told that etcd did not answer. */
export interface Fault {
  readonly operation: Operation;
  readonly how: 'unavailable' | 'refused' | 'lost-answer';
}

interface Lease {
  readonly ttlSeconds: number;
  readonly expiresAtMs: number;
  readonly cancel: () => void;
}

interface Stream {
  readonly prefix: string;
  readonly sink: StreamSink;
  /** Revision up to which it was told everything. */
  told: bigint;
}

type Change = Extract<RegistryEvent, { type: 'put' | 'delete' }>;

export class MemoryEtcd {
  readonly clock: Clock;
  interleave: ((operation: Operation) => Promise<void>) | undefined;
  /** How many times each operation was asked for. */
  readonly calls = new Map<Operation, number>();
  readonly #entries = new Map<string, Entry>();
  readonly #leases = new Map<string, Lease>();
  readonly #streams = new Set<Stream>();
  readonly #faults: Fault[] = [];
  #history: { readonly revision: bigint; readonly change: Change }[] = [];
  #revision = 1n;
  #compacted = 0n;
  #nextLease = 1;
  #away = false;
  #silent = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get revision(): bigint {
    return this.#revision;
  }

  get leaseIds(): readonly string[] {
    return [...this.#leases.keys()];
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Faults that nothing has run into yet: a test asserts that none is left. */
  get faultsLeft(): number {
    return this.#faults.length;
  }

  registry(): Registry {
    return new MemoryRegistry(this);
  }

  failNext(...faults: readonly Fault[]): void {
    this.#faults.push(...faults);
  }

  /** Away: no call is answered and every watch breaks. */
  setAway(away: boolean): void {
    this.#away = away;
    if (!away) return;
    for (const { sink } of this.#streams) sink.end({ type: 'failed', reason: 'connection refused' });
    this.#streams.clear();
  }

  /** Silent: open watches are told nothing more and not even that, as behind a firewall that forgot them. */
  setSilent(silent: boolean): void {
    this.#silent = silent;
    if (!silent) this.#tell();
  }

  /** Forgets the history up to now. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#history = [];
  }

  /** Writes without any condition, as an operator with etcdctl does. */
  write(key: string, value: string): Entry {
    return this.store(key, value, undefined);
  }

  erase(key: string): void {
    if (!this.#entries.delete(key)) return;
    this.#revision++;
    this.#record({ type: 'delete', key, revision: this.#revision });
  }

  /** Runs a lease out now. */
  expire(leaseId: string): void {
    this.#leases.get(leaseId)?.cancel();
    this.#leases.delete(leaseId);
    for (const [key, entry] of this.#entries) {
      if (entry.leaseId === leaseId) this.erase(key);
    }
  }

  /** An older copy comes back: entries are these, the revision may go back. Every watch breaks. */
  restore(entries: readonly Entry[], revision: bigint): void {
    this.#entries.clear();
    for (const entry of entries) this.#entries.set(entry.key, entry);
    this.#revision = revision;
    this.#compacted = revision;
    this.#history = [];
    this.setAway(true);
    this.setAway(false);
  }

  snapshot(prefix: string): Snapshot {
    const entries = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
    return { entries: entries.sort((a, b) => (a.key < b.key ? -1 : 1)), revision: this.#revision };
  }

  entry(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Unconditional write, on a fresh lease where a time to live is given. Frees the lease that the entry had. */
  store(key: string, value: string, ttlSeconds: number | undefined): Entry {
    const leaseId = ttlSeconds === undefined ? undefined : this.#grant(ttlSeconds);
    const replaced = this.#entries.get(key)?.leaseId;
    this.#revision++;
    const entry = { key, value, modRevision: this.#revision, ...(leaseId === undefined ? {} : { leaseId }) };
    this.#entries.set(key, entry);
    if (replaced !== undefined) {
      this.#leases.get(replaced)?.cancel();
      this.#leases.delete(replaced);
    }
    this.#record({ type: 'put', entry });
    return entry;
  }

  leaseSecondsLeft(leaseId: string): number {
    const lease = this.#leases.get(leaseId);
    return lease === undefined ? 0 : Math.ceil((lease.expiresAtMs - this.clock.monotonicMs()) / 1000);
  }

  /** False where it has run out. */
  renewLease(leaseId: string): boolean {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return false;
    lease.cancel();
    this.#begin(leaseId, lease.ttlSeconds);
    return true;
  }

  open(prefix: string, after: bigint, sink: StreamSink): WatchStream {
    const stream: Stream = { prefix, sink, told: after };
    this.#streams.add(stream);
    this.#tell();
    return {
      probe: () => {
        if (!this.#silent && this.#streams.has(stream)) queueMicrotask(() => sink.alive());
      },
      close: () => this.#streams.delete(stream),
    };
  }

  /** Runs one operation of a client under the faults that are set. */
  async perform<T>(operation: Operation, does: () => T): Promise<T> {
    this.calls.set(operation, (this.calls.get(operation) ?? 0) + 1);
    await (this.interleave?.(operation) ?? Promise.resolve());
    const at = this.#faults.findIndex((fault) => fault.operation === operation);
    const how = at < 0 ? undefined : this.#faults.splice(at, 1)[0]?.how;
    if (this.#away || how === 'unavailable') throw new RegistryError('unavailable', 'etcd: connection refused');
    if (how === 'refused') throw new RegistryError('refused', 'etcd: permission denied');
    const result = does();
    await (this.interleave?.(operation) ?? Promise.resolve());
    if (how === 'lost-answer') throw new RegistryError('unavailable', 'etcd: deadline exceeded');
    return result;
  }

  #grant(ttlSeconds: number): string {
    const id = String(this.#nextLease++);
    this.#begin(id, ttlSeconds);
    return id;
  }

  #begin(id: string, ttlSeconds: number): void {
    const cancel = this.clock.after(ttlSeconds * 1000, () => this.expire(id));
    this.#leases.set(id, { ttlSeconds, expiresAtMs: this.clock.monotonicMs() + ttlSeconds * 1000, cancel });
  }

  #record(change: Change): void {
    this.#history.push({ revision: this.#revision, change });
    this.#tell();
  }

  #tell(): void {
    if (this.#silent) return;
    for (const stream of this.#streams) {
      if (stream.told < this.#compacted) {
        this.#streams.delete(stream);
        queueMicrotask(() => stream.sink.end({ type: 'compacted' }));
        continue;
      }
      const news = this.#history.filter(({ revision }) => revision > stream.told);
      stream.told = this.#revision;
      for (const { change } of news) {
        const key = change.type === 'put' ? change.entry.key : change.key;
        if (key.startsWith(stream.prefix)) queueMicrotask(() => stream.sink.change(change));
      }
    }
  }
}

class MemoryRegistry implements Registry {
  readonly #etcd: MemoryEtcd;
  readonly #closing = new AbortController();

  constructor(etcd: MemoryEtcd) {
    this.#etcd = etcd;
  }

  get(key: string): Promise<Entry | undefined> {
    return this.#etcd.perform('get', () => this.#etcd.entry(key));
  }

  list(prefix: string): Promise<Snapshot> {
    return this.#etcd.perform('list', () => this.#etcd.snapshot(prefix));
  }

  put(
    key: string,
    value: string,
    precondition: Precondition,
    ttlSeconds: number | undefined,
  ): Promise<Entry | undefined> {
    return this.#etcd.perform('put', () => {
      const found = this.#etcd.entry(key)?.modRevision;
      const holds = 'absent' in precondition ? found === undefined : found === precondition.modRevision;
      return holds ? this.#etcd.store(key, value, ttlSeconds) : undefined;
    });
  }

  create(candidates: readonly Candidate[], ttlSeconds: number): Promise<Entry | undefined> {
    return this.#etcd.perform('create', () => {
      const free = candidates.find(({ key }) => this.#etcd.entry(key) === undefined);
      return free && this.#etcd.store(free.key, free.value, ttlSeconds);
    });
  }

  delete(key: string, modRevision: bigint): Promise<boolean> {
    return this.#etcd.perform('delete', () => {
      if (this.#etcd.entry(key)?.modRevision !== modRevision) return false;
      this.#etcd.erase(key);
      return true;
    });
  }

  secondsLeft({ leaseId }: Entry): Promise<number | undefined> {
    return this.#etcd.perform('secondsLeft', () =>
      leaseId === undefined ? undefined : this.#etcd.leaseSecondsLeft(leaseId),
    );
  }

  renew({ leaseId }: Entry): Promise<boolean> {
    return this.#etcd.perform('renew', () => leaseId !== undefined && this.#etcd.renewLease(leaseId));
  }

  watch(prefix: string, listener: (event: RegistryEvent) => void, signal: AbortSignal): void {
    const source = {
      list: () => this.list(prefix),
      open: (after: bigint, sink: StreamSink) => this.#etcd.perform('open', () => this.#etcd.open(prefix, after, sink)),
    };
    const either = AbortSignal.any([signal, this.#closing.signal]);
    void superviseWatch(source, listener, this.#etcd.clock, WATCH_TIMES, either);
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }
}
