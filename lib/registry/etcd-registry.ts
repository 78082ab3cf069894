// The registry over etcd, through etcd3's typed RPC classes: KV, Lease, Watch and Auth.
//
// Of etcd3 only the message types and the gRPC clients are used, not its pool, leases or watchers. Its keepalive notices
// a lost lease only when its stream restarts, its watcher cannot tell a silent stream from a quiet one, its pool retries
// without a deadline and makes a channel for each authentication. Here calls go over etcd-connection.ts, which has a
// deadline for each and leaves a member that fails, and watches are supervised by watch-supervisor.ts.
//
// A write whose answer got lost may have happened. It is sent again with the same etcd lease, so that finding our own
// lease on the key means that it had.

import { Channel, type ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import { Host } from 'etcd3/lib/connection-pool.js';
// Not from 'etcd3' itself, which loads its locks, elections and namespaces too.
import {
  AuthClient,
  type ICompare,
  type IKeyValue,
  type ILeaseKeepAliveResponse,
  type ITxnRequest,
  type ITxnResponse,
  KVClient,
  LeaseClient,
  WatchClient,
} from 'etcd3/lib/rpc.js';
import { type Clock, systemClock } from '../run/clock.ts';
import { type ConnectionOptions, EtcdConnection } from './etcd-connection.ts';
import { channelCredentials, type TlsFiles } from './etcd-credentials.ts';
import { registryError } from './etcd-error.ts';
import {
  CANDIDATES_MAX,
  type Candidate,
  type Entry,
  type Precondition,
  type Registry,
  RegistryError,
  type RegistryEvent,
  type Snapshot,
} from './registry.ts';
import { type StreamSink, superviseWatch, WATCH_TIMES, type WatchStream, type WatchTimes } from './watch-supervisor.ts';

const CHANNEL_OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // etcd closes a connection that is probed more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  // 5,000 leases are 2 MB; the default of 4 MB is near.
  'grpc.max_receive_message_length': 64 << 20,
  // Else a connection that was given up would be found again by the next channel.
  'grpc.use_local_subchannel_pool': 1,
};

export interface EtcdRegistryOptions extends ConnectionOptions {
  readonly tls?: TlsFiles;
  readonly watchTimes?: WatchTimes;
  readonly clock?: Clock;
}

export interface ReconnectingRegistry extends Registry {
  /** Gives up every connection: this machine's address is another, and nobody answers to the former one. */
  reconnect(reason: string): void;
}

/** Opens a registry; nothing is sent yet. Throws `ExitError` where a TLS file cannot be read. */
export async function openEtcdRegistry(options: EtcdRegistryOptions): Promise<ReconnectingRegistry> {
  return new EtcdRegistry(options, await channelCredentials(options));
}

class EtcdRegistry implements ReconnectingRegistry {
  readonly #connection: EtcdConnection<Host>;
  readonly #kv: KVClient;
  readonly #lease: LeaseClient;
  readonly #watch: WatchClient;
  readonly #clock: Clock;
  readonly #watchTimes: WatchTimes;
  readonly #closing = new AbortController();
  /** Of each open watch: gives it up. */
  readonly #watches = new Set<(reason: string) => void>();

