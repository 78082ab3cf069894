// This node among the others, from the moment its address is known: it listens, is registered, follows the registry and
// holds the sessions. daemon.ts makes it; everything before (feeds, status) works without it.

import type { Cause } from '../lib/feed/feed.ts';
import type { FeedTable } from '../lib/feed/feed-table.ts';
import type { FeedChange, FeedView } from '../lib/feed/feed-view.ts';
import type { Address } from '../lib/net/address.ts';
import type { Registry } from '../lib/registry/registry.ts';
import { type Clock, pause } from '../lib/run/clock.ts';
import { errorText } from '../lib/run/exit.ts';
import type { DaemonContext } from '../lib/run/lifecycle.ts';
import type { Metrics } from '../lib/run/status-server.ts';
import type { StartBfdThread } from './bfd/liveness.ts';
import { PeerWatch, type WatchedPeer } from './bfd/peer-watch.ts';
import { Causes } from './causes.ts';
import type { BgpdConfig } from './config.ts';
import { openOf, recordOf, routerIdOf } from './identity.ts';
import { Mesh } from './mesh/mesh.ts';
import type { NodeRecord } from './mesh/node-record.ts';
import { Registration } from './mesh/registration.ts';
import { sessionsWanted } from './mesh/sessions-wanted.ts';
import { type BgpdMetrics, bgpdMetrics } from './metrics.ts';
import { NextHopWatch } from './next-hop-watch.ts';
import { PeerListener } from './peer-listener.ts';
import type { PeerRecord } from './peer-set.ts';
import { bfdOf, dynamicPeer, importChanges, PeeringFile } from './peering.ts';
import { NO_PEERING, type Peering } from './peering-file.ts';
import type { RouterId } from './rib/attributes.ts';
import { Rib } from './rib/rib.ts';
import { RibFeed } from './rib-feed.ts';
import { notification } from './session/notification.ts';
import type { Exchange } from './session/route-exchange.ts';
import { Speaker } from './speaker.ts';
import { originAttributes, StaticRoutes } from './static-routes.ts';
import { SyncGate, unmet } from './sync-gate.ts';

/** Taking back the record must not hold up the stop when etcd is away. */
const WITHDRAW_WAIT_MS = 500;

export interface NodeOptions {
  readonly config: BgpdConfig;
  readonly context: DaemonContext;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Absent without a mesh. */
  readonly registry: Registry | undefined;
  readonly view: FeedView;
  readonly table: FeedTable;
  readonly feedInSync: () => boolean;
  readonly exchange: Exchange;
  readonly startBfd: StartBfdThread;
  /** Where felix tells which next hops the kernel reaches; absent: nobody is asked. */
  readonly nextHopSocket?: string;
  readonly random: () => number;
}

export class Node {
  readonly #options: NodeOptions;
  readonly #metrics: BgpdMetrics;
  readonly #causes: Causes;
  readonly #ribFeed: RibFeed;
  readonly rib: Rib;
  readonly speaker: Speaker;
  readonly gate: SyncGate;
  readonly watch: PeerWatch;
  readonly nextHops: NextHopWatch;
  readonly routerId: RouterId;
  #address: Address;
  readonly #listener: PeerListener;
  #mesh: Mesh | undefined;
  #registration: Registration | undefined;
  readonly #peering: PeeringFile;
  readonly staticRoutes: StaticRoutes;
  #sessionsScheduled = false;
  #registered: ReadonlyMap<string, NodeRecord> = new Map();
  /** Names of nodes that have our router id. */
  #sameRouterId: readonly string[] = [];

