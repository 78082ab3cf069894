// Asks felix which of this node's next hops the kernel can reach: every node that flanneld's groups lead to. The answers go
// to the RIB; nothing is decided here.
//
//   flanneld's groups ──▶ wanted ──▶ felix (felix.sock) ──▶ reachable or why not ──▶ Rib.setUnreachable
//
// Without felix nothing is known, and unknown is never unreachable. What it said last holds for `HOLD_MS` after it went away,
// so that its restart changes nothing.

import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import type { FeedGroup } from '../lib/feed/feed.ts';
import { type Address, addressBytes, addressFromBytes } from '../lib/net/address.ts';
import { openBidiStream } from '../lib/rpc/service.ts';
import { connectUnixSocket } from '../lib/rpc/unix-socket.ts';
import { type Backoff, backoffDelayMs } from '../lib/run/backoff.ts';
import type { Clock } from '../lib/run/clock.ts';
import { errorText } from '../lib/run/exit.ts';
import type { Logger } from '../lib/run/log.ts';
import {
  NextHopService,
  type TrackRequest,
  TrackRequestSchema,
  type TrackResponse,
} from '../proto/gen/gingham/nexthop/v1/nexthop_pb.ts';

/** A local socket costs nothing to try. */
const RECONNECT: Backoff = { firstMs: 100, capMs: 2_000 };

/** How long the last answers hold without felix. */
const HOLD_MS = 10_000;

/** Next hops in one message. */
const REQUEST_MAX = 1_000;

export interface NextHopWatchOptions {
  /** Absent: nobody is asked, and nothing is known. */
  readonly socketPath: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** `reason`: the kernel cannot reach it since then; `undefined`: it can, or nobody knows any more. */
  readonly changed: (endpoint: Address, reason: string | undefined, detectedUnixUs: bigint) => void;
}

/** For `/status`. */
export interface NextHopWatchStatus {
  /** `absent`: felix does not answer, next hops are used as flanneld says. */
  readonly felix: 'tracking' | 'absent';
  readonly tracked: number;
  readonly unreachable: Readonly<Record<string, string>>;
  readonly lastError?: string;
}

/** Where felix answers. */
export function nextHopSocketPath(runFolder: string): string {
  return join(runFolder, 'felix.sock');
}

export class NextHopWatch {
  readonly #options: NextHopWatchOptions;
  /** Device by endpoint: what felix is asked about. */
  readonly #wanted = new Map<Address, string>();
  readonly #unreachable = new Map<Address, string>();
  #call: ClientDuplexStream<TrackRequest, TrackResponse> | undefined;
  #stands = false;
  #attempts = 0;
  #lastError: string | undefined;
  #closed = false;
  #stopCall: () => void = () => undefined;
  #cancelRetry: () => void = () => undefined;
  #cancelHold: () => void = () => undefined;

  constructor(options: NextHopWatchOptions) {
    this.#options = options;
  }

  status(): NextHopWatchStatus {
    return {
      felix: this.#stands ? 'tracking' : 'absent',
      tracked: this.#wanted.size,
      unreachable: Object.fromEntries(this.#unreachable),
      ...(this.#lastError !== undefined && !this.#stands && { lastError: this.#lastError }),
    };
  }

  /** Asks about the nodes that these groups lead to, and no others, from now on. */
  follow(groups: Iterable<FeedGroup>): void {
    const wanted = new Map<Address, string>();
    for (const { endpoint, local, kind, nextHops } of groups) {
      if (endpoint === undefined || local || kind !== 'unicast') continue;
      wanted.set(endpoint, nextHops[0]?.device ?? '');
    }
    const changed = ([endpoint, device]: readonly [Address, string], than: ReadonlyMap<Address, string>): boolean =>
      than.get(endpoint) !== device;
    const added = [...wanted].filter((each) => changed(each, this.#wanted));
    const removed = [...this.#wanted].filter((each) => changed(each, wanted));
    if (added.length + removed.length === 0) return;
    this.#wanted.clear();
    for (const [endpoint, device] of wanted) this.#wanted.set(endpoint, device);
    for (const [endpoint] of removed) this.#set(endpoint, undefined, this.#options.clock.unixMicros());
    this.#ask(added, removed);
  }

  /** Connects, and again whenever felix goes away. */
  start(): void {
    const { socketPath } = this.#options;
    if (this.#closed || socketPath === undefined) return;
    const client = connectUnixSocket(socketPath);
    const call = openBidiStream(client, NextHopService, 'track');
    this.#call = call;
    let over = false;
    const end = (reason: string): void => {
      if (over) return;
      over = true;
      this.#ended(client, reason);
    };
    this.#stopCall = () => {
      over = true;
      call.cancel();
      client.close();
    };
    call.on('metadata', () => !over && this.#stood());
    call.on('data', (response: TrackResponse) => !over && this.#take(response));
    call.on('error', (error) => end(errorText(error)));
    call.on('end', () => end('felix ended the call'));
    this.#ask([...this.#wanted], []);
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry();
    this.#cancelHold();
    this.#stopCall();
  }

  #stood(): void {
    this.#stands = true;
    this.#attempts = 0;
    this.#cancelHold();
    this.#options.log.info({ tracked: this.#wanted.size }, 'felix tracks the next hops');
  }

  #ended(client: Client, reason: string): void {
    const { clock, log } = this.#options;
    client.close();
    this.#call = undefined;
    this.#lastError = reason;
    if (this.#closed) return;
    if (this.#stands) {
      log.warn({ reason }, 'felix tracks no next hops any more: they are used as flanneld says');
      this.#cancelHold = clock.after(HOLD_MS, () => this.#forgetAll());
    }
    this.#stands = false;
    this.#cancelRetry = clock.after(backoffDelayMs(RECONNECT, this.#attempts++), () => this.start());
  }

  #forgetAll(): void {
    for (const endpoint of [...this.#unreachable.keys()]) {
      this.#set(endpoint, undefined, this.#options.clock.unixMicros());
    }
  }

  #ask(added: readonly (readonly [Address, string])[], removed: readonly (readonly [Address, string])[]): void {
    const protoOf = ([endpoint, device]: readonly [Address, string]) => ({ endpoint: addressBytes(endpoint), device });
    for (let at = 0; at < Math.max(added.length, removed.length); at += REQUEST_MAX) {
      const [now, gone] = [added, removed].map((list) => list.slice(at, at + REQUEST_MAX).map(protoOf));
      this.#call?.write(create(TrackRequestSchema, { added: now ?? [], removed: gone ?? [] }));
    }
  }

  #take({ states }: TrackResponse): void {
    for (const { nextHop, reachable, reason, detectedUnixUs } of states) {
      const endpoint = nextHop && addressFromBytes(nextHop.endpoint);
      // An answer about what was asked for before, and is not any more.
      if (endpoint === undefined || this.#wanted.get(endpoint) !== nextHop?.device) continue;
      this.#set(endpoint, reachable ? undefined : reason || 'the kernel cannot reach it', detectedUnixUs);
    }
  }

  #set(endpoint: Address, reason: string | undefined, detectedUnixUs: bigint): void {
    if (this.#unreachable.get(endpoint) === reason) return;
    if (reason === undefined) this.#unreachable.delete(endpoint);
    else this.#unreachable.set(endpoint, reason);
    this.#options.log.info({ endpoint, reason: reason ?? 'reachable' }, 'the state of a next hop changed');
    this.#options.changed(endpoint, reason, detectedUnixUs);
  }
}
