// Wires felix: one route feed in, the kernel out, the status server beside them.
//
//   feed client --> FeedView --> DesiredState --> delta trackers <--> kernel
//                                     reconciler.ts turns the wheel
//
// Stopping writes nothing: what is in the kernel keeps forwarding, and the next felix takes it over as it is.

import { join } from 'node:path';
import { type FeedClient, type FeedClientStatus, type FeedState, watchFeed } from '../lib/feed/feed-client.ts';
import { feedSocketPath } from '../lib/feed/feed-server.ts';
import { FeedView } from '../lib/feed/feed-view.ts';
import type { Kernel } from '../lib/kernel/kernel.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import { type Clock, systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { type DaemonContext, ensureRunFolder, type RunningDaemon } from '../lib/run/lifecycle.ts';
import { Metrics, startStatusServer } from '../lib/run/status-server.ts';
import type { FelixConfig } from './config.ts';
import { Forwarding } from './dataplane/forwarding.ts';
import type { WriteKind } from './dataplane/kernel-mirror.ts';
import type { Drift } from './dataplane/kernel-table.ts';
import type { PassSummary } from './dataplane/pass-record.ts';
import { Reconciler } from './dataplane/reconciler.ts';
import type { FeedClaim } from './desired/feed-classes.ts';
import { MergedFeeds } from './desired/merged-feeds.ts';
import { type FelixMetrics, felixMetrics, logPass } from './metrics.ts';
import { startNextHopServer } from './next-hops/next-hop-server.ts';
import { countRoutes, felixChecks, felixStatus, type Repairs, type StatusInput } from './status.ts';
import { type Nft, nftProgram } from './traffic/nft.ts';
import { TrafficKeeper } from './traffic/traffic-keeper.ts';

/** Share of the interval by which a resync may be late, so that the nodes of a cluster do not resync in step. */
const RESYNC_JITTER = 0.1;

/** What felix stands on; the real things but in tests. */
export interface FelixWorld {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly forwarding: Forwarding;
  readonly nft: Nft;
}

/** Starts felix. Rejects with `ExitError` where it cannot run. */
export async function startFelix(
  config: FelixConfig,
  context: DaemonContext,
  world: FelixWorld = realWorld(context, config.runFolder),
): Promise<RunningDaemon> {
  await ensureRunFolder(config.runFolder);
  await assertMayWrite(world.kernel);
  const metrics = new Metrics('felix');
  const felix = new Felix(config, context, world, felixMetrics(metrics));
  const statusServer = await startStatusServer(
    { host: config.statusAddress, port: config.statusPort, socketPath: join(config.runFolder, 'felix.http') },
    { checks: () => felixChecks(felix.statusInput()), status: () => felixStatus(felix.statusInput()) },
    metrics,
  );
  const nextHops = await startNextHopServer({ ...world, runFolder: config.runFolder, log: context.log });
  felix.start();
  context.log.info({ node: config.node, feeds: config.feeds, runFolder: config.runFolder }, 'felix started');
  return {
    async stop() {
      await nextHops.close();
      await felix.stop();
      await statusServer.close();
    },
  };
}

/** A feed with what it has said. */
interface WatchedFeed extends FeedClaim {
  readonly view: FeedView;
  client: FeedClient | undefined;
  wasInSync: boolean;
}

class Felix {
  readonly #config: FelixConfig;
  readonly #context: DaemonContext;
  readonly #world: FelixWorld;
  readonly #meters: FelixMetrics;
  readonly #feeds: readonly WatchedFeed[];
  readonly #view: MergedFeeds;
  readonly #reconciler: Reconciler;
  readonly #traffic: TrafficKeeper;
  readonly #repairs = noRepairs();
  /** Since the last pass. */
  #repairing: Record<Drift, number> = { deleted: 0, added: 0, modified: 0 };
  #cancelHold = (): void => undefined;
  #cancelResync = (): void => undefined;

