// The whole route suite once per injected failure: each must have happened, and the kernel must end right after every step.
//
// Virtual time: what felix puts off (a refused write is tried again with growing delays) comes within a step.

import { describe, expect, it } from 'vitest';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { type KernelChange, PROTOCOL_GINGHAM } from '../../../lib/kernel/kernel.ts';
import type { FakeKernel, FakeOperation } from '../../fakes/fake-kernel.ts';
import { type Bench, foreignRoute, nodeKernel, startBench } from './felix-bench.ts';
import { ROUTE_SUITE } from './route-suite.ts';

/** Longer than all retries of one write. */
const STEP_MS = 60_000;

interface Failure {
  readonly operation: FakeOperation;
  readonly code: string;
  readonly times?: number;
  readonly afterChanges?: number;
}

const REFUSALS = [
  'EINTR',
  'EAGAIN',
  'ENOBUFS',
  'ENOMEM',
  'EBUSY',
  'EEXIST',
  'ENODEV',
  'ENETDOWN',
  'ENETUNREACH',
  'EINVAL',
];

const FAILURES: readonly Failure[] = [
  ...REFUSALS.map((code) => ({ operation: 'put route' as const, code, times: 3 })),
  ...REFUSALS.map((code) => ({ operation: 'put nexthop' as const, code, times: 3 })),
  ...(['put neighbour', 'put address'] as const).flatMap((operation) =>
    ['EINTR', 'ENOBUFS', 'ENOMEM', 'ENODEV', 'ENETDOWN', 'EEXIST'].map((code) => ({ operation, code, times: 3 })),
  ),
  ...(['delete neighbour', 'delete address'] as const).flatMap((operation) =>
    ['EINTR', 'ENOMEM', 'EBUSY'].map((code) => ({ operation, code })),
  ),
  ...['EINTR', 'ENOMEM', 'ESRCH', 'ENOBUFS'].map((code) => ({ operation: 'delete route' as const, code })),
  ...['EINTR', 'ENOMEM', 'EBUSY'].map((code) => ({ operation: 'delete nexthop' as const, code })),
  ...(['list route', 'list nexthop', 'list link', 'list neighbour', 'list address'] as const).flatMap((operation) =>
    ['socket', 'dump-interrupted'].map((code) => ({ operation, code, times: 3 })),
  ),
  ...[0, 1, 2].map((afterChanges) => ({ operation: 'apply' as const, code: 'socket', afterChanges, times: 2 })),
  { operation: 'subscribe', code: 'socket', times: 2 },
  { operation: 'routeTo', code: 'socket', times: 2 },
];

/** What our routes lead to, by destination: gateways in order, or the type. */
function shown(kernel: FakeKernel): Record<string, string> {
  const nexthops = new Map(kernel.nexthops().map((nexthop) => [nexthop.id, nexthop]));
  return Object.fromEntries(
    kernel.routes(PROTOCOL_GINGHAM).map(({ prefix, type, nexthopId }) => {
      const members = nexthops.get(nexthopId ?? 0)?.group ?? [];
      const hops = members.map(({ id }) => nexthops.get(id)?.hop);
      const gateways = hops
        .map((hop) => hop?.gateway ?? kernel.links().find(({ index }) => index === hop?.linkIndex)?.name ?? '?')
        .sort();
      return [prefix, type === 'unicast' ? gateways.join(' ') : type];
    }),
  );
}

/** Our neighbours and addresses. */
function shownOnLinks(kernel: FakeKernel): string[] {
  const isOurs = ({ protocol }: { readonly protocol?: number }): boolean => protocol === PROTOCOL_GINGHAM;
  const neighbours = kernel.neighbours().filter(isOurs);
  const addresses = kernel.addresses().filter(isOurs);
  return [
    ...neighbours.map(({ address, mac }) => `${address} ${mac}`),
    ...addresses.map(({ address }) => address),
  ].sort();
}

async function runSuite(kernel: FakeKernel, onStart: () => void): Promise<Bench> {
  kernel.foreign(foreignRoute('10.0.0.0/8', '192.0.2.66'));
  const feed = new FeedTable();
  onStart();
  const bench = startBench(kernel, feed);
  const foreignEntries = kernel.addresses().length;
  for (const { name, change, wanted, onLinks = [] } of ROUTE_SUITE) {
    change(feed);
    await bench.settle(STEP_MS);
    const held = { routes: shown(kernel), onLinks: shownOnLinks(kernel) };
    expect({ name, ...held }).toEqual({ name, routes: wanted, onLinks });
  }
  expect(kernel.addresses()).toHaveLength(foreignEntries);
  // Nothing of others was touched, nothing of ours is left over, and there is nothing more to do.
  expect(kernel.routes(4).map(({ prefix }) => prefix)).toEqual(['10.0.0.0/8']);
  expect(kernel.nexthops()).toHaveLength(2);
  expect(bench.failures).toEqual([]);
  kernel.clearRecords();
  await bench.settle(STEP_MS);
  expect(kernel.writes).toEqual([]);
  return bench;
}

describe.each([false, true])('the route suite (own routes muted: %s)', (isMuted) => {
  const make = (): FakeKernel => {
    const kernel = nodeKernel();
    kernel.mutesOwnRoutes = isMuted;
    return kernel;
  };

  it('runs undisturbed', async () => {
    const bench = await runSuite(make(), () => undefined);
    expect(bench.warnings).toEqual([]);
  });

  it('has more than 20 kinds of failures to run with', () => {
    expect(new Set(FAILURES.map(({ operation, code }) => `${operation} ${code}`)).size).toBeGreaterThanOrEqual(20);
  });

  it.each(FAILURES)('ends right through $operation: $code', async ({ operation, code, ...options }) => {
    const kernel = make();
    // ESRCH is the truth: somebody else was faster.
    const isFirst = code === 'ESRCH' && {
      matching(change: KernelChange): boolean {
        kernel.foreign(change);
        return true;
      },
    };
    await runSuite(kernel, () => kernel.failNext(operation, code, { ...options, ...isFirst }));
    kernel.assertFailuresConsumed();
  });

  it('ends right where every notification of a step is lost', async () => {
    const kernel = make();
    const feed = new FeedTable();
    const bench = startBench(kernel, feed);
    for (const { change, wanted } of ROUTE_SUITE) {
      change(feed);
      await bench.settle(STEP_MS);
      kernel.loseNotifications(() => {
        for (const route of kernel.routes(PROTOCOL_GINGHAM)) kernel.foreign({ op: 'delete', kind: 'route', route });
      });
      await bench.settle(STEP_MS);
      expect(shown(kernel)).toEqual(wanted);
    }
  });
});
