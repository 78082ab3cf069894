// Wires flanneld. Order of the start: status server, network config, interface, lease, device, feed, subnet.env, watch.
//
// Each step waits where waiting helps (etcd away, no config yet) and ends the daemon with one line where it does not.
// Order of the stop: the feed first, so that felix keeps its routes; device and lease stay for the next run.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { feedSocketPath, startFeedServer } from '../lib/feed/feed-server.ts';
import { FeedTable } from '../lib/feed/feed-table.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import { openEtcdRegistry } from '../lib/registry/etcd-registry.ts';
import { type Clock, pause, systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { type DaemonContext, ensureRunFolder, type RunningDaemon } from '../lib/run/lifecycle.ts';
import { Metrics, startStatusServer } from '../lib/run/status-server.ts';
import type { Backend } from './backend/backend.ts';
import { removeFormerDevices } from './backend/former-devices.ts';
import { checkHost } from './backend/host-check.ts';
import { openBackend } from './backend/open-backend.ts';
import type { FlanneldConfig } from './config.ts';
import type { OpenDataPlane } from './dataplane/data-plane.ts';
import { acquireLease } from './lease/acquire-lease.ts';
import { LeaseHolder } from './lease/lease-holder.ts';
import { LeaseFeed } from './lease-feed.ts';
import { fetchConfig, findUnderlay, leaseTerms, type NodeFacts, overlayOf } from './node-facts.ts';
import { followNode, type NodeSources } from './node-follow.ts';
import { PeerWatch } from './peer-watch.ts';
import { persist } from './persist.ts';
import { offerPods } from './pod-feed.ts';
import { RouteOwners } from './route-owners.ts';
import { type FlanneldView, flanneldChecks, flanneldStatus, registerMetrics } from './status.ts';
import { readSubnetFile, renderSubnetFile, SubnetFile } from './subnet-file.ts';
import { Tenure } from './tenure.ts';

/** For each step of giving back at the end, which has a deadline. */
const RELEASE_MS = 600;

/** What the daemon is made of; a test puts fakes in. */
export interface FlanneldParts extends NodeSources {
  readonly openPlane: OpenDataPlane;
}

/** Starts flanneld with the real parts. Rejects with `ExitError` where it cannot run. */
export async function startFlanneld(config: FlanneldConfig, context: DaemonContext): Promise<RunningDaemon> {
  const registry = await openEtcdRegistry(config.etcd);
  const kernel = openKernel(context.log);
  // Most nodes never need a plane of their own: it is loaded when it is opened.
  const openPlane: OpenDataPlane = async (plane, options) => {
    const { openDataPlane } = await import('./dataplane/open-data-plane.ts');
    return openDataPlane(plane, { ...options, tuning: config.tuning });
  };
  const reconnect = (reason: string): void => registry.reconnect(reason);
  return runFlanneld(config, context, { registry, kernel, clock: systemClock, openPlane, reconnect });
}

/** As `startFlanneld`, with these parts, which it closes at the end. */
export async function runFlanneld(
  config: FlanneldConfig,
  context: DaemonContext,
  parts: FlanneldParts,
): Promise<RunningDaemon> {
  const closers: (() => Promise<void>)[] = [() => parts.registry.close(), () => parts.kernel.close()];
  const stop = async (): Promise<void> => {
    for (const close of closers.reverse()) await close();
  };
  try {
    await start(config, context, parts, (close) => closers.push(close));
  } catch (error) {
    // Asked to stop while it waited for something: that is no failure.
    if (!context.signal.aborted) {
      await stop();
      throw error;
    }
  }
  return { stop };
}

async function start(
  config: FlanneldConfig,
  context: DaemonContext,
  parts: FlanneldParts,
  atEnd: (close: () => Promise<void>) => void,
): Promise<void> {
  const { log, signal } = context;
  const { registry, kernel, clock } = parts;
  await ensureRunFolder(config.runFolder);
  const view = newView(config, clock);
  const metrics = new Metrics('flanneld');
  registerMetrics(metrics, view);
  atEnd(await serveStatus(config, view, metrics));

  const fetched = await persist('read the network config', () => fetchConfig(config, registry), { clock, log, signal });
  view.etcd = { connected: true };
  const underlay = await findUnderlay(config, fetched.network, kernel);
  const previous = await readSubnetFile(config.subnetFile);
  const facts: NodeFacts = { network: fetched.network, underlay, previous };
  view.underlay = underlay;
  log.info({ interface: underlay.name, local: underlay.local, publicIp: underlay.publicIp }, 'underlay chosen');

  let follow = (_keys?: readonly string[]): void => undefined;
  const backend = openBackend(
    fetched.network.backend,
    { ...config, openPlane: parts.openPlane },
    {
      ...{ kernel, clock, log, underlay },
      nodeName: config.node,
      onChange: (keys) => follow(keys),
    },
  );
  await checkHost(kernel, backend);
  view.phase = 'waiting for a subnet lease from etcd';
  const terms = leaseTerms(config, facts, backend, { registry, clock, log });
  const held = await acquireLease(terms, signal);
  const holder = new LeaseHolder(terms, held, config.renewMarginSeconds);
  view.holder = holder;
  if (held.takenFrom !== undefined) view.takenFrom = held.takenFrom;

  view.phase = 'making the device';
  view.backend = backend;
  let holding: Promise<unknown> = Promise.resolve();
  let tenure: Tenure | undefined;
  if (config.releaseOnExit) atEnd(() => giveBack(config, context, parts, backend, () => tenure?.holder, holding));
  atEnd(() => backend.stop());
  try {
    const removed = await removeFormerDevices(kernel, overlayOf(fetched.network), backend.deviceName);
    if (removed.length > 0) log.info({ removed }, 'removed devices of another backend');
    await backend.start(held.lease);
  } catch (error) {
    // A lease that nobody uses would keep others out until it runs out.
    if (held.isNew) await holder.release();
    throw error;
  }

  const table = new FeedTable();
  const feed = new LeaseFeed(table, clock, overlayOf(fetched.network));
  feed.publishOwn(held.lease, underlay.publicIp);
  atEnd(await serveFeed(config, context, clock, table, metrics));

  const subnetFile = new SubnetFile(config.subnetFile, () =>
    renderSubnetFile(facts.network, view.holder?.lease ?? held.lease, backend.mtuBytes, config.ipMasq),
  );
  await subnetFile.keep();
  log.info({ file: config.subnetFile, subnet: held.lease.subnet, mtuBytes: backend.mtuBytes }, 'subnet file written');

  const { renewMarginSeconds, onConflict } = config;
  const follows = { facts, terms, holder, renewMarginSeconds, onConflict };
  const holds = new Tenure({ ...follows, ...{ backend, feed, subnetFile, view }, clock, log });
  tenure = holds;
  const watch = new PeerWatch({ view, table, feed, backend, terms, log, clock, metrics });
  const owners = followRoutes(config, backend, context, clock);
  atEnd(async () => owners?.close());
  if (owners !== undefined) view.owners = () => owners.status();
  follow = (keys) => {
    watch.publishSoon(keys);
    owners?.refresh();
    subnetFile.keep().catch((error: unknown) => context.fail(error));
  };
  registry.watch(watch.folder, (event) => watch.hear(event), signal);
  atEnd(await followNode(config, fetched.text, facts, holds, context, parts, view));
  view.phase = '';
  holding = holds.hold(signal).catch((error: unknown) => {
    tenure = undefined;
    context.fail(error);
  });
}

/** Where the data plane needs to know who has which prefix, beyond the leases. */
function followRoutes(
  { routesFromBgpd, runFolder }: FlanneldConfig,
  backend: Backend,
  { log }: DaemonContext,
  clock: Clock,
): RouteOwners | undefined {
  const { setRoutes } = backend;
  if (!routesFromBgpd || setRoutes === undefined) return undefined;
  return new RouteOwners({ runFolder, clock, log, setRoutes, peers: () => backend.peers() });
}

/** Serves the feed, with this node's pods in it. */
async function serveFeed(
  config: FlanneldConfig,
  { log }: DaemonContext,
  clock: Clock,
  table: FeedTable,
  metrics: Metrics,
): Promise<() => Promise<void>> {
  const socketPath = feedSocketPath(config.runFolder, 'flanneld');
  const server = await startFeedServer({ socketPath, ...{ table, log, metrics } });
  const endPods = offerPods({ ...config, ...{ table, clock, log } });
  return async () => {
    await endPods();
    await server.close();
  };
}

async function serveStatus(config: FlanneldConfig, view: FlanneldView, metrics: Metrics): Promise<() => Promise<void>> {
  const { statusAddress: host, statusPort: port, runFolder } = config;
  const socketPath = join(runFolder, 'flanneld.http');
  const source = { checks: () => flanneldChecks(view), status: () => flanneldStatus(view) };
  try {
    const server = await startStatusServer({ host, port, socketPath }, source, metrics);
    return () => server.close();
  } catch (error) {
    const flags = `${host}:${port} (--status-address, --status-port) or ${socketPath} (--run-dir)`;
    throw new ExitError(EXIT.environment, `flanneld: cannot serve its status on ${flags}`, { cause: error });
  }
}

function newView({ node, etcd }: FlanneldConfig, clock: Clock): FlanneldView {
  return {
    node,
    etcdAt: { endpoints: etcd.endpoints, tls: etcd.tls ?? {} },
    phase: 'waiting for the network config from etcd',
    underlayUp: true,
    etcd: { connected: false, sinceMs: Number(clock.unixMicros() / 1000n), reason: 'it has not answered yet' },
    feedInSync: false,
    malformed: 0,
  };
}

/** --release-on-exit: what this node has in etcd and in the kernel goes. Not after a failure: the next run wants it back. */
async function giveBack(
  { subnetFile }: FlanneldConfig,
  { log }: DaemonContext,
  { kernel, clock }: FlanneldParts,
  { deviceName }: Backend,
  holder: () => LeaseHolder | undefined,
  holding: Promise<unknown>,
): Promise<void> {
  await Promise.race([holding, pause(clock, RELEASE_MS)]);
  const held = holder();
  if (held === undefined) return;
  await Promise.race([held.release(), pause(clock, RELEASE_MS)]);
  await rm(subnetFile, { force: true });
  if (deviceName === undefined) return;
  const [failure] = await kernel.apply([{ op: 'delete', kind: 'link', name: deviceName }]);
  if (failure === undefined) log.info({ device: deviceName }, 'device removed');
  else log.warn({ device: deviceName, failure }, 'the device could not be removed');
}
