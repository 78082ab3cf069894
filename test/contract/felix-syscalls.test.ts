// The route suite on the real kernel while system calls fail: once per failure, in the middle of the suite's writes.
//
// felix and its netlink code are the real ones; only send(2) and recv(2) of lib/kernel/syscalls.ts pass through here, and
// do once what the failure says. `ip`, which has sockets of its own, tells what the kernel holds. Needs root.

import { execFileSync } from 'node:child_process';
import { constants } from 'node:os';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Reconciler } from '../../felix/dataplane/reconciler.ts';
import type { FeedEvent } from '../../lib/feed/feed.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { eventually } from '../eventually.ts';
import { ROUTE_SUITE } from '../unit/felix/route-suite.ts';
import { enterNewNetworkNamespace } from './network-namespace.ts';

const faults = vi.hoisted(() => ({
  /** How many more calls go well before the failure; below 0: none is ordered. */
  sendsBefore: -1,
  receivesBefore: -1,
  send: undefined as undefined | ((real: () => number) => number),
  receive: undefined as undefined | ((real: () => number, bytes: Uint8Array, fd: number) => number),
  happened: 0,
}));

vi.mock('../../lib/kernel/syscalls.ts', async (original) => {
  const real = await original<typeof import('../../lib/kernel/syscalls.ts')>();
  return {
    ...real,
    send(...args: Parameters<typeof real.send>) {
      const fault = faults.send;
      if (fault === undefined || faults.sendsBefore-- > 0) return real.send(...args);
      faults.send = undefined;
      faults.happened++;
      return fault(() => real.send(...args));
    },
    receive(...args: Parameters<typeof real.receive>) {
      const fault = faults.receive;
      if (fault === undefined || faults.receivesBefore-- > 0) return real.receive(...args);
      faults.receive = undefined;
      faults.happened++;
      return fault(() => real.receive(...args), args[1], args[0]);
    },
  };
});

const errno = (name: keyof typeof constants.errno): number => -constants.errno[name];

const SEND_FAILURES = ['EINTR', 'ENOBUFS', 'ENOMEM', 'EBADF', 'ECONNREFUSED', 'EPIPE'] as const;
const RECEIVE_FAILURES = ['EINTR', 'ENOBUFS', 'ENOMEM', 'EBADF', 'EAGAIN'] as const;

const SEND = [
  ...SEND_FAILURES.map((name) => ({ name: `send: ${name}`, fault: () => errno(name) })),
  { name: 'send: the kernel took part of it', fault: (real: () => number) => real() - 4 },
  {
    name: 'send: a slow kernel',
    fault(real: () => number) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
      return real();
    },
  },
];

const RECEIVE = [
  ...RECEIVE_FAILURES.map((name) => ({ name: `receive: ${name}`, fault: () => errno(name) })),
  { name: 'receive: a reply that is lost', fault: (real: () => number) => (real() < 0 ? -1 : errno('EAGAIN')) },
  { name: 'receive: a truncated reply', fault: (real: () => number) => Math.max(4, real() - 9) },
  {
    name: 'receive: a reply longer than the buffer',
    fault: (real: () => number, bytes: Uint8Array) => real() + bytes.length,
  },
  { name: 'receive: an empty reply', fault: () => 2 },
  ...(
    [
      ['a wrong sequence', 8],
      ['a wrong port', 12],
      ['a wrong length', 0],
    ] as const
  ).map(([what, at]) => ({
    name: `receive: ${what}`,
    fault(real: () => number, bytes: Uint8Array) {
      const length = real();
      bytes[at] = (bytes[at] ?? 0) ^ 0xff;
      return length;
    },
  })),
];

/** `ip route` shows gateways by route or group. */
function shown(): Record<string, string> {
  const routes = JSON.parse(execFileSync('ip', ['-j', 'route', 'show', 'proto', '71'], { encoding: 'utf8' }) || '[]');
  type Hop = { readonly gateway: string };
  type Shown = { dst: string; type?: string; gateway?: string; nexthops?: readonly Hop[]; dev?: string };
  return Object.fromEntries(
    (routes as Shown[]).map(({ dst, type, gateway, nexthops, dev }) => {
      const gateways = nexthops?.map((hop) => hop.gateway).sort();
      return [dst.includes('/') ? dst : `${dst}/32`, type ?? gateways?.join(' ') ?? gateway ?? dev ?? '?'];
    }),
  );
}

