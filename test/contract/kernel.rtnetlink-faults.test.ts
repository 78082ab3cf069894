// What only the real kernel can do to us: no permission, lost notifications, listings that are interrupted, a socket that
// fails, objects that nobody here would make, and 30,000 routes. In network namespaces of their own; needs root.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type Kernel,
  type KernelChange,
  KernelError,
  type KernelEvent,
  PROTOCOL_GINGHAM,
  type Route,
  TABLE_MAIN,
} from '../../lib/kernel/kernel.ts';
import { probeKernelFeatures } from '../../lib/kernel/kernel-features.ts';
import { NetlinkSocket } from '../../lib/kernel/netlink-socket.ts';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { close } from '../../lib/kernel/syscalls.ts';
import { address } from '../../lib/net/address.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { encodeListNexthops } from '../../lib/wire/rtnetlink-nexthops.ts';
import { eventually } from '../eventually.ts';
import { enterNewNetworkNamespace } from './network-namespace.ts';

const NOBODY = 65_534;
const MANY = 30_000;

// Namespaces need CAP_SYS_ADMIN.
describe.skipIf(process.getuid?.() !== 0)('RtnetlinkKernel (needs root)', () => {
  let leave: () => void;
  let kernel: Kernel;
  let card: number;

  beforeEach(() => {
    leave = enterNewNetworkNamespace();
    ip('link set lo up');
    ip('link add card0 type veth peer name far0');
    ip('link set card0 up');
    ip('link set far0 up');
    ip('addr add 192.168.10.1/24 dev card0');
    card = Number(readFileSync('/proc/thread-self/net/dev_snmp6/card0', 'utf8').match(/ifIndex\s+(\d+)/)?.[1]);
    kernel = openKernel();
  });

  afterEach(async () => {
    await kernel.close();
    leave();
  });

  function route(at: number): Route {
    const nextHops = [{ gateway: address('192.168.10.9'), linkIndex: card }];
    const key = {
      table: TABLE_MAIN,
      prefix: prefix(`11.${at >> 16}.${(at >> 8) & 255}.${at & 255}/32`),
      tos: 0,
      metric: 0,
    };
    return { ...key, protocol: PROTOCOL_GINGHAM, type: 'unicast', nextHops };
  }

  test('30,000 routes are put, listed and deleted while the event loop keeps turning', async () => {
    const routes = Array.from({ length: MANY }, (_, at) => route(at));
    const turns = { put: 0, list: 0, delete: 0 };
    let work: keyof typeof turns = 'put';
    let counting = true;
    const turn = (): void => {
      turns[work]++;
      if (counting) setImmediate(turn);
    };
    setImmediate(turn);
    const puts = routes.map((value): KernelChange => ({ op: 'put', kind: 'route', route: value }));
    expect((await kernel.apply(puts)).filter((failure) => failure !== undefined)).toEqual([]);
    work = 'list';
    expect(await kernel.list('route', { protocol: PROTOCOL_GINGHAM })).toEqual(routes);
    work = 'delete';
    const deletions = routes.map((value): KernelChange => ({ op: 'delete', kind: 'route', route: value }));
    expect((await kernel.apply(deletions)).filter((failure) => failure !== undefined)).toEqual([]);
    counting = false;
    expect(await kernel.list('route', { protocol: PROTOCOL_GINGHAM })).toEqual([]);
    // One piece of work takes 2 ms, a slice 8 ms; uncut, there would be one turn each.
    expect(Math.min(turns.put, turns.list, turns.delete)).toBeGreaterThanOrEqual(2);
  });

  test('without CAP_NET_ADMIN a change fails and says so; listing works', async () => {
    process.seteuid?.(NOBODY);
    try {
      const unprivileged = openKernel();
      const [failure] = await unprivileged.apply([{ op: 'put', kind: 'route', route: route(1) }]);
      expect(failure).toMatchObject({ code: 'EPERM', what: 'put route 11.0.0.1/32' });
      expect(failure?.message).toMatch(/NET_ADMIN/);
      expect((await unprivileged.list('link')).map(({ name }) => name)).toContain('card0');
      await unprivileged.close();
    } finally {
      process.seteuid?.(0);
    }
  });

  test('notifications that overrun the socket become one resync, and later ones come again', async () => {
    const events: KernelEvent[] = [];
    await kernel.subscribe(['route'], (event) => events.push(event));
    // Nothing of this process runs meanwhile, so the socket is not read.
    const lines = Array.from({ length: MANY }, (_, at) => `route add ${route(at).prefix} via 192.168.10.9`);
    execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') });
    await eventually('the loss is told', () => events.some(({ type }) => type === 'resync'));
    await eventually('what was queued is read', () => events.length > 1000);
    const before = await eventually('the socket is empty', quietLength(events));
    await kernel.apply([{ op: 'put', kind: 'route', route: { ...route(1), metric: 7 } }]);
    await eventually('a new change is told', () => events.length > before);
    expect(events.at(-1)).toMatchObject({ type: 'put', object: { metric: 7 } });
  });

  test('a listing during which the table changes is known as such', async () => {
    const put = (id: number): KernelChange => ({
      op: 'put',
      kind: 'nexthop',
      nexthop: { id, protocol: PROTOCOL_GINGHAM, family: 4, hop: { linkIndex: card } },
    });
    await kernel.apply(Array.from({ length: 4000 }, (_, at) => put(at + 1)));
    const socket = new NetlinkSocket();
    try {
      encodeListNexthops(socket.writer, socket.reset());
      socket.startDump();
      let end = socket.dumpPart(() => undefined);
      expect(end).toBeUndefined();
      await kernel.apply([put(5000)]);
      while (end === undefined) end = socket.dumpPart(() => undefined);
      expect(end).toEqual({ ack: { errno: 0 }, interrupted: true });
    } finally {
      socket.close();
    }
    expect(await kernel.list('nexthop')).toHaveLength(4001);
  });

  test('a socket that fails is told once, and the next call has a new one', async () => {
    const change: KernelChange = { op: 'put', kind: 'route', route: route(1) };
    for (const call of [() => kernel.apply([change]), () => kernel.list('route')]) {
      const before = new Set(socketFds());
      await call();
      for (const fd of socketFds().filter((candidate) => !before.has(candidate))) close(fd);
      await expect(call()).rejects.toMatchObject({ name: 'KernelError', code: 'socket' });
      await call();
    }
  });

  test('a listener that throws is not mistaken for a broken socket', async () => {
    const thrown = new Promise((resolve) => {
      process.setUncaughtExceptionCaptureCallback(resolve);
    });
    try {
      await kernel.subscribe(['route'], () => {
        throw new RangeError('the listener');
      });
      await kernel.apply([{ op: 'put', kind: 'route', route: route(1) }]);
      await expect(thrown).resolves.toMatchObject({ message: 'the listener' });
    } finally {
      process.setUncaughtExceptionCaptureCallback(null);
    }
  });

  test('a message with an attribute longer than netlink has room for is refused by itself', async () => {
    const group = Array.from({ length: 9000 }, (_, at) => ({ id: at + 1, weight: 1 }));
    const huge = { id: 9, protocol: PROTOCOL_GINGHAM, family: 4, group } as const;
    const results = await kernel.apply([
      { op: 'put', kind: 'route', route: route(1) },
      { op: 'put', kind: 'nexthop', nexthop: huge },
      { op: 'put', kind: 'route', route: route(2) },
    ]);
    expect(results.map((failure) => failure?.code)).toEqual([undefined, 'EMSGSIZE', undefined]);
  });

  test('what others make is read, or left out where it is none of ours', async () => {
    ip('addr add 10.1.1.1 peer 10.1.1.2/32 dev card0');
    ip('neigh add 192.168.10.7 lladdr 0e:00:00:00:00:07 nud reachable dev card0');
    ip('link add br0 type bridge');
    ip('link set far0 master br0');
    ip('tuntap add tun0 mode tun');
    ip('route add 10.8.0.0/16 via inet6 fe80::1 dev card0');
    ip('route add multicast 239.0.0.0/8 dev card0');
    ip('-6 route add fd08::/64 nexthop via fe80::1 dev card0 nexthop via fe80::2 dev card0 weight 3');
    ip('route add 10.7.0.0/16 dev card0 mtu lock 1300 advmss 1200 proto bird tos 0x10');
    expect(await kernel.list('address', { family: 4, linkIndex: card })).toContainEqual({
      linkIndex: card,
      address: '10.1.1.1',
      peer: '10.1.1.2',
      prefixLength: 32,
    });
    expect(await kernel.list('neighbour')).toEqual([]);
    expect(await kernel.list('fdb')).toEqual([]);
    const links = new Map((await kernel.list('link')).map((link) => [link.name, link]));
    expect(links.get('far0')?.masterIndex).toBe(links.get('br0')?.index);
    expect(links.get('tun0')).toMatchObject({ type: 'tun', up: false, running: false });
    expect(links.get('tun0')?.mac).toBeUndefined();
    const routes = new Map((await kernel.list('route', { table: TABLE_MAIN })).map((value) => [value.prefix, value]));
    expect(routes.get(prefix('10.8.0.0/16'))?.nextHops).toEqual([{ gateway: 'fe80::1', linkIndex: card }]);
    expect(routes.get(prefix('239.0.0.0/8'))?.type).toBe('multicast');
    expect(routes.get(prefix('fd08::/64'))?.nextHops).toEqual([
      { gateway: 'fe80::1', linkIndex: card },
      { gateway: 'fe80::2', linkIndex: card, weight: 3 },
    ]);
    expect(routes.get(prefix('10.7.0.0/16'))).toMatchObject({ mtuBytes: 1300, tos: 0x10, protocol: 12 });
  });

  test('a route modified in place by somebody else is told as it now is', async () => {
    const events: KernelEvent[] = [];
    await kernel.apply([{ op: 'put', kind: 'route', route: route(1) }]);
    await kernel.subscribe(['route'], (event) => events.push(event));
    ip(`route replace ${route(1).prefix} via 192.168.10.8 proto 71`);
    const nextHops = [{ gateway: address('192.168.10.8'), linkIndex: card }];
    await eventually('the change is told', () => {
      expect(events).toContainEqual({ type: 'put', kind: 'route', object: { ...route(1), nextHops } });
      return true;
    });
  });

  test('this kernel has nexthop objects', async () => {
    expect(await probeKernelFeatures(kernel)).toEqual({ nexthopObjects: true });
  });

  test('closing while a listing is at work ends it with an error', async () => {
    await kernel.apply(
      Array.from({ length: MANY }, (_, at) => ({ op: 'put', kind: 'route', route: route(at) }) as const),
    );
    const outcome = kernel.list('route').catch((error: unknown) => error);
    await new Promise((resolve) => setImmediate(resolve));
    await kernel.close();
    expect(await outcome).toBeInstanceOf(KernelError);
  });
});

function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8' });
}

/** Descriptors of this process that are sockets. */
function socketFds(): number[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:') ? [Number(fd)] : [];
    } catch {
      return [];
    }
  });
}

/** The number of events once no more came between two looks. */
function quietLength(events: readonly unknown[]): () => number | undefined {
  let last = -1;
  return () => {
    if (events.length === last) return last;
    last = events.length;
    return undefined;
  };
}
