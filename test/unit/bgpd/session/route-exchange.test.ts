// Connections over real gRPC on the loopback: opening, refusing, closing, breaking, and room to send.
// No sessions: what is sent here is only looked at.

import { create } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Accept, Connection, ConnectionListener } from '../../../../bgpd/session/connection.ts';
import type { Message, Open } from '../../../../bgpd/session/message.ts';
import { notification } from '../../../../bgpd/session/notification.ts';
import { type Exchange, openExchange } from '../../../../bgpd/session/route-exchange.ts';
import { address } from '../../../../lib/net/address.ts';
import { openBidiStream } from '../../../../lib/rpc/service.ts';
import { systemClock } from '../../../../lib/run/clock.ts';
import {
  ExchangeService,
  MessageSchema,
  SessionRequestSchema,
  type SessionResponse,
} from '../../../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import { eventually } from '../../../eventually.ts';
import { HOSTILE_MESSAGES } from './hostile-messages.ts';

const LOOPBACK = address('127.0.0.1');
const OPEN: Open = {
  version: 1,
  asn: 64_512,
  holdTimeSeconds: 9,
  routerId: address('10.0.0.1'),
  node: 'a',
  capabilities: { families: [4], routeRefresh: true },
};

/** Writes down what happens to a connection. */
class Recorder implements ConnectionListener {
  readonly log: string[] = [];
  connection: Connection | undefined;
  reason = '';

  connected(): void {
    this.log.push('connected');
  }

  message(decoded: Parameters<ConnectionListener['message']>[0]): void {
    const { type, ...rest } = 'message' in decoded ? decoded.message : { type: 'reset' };
    this.log.push(type === 'notification' ? `notification ${JSON.stringify(rest)}` : type);
  }

  drained(): void {
    this.log.push('drained');
  }

  closed(reason: string): void {
    this.reason = reason;
    this.log.push('closed');
  }
}

let server: Exchange;
let client: Exchange;
let port: number;
/** The accepting side's end of the last connection that was accepted. */
let accepted: Recorder;
let answer: ReturnType<Accept> | undefined;

beforeEach(async () => {
  server = openExchange(systemClock);
  client = openExchange(systemClock);
  accepted = new Recorder();
  answer = undefined;
  port = await server.listen(LOOPBACK, 0, (open, connection) => {
    accepted.connection = connection;
    accepted.log.push(`accepted ${open.node}`);
    return answer ?? accepted;
  });
});

afterEach(async () => {
  await Promise.all([client.close(), server.close()]);
});

test('dial, OPEN, messages both ways in order', async () => {
  const dialled = dial();
  await eventually('it stands', () => dialled.log.includes('connected'));
  dialled.connection?.send({ type: 'open', open: OPEN });
  dialled.connection?.send({ type: 'keepalive' });
  await eventually('both arrived', () => accepted.log.join() === 'accepted a,keepalive');
  accepted.connection?.send({ type: 'end-of-rib', family: 6 });
  await eventually('the answer arrived', () => dialled.log.join() === 'connected,end-of-rib');
});

test('nobody listens: closed with the reason, nothing else', async () => {
  await server.close();
  const dialled = dial();
  await eventually('it is closed', () => dialled.log.includes('closed'));
  expect(dialled.log).toEqual(['closed']);
  expect(dialled.reason).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);
});

test('own TLS files that are not there: closed with the reason in a later turn; one that is closed before says nothing', async () => {
  const files = { caFile: '/nowhere/ca', certFile: '/nowhere/cert', keyFile: '/nowhere/key' };
  const secured = openExchange(systemClock, files);
  const [dialled, closed] = [new Recorder(), new Recorder()];
  const endpoint = { address: LOOPBACK, port, node: 'a' };
  secured.dial(endpoint, closed).close();
  expect(secured.dial(endpoint, dialled).send({ type: 'keepalive' })).toBe(true);
  expect(dialled.log).toEqual([]);
  await eventually('it is closed', () => dialled.log.length > 0);
  expect([dialled.log, closed.log]).toEqual([['closed'], []]);
  expect(dialled.reason).toMatch(/^the own certificate cannot be used: ENOENT.*\/nowhere\/ca/);
  await secured.close();
});

test('what was sent before the close arrives', async () => {
  const dialled = await opened();
  dialled.connection?.send({ type: 'notification', notification: notification('administrativeShutdown', 'bye') });
  dialled.connection?.close();
  await eventually('the end arrived', () => accepted.log.includes('closed'));
  expect(accepted.log).toEqual(['accepted a', expect.stringContaining('bye'), 'closed']);
  expect(dialled.log).toEqual(['connected']);
});

