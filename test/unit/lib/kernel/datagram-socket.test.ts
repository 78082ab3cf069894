// UDP sockets that take nothing from too far away: real sockets on the loopback, no privilege needed.
// dgram plays the sender, whose TTL it can set.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { droppedDatagrams, openDatagramSocket } from '../../../../lib/kernel/datagram-socket.ts';
import { address } from '../../../../lib/net/address.ts';
import { eventually } from '../../../eventually.ts';

const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

test.each([
  ['IPv4', 4, '127.0.0.1'],
  ['IPv6', 6, '::1'],
] as const)('%s: the least TTL is taken, one less is dropped and counted', async (_, family, host) => {
  const fd = openDatagramSocket(address(host), 0, 200);
  expect(fd).toBeGreaterThanOrEqual(0);
  const receiver = createSocket(`udp${family}`);
  sockets.push(receiver);
  const received: string[] = [];
  receiver.on('message', (bytes) => received.push(String(bytes)));
  const listening = once(receiver, 'listening');
  receiver.bind({ fd });
  await listening;
  const sender = createSocket(`udp${family}`);
  sockets.push(sender);
  sender.bind(0, host);
  await once(sender, 'listening');
  for (const ttl of [199, 200, 1, 255]) {
    sender.setTTL(ttl);
    await new Promise((resolve) => sender.send(String(ttl), receiver.address().port, host, resolve));
  }
  await eventually('the last has come', () => received.includes('255'));
  expect(received).toEqual(['200', '255']);
  expect(droppedDatagrams(fd)).toBe(2);
});

test('a port that is taken, and a descriptor that is none: errors as numbers', async () => {
  const blocker = createSocket('udp4');
  sockets.push(blocker);
  blocker.bind(0, '127.0.0.1');
  await once(blocker, 'listening');
  expect(openDatagramSocket(address('127.0.0.1'), blocker.address().port, 255)).toBe(-98);
  expect(droppedDatagrams(-1)).toBe(-9);
});
