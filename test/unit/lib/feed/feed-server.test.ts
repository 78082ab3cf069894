// Feed server and client together, over a real unix socket.
//
// State, marker and deltas; loss, restart and a server that comes late; overflow; messages that make no sense.

import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Server, type ServiceError, status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Cause, FeedGroup } from '../../../../lib/feed/feed.ts';
import { type FeedClient, type FeedState, watchFeed } from '../../../../lib/feed/feed-client.ts';
import { type FeedServer, feedSocketPath, startFeedServer } from '../../../../lib/feed/feed-server.ts';
import { FeedTable } from '../../../../lib/feed/feed-table.ts';
import { FeedView } from '../../../../lib/feed/feed-view.ts';
import { address } from '../../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../../lib/net/prefix.ts';
import { addService, openServerStream } from '../../../../lib/rpc/service.ts';
import { connectUnixSocket, listenOnUnixSocket } from '../../../../lib/rpc/unix-socket.ts';
import {
  RouteFeedService,
  WatchRequestSchema,
  WatchResponseSchema,
} from '../../../../proto/gen/gingham/routefeed/v1/routefeed_pb.ts';
import { eventually } from '../../../eventually.ts';

const log = pino({ level: 'silent' });
const A = prefix('10.5.1.0/24');
const B = prefix('10.5.2.0/24');
const GROUP: FeedGroup = {
  id: 1,
  kind: 'unicast',
  nextHops: [{ gateway: address('10.5.1.0'), device: 'flannel.1', onlink: true, weight: 1 }],
  local: false,
  node: 'n1',
};

let folder = '';
let closers: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gingham-feed-'));
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
  await rm(folder, { recursive: true, force: true });
});

const socketPath = (): string => feedSocketPath(folder, 'flanneld');

async function serve(table: FeedTable, queueLimit?: number): Promise<FeedServer> {
  const server = await startFeedServer({
    socketPath: socketPath(),
    table,
    log,
    ...(queueLimit === undefined ? {} : { queueLimit }),
  });
  closers.push(() => server.close());
  return server;
}

function watch(): { view: FeedView; client: FeedClient; states: FeedState[]; causes: Cause[]; changed: Prefix[] } {
  const view = new FeedView();
  const seen = { states: [] as FeedState[], causes: [] as Cause[], changed: [] as Prefix[] };
  const client = watchFeed({
    socketPath: socketPath(),
    watcher: 'test',
    view,
    log,
    onState: (state) => seen.states.push(state),
    onChange(change, cause) {
      seen.changed.push(...change.prefixes);
      if (cause !== undefined) seen.causes.push(cause);
    },
  });
  closers.push(() => client.close());
  return { view, client, ...seen };
}

function tableWith(...prefixes: Prefix[]): FeedTable {
  const table = new FeedTable();
  table.setGroup(GROUP);
  table.setRoutes(1, prefixes);
  return table;
}

