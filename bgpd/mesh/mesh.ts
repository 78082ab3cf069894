// The nodes that are registered, kept up to date from the registry: the full mesh that this node should have.
//
// With etcd away the last known nodes stay. A record that is malformed counts as absent, is counted and named once. It
// does not decide what happens to a session (peers.ts) and writes nothing (registration.ts).

import type { Entry, Registry, RegistryEvent } from '../../lib/registry/registry.ts';
import type { Logger } from '../../lib/run/log.ts';
import { decodeNodeRecord, type NodeRecord, sameNode } from './node-record.ts';

export interface MeshOptions {
  readonly registry: Registry;
  /** Where the records are: `/gingham/nodes/`. */
  readonly prefix: string;
  readonly log: Logger;
  /** After each change, and after each complete listing. */
  readonly onChange: (nodes: ReadonlyMap<string, NodeRecord>) => void;
  /** A record was skipped. */
  readonly onMalformed: () => void;
}

/** `connecting`: nothing known yet. `from-memory`: etcd does not answer, what was known holds. */
export interface MeshStatus {
  readonly state: 'connecting' | 'current' | 'from-memory';
  readonly nodes: number;
  /** Keys of records that are wrong, and why. */
  readonly malformed: Readonly<Record<string, string>>;
  readonly lastError?: string;
}

export class Mesh {
  readonly #options: MeshOptions;
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #malformed = new Map<string, string>();
  #state: MeshStatus['state'] = 'connecting';
  #lastError: string | undefined;

  /** Watches until `signal` aborts. */
  constructor(options: MeshOptions, signal: AbortSignal) {
    this.#options = options;
    options.registry.watch(options.prefix, (event) => this.#take(event), signal);
  }

  status(): MeshStatus {
    return {
      state: this.#state,
      nodes: this.#nodes.size,
      malformed: Object.fromEntries(this.#malformed),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
    };
  }

  #take(event: RegistryEvent): void {
    switch (event.type) {
      case 'snapshot': {
        const keys = new Set(event.snapshot.entries.map(({ key }) => key));
        for (const key of [...this.#keys()]) if (!keys.has(key)) this.#remove(key);
        for (const entry of event.snapshot.entries) this.#put(entry);
        this.#state = 'current';
        this.#lastError = undefined;
        this.#options.onChange(this.#nodes);
        break;
      }
      case 'put':
        // A record may be written anew and say nothing new: its lease had run out.
        if (this.#put(event.entry)) this.#options.onChange(this.#nodes);
        break;
      case 'delete':
        this.#remove(event.key);
        this.#options.onChange(this.#nodes);
        break;
      case 'disconnected':
        this.#lastError = event.reason;
        if (this.#state !== 'connecting') this.#state = 'from-memory';
        this.#options.log.warn({ reason: event.reason }, 'etcd does not answer: the peers known so far stay');
        break;
    }
  }

  *#keys(): Iterable<string> {
    for (const name of this.#nodes.keys()) yield this.#options.prefix + name;
    yield* this.#malformed.keys();
  }

  /** False where that is what was known. */
  #put({ key, value }: Entry): boolean {
    const { prefix, log, onMalformed } = this.#options;
    const record = decodeNodeRecord(prefix, key, value);
    if (!('error' in record)) {
      const known = this.#nodes.get(record.name);
      this.#malformed.delete(key);
      this.#nodes.set(record.name, record);
      return known === undefined || !sameNode(known, record);
    }
    if (this.#malformed.get(key) === record.error) return false;
    this.#malformed.set(key, record.error);
    onMalformed();
    log.warn({ key, reason: record.error }, 'a node record is malformed: skipped');
    return this.#nodes.delete(key.slice(prefix.length));
  }

  #remove(key: string): void {
    this.#nodes.delete(key.slice(this.#options.prefix.length));
    this.#malformed.delete(key);
  }
}
