// A handle of the kernel that is muted hears of everybody's routes but its own; in a network namespace, so it needs root.
//
// The filter names the port of the writing socket: a socket that was opened again must have it too.

import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Kernel, type KernelEvent, PROTOCOL_GINGHAM, type Route, TABLE_MAIN } from '../../lib/kernel/kernel.ts';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { close } from '../../lib/kernel/syscalls.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { enterNewNetworkNamespace } from './network-namespace.ts';

// Namespaces need CAP_SYS_ADMIN.
describe.skipIf(process.getuid?.() !== 0)('a muted handle (needs root)', () => {
  let leave: () => void;
  let kernel: Kernel;
  let heard: string[];

  beforeEach(async () => {
    leave = enterNewNetworkNamespace();
    execFileSync('ip', ['link', 'set', 'lo', 'up']);
    kernel = openKernel(undefined, { mutesOwnRoutes: true });
    heard = [];
    await kernel.subscribe(['route', 'nexthop'], (event: KernelEvent) => {
      if (event.type === 'resync') heard.push('resync');
      else if (event.kind === 'route') heard.push(`${event.type} ${event.object.prefix}`);
      else if (event.kind === 'nexthop') heard.push(`${event.type} ${event.object.id}`);
    });
  });
  afterEach(async () => {
    await kernel.close();
    leave();
  });

  const blackhole = (to: string): Route => ({
    table: TABLE_MAIN,
    prefix: prefix(to),
    tos: 0,
    metric: 0,
    protocol: PROTOCOL_GINGHAM,
    type: 'blackhole',
    nextHops: [],
  });
  const write = (to: string) => kernel.apply([{ op: 'put', kind: 'route', route: blackhole(to) }]);
  const others = (to: string): void => {
    execFileSync('ip', ['route', 'add', 'blackhole', to]);
  };
  const hears = (what: string): Promise<unknown> => eventually(`it hears ${what}`, () => heard.includes(what));

  test('hears of the routes of others, of their changes to its own, and of its own nexthop objects', async () => {
    await write('10.1.0.0/16');
    await write('fd00:1::/64');
    await kernel.apply([{ op: 'put', kind: 'nexthop', nexthop: { id: 7, protocol: 71, family: 4, blackhole: true } }]);
    await kernel.apply([{ op: 'delete', kind: 'route', route: blackhole('fd00:1::/64') }]);
    execFileSync('ip', ['route', 'del', 'blackhole', '10.1.0.0/16']);
    others('10.2.0.0/16');
    await hears('put 10.2.0.0/16');
    expect(heard).toEqual(['put 7', 'delete 10.1.0.0/16', 'put 10.2.0.0/16']);
  });

  test('is muted as well when its socket had to be opened again', async () => {
    await write('10.1.0.0/16');
    // The socket for requests is the newest: it was opened after the one for notifications.
    const sockets = readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
      } catch {
        return false;
      }
    });
    const newest = Math.max(...sockets.map(Number));
    close(newest);
    await write('10.3.0.0/16').catch(() => undefined);
    await write('10.4.0.0/16');
    others('10.5.0.0/16');
    await hears('put 10.5.0.0/16');
    expect(heard.filter((what) => what !== 'resync')).toEqual(['put 10.5.0.0/16']);
  });

  test('30,000 of its own writes do not overrun its notifications', async () => {
    const routes = Array.from({ length: 30_000 }, (_, i) => blackhole(`11.0.${i >> 8}.${i & 255}/32`));
    await kernel.apply(routes.map((route) => ({ op: 'put', kind: 'route', route })));
    others('10.2.0.0/16');
    await hears('put 10.2.0.0/16');
    expect(heard).toEqual(['put 10.2.0.0/16']);
  });
});
