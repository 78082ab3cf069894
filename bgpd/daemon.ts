// Wires bgpd: flanneld's feed in, this node among the others (node.ts), our feed out, the status server beside them.
//
// Order of the start: status server and feeds at once, so that everybody can see what is waited for; the node only when
// its address is known (a flag, or the endpoint of the local group in flanneld's feed). Order of the stop: first our
// feed, so that felix keeps its routes; then the peers and the registry are told.

import { join } from 'node:path';
import type { Cause } from '../lib/feed/feed.ts';
import { type FeedClient, watchFeed } from '../lib/feed/feed-client.ts';
import { feedSocketPath, startFeedServer } from '../lib/feed/feed-server.ts';
import { FeedTable } from '../lib/feed/feed-table.ts';
import { type FeedChange, FeedView } from '../lib/feed/feed-view.ts';
import { type Address, familyOf } from '../lib/net/address.ts';
import { openEtcdRegistry } from '../lib/registry/etcd-registry.ts';
import { systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { type DaemonContext, ensureRunFolder, type RunningDaemon } from '../lib/run/lifecycle.ts';
import { Metrics, startStatusServer } from '../lib/run/status-server.ts';
import { startBfdThread } from './bfd/liveness.ts';
import type { BgpdConfig } from './config.ts';
import { GobgpServer } from './gobgp/server.ts';
import { nextHopSocketPath } from './next-hop-watch.ts';
import { Node, type NodeOptions } from './node.ts';
import { explainRoute, listRoutes } from './route-list.ts';
import { dialCredentials } from './session/exchange-tls.ts';
import { openExchange } from './session/route-exchange.ts';
import { bgpdChecks, bgpdStatus, type StatusInput } from './status.ts';

const NO_ADDRESS = 'this node has no address yet';

/** Starts bgpd. Rejects with `ExitError` where it cannot run. */
export async function startBgpd(config: BgpdConfig, context: DaemonContext): Promise<RunningDaemon> {
  const { log, signal } = context;
  const secrets = dialCredentials(config.tls, config.node);
  if ('error' in secrets) {
    throw new ExitError(EXIT.usage, `bgpd: --tls-ca-file, --tls-cert-file, --tls-key-file: ${secrets.error}`);
  }
  await ensureRunFolder(config.runFolder);
  const metrics = new Metrics('bgpd');
  const view = new FeedView();
  const table = new FeedTable();
  const registry = config.mesh ? await openEtcdRegistry(config.etcd) : undefined;
  const feedServer = await startFeedServer({
    socketPath: feedSocketPath(config.runFolder, 'bgpd'),
    table,
    log,
    metrics,
  });
  let client: FeedClient | undefined;
  const feedInSync = (): boolean => client?.status().state === 'in-sync';
  const gobgp = new GobgpServer({ address: config.gobgpAddress, config, clock: systemClock, log, metrics });
  const options = {
    ...{ config, context, clock: systemClock, metrics, registry, view, table, feedInSync },
    exchange: openExchange(systemClock, config.tls),
    startBfd: startBfdThread,
    nextHopSocket: nextHopSocketPath(config.runFolder),
    random: Math.random,
  };
  const bringUp = new NodeBringUp(options, (node) => gobgp.attach(node));
  bringUp.check();
  client = watchFeed(
    {
      socketPath: feedSocketPath(config.runFolder, 'flanneld'),
      watcher: 'bgpd',
      view,
      log,
      onChange: (change, cause) => bringUp.follow(change, cause),
      onState: () => bringUp.check(),
    },
    signal,
  );
  const flanneld = client;
  const input = (): StatusInput => ({
    name: config.node,
    asn: config.asn,
    tls: config.tls,
    node: bringUp.node,
    flanneld: flanneld.status(),
    served: feedServer.status(),
    gobgp: gobgp.status(),
  });
  const statusServer = await startStatusServer(
    { host: config.statusAddress, port: config.statusPort, socketPath: join(config.runFolder, 'bgpd.http') },
    {
      checks: () => bgpdChecks(input()),
      status: () => bgpdStatus(input()),
      actions: {
        '/drain': () => bringUp.drain(true),
        '/undrain': () => bringUp.drain(false),
        '/routes': async () => (bringUp.node === undefined ? [] : await listRoutes(bringUp.node.rib)),
        '/explain': async (query) => bringUp.explain(query.get('prefix') ?? ''),
      },
    },
    metrics,
  );
  gobgp.start();
  log.info({ node: config.node, asn: config.asn, runFolder: config.runFolder }, 'bgpd started');
  return {
    async stop() {
      await feedServer.close();
      await gobgp.close();
      flanneld.close();
      await bringUp.node?.stop();
      await Promise.all([registry?.close(), statusServer.close()]);
    },
  };
}

/** Makes the node as soon as its address is known, and lets it follow. */
class NodeBringUp {
  readonly #options: NodeOptions;
  readonly #made: (node: Node) => void;
  node: Node | undefined;

  constructor(options: NodeOptions, made: (node: Node) => void) {
    this.#options = options;
    this.#made = made;
  }

  follow(change: FeedChange, cause: Cause | undefined): void {
    this.node?.follow(change, cause);
    this.check();
  }

  /** Every peer is told, before this answers, to use this node only where there is no other way; or as usual again. */
  async drain(draining: boolean): Promise<unknown> {
    if (this.node === undefined) return { draining: false, detail: NO_ADDRESS };
    await this.node.speaker.setDraining(draining);
    return { draining, established: this.node.establishedPeers };
  }

  explain(asked: string): unknown {
    return this.node === undefined ? { error: NO_ADDRESS } : explainRoute(this.node.rib, asked);
  }

  check(): void {
    const { config, context, view } = this.#options;
    const address = config.address ?? localEndpoint(view);
    if (address === undefined || context.signal.aborted) return;
    if (this.node !== undefined) {
      this.node.move(address).catch((error: unknown) => context.fail(error));
      this.node.checkSync();
      return;
    }
    try {
      this.node = new Node(this.#options, address);
      this.#made(this.node);
      this.node.start().catch((error: unknown) => context.fail(error));
    } catch (error) {
      context.fail(error);
    }
  }
}

/** The address of this node as its own flanneld gives it: the IPv4 one, and another only where there surely is none. */
function localEndpoint(view: FeedView): Address | undefined {
  let found: Address | undefined;
  for (const { local, endpoint } of view.groups.values()) {
    if (!local || endpoint === undefined) continue;
    if (familyOf(endpoint) === 4) return endpoint;
    found ??= endpoint;
  }
  return view.synced ? found : undefined;
}
