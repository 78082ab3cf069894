// Talking to the service manager: the address of its socket, how often it hears of life, and that it hears at all.
//
// The manager is a stand-in at a real datagram socket.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { bind, close, receive, SOCK, socket } from '../../../../lib/kernel/syscalls.ts';
import { openServiceManager, unixAddress, watchdogMs } from '../../../../lib/run/service-manager.ts';
import { eventually } from '../../../eventually.ts';

let undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  undo = [];
});

it('writes sockaddr_un for paths and abstract names, and for nothing else', () => {
  expect(Buffer.from(unixAddress('/run/n') ?? []).toString('hex')).toBe('01002f72756e2f6e00');
  expect(Buffer.from(unixAddress('@n') ?? []).toString('hex')).toBe('0100006e');
  expect(unixAddress('run/n')).toBeUndefined();
  expect(unixAddress(`/${'x'.repeat(107)}`)).toBeUndefined();
});

it('gives a sign of life twice in each interval, if it is this process that is watched', () => {
  expect(watchdogMs({ WATCHDOG_USEC: '30000000' })).toBe(15_000);
  expect(watchdogMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 7)).toBe(15_000);
  expect(watchdogMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 7)).toBeUndefined();
  expect([watchdogMs({}), watchdogMs({ WATCHDOG_USEC: '0' }), watchdogMs({ WATCHDOG_USEC: 'x' })]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

it('is heard: ready, alive, stopping', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gh-notify-'));
  undo.push(() => rm(folder, { recursive: true }));
  const path = join(folder, 'notify');
  const fd = socket(1, 2 | SOCK.nonBlock | SOCK.closeOnExec, 0);
  undo.push(async () => close(fd));
  expect(bind(fd, unixAddress(path) ?? new Uint8Array())).toBe(0);
  const buffer = Buffer.alloc(4_096);
  const heard = (word: string): Promise<unknown> =>
    eventually(`${word} is heard`, () => {
      const length = receive(fd, buffer, 0);
      return length > 0 && buffer.toString('utf8', 0, length).startsWith(word);
    });
  const manager = await openServiceManager({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '2000' });
  manager.ready();
  await heard('READY=1');
  await heard('WATCHDOG=1');
  manager.stopping();
  await heard('STOPPING=1');
});

it('says nothing without a manager, and refuses one that is not there', async () => {
  (await openServiceManager({})).ready();
  await expect(openServiceManager({ NOTIFY_SOCKET: 'notify' })).rejects.toThrow('NOTIFY_SOCKET=notify is not accepted');
  await expect(openServiceManager({ NOTIFY_SOCKET: '/nowhere/notify' })).rejects.toThrow('errno 2');
});