/** Permanent neighbours and the addresses that a pod's interface gets, of the card. */
function shownOnLinks(): string[] {
  const ask = (words: string): unknown[] =>
    JSON.parse(execFileSync('ip', words.split(' '), { encoding: 'utf8' }) || '[]');
  const neighbours = ask('-j neighbour show nud permanent dev eth0') as { dst: string; lladdr: string }[];
  const links = ask('-j address show dev eth0') as { addr_info?: { local?: string }[] }[];
  const addresses = links.flatMap(({ addr_info = [] }) => addr_info.flatMap(({ local }) => local ?? []));
  const ofPods = addresses.filter((local) => ['169.254.1.1', 'fe80::1'].includes(local));
  return [...neighbours.map(({ dst, lladdr }) => `${dst} ${lladdr}`), ...ofPods].sort();
}

// Namespaces need CAP_SYS_ADMIN.
describe.skipIf(process.getuid?.() !== 0)('the route suite on the real kernel (needs root)', () => {
  let leave: () => void;

  beforeEach(() => {
    leave = enterNewNetworkNamespace();
    for (const words of [
      'link set lo up',
      'link add eth0 type veth peer name far0',
      'link set far0 up',
      'link set eth0 up',
      'address add 192.0.2.1/24 dev eth0',
      'link add flannel.1 type vxlan id 1 local 192.0.2.1 dev eth0 dstport 8472 nolearning',
      'link set flannel.1 up',
    ]) {
      execFileSync('ip', words.split(' '));
    }
    faults.happened = 0;
  });
  afterEach(() => {
    faults.send = undefined;
    faults.receive = undefined;
    leave();
  });

  async function runSuite(arm: () => void, armedAt: number): Promise<void> {
    const view = new FeedView();
    const kernel = openKernel(undefined, { mutesOwnRoutes: true });
    const failures: unknown[] = [];
    const reconciler = new Reconciler({
      kernel,
      view,
      clock: systemClock,
      log: pino({ level: 'silent' }),
      holdsDeletes: () => false,
      onPass: () => undefined,
      onDrift: () => undefined,
      fail: (error) => failures.push(error),
    });
    view.beginSync();
    const feed = new FeedTable();
    feed.subscribe((event: FeedEvent) => {
      const change = view.apply(event);
      if ('error' in change) throw new Error(change.error);
      if (event.type === 'in-sync') reconciler.feedInSync();
      reconciler.feedChanged(change, undefined);
    });
    try {
      for (const [at, { name, change, wanted, onLinks = [] }] of ROUTE_SUITE.entries()) {
        if (at === armedAt) arm();
        change(feed);
        await eventually(name, () => {
          expect({ routes: shown(), onLinks: shownOnLinks() }).toEqual({ routes: wanted, onLinks });
          return true;
        });
      }
      // What was a matter of luck (which of the calls it hit) is over; a listing finds nothing to mend.
      reconciler.resync();
      await eventually('the resync is over', () => !reconciler.mirror.needsListing);
      expect(shown()).toEqual(ROUTE_SUITE.at(-1)?.wanted);
      expect(failures).toEqual([]);
    } finally {
      await reconciler.stop();
      await kernel.close();
    }
  }

  test('runs undisturbed', () => runSuite(() => undefined, -1));

  test.each(SEND)('ends right through $name', async ({ fault }) => {
    await runSuite(() => {
      faults.sendsBefore = 1;
      faults.send = fault;
    }, 1);
    expect(faults.happened).toBe(1);
  });

  test.each(RECEIVE)('ends right through $name', async ({ fault }) => {
    await runSuite(() => {
      faults.receivesBefore = 1;
      faults.receive = fault;
    }, 1);
    expect(faults.happened).toBe(1);
  });
});