describe('feed over a unix socket', () => {
  it('brings the state, the marker when the server has it, then deltas with their causes', async () => {
    const table = tableWith(A);
    const server = await serve(table);
    const { view, client, states, causes } = watch();
    await eventually('the state has come', () => view.groupOf(A) === 1);
    expect(client.status().state).toBe('syncing');
    table.markInSync();
    await eventually('in sync', () => client.status().state === 'in-sync');
    const cause = { id: 'x-1-1', kind: 'lease-added', detectedUnixUs: 1n, decidedUnixUs: 2n };
    table.setRoutes(1, [B], cause);
    table.withdraw([A]);
    await eventually('the deltas have come', () => view.groupOf(B) === 1 && view.groupOf(A) === undefined);
    expect(causes).toEqual([cause]);
    expect(states).toEqual(['syncing', 'in-sync']);
    expect(view.groups.get(1)).toEqual(GROUP);
    expect(server.status()).toMatchObject({ inSync: true, routes: 1, groups: 1, watchers: [{ name: 'test' }] });
  });

  it('is a socket that only its owner may use, and leaves nothing else behind', async () => {
    const server = await serve(tableWith(A));
    expect((await stat(socketPath())).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['flanneld.sock']);
    await server.close();
    expect(await readdir(folder)).toEqual([]);
  });

  it('keeps what it holds while the server is away, and sweeps when a new one is in sync', async () => {
    const table = tableWith(A, B);
    table.markInSync();
    const server = await serve(table);
    const { view, client, states } = watch();
    await eventually('in sync', () => client.status().state === 'in-sync');
    await server.close();
    await eventually('stale', () => client.status().state === 'stale');
    expect(view.routeCount).toBe(2);
    const successor = tableWith(B);
    await serve(successor);
    await eventually('syncing', () => client.status().state === 'syncing');
    await eventually('confirmed', () => view.staleCount === 1);
    expect(view.routeCount).toBe(2);
    successor.markInSync();
    await eventually('in sync again', () => client.status().state === 'in-sync');
    expect([...view.routes()]).toEqual([[B, 1]]);
    expect(states).toEqual(['syncing', 'in-sync', 'stale', 'syncing', 'in-sync']);
    expect(client.status().losses).toBe(1);
  });

  it('serves nobody who comes again over the same connection while it closes', async () => {
    const server = await serve(tableWith(A));
    const client = connectUnixSocket(socketPath());
    closers.push(() => client.close());
    const open = () =>
      openServerStream(client, RouteFeedService, 'watch', create(WatchRequestSchema, { watcher: 'again' }));
    const first = open();
    first.on('error', () => undefined);
    await new Promise((resolve) => first.once('data', resolve));
    const closed = server.close();
    const answers = await Promise.all(
      Array.from({ length: 5 }, async (_, turn) => {
        for (let i = 0; i < turn; i++) await new Promise(setImmediate);
        const call = open();
        let messages = 0;
        call.on('data', () => messages++);
        const code = await new Promise((resolve) => {
          call.on('error', (error: ServiceError) => resolve(error.code));
          call.on('end', () => resolve('end'));
        });
        return { messages, code };
      }),
    );
    expect(answers).toEqual(Array.from({ length: 5 }, () => ({ messages: 0, code: status.UNAVAILABLE })));
    await closed;
    expect(server.status().watchers).toEqual([]);
  });

  it('waits for a server that comes later, over the socket that a dead one left', async () => {
    const first = new Server();
    await listenOnUnixSocket(first, socketPath());
    const { client } = watch();
    await eventually('refused', () => client.status().lastError !== undefined);
    expect(client.status().state).toBe('connecting');
    first.forceShutdown();
    const table = tableWith(A);
    table.markInSync();
    await serve(table);
    await eventually('in sync', () => client.status().state === 'in-sync');
    expect(client.status().lastError).toBeUndefined();
  });

  it('does not take the socket of a living process', async () => {
    await serve(tableWith(A));
    await expect(serve(tableWith(A))).rejects.toThrow(/another process listens on/);
  });

  it('brings 100,000 routes', async () => {
    const prefixes = Array.from({ length: 100_000 }, (_, i) =>
      prefix(`${10 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`),
    );
    const table = tableWith(...prefixes);
    table.markInSync();
    await serve(table);
    const { view, client } = watch();
    await eventually('in sync', () => client.status().state === 'in-sync', { timeoutMs: 10_000 });
    expect(view.routeCount).toBe(100_000);
  });

  it('ends a watcher that cannot keep up, which then gets the whole state', async () => {
    const table = tableWith(A);
    table.markInSync();
    const server = await serve(table, 2);
    const { view, client } = watch();
    await eventually('in sync', () => client.status().state === 'in-sync');
    const burst = Array.from({ length: 10 }, (_, i) => prefix(`10.6.${i}.0/24`));
    table.setRoutes(1, burst);
    await eventually('in sync again', () => client.status().losses === 1 && client.status().state === 'in-sync');
    expect(view.routeCount).toBe(11);
    expect(server.status().overflows).toBe(1);
  });

  it('leaves a server that sends nonsense, keeps what it holds and tries again', async () => {
    const bad = new Server();
    let calls = 0;
    addService(bad, RouteFeedService, {
      watch(call) {
        calls++;
        call.write(create(WatchResponseSchema, { event: { case: 'routes', value: { group: 9, family: 1 } } }));
      },
    });
    const socket = await listenOnUnixSocket(bad, socketPath());
    closers.push(() => socket.close());
    const { client } = watch();
    await eventually('tried again', () => calls >= 2);
    await eventually('reason', () => client.status().lastError?.includes('routes of group 9, which was not sent'));
  });

  it('stops when closed', async () => {
    const server = await serve(tableWith(A));
    const { client } = watch();
    await eventually('watched', () => server.status().watchers.length === 1);
    client.close();
    await eventually('gone', () => server.status().watchers.length === 0);
  });
});
