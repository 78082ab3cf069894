// Calls to the members of an etcd cluster: a deadline on each, the next member where one does not answer, a token fetched
// once where a user was given, and all of it anew on demand.
//
// Not watches: a stream is opened here, and supervised in watch-supervisor.ts.

import { type Client, Metadata } from '@grpc/grpc-js';
import { isStaleToken, registryError } from './etcd-error.ts';
import { RegistryError } from './registry.ts';

const CALL_TIMEOUT_MS = 3_000;

export interface ConnectionOptions {
  /** `http://host:port`, or all `https://`; calls go to one of them until it fails. */
  readonly endpoints: readonly string[];
  readonly user?: { readonly name: string; readonly password: string };
  readonly callTimeoutMs?: number;
}

/** A member's gRPC clients, one per service. */
export interface MemberHost {
  getServiceClient(service: Service): Client;
  close(): void;
}

/** What etcd3 has for it. */
export interface ConnectionParts<H extends MemberHost> {
  makeHost(endpoint: string): H;
  /** Gives a token. */
  authenticate(connection: EtcdConnection<H>, user: NonNullable<ConnectionOptions['user']>): Promise<string>;
}

/** A method with one answer. */
type Method = (
  request: unknown,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: Error | null, answer: unknown) => void,
) => { cancel(): void };

/** A method that is a stream both ways. */
type StreamMethod = (
  metadata: Metadata,
  options: { deadline: number },
) => {
  cancel(): void;
  write(request: unknown): unknown;
  end(): unknown;
  on(event: string, listener: (argument: unknown) => void): unknown;
};

type Service = 'KV' | 'Lease' | 'Auth' | 'Watch';

/** How a member is called: through this client, with these metadata. */
interface Member {
  readonly client: Client;
  readonly metadata: Metadata;
}

/** One client per member, one member in use. Has the shape that etcd3's RPC classes call through. */
export class EtcdConnection<H extends MemberHost> {
  readonly callOptionsFactory = undefined;
  #hosts: readonly { readonly host: H; readonly endpoint: string }[];
  readonly #timeoutMs: number;
  readonly #user: ConnectionOptions['user'];
  readonly #parts: ConnectionParts<H>;
  readonly #calls = new Set<{ cancel(): void }>();
  #current: number;
  #token: Promise<string> | undefined;

  constructor(options: ConnectionOptions, parts: ConnectionParts<H>) {
    this.#parts = parts;
    this.#hosts = options.endpoints.map((endpoint) => ({ endpoint, host: parts.makeHost(endpoint) }));
    this.#timeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    this.#user = options.user;
    // Spread the nodes over the members.
    this.#current = Math.floor(Math.random() * this.#hosts.length);
  }

  /** Tries each member once, beginning with the one in use. */
  exec<T>(service: Exclude<Service, 'Watch'>, method: string, params: unknown): Promise<T> {
    return this.#onAnyMember(service, (member) => this.#call<T>(member, method, params));
  }

  /** As `exec`, for a method that is a stream: sends one request, gives the first answer, and ends the stream. */
  ask<T>(service: 'Lease', method: string, params: unknown): Promise<T> {
    return this.#onAnyMember(service, (member) => this.#ask<T>(member, method, params));
  }

  /** Runs `use` on the member in use, with a token where a user was given; leaves that member where it does not answer. */
  async withConnection<R>(service: Service, use: (args: Member & { resource: H }) => Promise<R> | R): Promise<R> {
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

  /** New connections for what is asked from now on. */
  reset(): void {
    const former = this.#hosts;
    this.#hosts = former.map(({ endpoint }) => ({ endpoint, host: this.#parts.makeHost(endpoint) }));
    for (const call of this.#calls) call.cancel();
    for (const { host } of former) host.close();
  }

  close(): void {
    for (const call of this.#calls) call.cancel();
    for (const { host } of this.#hosts) host.close();
  }

  async #onAnyMember<T>(service: Service, call: (member: Member) => Promise<T>): Promise<T> {
    let failure = new RegistryError('unavailable', 'etcd: no endpoint was given');
    for (let attempt = 0; attempt < this.#hosts.length; attempt++) {
      try {
        return await this.withConnection(service, call);
      } catch (error) {
        failure = error as RegistryError;
        if (failure.code === 'refused') throw failure;
      }
    }
    throw failure;
  }

  #authenticate(): Promise<string> {
    if (this.#token !== undefined) return this.#token;
    const asked = this.#parts.authenticate(this, this.#user ?? { name: '', password: '' });
    asked.catch(() => {
      this.#token = undefined;
    });
    this.#token = asked;
    return asked;
  }

  #call<T>({ client, metadata }: Member, method: string, params: unknown): Promise<T> {
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

  #ask<T>({ client, metadata }: Member, method: string, params: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const invoke = (client as unknown as Record<string, StreamMethod>)[method];
      if (invoke === undefined) return reject(new TypeError(`etcd has no method ${method}`));
      const call = invoke.call(client, metadata, { deadline: Date.now() + this.#timeoutMs });
      this.#calls.add(call);
      call.on('data', (answer) => {
        resolve(answer as T);
        call.end();
      });
      call.on('error', reject);
      call.on('end', () => reject(new RegistryError('unavailable', 'etcd ended the stream without an answer')));
      call.on('status', () => this.#calls.delete(call));
      call.write(params);
    });
  }
}
