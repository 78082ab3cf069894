// Where bgpd listens: the end of it at the start where it cannot, and patience after a move.
//
// Addresses that are there are a set; listening at another one fails as the kernel does it.

import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import { PeerListener, type PeerListenerOptions } from '../../../bgpd/peer-listener.ts';
import { type Address, address } from '../../../lib/net/address.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const [A, B] = [address('192.0.2.1'), address('192.0.2.2')];

let there: Set<Address>;
let listening: Address | undefined;
let stopping: AbortController;
let clock: FakeClock;

beforeEach(() => {
  there = new Set([A]);
  listening = undefined;
  stopping = new AbortController();
  clock = new FakeClock();
});

function listener(more: Partial<PeerListenerOptions> = {}): PeerListener {
  return new PeerListener({
    fixedAddress: undefined,
    port: 1790,
    listen: async (at, port) => {
      listening = undefined;
      await Promise.resolve();
      if (!there.has(at)) throw new Error(`EADDRNOTAVAIL: ${at}`);
      listening = at;
      return port;
    },
    clock,
    context: { log: pino({ enabled: false }), signal: stopping.signal, fail: () => undefined },
    ...more,
  });
}

test('an address that is not there at the start is the end, with the flag and the cause', async () => {
  await expect(listener().start(B)).rejects.toMatchObject({
    exitCode: 4,
    message: expect.stringContaining('cannot listen on 192.0.2.2 port 1790 (--listen-address, --listen-port)'),
  });
});

test('after a move it tries until the address can be used, and says so meanwhile', async () => {
  const peers = listener();
  await peers.start(A);
  const moved = peers.move(B);
  await clock.advanceAsync(2_500);
  expect(peers.problem).toContain('cannot listen on 192.0.2.2');
  there.add(B);
  await clock.advanceAsync(1_000);
  expect(await moved).toBe(true);
  expect([listening, peers.problem]).toEqual([B, undefined]);
});

test('there and back again before it could listen: it listens where it was, and the first move is over', async () => {
  const peers = listener();
  await peers.start(A);
  const [there1, back] = [peers.move(B), peers.move(A)];
  await clock.advanceAsync(5_000);
  expect([await there1, await back, listening, peers.problem]).toEqual([false, true, A, undefined]);
});

test('a stop ends the patience', async () => {
  const peers = listener();
  await peers.start(A);
  const moved = peers.move(B);
  await clock.advanceAsync(500);
  stopping.abort();
  expect(await moved).toBe(false);
});

test('with --listen-address it stays where it is', async () => {
  const peers = listener({ fixedAddress: A });
  await peers.start(B);
  expect(await peers.move(address('192.0.2.3'))).toBe(true);
  expect(listening).toBe(A);
});
