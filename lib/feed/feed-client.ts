// Watches a RouteFeed for as long as its daemon lives: connects, keeps a FeedView up to date, reconnects with backoff.
// Not the mirror itself (feed-view.ts). A lost feed is a state here, never an error of the watcher's.
//
//   connecting --call stands--> syncing --in-sync marker--> in-sync
//       ^                        |                             |
//       |   nothing held         | call lost                   | call lost
//       +------------------------+-------- stale <-------------+      stale --call stands--> syncing
//
// The confusing thing: the view keeps all that it held when the call is lost, and while the next one syncs. Only the
// in-sync marker of a new call removes what that call did not bring.

import { create } from '@bufbuild/protobuf';
import type { ClientReadableStream } from '@grpc/grpc-js';
import {
  RouteFeedService,
  WatchRequestSchema,
  type WatchResponse,
} from '../../proto/gen/gingham/routefeed/v1/routefeed_pb.ts';
import { openServerStream } from '../rpc/service.ts';
import { connectUnixSocket } from '../rpc/unix-socket.ts';
import { type Backoff, backoffDelayMs } from '../run/backoff.ts';
import { type Clock, systemClock } from '../run/clock.ts';
import { errorText } from '../run/exit.ts';
import type { Logger } from '../run/log.ts';
import type { Cause, FeedEvent } from './feed.ts';
import { decodeFeedEvent } from './feed-codec.ts';
import type { FeedChange, FeedView } from './feed-view.ts';

/** A local socket costs nothing to try: a restarted daemon is found again within this. */
const RECONNECT: Backoff = { firstMs: 20, capMs: 250 };

/** See the diagram above. In `stale`, and in `syncing` after it, the view holds what a former call brought. */
export type FeedState = 'connecting' | 'syncing' | 'in-sync' | 'stale';

export interface FeedClientOptions {
  readonly socketPath: string;
  /** Who watches: `felix`, `bgpd`. */
  readonly watcher: string;
  /** Kept up to date; whoever else looks at it must not change it. */
  readonly view: FeedView;
  readonly log: Logger;
  /** After each event: what changed in the view, and why. Also called where nothing did, if the event has a cause. */
  readonly onChange: (change: FeedChange, cause: Cause | undefined) => void;
  /** After each change of state. */
  readonly onState: (state: FeedState) => void;
  readonly clock?: Clock;
}

/** For `/status` and readiness. */
export interface FeedClientStatus {
  readonly state: FeedState;
  /** Since when it has not been in sync, by `clock.monotonicMs`; absent where it is. */
  readonly outOfSyncSinceMs?: number;
  /** Calls that stood and were lost. */
  readonly losses: number;
  /** Why the last attempt or call ended. */
  readonly lastError?: string;
}

export interface FeedClient {
  status(): FeedClientStatus;
  /** Stops watching; the view stays as it is. The same as aborting the signal. */
  close(): void;
}

/** Starts to watch; ends when closed or when `signal` aborts. Throws nothing and rejects nothing. */
export function watchFeed(options: FeedClientOptions, signal?: AbortSignal): FeedClient {
  const session = new FeedSession(options);
  const close = (): void => session.close();
  if (signal?.aborted) close();
  else signal?.addEventListener('abort', close, { once: true });
  session.start();
  return { status: () => session.status(), close };
}

class FeedSession {
  readonly #options: FeedClientOptions;
  readonly #clock: Clock;
  #state: FeedState = 'connecting';
  #outOfSyncSinceMs: number | undefined;
  #losses = 0;
  #lastError: string | undefined;
  /** Attempts since the last in-sync marker. */
  #attempts = 0;
  #everSynced = false;
  #stopCall: () => void = () => undefined;
  #cancelTimer: () => void = () => undefined;
  #closed = false;

  constructor(options: FeedClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#outOfSyncSinceMs = this.#clock.monotonicMs();
  }

  status(): FeedClientStatus {
    return {
      state: this.#state,
      losses: this.#losses,
      ...(this.#outOfSyncSinceMs === undefined ? {} : { outOfSyncSinceMs: this.#outOfSyncSinceMs }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#stopCall();
  }

  start(): void {
    if (this.#closed) return;
    const { socketPath, watcher, view } = this.#options;
    const client = connectUnixSocket(socketPath);
    const call = openServerStream(client, RouteFeedService, 'watch', create(WatchRequestSchema, { watcher }));
    let stands = false;
    let over = false;
    const end = (reason: string): void => {
      if (over) return;
      over = true;
      call.cancel();
      client.close();
      this.#stopCall = () => undefined;
      if (!this.#closed) this.#lost(reason, stands);
    };
    this.#stopCall = () => end('stopped');
    call.on('metadata', () => {
      if (over) return;
      stands = true;
      view.beginSync();
      this.#enter('syncing');
    });
    call.on('data', (message: WatchResponse) => {
      if (over) return;
      const problem = this.#take(message);
      if (problem !== undefined) end(problem);
    });
    endingOf(call, end);
  }

  /** Applies one message; gives what is wrong with it, if anything. */
  #take(message: WatchResponse): string | undefined {
    const event = decodeFeedEvent(message);
    if ('error' in event) return `not a feed message: ${event.error}`;
    const change = this.#options.view.apply(event);
    if ('error' in change) return `not a feed: ${change.error}`;
    const cause = causeOf(event);
    if (event.type === 'in-sync') this.#synced();
    if (change.groups.length > 0 || change.prefixes.length > 0 || cause !== undefined) {
      this.#options.onChange(change, cause);
    }
    return undefined;
  }

  #synced(): void {
    this.#attempts = 0;
    this.#everSynced = true;
    this.#lastError = undefined;
    this.#enter('in-sync');
  }

  #lost(reason: string, stood: boolean): void {
    const delayMs = backoffDelayMs(RECONNECT, this.#attempts);
    const level = stood ? 'warn' : 'debug';
    this.#options.log[level](
      { socket: this.#options.socketPath, reason, attempt: this.#attempts },
      'feed not reachable',
    );
    this.#lastError = reason;
    if (stood) this.#losses++;
    this.#attempts++;
    this.#enter(this.#everSynced ? 'stale' : 'connecting');
    this.#cancelTimer = this.#clock.after(delayMs, () => this.start());
  }

  #enter(state: FeedState): void {
    if (state === this.#state) return;
    this.#state = state;
    if (state === 'in-sync') this.#outOfSyncSinceMs = undefined;
    else this.#outOfSyncSinceMs ??= this.#clock.monotonicMs();
    this.#options.onState(state);
  }
}

/** Calls `end` once the call is over, for whatever reason. An `error` without a listener would end the process. */
function endingOf(call: ClientReadableStream<WatchResponse>, end: (reason: string) => void): void {
  call.on('error', (error) => end(errorText(error)));
  call.on('end', () => end('the server ended the call'));
}

function causeOf(event: FeedEvent): Cause | undefined {
  return event.type === 'in-sync' ? undefined : event.cause;
}
