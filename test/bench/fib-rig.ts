// One felix in this process, between a feed that the benchmark plays and the kernel: what fib.ts measures with.
//
// Everything is felix's own (view, desired state, trackers, netlink) but for the gRPC call that would bring the feed.

import { pino } from 'pino';
import type { PassSummary } from '../../felix/dataplane/pass-record.ts';
import { Reconciler } from '../../felix/dataplane/reconciler.ts';
import type { FeedEvent } from '../../lib/feed/feed.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { type Kernel, KernelError } from '../../lib/kernel/kernel.ts';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { systemClock } from '../../lib/run/clock.ts';

const DEADLINE_MS = 120_000;

export interface FibRig {
  /** Writes and notifications that were seen: the last pass that wrote something. */
  readonly passes: readonly PassSummary[];
  readonly listings: () => number;
  /** Gives these events to felix; milliseconds until the kernel is as they say. */
  feed(events: readonly FeedEvent[]): Promise<number>;
  /** A resync; milliseconds until it is over. */
  resync(): Promise<number>;
  /** Waits until nothing is going on any more: no listing, no echo that is owed. */
  quiet(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts felix in the network namespace of this thread. `plain`: as on a kernel without nexthop objects. */
export function startFibRig(plain: boolean): FibRig {
  const kernel = plain
    ? withoutObjects(openKernel(undefined, { mutesOwnRoutes: true }))
    : openKernel(undefined, { mutesOwnRoutes: true });
  const view = new FeedView();
  const passes: PassSummary[] = [];
  let failure: unknown;
  let passed = (): void => undefined;
  const reconciler = new Reconciler({
    kernel,
    view,
    clock: systemClock,
    log: pino({ level: 'silent' }),
    holdsDeletes: () => false,
    onPass(summary) {
      if (summary !== undefined) passes.push(summary);
      passed();
    },
    onDrift: () => undefined,
    fail(error) {
      failure = error;
      passed();
    },
  });
  view.beginSync();
  const isDone = (): boolean => {
    const { routes, nexthops } = reconciler.mirror;
    return routes.table.tracker.inSync && nexthops.table.tracker.inSync;
  };
  const until = async (holds: () => boolean): Promise<void> => {
    const deadlineMs = performance.now() + DEADLINE_MS;
    while (!holds()) {
      if (failure !== undefined) throw failure;
      if (performance.now() > deadlineMs) throw new Error('felix did not get done');
      const timer = setTimeout(() => passed(), 100);
      await new Promise<void>((resolve) => {
        passed = resolve;
      });
      clearTimeout(timer);
    }
  };
  return {
    passes,
    listings: () => reconciler.mirror.listings,
    async feed(events) {
      const startedMs = performance.now();
      for (const event of events) {
        const change = view.apply(event);
        if ('error' in change) throw new Error(change.error);
        if (event.type === 'in-sync') reconciler.feedInSync();
        reconciler.feedChanged(change, undefined);
      }
      let seen = passes.length;
      await until(() => {
        const more = passes.length > seen;
        seen = Math.min(seen, passes.length);
        return more && isDone();
      });
      return performance.now() - startedMs;
    },
    async resync() {
      const startedMs = performance.now();
      const before = reconciler.mirror.listings;
      reconciler.resync();
      await until(() => reconciler.mirror.listings > before && isDone());
      return performance.now() - startedMs;
    },
    quiet: () =>
      until(() => !reconciler.mirror.needsListing && reconciler.mirror.overdueAtMs === Number.POSITIVE_INFINITY),
    async stop() {
      await reconciler.stop();
      await kernel.close();
    },
  };
}

function withoutObjects(kernel: Kernel): Kernel {
  return {
    mutesOwnRoutes: true,
    list: (kind, filter) =>
      kind === 'nexthop'
        ? Promise.reject(new KernelError('unsupported', 'no nexthop objects, for comparison'))
        : kernel.list(kind, filter),
    apply: (changes) => kernel.apply(changes),
    subscribe: (kinds, listener) => kernel.subscribe(kinds, listener),
    routeTo: (to) => kernel.routeTo(to),
    close: () => kernel.close(),
  };
}
