// The connections by which a process is known to have ended, over real TCP on loopback addresses.
// That they end at once where a bgpd is killed: test/topology/bgpd-life-line.test.ts.

import { createConnection, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LifeLines } from '../../../../bgpd/bfd/life-lines.ts';
import { address } from '../../../../lib/net/address.ts';
import { systemClock } from '../../../../lib/run/clock.ts';
import { eventually } from '../../../eventually.ts';

const PORT = 3784;
/** A net for each process that runs this. */
const NET = `127.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`;
const LOW = address(`${NET}.1`);
const OWN = address(`${NET}.2`);
const HIGH = address(`${NET}.3`);

let ended: string[];
let made: LifeLines[];
let own: LifeLines;

beforeEach(() => {
  ended = [];
  made = [];
  own = lines('own', OWN);
  own.setPeers([LOW, HIGH]);
});

afterEach(() => {
  for (const each of made) each.close();
});

function lines(name: string, at: typeof OWN): LifeLines {
  const each = new LifeLines({
    address: at,
    port: PORT,
    clock: systemClock,
    ended: (peer) => ended.push(`${name} ${peer}`),
  });
  made.push(each);
  return each;
}

/** A peer that is played: connected, and what it has heard. */
async function connect(from: string): Promise<{ readonly socket: Socket; heard: string; closed: boolean }> {
  const socket = await eventually('it listens', async () => {
    const attempt = createConnection({ host: OWN, port: PORT, localAddress: from });
    return new Promise<Socket | undefined>((resolve) => {
      attempt.once('connect', () => resolve(attempt));
      attempt.once('error', () => resolve(undefined));
    });
  });
  const peer = { socket, heard: '', closed: false };
  socket.on('data', (bytes) => {
    peer.heard += String(bytes);
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    peer.closed = true;
  });
  return peer;
}

test.each(['destroy', 'resetAndDestroy'] as const)('a connection that ends without a word: %s', async (how) => {
  const { socket } = await connect(LOW);
  // Accepted once a second one has taken its place.
  const second = await connect(LOW);
  await eventually('replaced', () => socket.destroyed || socket.readableEnded);
  expect(ended).toEqual([]);
  second.socket[how]();
  await eventually('told', () => ended.length > 0);
  expect(ended).toEqual([`own ${LOW}`]);
});

test('after a farewell it is no news', async () => {
  const peer = await connect(LOW);
  peer.socket.end('B');
  await eventually('closed', () => peer.closed);
  const again = await connect(LOW);
  again.socket.destroy();
  await eventually('told', () => ended.length > 0);
  expect(ended).toEqual([`own ${LOW}`]);
});

test.each([
  ['is not known', `${NET}.9`],
  ['ought to be dialled', HIGH],
])('a node that %s is sent away', async (_, from) => {
  const peer = await connect(from);
  await eventually('closed', () => peer.closed);
  expect([peer.heard, ended]).toEqual(['B', []]);
});

test('the lower address dials; who parts says farewell', async () => {
  const high = lines('high', HIGH);
  high.setPeers([OWN]);
  // The higher one is only dialled.
  high.want(OWN);
  await eventually('it stands', () => {
    own.drop(HIGH);
    own.want(HIGH);
    return high.size === 1;
  });
  own.drop(HIGH);
  await eventually('it is gone', () => high.size === 0);
  own.want(HIGH);
  await eventually('it stands again', () => high.size === 1);
  high.close();
  await eventually('it is gone', () => own.size === 0);
  expect(ended).toEqual([]);
});
