// The registry over etcd, through etcd3's typed RPC classes: KV, Lease, Watch and Auth.
//
// Of etcd3 only the message types and the gRPC clients are used, not its pool, leases or watchers. Its keepalive notices
// a lost lease only when its stream restarts, its watcher cannot tell a silent stream from a quiet one, its pool retries
// without a deadline and makes a channel for each authentication. Here every call has a deadline, a member that fails is
// left for the next, a token is fetched once, and watches are supervised by watch-supervisor.ts.
//
// A write whose answer got lost may have happened. It is sent again with the same etcd lease, so that finding our own
// lease on the key means that it had.

import { type ChannelCredentials, type Client, Metadata } from '@grpc/grpc-js';
import { Host } from 'etcd3/lib/connection-pool.js';
// Not from 'etcd3' itself, which loads its locks, elections and namespaces too.
import {
  AuthClient,
  type ICallable,
  type ICompare,
  type IKeyValue,
  type ITxnRequest,
  type ITxnResponse,
  KVClient,
  LeaseClient,
  WatchClient,
} from 'etcd3/lib/rpc.js';
import { type Clock, systemClock } from '../run/clock.ts';
import { channelCredentials, type TlsFiles } from './etcd-credentials.ts';
import { isStaleToken, registryError } from './etcd-error.ts';
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

const CALL_TIMEOUT_MS = 3_000;

const CHANNEL_OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // etcd closes a connection that is probed more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  // 5,000 leases are 2 MB; the default of 4 MB is near.
  'grpc.max_receive_message_length': 64 << 20,
};

export interface EtcdRegistryOptions {
  /** `http://host:port`, or all `https://`; calls go to one of them until it fails. */
  readonly endpoints: readonly string[];
  readonly tls?: TlsFiles;
  readonly user?: { readonly name: string; readonly password: string };
  readonly callTimeoutMs?: number;
  readonly watchTimes?: WatchTimes;
  readonly clock?: Clock;
}

/** Opens a registry; nothing is sent yet. Throws `ExitError` where a TLS file cannot be read. */
export async function openEtcdRegistry(options: EtcdRegistryOptions): Promise<Registry> {
  return new EtcdRegistry(options, await channelCredentials(options));
}

type Method = (
  request: unknown,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: Error | null, answer: unknown) => void,
) => { cancel(): void };

/** One gRPC client per member, one member in use: how etcd3's RPC classes reach etcd. */
class EtcdConnection implements ICallable<Host> {
  readonly callOptionsFactory = undefined;
  readonly #hosts: readonly { readonly host: Host; readonly endpoint: string }[];
  readonly #timeoutMs: number;
  readonly #user: EtcdRegistryOptions['user'];
  readonly #calls = new Set<{ cancel(): void }>();
  #current: number;
  #token: Promise<string> | undefined;

  constructor(options: EtcdRegistryOptions, channel: ChannelCredentials) {
    this.#hosts = options.endpoints.map((endpoint) => ({
      endpoint,
      host: new Host(endpoint, channel, CHANNEL_OPTIONS),
    }));
    this.#timeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    this.#user = options.user;
    // Spread the nodes over the members.
    this.#current = Math.floor(Math.random() * this.#hosts.length);
  }

  /** Tries each member once, beginning with the one in use. */
  async exec<T>(service: 'KV' | 'Lease' | 'Auth', method: string, params: unknown): Promise<T> {
    let failure = new RegistryError('unavailable', 'etcd: no endpoint was given');
    for (let attempt = 0; attempt < this.#hosts.length; attempt++) {
      try {
        return await this.withConnection(service, ({ client, metadata }) =>
          this.#call<T>(client, method, params, metadata),
        );
      } catch (error) {
        failure = error as RegistryError;
        if (failure.code === 'refused') throw failure;
      }
    }
    throw failure;
  }

  /** Runs `use` on the member in use, with a token where a user was given; leaves that member where it does not answer. */
  async withConnection<R>(
    service: 'KV' | 'Lease' | 'Auth' | 'Watch',
    use: (args: { resource: Host; client: Client; metadata: Metadata }) => Promise<R> | R,
  ): Promise<R> {
    const index = this.#current;
    const member = this.#hosts[index];
    if (member === undefined) throw new RegistryError('unavailable', 'etcd: no endpoint was given');
    for (let retried = false; ; retried = true) {
      try {
        const metadata = new Metadata();
        // A member cut off from its quorum ends a watch instead of keeping it in ignorance.
        if (service === 'Watch') metadata.set('hasleader', 'true');
        if (service !== 'Auth' && this.#user !== undefined) metadata.set('token', await this.#authenticate());
        return await use({ resource: member.host, client: member.host.getServiceClient(service), metadata });
      } catch (thrown) {
        const error = registryError(thrown, member.endpoint);
        if (error.code === 'unavailable' && this.#current === index) this.#current = (index + 1) % this.#hosts.length;
        if (retried || this.#user === undefined || !isStaleToken(error)) throw error;
        this.#token = undefined;
      }
    }
  }

  /** Called by etcd3's WatchClient also for a stream that we cancelled: it means nothing here. */
  markFailed(): void {}

  /** Leaves the member in use. */
  rotate(): void {
    this.#current = (this.#current + 1) % this.#hosts.length;
  }

  close(): void {
    for (const call of this.#calls) call.cancel();
    for (const { host } of this.#hosts) host.close();
  }

  #authenticate(): Promise<string> {
    if (this.#token === undefined) {
      const asked = new AuthClient(this).authenticate(this.#user ?? {}).then((answer) => answer.token);
      asked.catch(() => {
        this.#token = undefined;
      });
      this.#token = asked;
    }
    return this.#token;
  }

  #call<T>(client: Client, method: string, params: unknown, metadata: Metadata): Promise<T> {
    return new Promise((resolve, reject) => {
      const invoke = (client as unknown as Record<string, Method>)[method];
      if (invoke === undefined) return reject(new TypeError(`etcd has no method ${method}`));
      const call = invoke.call(
        client,
        params,
        metadata,
        { deadline: Date.now() + this.#timeoutMs },
        (error, answer) => {
          this.#calls.delete(call);
          if (error === null) resolve(answer as T);
          else reject(error);
        },
      );
      this.#calls.add(call);
    });
  }
}

class EtcdRegistry implements Registry {
  readonly #connection: EtcdConnection;
  readonly #kv: KVClient;
  readonly #lease: LeaseClient;
  readonly #watch: WatchClient;
  readonly #clock: Clock;
  readonly #watchTimes: WatchTimes;
  readonly #closing = new AbortController();

  constructor(options: EtcdRegistryOptions, channel: ChannelCredentials) {
    this.#connection = new EtcdConnection(options, channel);
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

  watch(prefix: string, listener: (event: RegistryEvent) => void, signal: AbortSignal): void {
    const source = {
      list: () => this.list(prefix),
      open: (after: bigint, sink: StreamSink) => this.#open(prefix, after, sink),
    };
    const either = AbortSignal.any([signal, this.#closing.signal]);
    // A rejection is a listener that threw: left unhandled on purpose, it ends the daemon.
    void superviseWatch(source, listener, this.#clock, this.#watchTimes, either);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#connection.close();
  }

  async #open(prefix: string, after: bigint, sink: StreamSink): Promise<WatchStream> {
    const stream = await this.#watch.watch();
    let closed = false;
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
      close() {
        closed = true;
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