  constructor(options: EtcdRegistryOptions, channel: ChannelCredentials) {
    this.#connection = new EtcdConnection<Host>(options, {
      makeHost: (endpoint) => new Host(endpoint, channel, oneChannel(endpoint, channel)),
      authenticate: async (connection, user) => (await new AuthClient(connection).authenticate(user)).token,
    });
    this.#kv = new KVClient(this.#connection);
    this.#lease = new LeaseClient(this.#connection);
    this.#watch = new WatchClient(this.#connection);
    this.#clock = options.clock ?? systemClock;
    this.#watchTimes = options.watchTimes ?? WATCH_TIMES;
  }

  async get(key: string): Promise<Entry | undefined> {
    const { kvs } = await this.#kv.range({ key: Buffer.from(key) });
    return kvs[0] === undefined ? undefined : entryOf(kvs[0]);
  }

  async list(prefix: string): Promise<Snapshot> {
    const { header, kvs } = await this.#kv.range(rangeOf(prefix));
    return { entries: kvs.map(entryOf), revision: BigInt(header.revision) };
  }

  async put(
    key: string,
    value: string,
    precondition: Precondition,
    ttlSeconds: number | undefined,
  ): Promise<Entry | undefined> {
    const leaseId = ttlSeconds === undefined ? undefined : (await this.#lease.leaseGrant({ TTL: ttlSeconds })).ID;
    const bytes = { key: Buffer.from(key), value: Buffer.from(value) };
    const { header, succeeded, responses } = await this.#kv.txn({
      compare: [compareOf(bytes.key, precondition)],
      success: [{ request_put: { ...bytes, ...(leaseId === undefined ? {} : { lease: leaseId }), prev_kv: true } }],
      failure: [{ request_range: { key: bytes.key } }],
    });
    if (succeeded) {
      const previous = responses[0]?.response_put.prev_kv?.lease;
      if (previous !== undefined && previous !== '0') await this.#revokeIfUnused(previous);
      return { key, value, modRevision: BigInt(header.revision), ...(leaseId === undefined ? {} : { leaseId }) };
    }
    const found = responses[0]?.response_range.kvs[0];
    if (leaseId === undefined) return undefined;
    // Our fresh lease is on it: the first sending had arrived, only its answer had not.
    if (found?.lease === leaseId) return entryOf(found);
    await this.#revokeIfUnused(leaseId);
    return undefined;
  }

  async create(candidates: readonly Candidate[], ttlSeconds: number): Promise<Entry | undefined> {
    if (candidates.length > CANDIDATES_MAX) throw new RangeError(`${candidates.length} candidates are too many`);
    const { ID: leaseId } = await this.#lease.leaseGrant({ TTL: ttlSeconds });
    const txn = candidates.reduceRight<ITxnRequest | undefined>((otherwise, { key, value }) => {
      const bytes = { key: Buffer.from(key), value: Buffer.from(value) };
      return {
        compare: [compareOf(bytes.key, { absent: true })],
        success: [{ request_put: { ...bytes, lease: leaseId } }],
        failure: [{ request_range: { key: bytes.key } }, ...(otherwise ? [{ request_txn: otherwise }] : [])],
      };
    }, undefined);
    const answer = txn && (await this.#kv.txn(txn));
    let at = 0;
    for (let level = answer; level !== undefined; level = nextLevel(level), at++) {
      const candidate = candidates[at];
      if (candidate === undefined) break;
      if (level.succeeded) return { ...candidate, modRevision: BigInt(answer?.header.revision ?? 0), leaseId };
      const found = level.responses[0]?.response_range.kvs[0];
      // Our fresh lease is on it: the first sending had arrived, only its answer had not.
      if (found?.lease === leaseId) return entryOf(found);
    }
    await this.#revokeIfUnused(leaseId);
    return undefined;
  }

  async delete(key: string, modRevision: bigint): Promise<boolean> {
    const bytes = Buffer.from(key);
    const { succeeded } = await this.#kv.txn({
      compare: [compareOf(bytes, { modRevision })],
      success: [{ request_delete_range: { key: bytes } }],
    });
    return succeeded;
  }

  async secondsLeft({ leaseId }: Entry): Promise<number | undefined> {
    if (leaseId === undefined) return undefined;
    const { TTL } = await this.#lease.leaseTimeToLive({ ID: leaseId });
    return Math.max(0, Number(TTL));
  }

  async renew({ leaseId }: Entry): Promise<boolean> {
    if (leaseId === undefined) return false;
    const { TTL } = await this.#connection.ask<ILeaseKeepAliveResponse>('Lease', 'leaseKeepAlive', { ID: leaseId });
    return Number(TTL) > 0;
  }

  watch(prefix: string, listener: (event: RegistryEvent) => void, signal: AbortSignal): void {
    const source = {
      list: () => this.list(prefix),
      open: (after: bigint, sink: StreamSink) => this.#open(prefix, after, sink),
    };
    const either = AbortSignal.any([signal, this.#closing.signal]);
    // A rejection is a listener that threw: left unhandled on purpose, it ends the daemon.
    void superviseWatch(source, listener, this.#clock, this.#watchTimes, either);
  }

  reconnect(reason: string): void {
    this.#connection.reset();
    for (const giveUp of [...this.#watches]) giveUp(reason);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#connection.close();
  }

  async #open(prefix: string, after: bigint, sink: StreamSink): Promise<WatchStream> {
    const stream = await this.#watch.watch();
    let closed = false;
    const giveUp = (reason: string): void => sink.end({ type: 'failed', reason });
    this.#watches.add(giveUp);
    stream.on('error', (error) => {
      if (closed) return;
      this.#connection.rotate();
      sink.end({ type: 'failed', reason: registryError(error, 'watch').message });
    });
    stream.on('end', () => sink.end({ type: 'failed', reason: 'etcd ended the watch stream' }));
    stream.on('data', (answer) => {
      sink.alive();
      for (const { type, kv } of answer.events) {
        if (type === 'Put') sink.change({ type: 'put', entry: entryOf(kv) });
        else sink.change({ type: 'delete', key: String(kv.key), revision: BigInt(kv.mod_revision) });
      }
      if (!answer.canceled) return;
      if (answer.compact_revision !== '0') sink.end({ type: 'compacted' });
      else sink.end({ type: 'failed', reason: `etcd cancelled the watch: ${answer.cancel_reason}` });
    });
    stream.write({ create_request: { ...rangeOf(prefix), start_revision: String(after + 1n) } });
    return {
      probe: () => stream.write({ progress_request: {} }),
      close: () => {
        closed = true;
        this.#watches.delete(giveUp);
        stream.cancel();
      },
    };
  }

  /** Frees a lease that no key hangs on any more; whether that works changes nothing for the caller: it also runs out. */
  async #revokeIfUnused(leaseId: string): Promise<void> {
    try {
      const { keys } = await this.#lease.leaseTimeToLive({ ID: leaseId, keys: true });
      if (keys.length === 0) await this.#lease.leaseRevoke({ ID: leaseId });
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
    }
  }
}

/** Options by which all services of a member share one channel, and so one connection. */
function oneChannel(endpoint: string, secrets: ChannelCredentials): ChannelOptions {
  const target = endpoint.replace(/^https?:\/\//, '');
  const shared = { channelOverride: new Channel(target, secrets, CHANNEL_OPTIONS) };
  return { ...CHANNEL_OPTIONS, ...(shared as unknown as ChannelOptions) };
}

function entryOf(kv: IKeyValue): Entry {
  const entry = { key: String(kv.key), value: String(kv.value), modRevision: BigInt(kv.mod_revision) };
  return kv.lease === '0' ? entry : { ...entry, leaseId: kv.lease };
}

/** The answer to the transaction inside this one, for the case that this one's condition did not hold. */
function nextLevel({ responses }: ITxnResponse): ITxnResponse | undefined {
  // etcd3's types lack `response_txn`; its proto has it.
  return (responses[1] as { readonly response_txn?: ITxnResponse } | undefined)?.response_txn;
}

/** All keys that start with `prefix`: up to the first that is behind them. */
function rangeOf(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
  const end = Buffer.from(prefix);
  const last = end.length - 1;
  end[last] = (end[last] ?? 0) + 1;
  return { key: Buffer.from(prefix), range_end: end };
}

function compareOf(key: Buffer, precondition: Precondition): ICompare {
  const revision = 'absent' in precondition ? '0' : String(precondition.modRevision);
  return { key, target: 'Mod', result: 'Equal', mod_revision: revision };
}
