// The GoBGP API on the loopback with a real RIB: long listings and slow readers, calls that are refused, and an address
// that is taken. What each command does is seen with the command itself, in test/topology/gobgp.test.ts.

import { createServer } from 'node:net';
import { create } from '@bufbuild/protobuf';
import {
  Client,
  type ClientReadableStream,
  credentials,
  logVerbosity,
  type ServiceError,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readConfig } from '../../../../bgpd/config.ts';
import { readPrefix } from '../../../../bgpd/gobgp/attribute-codec.ts';
import { GobgpServer } from '../../../../bgpd/gobgp/server.ts';
import type { Node } from '../../../../bgpd/node.ts';
import { Rib } from '../../../../bgpd/rib/rib.ts';
import { address } from '../../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../../lib/net/prefix.ts';
import { CHANNEL_OPTIONS, openServerStream } from '../../../../lib/rpc/service.ts';
import { Metrics } from '../../../../lib/run/status-server.ts';
import {
  GobgpApi,
  ListPathRequest_SortType,
  ListPathRequestSchema,
  type ListPathResponse,
  WatchEventRequestSchema,
  type WatchEventResponse,
} from '../../../../proto/gen/apipb/gobgp_pb.ts';
import { eventually } from '../../../eventually.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const OWN = address('192.0.2.1');
const WATCH_LIMIT = 20_000;
/** More than what the buffers of a connection hold. */
const MANY = 20_000;

// As bgpd does: what grpc-js prints also comes as an error.
setLogVerbosity(logVerbosity.NONE);

let rib: Rib;
let server: GobgpServer;
let client: Client;
let clock: FakeClock;
let metrics: Metrics;

beforeEach(async () => {
  clock = new FakeClock();
  rib = new Rib({ asn: 64_512, routerId: OWN, maximumPaths: 1 }, OWN);
  metrics = new Metrics('bgpd');
  server = serverAt('127.0.0.1:0', metrics);
  await eventually('it serves', () => server.status().state === 'serving');
  client = new Client(server.status().address ?? '', credentials.createInsecure(), CHANNEL_OPTIONS);
});

afterEach(async () => {
  client.close();
  await server.close();
});

it('refuses in words before the node is there, and what it does not serve', async () => {
  expect(await failure('/apipb.GobgpApi/GetBgp')).toMatchObject({
    code: status.UNAVAILABLE,
    details: 'this node has no address yet',
  });
  expect(await failure('/apipb.GobgpApi/AddPeer')).toMatchObject({
    code: status.UNIMPLEMENTED,
    details: expect.stringMatching(/^AddPeer is not served: neighbors come from the registry/),
  });
});

it('a long listing: complete, in order, and everybody else gets their turn meanwhile', async () => {
  attach();
  rib.originate(OWN, many(MANY), undefined);
  let turns = 0;
  const count = (): void => {
    turns++;
    ticking = setImmediate(count);
  };
  let ticking = setImmediate(count);
  const listed: string[] = [];
  for await (const { destination } of list()) listed.push(destination?.prefix ?? '');
  clearImmediate(ticking);
  expect(listed).toEqual(many(MANY));
  expect(turns).toBeGreaterThan(MANY / 512);
});

it('a reader who stops: no more is made than the connection holds, and nothing once he is gone', async () => {
  attach();
  rib.originate(OWN, many(MANY), undefined);
  let made = 0;
  const explain = rib.explain.bind(rib);
  rib.explain = (of) => {
    made++;
    return explain(of);
  };
  const call = list();
  await new Promise((resolve) => call.once('data', resolve));
  call.pause();
  let before = -1;
  const stands = (): boolean => {
    const same = made > 0 && made === before;
    before = made;
    return same;
  };
  await eventually('it stands still', stands, { intervalMs: 100 });
  expect(made).toBeLessThan(MANY);
  const ended = new Promise((resolve) => call.once('error', resolve));
  call.cancel();
  expect(await ended).toMatchObject({ code: status.CANCELLED });
  expect(made).toBeLessThan(MANY);
});

it('a watcher who stops reading is told that it lagged, and the next one begins with what is there', async () => {
  attach();
  const slow = watch(false);
  const ended = new Promise<ServiceError>((resolve) => slow.once('error', resolve));
  slow.pause();
  await eventually('it watches', async () => (await metric('watchers')) === 1);
  const prefixes = many(MANY);
  for (const med of [1, 2, 3]) rib.originate(OWN, prefixes, undefined, { med });
  slow.resume();
  expect(await ended).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    details: `${WATCH_LIMIT} changes waited: the watcher reads too slowly and must begin anew`,
  });
  await eventually('it is forgotten', async () => (await metric('watchers')) === 0);
  expect(await metric('overflows_total')).toBe(1);
  const seen: string[] = [];
  const next = watch(true);
  next.on('error', () => undefined);
  for await (const { event } of next) {
    for (const { nlri, isWithdraw } of event.case === 'table' ? event.value.paths : []) {
      if (!isWithdraw) seen.push(readPrefix(nlri));
    }
    if (seen.length >= MANY) break;
  }
  expect(seen).toEqual(prefixes);
});

it('tells its watchers that bgpd stops', async () => {
  attach();
  const call = watch(false);
  const ended = new Promise<ServiceError>((resolve) => call.once('error', resolve));
  call.resume();
  await eventually('it watches', async () => (await metric('watchers')) === 1);
  await server.close();
  expect(await ended).toMatchObject({ code: status.UNAVAILABLE, details: 'bgpd stops' });
});

it('an address that is taken: said, and tried again until it is free', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  const late = serverAt(`127.0.0.1:${port}`);
  await eventually('it says so', () => late.status().state === 'cannot listen');
  expect(late.status().detail).toContain('EADDRINUSE');
  await new Promise((resolve) => other.close(resolve));
  await eventually('it serves', () => {
    clock.advance(5_000);
    return late.status().state === 'serving';
  });
  await late.close();
});

function serverAt(where: string, ownMetrics = new Metrics('bgpd')): GobgpServer {
  const config = readConfig([`--gobgp-address=${where}`], {});
  const made = new GobgpServer({
    address: config.gobgpAddress,
    config,
    clock,
    log: pino({ level: 'silent' }),
    metrics: ownMetrics,
    watchQueueLimit: WATCH_LIMIT,
  });
  made.start();
  return made;
}

function attach(): void {
  // Of a node only what these calls look at.
  const node = { rib, address: OWN, speaker: { open: { asn: 64_512 }, peers: { members: new Map() } } };
  server.attach(node as unknown as Node);
}

async function metric(name: string): Promise<number | undefined> {
  return (await metrics.registry.getSingleMetric(`gingham_bgpd_gobgp_${name}`)?.get())?.values[0]?.value;
}

function list(): ClientReadableStream<ListPathResponse> {
  const request = create(ListPathRequestSchema, { sortType: ListPathRequest_SortType.PREFIX });
  return openServerStream(client, GobgpApi, 'listPath', request);
}

function watch(init: boolean): ClientReadableStream<WatchEventResponse> {
  return openServerStream(
    client,
    GobgpApi,
    'watchEvent',
    create(WatchEventRequestSchema, { table: { filters: [{ init }] } }),
  );
}

function many(count: number): Prefix[] {
  return Array.from({ length: count }, (_, i) => prefix(`20.${i >> 8}.${i & 255}.0/24`));
}

function failure(path: string): Promise<ServiceError | null> {
  const none = (): Buffer => Buffer.alloc(0);
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      none,
      (bytes) => bytes,
      none(),
      (error) => resolve(error),
    );
  });
}
