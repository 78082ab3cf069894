// Serves one FeedTable as RouteFeed on a unix socket: to each watcher the whole state, the in-sync marker when the table
// has it, then every change. Not the state itself (feed-table.ts), not the queue (feed-watcher.ts).
//
// A watcher that reads too slowly is told so: its call ends with RESOURCE_EXHAUSTED, it comes back and gets the whole
// state again. Nothing is silently lost, and one slow watcher costs the others nothing.

import { join } from 'node:path';
import { Metadata, Server, type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  RouteFeedService,
  type WatchRequest,
  type WatchResponse,
} from '../../proto/gen/gingham/routefeed/v1/routefeed_pb.ts';
import { addService, CHANNEL_OPTIONS } from '../rpc/service.ts';
import { listenOnUnixSocket } from '../rpc/unix-socket.ts';
import { EVENTS, monotonicOf } from '../run/event-ring.ts';
import type { Logger } from '../run/log.ts';
import type { Metrics } from '../run/status-server.ts';
import { encodeFeedEvent } from './feed-codec.ts';
import type { FeedTable } from './feed-table.ts';
import { FeedWatcher } from './feed-watcher.ts';

/** Two complete changes of a table of 250,000 routes may wait for one watcher: at most about 50 MB. */
export const QUEUE_LIMIT_DEFAULT = 500_000;

/** Text of WatchRequest.watcher that is shown; it is a label, not an identity. */
const WATCHER_NAME_MAX = 40;

/** How calls end when the server is closed. */
const STOPPING = { code: status.UNAVAILABLE, details: 'the daemon stops' } as const;

export interface FeedServerOptions {
  readonly socketPath: string;
  readonly table: FeedTable;
  readonly log: Logger;
  /** Where given: gauge `feed_watchers`, counters `feed_messages_total` and `feed_overflows_total`. */
  readonly metrics?: Metrics;
  /** Most that may wait for one watcher, in events and prefixes. */
  readonly queueLimit?: number;
}

/** For `/status`. */
export interface FeedServerStatus {
  readonly inSync: boolean;
  readonly routes: number;
  readonly groups: number;
  readonly watchers: readonly { readonly name: string; readonly queued: number }[];
  /** Watchers that were ended because they read too slowly. */
  readonly overflows: number;
}

export interface FeedServer {
  status(): FeedServerStatus;
  /** Ends every call and removes the socket. */
  close(): Promise<void>;
}

/** Path of the RouteFeed of `daemon` (`flanneld`, `bgpd`) in the run folder. */
export function feedSocketPath(runFolder: string, daemon: string): string {
  return join(runFolder, `${daemon}.sock`);
}

/** Serves until closed. Rejects where the socket cannot be bound, or another living process listens on it. */
export async function startFeedServer(options: FeedServerOptions): Promise<FeedServer> {
  const { table, log } = options;
  const watchers = new Map<FeedWatcher, { readonly name: string; readonly stop: () => void }>();
  const meters = options.metrics === undefined ? undefined : metersOf(options.metrics);
  let overflows = 0;
  let isClosing = false;
  const server = new Server(CHANNEL_OPTIONS);
  addService(server, RouteFeedService, {
    watch(call) {
      // Until the connections are cut, a watcher that was just ended may come again over its own.
      if (isClosing) {
        call.emit('error', STOPPING);
        return;
      }
      const name = call.request.watcher.slice(0, WATCHER_NAME_MAX);
      const watcher = serveWatcher(call, options, {
        sent: () => meters?.messages.inc(),
        overflowed() {
          overflows++;
          meters?.overflows.inc();
          log.warn({ watcher: name, overflows }, 'a watcher reads too slowly: its call is ended');
        },
        ended() {
          watchers.delete(watcher);
          meters?.watchers.set(watchers.size);
          log.info({ watcher: name, watchers: watchers.size }, 'feed watcher gone');
        },
      });
      const stop = (): boolean => call.emit('error', STOPPING);
      watchers.set(watcher, { name, stop });
      meters?.watchers.set(watchers.size);
      log.info({ watcher: name, watchers: watchers.size, routes: table.routeCount }, 'feed watcher came');
    },
  });
  const socket = await listenOnUnixSocket(server, options.socketPath);
  let recorded: string | undefined;
  const unsubscribe = table.subscribe((event) => {
    const cause = event.type === 'in-sync' ? undefined : event.cause;
    // A fault may move thousands of prefixes: it is one event.
    if (cause === undefined || cause.id === recorded) return;
    recorded = cause.id;
    const { id, kind, detectedUnixUs, decidedUnixUs } = cause;
    const stamps = { detectedUs: monotonicOf(detectedUnixUs), decidedUs: monotonicOf(decidedUnixUs) };
    EVENTS.record('feed changed', { cause: id, causeKind: kind, ...stamps });
  });
  return {
    status: () => ({
      inSync: table.inSync,
      routes: table.routeCount,
      groups: table.groups.size,
      watchers: [...watchers].map(([watcher, { name }]) => ({ name, queued: watcher.queued })),
      overflows,
    }),
    async close() {
      isClosing = true;
      unsubscribe();
      for (const { stop } of [...watchers.values()]) stop();
      await socket.close();
    },
  };
}

function serveWatcher(
  call: ServerWritableStream<WatchRequest, WatchResponse>,
  { table, queueLimit = QUEUE_LIMIT_DEFAULT }: FeedServerOptions,
  on: { sent(): void; overflowed(): void; ended(): void },
): FeedWatcher {
  // Headers at once: they tell the watcher that the call stands, even while there is nothing to send.
  call.sendMetadata(new Metadata());
  const watcher = new FeedWatcher(table.snapshot(), {
    queueLimit,
    send(event) {
      on.sent();
      return call.write(encodeFeedEvent(event));
    },
    overflowed() {
      on.overflowed();
      end();
      call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'the watcher reads too slowly' });
    },
  });
  const unsubscribe = table.subscribe((event) => watcher.push(event));
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    unsubscribe();
    watcher.end();
    on.ended();
  };
  call.on('drain', () => watcher.drained());
  call.on('cancelled', end);
  call.on('close', end);
  return watcher;
}

function metersOf(metrics: Metrics) {
  return {
    watchers: metrics.gauge('feed_watchers', 'Watchers of the RouteFeed that are connected'),
    messages: metrics.counter('feed_messages_total', 'RouteFeed messages sent'),
    overflows: metrics.counter('feed_overflows_total', 'Watchers ended because they read too slowly'),
  };
}
