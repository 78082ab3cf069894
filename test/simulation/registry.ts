// etcd as simulated nodes see it: one store with leases, reached by each node with a delay, or not at all.
//
// Only what bgpd asks of it. A watch is level-triggered as production's: snapshot, changes, and after any gap "disconnected"
// and a snapshot again. test/fakes/memory-registry.ts is the one with compaction and faults per operation.

import {
  type Entry,
  type Precondition,
  type Registry,
  RegistryError,
  type RegistryEvent,
  type Snapshot,
} from '../../lib/registry/registry.ts';
import type { Random } from './random.ts';
import type { SimProcess, VirtualTime } from './virtual-time.ts';

const LATENCY_MS = { least: 1, most: 20 } as const;
/** A call that etcd does not answer fails after this. */
const TIMEOUT_MS = 1_000;
const RETRY_MS = { least: 300, most: 1_500 } as const;

type Change = Extract<RegistryEvent, { type: 'put' | 'delete' }>;

interface Watcher {
  readonly node: string;
  readonly prefix: string;
  readonly tell: (event: RegistryEvent) => void;
  connected: boolean;
  lastMs: number;
}

export class SimEtcd {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #entries = new Map<string, Entry>();
  /** By lease id. */
  readonly #leases = new Map<string, { readonly ttlSeconds: number; endsMs: number }>();
  readonly #watchers = new Set<Watcher>();
  /** Nodes that cannot reach it. */
  readonly #cutOff = new Set<string>();
  #revision = 1n;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  cutOff(node: string): void {
    this.#cutOff.add(node);
    for (const watcher of this.#watchers) {
      if (watcher.node !== node || !watcher.connected) continue;
      watcher.connected = false;
      this.#tell(watcher, { type: 'disconnected', reason: 'connection refused' });
      this.#retry(watcher);
    }
  }

  reach(node: string): void {
    this.#cutOff.delete(node);
  }

  reachAll(): void {
    this.#cutOff.clear();
  }

  wipe(): void {
    for (const key of [...this.#entries.keys()]) this.#erase(key);
  }

  /** What a process of a node talks to. */
  registry(node: string, process: SimProcess): Registry {
    const perform = <T>(does: () => T): Promise<T> => this.#perform(node, process, does);
    return {
      get: (key) => perform(() => this.#entries.get(key)),
      list: (prefix) => perform(() => this.#snapshot(prefix)),
      put: (key, value, precondition, ttlSeconds) => perform(() => this.#put(key, value, precondition, ttlSeconds)),
      create: () => Promise.reject(new RegistryError('refused', 'bgpd does not create leases')),
      delete: (key, modRevision) =>
        perform(() => this.#entries.get(key)?.modRevision === modRevision && this.#erase(key)),
      secondsLeft: ({ key }) => perform(() => this.#secondsLeft(key)),
      renew: ({ key, leaseId }) => perform(() => this.#renew(key, leaseId)),
      watch: (prefix, listener, signal) => this.#watch(node, process, prefix, listener, signal),
      close: () => Promise.resolve(),
    };
  }

  #latencyMs(): number {
    return this.#random.between(LATENCY_MS.least, LATENCY_MS.most);
  }

  #perform<T>(node: string, process: SimProcess, does: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const time = this.#time;
      const answer = (delayMs: number, give: () => void): void =>
        void time.at(time.nowMs + delayMs, () => process.run(give, false), true);
      const fail = (): void =>
        answer(TIMEOUT_MS, () => reject(new RegistryError('unavailable', 'etcd: deadline exceeded')));
      time.at(time.nowMs + this.#latencyMs(), () => {
        if (this.#cutOff.has(node)) return fail();
        const result = does();
        // The answer may be lost where the path is cut meanwhile: what was written stays written.
        answer(this.#latencyMs(), () => (this.#cutOff.has(node) ? fail() : resolve(result)));
      });
    });
  }

  #snapshot(prefix: string): Snapshot {
    const entries = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
    return { entries: entries.sort((a, b) => (a.key < b.key ? -1 : 1)), revision: this.#revision };
  }

  #put(key: string, value: string, precondition: Precondition, ttlSeconds: number | undefined): Entry | undefined {
    const found = this.#entries.get(key)?.modRevision;
    const holds = 'absent' in precondition ? found === undefined : found === precondition.modRevision;
    if (!holds) return undefined;
    const modRevision = ++this.#revision;
    const entry = { key, value, modRevision, ...(ttlSeconds !== undefined && { leaseId: String(modRevision) }) };
    this.#entries.set(key, entry);
    this.#broadcast({ type: 'put', entry });
    if (ttlSeconds !== undefined) {
      const lease = { ttlSeconds, endsMs: this.#time.nowMs + ttlSeconds * 1_000 };
      this.#leases.set(String(modRevision), lease);
      this.#expireAt(lease.endsMs, entry);
    }
    return entry;
  }

  /** Each entry has a lease of its own; one that was renewed meanwhile runs on. */
  #expireAt(ms: number, entry: Entry): void {
    this.#time.at(ms, () => {
      const lease = this.#leases.get(entry.leaseId ?? '');
      const isHeld = this.#entries.get(entry.key) === entry;
      if (isHeld && lease !== undefined && lease.endsMs > this.#time.nowMs) return this.#expireAt(lease.endsMs, entry);
      this.#leases.delete(entry.leaseId ?? '');
      if (isHeld) this.#erase(entry.key);
    });
  }

  #secondsLeft(key: string): number | undefined {
    const leaseId = this.#entries.get(key)?.leaseId;
    const endsMs = this.#leases.get(leaseId ?? '')?.endsMs;
    return endsMs === undefined ? undefined : Math.floor((endsMs - this.#time.nowMs) / 1_000);
  }

  #renew(key: string, leaseId: string | undefined): boolean {
    const lease = this.#leases.get(leaseId ?? '');
    if (lease === undefined || this.#entries.get(key)?.leaseId !== leaseId) return false;
    lease.endsMs = this.#time.nowMs + lease.ttlSeconds * 1_000;
    return true;
  }

  #erase(key: string): boolean {
    this.#entries.delete(key);
    this.#broadcast({ type: 'delete', key, revision: ++this.#revision });
    return true;
  }

  #broadcast(change: Change): void {
    const key = change.type === 'put' ? change.entry.key : change.key;
    for (const watcher of this.#watchers) {
      if (watcher.connected && key.startsWith(watcher.prefix)) this.#tell(watcher, change);
    }
  }

  #watch(
    node: string,
    process: SimProcess,
    prefix: string,
    listener: (event: RegistryEvent) => void,
    signal: AbortSignal,
  ): void {
    const tell = (event: RegistryEvent): void =>
      process.run(() => {
        if (!signal.aborted) listener(event);
      }, false);
    const watcher: Watcher = { node, prefix, tell, connected: false, lastMs: 0 };
    this.#watchers.add(watcher);
    signal.addEventListener('abort', () => this.#watchers.delete(watcher));
    this.#connect(watcher);
  }

  #connect(watcher: Watcher): void {
    this.#time.at(this.#time.nowMs + this.#latencyMs(), () => {
      if (!this.#watchers.has(watcher)) return;
      if (this.#cutOff.has(watcher.node)) {
        this.#tell(watcher, { type: 'disconnected', reason: 'connection refused' });
        this.#retry(watcher);
        return;
      }
      watcher.connected = true;
      this.#tell(watcher, { type: 'snapshot', snapshot: this.#snapshot(watcher.prefix) });
    });
  }

  #retry(watcher: Watcher): void {
    this.#time.at(this.#time.nowMs + this.#random.between(RETRY_MS.least, RETRY_MS.most), () => {
      if (this.#watchers.has(watcher)) this.#connect(watcher);
    });
  }

  /** In order. */
  #tell(watcher: Watcher, event: RegistryEvent): void {
    watcher.lastMs = Math.max(watcher.lastMs, this.#time.nowMs + this.#latencyMs());
    this.#time.at(watcher.lastMs, () => watcher.tell(event), true);
  }
}