  constructor(config: FelixConfig, context: DaemonContext, world: FelixWorld, meters: FelixMetrics) {
    this.#config = config;
    this.#context = context;
    this.#world = world;
    this.#meters = meters;
    this.#feeds = config.feeds.map((claim) => ({
      ...claim,
      view: new FeedView(),
      client: undefined,
      wasInSync: false,
    }));
    this.#view = new MergedFeeds(this.#feeds);
    this.#reconciler = new Reconciler({
      kernel: world.kernel,
      clock: world.clock,
      view: this.#view,
      log: context.log,
      routeTable: config.routeTable,
      rulePriority: config.rulePriority,
      ...(config.routeMtuBytes !== undefined && { routeMtuBytes: config.routeMtuBytes }),
      fail: (error) => context.fail(error),
      holdsDeletes: () => this.#holdsDeletes(),
      onPass: (summary) => this.#passed(summary),
      onDrift: (drifts, kind) => this.#drifted(drifts, kind),
    });
    this.#traffic = new TrafficKeeper({
      mode: config.trafficRules,
      subnetFile: config.subnetFile,
      podInterfaces: config.podInterfaces,
      kernel: world.kernel,
      nft: world.nft,
      onState: (state) => this.#meters.traffic(state),
      clock: world.clock,
      log: context.log,
    });
  }

  start(): void {
    const { log, signal } = this.#context;
    this.#world.forwarding.ensure(false);
    for (const [at, feed] of this.#feeds.entries()) {
      feed.client = watchFeed(
        {
          socketPath: feedSocketPath(this.#config.runFolder, feed.feed),
          watcher: 'felix',
          view: feed.view,
          log,
          clock: this.#world.clock,
          onChange: (change, cause) => this.#reconciler.feedChanged(this.#view.changed(at, change), cause),
          onState: (state) => this.#feedIs(feed, state),
        },
        signal,
      );
    }
    this.#reconciler.kick();
    this.#traffic.start();
    this.#scheduleResync();
  }

  async stop(): Promise<void> {
    this.#cancelHold();
    this.#cancelResync();
    for (const { client } of this.#feeds) client?.close();
    await this.#traffic.stop();
    await this.#reconciler.stop();
    await this.#world.kernel.close();
  }

  statusInput(): StatusInput {
    return {
      node: this.#config.node,
      feeds: this.#feeds.map(({ feed, classes, view, client }) => ({ name: feed, classes, view, ...statusOf(client) })),
      view: this.#view,
      reconciler: this.#reconciler,
      forwarding: this.#world.forwarding.state,
      traffic: { ...this.#traffic.state, ok: this.#traffic.ok },
      repairs: this.#repairs,
      heldDeletes: this.#heldDeletes(),
    };
  }

  #feedIs(feed: WatchedFeed, state: FeedState): void {
    this.#meters.feedState(feed.feed, state, statusOf(feed.client).losses);
    this.#cancelHold();
    if (state === 'in-sync') feed.wasInSync = true;
    // What is only to be answered with "unreachable" is worth no wait.
    const waitsFor = this.#feeds.filter(({ classes }) => classes.some((each) => each !== 'network'));
    if (state === 'in-sync' && waitsFor.every(({ wasInSync }) => wasInSync)) this.#reconciler.feedInSync();
    if (this.#holdsDeletes()) {
      this.#cancelHold = this.#world.clock.after(this.#config.staleHoldMs, () => this.#reconciler.kick());
    }
  }

  /** A feed is away or not in sync again, and has not been for so long that it must be believed dead. */
  #holdsDeletes(): boolean {
    const nowMs = this.#world.clock.monotonicMs();
    return this.#feeds.some(({ client }) => {
      const sinceMs = statusOf(client).outOfSyncSinceMs;
      return sinceMs !== undefined && nowMs < sinceMs + this.#config.staleHoldMs;
    });
  }

  #heldDeletes(): number {
    if (!this.#holdsDeletes()) return 0;
    const tables = Object.values(this.#reconciler.mirror.tables());
    return tables.reduce((sum, { tracker }) => sum + tracker.pendingDeletions.size, 0);
  }

  #passed(summary: PassSummary | undefined): void {
    this.#meters.counts(countRoutes(this.#reconciler));
    this.#meters.linkEntries('neighbour', this.#reconciler.mirror.neighbours.counts());
    this.#meters.linkEntries('address', this.#reconciler.mirror.addresses.counts());
    this.#meters.heldDeletes(this.#heldDeletes());
    this.#meters.listings(this.#reconciler.mirror.listings);
    if (summary === undefined) return;
    this.#meters.pass(summary);
    this.#logDrift();
    logPass(this.#context.log, summary);
    if (this.#forwardsIpv6()) this.#world.forwarding.ensure(true);
  }

  #drifted(drifts: readonly Drift[], object: WriteKind): void {
    this.#meters.drifted(drifts, object);
    for (const kind of drifts) {
      this.#repairs[object][kind]++;
      this.#repairing[kind]++;
    }
  }

  /** One line for each pass, however many routes somebody flushed. */
  #logDrift(): void {
    const { deleted, added, modified } = this.#repairing;
    if (deleted + added + modified === 0) return;
    this.#context.log.info({ deleted, added, modified }, 'somebody else changed what is ours: repaired');
    this.#repairing = { deleted: 0, added: 0, modified: 0 };
  }

  #forwardsIpv6(): boolean {
    for (const { family } of this.#reconciler.desired.plans()) if (family === 6) return true;
    return false;
  }

  #scheduleResync(): void {
    const delayMs = this.#config.resyncIntervalMs * (1 + Math.random() * RESYNC_JITTER);
    this.#cancelResync = this.#world.clock.after(delayMs, () => {
      this.#world.forwarding.ensure(this.#forwardsIpv6());
      this.#reconciler.resync();
      this.#traffic.kick();
      this.#scheduleResync();
    });
  }
}

function noRepairs(): Repairs {
  const none = (): Record<Drift, number> => ({ deleted: 0, added: 0, modified: 0 });
  return { route: none(), nexthop: none(), rule: none(), neighbour: none(), address: none() };
}

function statusOf(client: FeedClient | undefined): FeedClientStatus {
  return client?.status() ?? { state: 'connecting', losses: 0 };
}

function realWorld({ log }: DaemonContext, runFolder: string): FelixWorld {
  return {
    kernel: openKernel(log, { mutesOwnRoutes: true }),
    clock: systemClock,
    forwarding: new Forwarding(log),
    nft: nftProgram(join(runFolder, 'felix.nft.json')),
  };
}

/** Asks the kernel to delete what cannot exist (there is no nexthop id 0): it looks at the permission first. */
async function assertMayWrite(kernel: Kernel): Promise<void> {
  const [failure] = await kernel.apply([{ op: 'delete', kind: 'nexthop', id: 0 }]);
  if (failure?.code !== 'EPERM') return;
  throw new ExitError(
    EXIT.environment,
    'felix writes routes: it needs the capability NET_ADMIN in its network namespace',
  );
}
