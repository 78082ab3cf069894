// The glue between generated services and grpc-js, over a unix socket: streams both ways, ends, and malformed messages.
//
// The services are the real ones; what they mean is tested where they are served.

import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Server, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addService, openBidiStream, openServerStream } from '../../../../lib/rpc/service.ts';
import { connectUnixSocket, listenOnUnixSocket } from '../../../../lib/rpc/unix-socket.ts';
import {
  ExchangeService,
  SessionRequestSchema,
  SessionResponseSchema,
} from '../../../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import {
  RouteFeedService,
  WatchRequestSchema,
  WatchResponseSchema,
} from '../../../../proto/gen/gingham/routefeed/v1/routefeed_pb.ts';

let folder = '';
let closers: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gingham-rpc-'));
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
  await rm(folder, { recursive: true, force: true });
});

const path = (): string => join(folder, 'x.sock');

async function serve(server: Server): Promise<void> {
  const socket = await listenOnUnixSocket(server, path());
  closers.push(() => socket.close());
}

function client() {
  const made = connectUnixSocket(path());
  closers.push(() => made.close());
  return made;
}

describe('typed services', () => {
  it('carry a server stream', async () => {
    const server = new Server();
    addService(server, RouteFeedService, {
      watch(call) {
        const { watcher } = call.request;
        for (const group of [1, 2])
          call.write(create(WatchResponseSchema, { event: { case: 'routes', value: { group } } }));
        call.write(create(WatchResponseSchema, { cause: { id: watcher }, event: { case: 'inSync', value: {} } }));
        call.end();
      },
    });
    await serve(server);
    const call = openServerStream(client(), RouteFeedService, 'watch', create(WatchRequestSchema, { watcher: 'me' }));
    const seen: string[] = [];
    for await (const message of call) seen.push(`${message.event.case} ${message.cause?.id ?? ''}`.trim());
    expect(seen).toEqual(['routes', 'routes', 'inSync me']);
  });

  it('carry messages both ways, and the end of either side', async () => {
    const server = new Server();
    addService(server, ExchangeService, {
      session(call) {
        call.on('data', ({ messages }) => call.write(create(SessionResponseSchema, { messages })));
        call.on('end', () => call.end());
      },
    });
    await serve(server);
    const call = openBidiStream(client(), ExchangeService, 'session');
    const body = { case: 'notification', value: { code: 6, subcode: 2, text: 'bye' } } as const;
    call.write(create(SessionRequestSchema, { messages: [{ body }] }));
    call.end();
    const seen: unknown[] = [];
    for await (const { messages } of call) seen.push(...messages.map(({ body: told }: { body: unknown }) => told));
    expect(seen).toEqual([
      expect.objectContaining({ case: 'notification', value: expect.objectContaining(body.value) }),
    ]);
  });

  it('tell the client of an error, with its status', async () => {
    const server = new Server();
    addService(server, RouteFeedService, {
      watch: (call) => void call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too slow' }),
    });
    await serve(server);
    const call = openServerStream(client(), RouteFeedService, 'watch', create(WatchRequestSchema));
    const failure = await new Promise((resolve) => call.once('error', resolve));
    expect(failure).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: 'too slow' });
  });

  it('refuse a message that is no protobuf without ending the server', async () => {
    const server = new Server();
    addService(server, RouteFeedService, { watch: (call) => call.end() });
    await serve(server);
    const raw = client().makeServerStreamRequest(
      `/${RouteFeedService.typeName}/Watch`,
      (bytes: Buffer) => bytes,
      (bytes) => bytes,
      Buffer.from([0xff, 0xff, 0xff]),
    );
    const failure = await new Promise((resolve) => raw.once('error', resolve));
    expect(failure).toMatchObject({ code: status.INTERNAL });
    const call = openServerStream(client(), RouteFeedService, 'watch', create(WatchRequestSchema));
    for await (const _ of call) throw new Error('nothing was sent');
  });
});

describe('unix sockets', () => {
  it('are for the owner only, and gone when closed', async () => {
    const socket = await listenOnUnixSocket(new Server(), path());
    expect((await stat(path())).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['x.sock']);
    await socket.close();
    await socket.close();
    expect(await readdir(folder)).toEqual([]);
  });

  it('take the place of what a dead process left, whatever it is', async () => {
    await writeFile(path(), 'not a socket');
    await serve(new Server());
    expect((await stat(path())).isSocket()).toBe(true);
  });

  it('are never taken from a living process', async () => {
    await serve(new Server());
    await expect(listenOnUnixSocket(new Server(), path())).rejects.toThrow(`another process listens on ${path()}`);
    expect((await stat(path())).isSocket()).toBe(true);
  });

  it('say when a path is too long, or its folder is missing', async () => {
    const long = join(folder, 'x'.repeat(120));
    await expect(listenOnUnixSocket(new Server(), long)).rejects.toThrow(/is longer than \d+ bytes/);
    await expect(listenOnUnixSocket(new Server(), join(folder, 'none', 'x.sock'))).rejects.toThrow('ENOENT');
  });

  it('tell a client that nobody is there', async () => {
    const call = openServerStream(client(), RouteFeedService, 'watch', create(WatchRequestSchema));
    const failure = await new Promise((resolve) => call.once('error', resolve));
    expect(failure).toMatchObject({ code: status.UNAVAILABLE });
  });
});