  /** Throws `ExitError` where an IPv6 address comes without a router id. */
  constructor(options: NodeOptions, address: Address) {
    const { config, context, clock, metrics, view, table } = options;
    this.#options = options;
    this.#address = address;
    this.routerId = config.routerId ?? routerIdOf(address);
    this.#causes = new Causes(clock);
    this.#metrics = bgpdMetrics(metrics, () => this.#sessionsChanged());
    const { asn, maximumPaths, isReflector } = config;
    const clusterId = isReflector ? { clusterId: config.clusterId ?? this.routerId } : {};
    this.rib = new Rib({ asn, routerId: this.routerId, maximumPaths, ...clusterId }, address);
    this.#ribFeed = new RibFeed({
      rib: this.rib,
      view,
      table,
      causes: this.#causes,
      address: () => this.#address,
      origin: () => originAttributes(this.#peering.current.leases),
      onPublished: () => {
        this.#metrics.routes(this.rib.size, table.routeCount, this.rib.originated);
        this.staticRoutes.tableChanged();
      },
    });
    this.staticRoutes = new StaticRoutes({
      rib: this.rib,
      clock,
      publish: (events) => this.#ribFeed.publish(events, undefined),
      address: () => this.#address,
      isLeased: (prefix) => view.groups.get(view.groupOf(prefix) ?? -1)?.local === true,
      changed: () => this.speaker.wakePeers(),
    });
    this.#peering = new PeeringFile({
      path: config.configFile,
      asn,
      log: context.log,
      changed: (now, before) => this.#repeer(now, before),
    });
    this.speaker = new Speaker({
      dynamic: (open, remote, members) => dynamicPeer(this.#peering.current, open, remote, members),
      open: openOf(config, this.routerId, true),
      rib: this.rib,
      ribFeed: this.#ribFeed,
      dialler: options.exchange,
      random: options.random,
      clock,
      causes: this.#causes,
      log: context.log,
      metrics: this.#metrics,
      keepsAfterCrash: config.gracefulRestartFor === 'any',
      onSessions: () => this.#sessionsChanged(),
      // A reflector's table is that of its clients too; its own END-OF-RIB must not wait for theirs otherwise.
      isComplete: () => (config.isReflector ? this.gate.opened : options.feedInSync()),
    });
    this.watch = new PeerWatch({
      ...{ settings: config.bfd, startThread: options.startBfd, log: context.log, metrics },
      peers: () => this.#watchedPeers(),
      end: (name, kind, detail, detectedUnixUs) => this.speaker.lost(name, kind, detail, detectedUnixUs),
      dial: (name) => this.speaker.peers.members.get(name)?.peer.hurry(),
    });
    this.nextHops = new NextHopWatch({
      ...{ socketPath: options.nextHopSocket, clock, log: context.log },
      changed: (...change) => this.#nextHopChanged(...change),
    });
    this.gate = this.#syncGate();
    this.#listener = new PeerListener({
      fixedAddress: config.listenAddress,
      port: config.listenPort,
      listen: (at, port) => options.exchange.listen(at, port, this.speaker.peers.accept),
      clock,
      context,
    });
  }

  get address(): Address {
    return this.#address;
  }

  /** Where peers reach it; before it listens, the one that was asked for. */
  get port(): number {
    return this.#listener.port;
  }

  /** Why peers cannot reach it at its address at present. */
  get listenProblem(): string | undefined {
    return this.#listener.problem;
  }

  /** What the configuration file says now. */
  get peering(): Peering {
    return this.#peering.current;
  }

  mesh(): ReturnType<Mesh['status']> | undefined {
    return this.#mesh?.status();
  }

  registration(): ReturnType<Registration['status']> | undefined {
    return this.#registration?.status();
  }

  /** Other nodes that claim our router id. */
  get sameRouterId(): readonly string[] {
    return this.#sameRouterId;
  }

  /** Listens, then registers and follows the registry. Rejects with `ExitError` where it cannot listen. */
  async start(): Promise<void> {
    this.nextHops.follow(this.#options.view.groups.values());
    this.nextHops.start();
    this.#ribFeed.followAll();
    await this.#listener.start(this.#address);
    this.#repeer(this.#peering.current, NO_PEERING);
    this.watch.start(this.#address);
    const { config, context, registry, clock, random } = this.#options;
    if (registry === undefined || context.signal.aborted) return;
    const { log, signal } = context;
    const fail = (error: unknown): void => context.fail(error);
    const common = { registry, prefix: config.nodePrefix, log };
    this.#registration = new Registration({ ...common, clock, random, record: () => this.#record(), conflict: fail });
    this.#registration.run(signal).catch(fail);
    const onMalformed = (): void => this.#metrics.malformedRecord();
    this.#mesh = new Mesh({ ...common, onMalformed, onChange: (nodes) => this.#followMesh(nodes) }, signal);
  }

  /** Follows one change of flanneld's feed. */
  follow(change: FeedChange, cause: Cause | undefined): void {
    if (change.groups.length > 0) this.nextHops.follow(this.#options.view.groups.values());
    this.#ribFeed.follow(change, cause);
    this.speaker.wakePeers();
    this.checkSync();
  }

  /** flanneld's feed may be in sync now. */
  checkSync(): void {
    this.gate.check();
    this.speaker.checkComplete();
  }

  /** The underlay address is another now. */
  async move(address: Address): Promise<void> {
    if (address === this.#address) return;
    this.#options.context.log.warn({ from: this.#address, to: address }, 'the underlay address of this node changed');
    this.#address = address;
    this.#ribFeed.followAll();
    this.staticRoutes.moved();
    if (!(await this.#listener.move(address))) return;
    this.watch.start(address);
    this.#registration?.hurry();
    this.speaker.wakePeers();
  }

  /**
   * Tells the peers and the registry. With graceful restart this is taken for a restart, unless the node was drained: its
   * routes stay with the peers, and its record in the registry, until their times are up.
   */
  async stop(): Promise<void> {
    const { node, gracefulRestartSeconds } = this.#options.config;
    const leaves = gracefulRestartSeconds === 0 || this.rib.draining;
    this.gate.stop();
    this.nextHops.close();
    this.#peering.close();
    this.speaker.stop(
      leaves
        ? notification('administrativeShutdown', `bgpd of ${node} is stopping`)
        : notification('administrativeReset', `bgpd of ${node} is stopping, to be back soon`),
    );
    const withdrawn = this.#registration?.withdraw(leaves).catch((error: unknown) => {
      this.#options.context.log.warn(
        { reason: errorText(error) },
        'the record of this node stays until its lease ends',
      );
    });
    await Promise.all([
      this.#options.exchange.close(),
      this.watch.stop(),
      Promise.race([withdrawn ?? Promise.resolve(), pause(this.#options.clock, WITHDRAW_WAIT_MS)]),
    ]);
  }

  #followMesh(nodes: ReadonlyMap<string, NodeRecord>): void {
    const { config, context } = this.#options;
    const own = nodes.get(config.node);
    if (own === undefined || own.address !== this.#address) this.#registration?.hurry();
    const same = [...nodes.values()].filter(({ name, routerId }) => routerId === this.routerId && name !== config.node);
    if (same.length > 0 && this.#sameRouterId.length === 0) {
      context.log.error({ routerId: this.routerId, nodes: same }, 'other nodes have the router id of this one');
    }
    this.#sameRouterId = same.map(({ name }) => name);
    this.#registered = nodes;
    this.#setPeers();
    this.#sessionsChanged();
  }

  /** The peers of the registry and those of the file, which wins where both have a name. */
  #setPeers(): void {
    const { meshLimit, peers } = this.#peering.current;
    const limit = meshLimit === undefined ? {} : { prefixLimit: meshLimit };
    const wanted = new Map<string, PeerRecord>();
    for (const [name, node] of sessionsWanted(this.#record(), this.#registered))
      wanted.set(name, { ...node, ...limit });
    for (const peer of peers) wanted.set(peer.name, peer);
    this.speaker.peers.setNodes(wanted);
  }

  #repeer(now: Peering, before: Peering): void {
    this.speaker
      .setPolicies(now.policies, importChanges(now, before))
      .catch((error: unknown) => this.#options.context.fail(error));
    if (JSON.stringify(now.leases) !== JSON.stringify(before.leases)) this.#ribFeed.followAll();
    this.#setPeers();
    this.speaker.peers.enforce([...now.peers, ...before.peers].map(({ name }) => name));
    this.staticRoutes.setFile(now.routes);
    this.#sessionsChanged();
  }

  #nextHopChanged(endpoint: Address, reason: string | undefined, detectedUnixUs: bigint): void {
    const cause = this.#causes.make('next-hop-changed', detectedUnixUs);
    this.#ribFeed.publish(this.rib.setUnreachable(endpoint, reason, cause), cause);
    this.speaker.wakePeers();
  }

  #record(): NodeRecord {
    const { routerId } = this;
    const here = { address: this.#address, port: this.port, routerId, bfd: this.watch.offered };
    return recordOf(this.#options.config, here);
  }

  *#watchedPeers(): Iterable<WatchedPeer> {
    for (const { record, peer } of this.speaker.peers.members.values()) {
      const { name, address } = record;
      const bfd = bfdOf(this.peering, record, this.speaker.peers.offersBfd(name));
      yield { name, address, bfd, established: peer.established, keepsStale: this.speaker.keepsStale(name) };
    }
  }

  #syncGate(): SyncGate {
    const { config, context, clock, feedInSync, registry, table } = this.#options;
    return new SyncGate({
      clock,
      waitMs: config.syncWaitMs,
      feedInSync,
      registryListed: () => registry === undefined || (this.#mesh?.status().state ?? 'connecting') !== 'connecting',
      unsynced: () => [
        ...this.speaker.unsynced(),
        ...(registry === undefined ? [] : unmet(this.#options.view.groups.values(), this.#registered.values())),
      ],
      open: (missing) => {
        this.speaker.setOpen(openOf(config, this.routerId, false));
        if (missing.length > 0) context.log.warn({ peers: missing }, 'in sync without the routes of some peers');
        table.markInSync();
        this.speaker.checkComplete();
        context.log.info({ routes: table.routeCount }, 'route feed in sync');
      },
    });
  }

  get establishedPeers(): number {
    return [...this.speaker.peers.members.values()].filter(({ peer }) => peer.established).length;
  }

  /** Sessions came up or ended, any number of them: one look at all peers. */
  #sessionsChanged(): void {
    if (this.#sessionsScheduled) return;
    this.#sessionsScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#sessionsScheduled = false;
      this.watch.follow();
      this.gate.check();
      this.#metrics.peers(this.speaker.peers.members.size, this.establishedPeers);
    });
  }
}
