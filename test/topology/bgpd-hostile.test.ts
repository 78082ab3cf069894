// A live bgpd and a hostile peer that the test plays over gRPC: every UPDATE of the table gets its verdict, and the daemon
// lives on. No sleeps: a sentinel route that comes after each message tells that the message was dealt with.

import { create } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { localAttributes } from '../../bgpd/rib/attributes.ts';
import { encodeMessage } from '../../bgpd/session/exchange-codec.ts';
import type { Message } from '../../bgpd/session/message.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import { openBidiStream } from '../../lib/rpc/service.ts';
import {
  ExchangeService,
  type Message as MessageProto,
  MessageSchema,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
} from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import { eventually } from '../eventually.ts';
import { HOSTILE_IN_CONTEXT, HOSTILE_UPDATES } from '../unit/bgpd/session/hostile-messages.ts';
import { BgpdCluster, type BgpdNode, nodeAddress } from './bgpd-cluster.ts';

const HOSTILE_LIVE = [...HOSTILE_UPDATES, ...HOSTILE_IN_CONTEXT];
const TARGET = prefix('10.5.9.0/24');
const NEXT_HOP = nodeAddress(9);
const PATIENCE = { timeoutMs: 15_000, intervalMs: 2 };

/** The hostile peer's end of a session. */
class Evil {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<SessionRequest, SessionResponse>;
  readonly got: MessageProto['body'][] = [];
  ended = false;

  constructor(port: number) {
    this.#client = new Client(`ipv4:127.0.0.2:${port}`, credentials.createInsecure());
    this.#call = openBidiStream(this.#client, ExchangeService, 'session');
    this.#call.on('data', ({ message }: SessionResponse) => message !== undefined && this.got.push(message.body));
    this.#call.on('error', () => undefined);
    this.#call.on('end', () => {
      this.ended = true;
    });
  }

  sendRaw(message: MessageProto): void {
    this.#call.write(create(SessionRequestSchema, { message }));
  }

  send(message: Message): void {
    this.sendRaw(encodeMessage(message));
  }

  /** OPEN and KEEPALIVE both ways. */
  async establish(): Promise<void> {
    const capabilities = { families: [4, 6], routeRefresh: true } as const;
    const open = { version: 1, asn: 64_512, holdTimeSeconds: 0, routerId: NEXT_HOP, node: 'node9', capabilities };
    this.send({ type: 'open', open });
    await eventually('bgpd has confirmed', () => this.got.some(({ case: type }) => type === 'keepalive'), PATIENCE);
    this.send({ type: 'keepalive' });
  }

  announce(...prefixes: readonly Prefix[]): void {
    const attributes = { ...localAttributes(NEXT_HOP), localPref: 100 };
    this.send({ type: 'update', update: { family: 4, withdrawn: [], announced: prefixes, attributes } });
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}

let cluster: BgpdCluster;
let bgpd: BgpdNode;
let port: number;
let evil: Evil;
let sentinels = 0;

beforeAll(async () => {
  cluster = await BgpdCluster.start();
  bgpd = await cluster.node(2, [9]);
  // It registers with a port on which nothing listens: it dials, bgpd cannot.
  const record = { name: 'node9', address: NEXT_HOP, port: 1, asn: 64_512, routerId: NEXT_HOP };
  await cluster.etcd.ctl('put', '/gingham/nodes/node9', JSON.stringify(record));
  port = await eventually(
    'bgpd listens and knows the peer',
    async () => {
      const status = JSON.parse(await bgpd.http('/status')) as { port?: number; peers?: unknown[] };
      return status.peers?.length === 1 ? status.port : undefined;
    },
    { timeoutMs: 30_000, intervalMs: 20 },
  );
  evil = await connected();
});

afterAll(async () => {
  evil.close();
  await cluster.stop();
});

test.each(HOSTILE_LIVE)('$name', async ({ message, verdict }) => {
  if (evil.ended) evil = await connected();
  evil.announce(TARGET);
  await dealtWith();
  expect(bgpd.gateways(TARGET)).toEqual(['10.5.9.0']);
  evil.sendRaw(create(MessageSchema, message));
  if (typeof verdict === 'object') {
    await eventually('the session is reset', () => evil.ended, PATIENCE);
    expect(evil.got.at(-1)).toMatchObject({ case: 'notification', value: verdict });
    await eventually('its routes are gone', () => bgpd.gateways(TARGET) === undefined, PATIENCE);
    return;
  }
  await dealtWith();
  if (verdict === 'withdraw') expect(bgpd.gateways(TARGET)).toBeUndefined();
  expect(evil.ended).toBe(false);
});

test('it is all counted, and the daemon is as ready as ever', async () => {
  const withdrawn = HOSTILE_LIVE.filter(({ verdict }) => verdict === 'withdraw').length;
  expect(await bgpd.http('/metrics')).toMatch(new RegExp(`gingham_bgpd_updates_flawed_total ${withdrawn}\\b`));
  expect((await bgpd.status()).peers[0]).toMatchObject({ node: 'node9' });
});

async function connected(): Promise<Evil> {
  const fresh = new Evil(port);
  await fresh.establish();
  return fresh;
}

/** All that was sent before has been dealt with: a route that comes after it is there. */
async function dealtWith(): Promise<void> {
  const sentinel = prefix(`10.77.${sentinels++ & 255}.0/24`);
  evil.announce(sentinel);
  await eventually(`the sentinel ${sentinel} is there`, () => bgpd.gateways(sentinel) !== undefined, PATIENCE);
}