test('the accepting side closes: the same', async () => {
  const dialled = await opened();
  accepted.connection?.send({ type: 'notification', notification: notification('holdTimerExpired') });
  accepted.connection?.close();
  await eventually('the end arrived', () => dialled.log.includes('closed'));
  expect(dialled.log).toEqual(['connected', expect.stringContaining('"code":4'), 'closed']);
});

test('the whole exchange closes: peers get what was sent last, and it does not take long', async () => {
  const dialled = await opened();
  accepted.connection?.send({ type: 'notification', notification: notification('administrativeShutdown') });
  const startedMs = performance.now();
  await server.close();
  expect(performance.now() - startedMs).toBeLessThan(1_500);
  await eventually('the end arrived', () => dialled.log.includes('closed'));
  expect(dialled.log[1]).toContain('"code":6');
});

test('an incoming connection may be refused with a reason', async () => {
  answer = notification('connectionRejected', 'who are you');
  const dialled = await opened();
  await eventually('the end arrived', () => dialled.log.includes('closed'));
  expect(dialled.log[1]).toContain('who are you');
});

test('listening elsewhere ends the connections of before', async () => {
  const dialled = await opened();
  const elsewhere = await server.listen(LOOPBACK, 0, () => accepted);
  expect(elsewhere).not.toBe(port);
  await eventually('the end arrived', () => dialled.log.includes('closed'));
});

test('a port that is taken', async () => {
  await expect(client.listen(LOOPBACK, port, () => accepted)).rejects.toThrow(/EADDRINUSE/);
});

test('a peer that does not read: no room, then room when it does', async () => {
  const dialled = await opened();
  const message: Message = {
    type: 'update',
    update: { family: 4, withdrawn: Array.from({ length: 4_096 }, () => '10.5.1.0/24' as never), announced: [] },
  };
  // Nothing is read while this turn of the event loop lasts.
  let sent = 0;
  while (accepted.connection?.send(message) && sent < 10_000) sent++;
  expect(sent).toBeLessThan(10_000);
  await eventually('there is room again', () => accepted.log.includes('drained'));
  expect(dialled.log.filter((each) => each === 'update')).not.toHaveLength(0);
});

describe('a first message that is not an acceptable OPEN', () => {
  const ROWS = [
    ...HOSTILE_MESSAGES.filter(({ name, verdict }) => typeof verdict === 'object' && !name.includes('RIB')).map(
      ({ name, message, verdict }) => ({ name, message, code: verdict as { code: number; subcode: number } }),
    ),
  ];

  test.each(ROWS)('$name', async ({ message, code }) => {
    const raw = new Client(`ipv4:127.0.0.1:${port}`, credentials.createInsecure());
    const call = openBidiStream(raw, ExchangeService, 'session');
    const answers: unknown[] = [];
    let ended = false;
    call.on('data', ({ messages }: SessionResponse) => answers.push(...messages.map(({ body }) => body.value)));
    call.on('error', () => undefined);
    call.on('end', () => {
      ended = true;
    });
    call.write(create(SessionRequestSchema, { messages: [create(MessageSchema, message)] }));
    await eventually('it is ended', () => ended);
    expect(answers).toMatchObject([code]);
    expect(accepted.log).toEqual([]);
    raw.close();
  });
});

test('bytes that are no protobuf, and a frame beyond the limit, end the connection and nothing else', async () => {
  const raw = new Client(`ipv4:127.0.0.1:${port}`, credentials.createInsecure());
  for (const bytes of [Buffer.from([0xff, 0xff, 0xff]), Buffer.alloc(1 << 20)]) {
    const path = '/gingham.exchange.v1.ExchangeService/Session';
    const call = raw.makeBidiStreamRequest(
      path,
      (value: Buffer) => value,
      (value: Buffer) => value,
    );
    const failed = new Promise((resolve) => call.on('error', resolve));
    call.on('data', () => undefined);
    call.write(bytes);
    expect(await failed).toMatchObject({ code: expect.any(Number) });
  }
  raw.close();
  await opened();
  expect(accepted.log).toEqual(['accepted a']);
});

function dial(): Recorder {
  const recorder = new Recorder();
  recorder.connection = client.dial({ address: LOOPBACK, port }, recorder);
  return recorder;
}

/** Dialled, and its OPEN accepted or refused. */
async function opened(): Promise<Recorder> {
  const dialled = dial();
  await eventually('it stands', () => dialled.log.includes('connected'));
  dialled.connection?.send({ type: 'open', open: OPEN });
  await eventually('the OPEN arrived', () => accepted.log.includes('accepted a'));
  return dialled;
}
