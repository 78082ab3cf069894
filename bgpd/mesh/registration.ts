// Keeps this node's record in the registry: written on a lease of its own where it is missing or says something else, its
// lease renewed as long as it stands, taken back at exit.
//
// A node that dies is gone from the registry when its lease runs out. A record of our name that names another address is
// either our own former life (its lease runs out, then the name is ours) or another living node with our name: that one
// renews its lease, and then this node must give up. When that lease ends tells the two apart.

import type { Entry, Registry } from '../../lib/registry/registry.ts';
import { RegistryError } from '../../lib/registry/registry.ts';
import { type Backoff, backoffDelayMs } from '../../lib/run/backoff.ts';
import { type Clock, pause } from '../../lib/run/clock.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import { decodeNodeRecord, encodeNodeRecord, type NodeRecord, nodeKey } from './node-record.ts';

/** A dead node is out of the registry after this. */
export const RECORD_TTL_SECONDS = 30;

/** Six renewals in a lifetime: five may fail. Each is a read and a message to etcd's leader; nothing is written. */
const RENEW_MS = 5_000;

/** Between looks at a record of our name that is not ours. */
const CONTESTED_MS = 2_000;

/** An answer that took longer does not tell when a lease ends. */
const PROMPT_MS = 1_000;

/** A lease that ends this much later was renewed: renewals bring more, whole seconds and a prompt answer's delay less. */
const RENEWED_MS = 2_500;

/** Renewals after which its owner is alive: a new leader of etcd renews every lease once. */
const RENEWALS_ALIVE = 2;

const RETRY: Backoff = { firstMs: 200, capMs: 5_000 };

export interface RegistrationOptions {
  readonly registry: Registry;
  readonly prefix: string;
  readonly clock: Clock;
  /** In [0, 1), for jitter. */
  readonly random: () => number;
  readonly log: Logger;
  /** What to register, as of now. */
  readonly record: () => NodeRecord;
  /** Another living node has our name: an `ExitError` that says which. */
  readonly conflict: (error: ExitError) => void;
}

export interface RegistrationStatus {
  readonly registered: boolean;
  readonly detail: string;
}

/** A foreign record of our name. */
interface Contested {
  /** When it was first seen. */
  readonly revision: bigint;
  /** The end of its lease, by our clock. */
  endsMs: number;
  renewals: number;
}

export class Registration {
  readonly #options: RegistrationOptions;
  #own: Entry | undefined;
  #contested: Contested | undefined;
  #detail = 'not yet written';
  #failures = 0;
  #wake = new AbortController();
  #stopped = false;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  status(): RegistrationStatus {
    return { registered: this.#own !== undefined, detail: this.#detail };
  }

  /** Keeps the record until `signal` aborts. An etcd that is away is waited for; only a bug rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#stopped) {
      this.#wake = new AbortController();
      const delayMs = await this.#turn().then(
        (ms) => {
          this.#failures = 0;
          return ms;
        },
        (error: unknown) => this.#failed(error),
      );
      if (!this.#stopped) await pause(this.#options.clock, delayMs, AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  /** Looks at the record now: it was seen to be gone or foreign, or what to register has changed. */
  hurry(): void {
    this.#wake.abort();
  }

  /** Writes no more and, if `leaves`, takes the record back; else it stays until its lease ends. Rejects with `RegistryError`. */
  async withdraw(leaves = true): Promise<void> {
    this.#stopped = true;
    this.#wake.abort();
    const own = this.#own;
    this.#own = undefined;
    if (own !== undefined && leaves) await this.#options.registry.delete(own.key, own.modRevision);
  }

  /** One look at the registry; gives the delay until the next, milliseconds. */
  async #turn(): Promise<number> {
    const { registry, prefix, record } = this.#options;
    const wanted = record();
    const found = await registry.get(nodeKey(prefix, wanted.name));
    if (this.#stopped) return 0;
    if (found === undefined || found.modRevision !== this.#own?.modRevision) this.#own = undefined;
    if (this.#own?.value === encodeNodeRecord(wanted)) return await this.#renew(this.#own);
    if (this.#own === undefined && found !== undefined && this.#isForeign(found, wanted)) {
      return await this.#contend(found, wanted);
    }
    const written = await this.#write(
      wanted,
      found === undefined ? { absent: true } : { modRevision: found.modRevision },
    );
    return written ? this.#renewDelayMs() : RETRY.firstMs;
  }

  /** The record is as we wrote it; where its lease has run out it will be written anew. */
  async #renew(own: Entry): Promise<number> {
    const renewed = await this.#options.registry.renew(own);
    if (!renewed) {
      this.#own = undefined;
      return RETRY.firstMs;
    }
    this.#detail = heldDetail(own.key, this.#options.record());
    return this.#renewDelayMs();
  }

  async #write(wanted: NodeRecord, precondition: Parameters<Registry['put']>[2]): Promise<boolean> {
    const { registry, prefix, log } = this.#options;
    const key = nodeKey(prefix, wanted.name);
    const value = encodeNodeRecord(wanted);
    const entry = await registry.put(key, value, precondition, RECORD_TTL_SECONDS);
    if (entry === undefined) return false;
    log.info({ key, record: wanted }, 'registered this node');
    this.#own = entry;
    this.#contested = undefined;
    this.#detail = heldDetail(key, wanted);
    return true;
  }

  #isForeign(found: Entry, wanted: NodeRecord): boolean {
    const record = decodeNodeRecord(this.#options.prefix, found.key, found.value);
    if ('error' in record) return false;
    return record.address !== wanted.address;
  }

  async #contend(found: Entry, wanted: NodeRecord): Promise<number> {
    const { registry, clock, log, conflict } = this.#options;
    const askedMs = clock.monotonicMs();
    // A record without a lease ends when somebody deletes it.
    const endsMs = askedMs + ((await registry.secondsLeft(found)) ?? Number.POSITIVE_INFINITY) * 1_000;
    if (clock.monotonicMs() - askedMs > PROMPT_MS) return CONTESTED_MS;
    if (this.#contested === undefined) {
      this.#contested = { revision: found.modRevision, endsMs, renewals: 0 };
      this.#detail = `${found.key} is held by another: ${found.value}`;
      log.warn({ key: found.key, held: found.value }, 'the record of this name is not ours: waiting for its lease');
      return CONTESTED_MS;
    }
    const contested = this.#contested;
    if (endsMs - contested.endsMs > RENEWED_MS) {
      contested.endsMs = endsMs;
      contested.renewals++;
    }
    if (found.modRevision !== contested.revision || contested.renewals >= RENEWALS_ALIVE) {
      const message = `the node name ${wanted.name} is in use: ${found.key} is ${found.value}, and its owner is alive`;
      conflict(new ExitError(EXIT.conflict, `${message}; give this node another --node-name`));
    }
    return CONTESTED_MS;
  }

  #failed(error: unknown): number {
    if (!(error instanceof RegistryError)) throw error;
    if (this.#failures === 0) this.#options.log.warn({ reason: errorText(error) }, 'cannot register this node yet');
    this.#detail = errorText(error);
    return backoffDelayMs(RETRY, this.#failures++, this.#options.random());
  }

  #renewDelayMs(): number {
    return RENEW_MS * (0.75 + this.#options.random() / 4);
  }
}

function heldDetail(key: string, { address }: NodeRecord): string {
  return `${key} names ${address}`;
}
