// Wires flanneld. Order of the start: status server, network config, interface, lease, device, feed, subnet.env, watch.
//
// Each step waits where waiting helps (etcd away, no config yet) and ends the daemon with one line where it does not.
// Order of the stop: the feed first, so that felix keeps its routes; device and lease stay for the next run.

import { join } from 'node:path';
import { feedSocketPath, startFeedServer } from '../lib/feed/feed-server.ts';
import { FeedTable } from '../lib/feed/feed-table.ts';
import { type Kernel, TABLE_MAIN } from '../lib/kernel/kernel.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import { familyOf } from '../lib/net/address.ts';
import type { Prefix } from '../lib/net/prefix.ts';
import { openEtcdRegistry } from '../lib/registry/etcd-registry.ts';
import type { Registry } from '../lib/registry/registry.ts';
import { type Clock, systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { type DaemonContext, ensureRunFolder, type RunningDaemon } from '../lib/run/lifecycle.ts';
import { Metrics, startStatusServer } from '../lib/run/status-server.ts';
import type { Backend } from './backend/backend.ts';
import { removeFormerDevices } from './backend/former-devices.ts';
import { openBackend } from './backend/open-backend.ts';
import type { FlanneldConfig } from './config.ts';
import type { OpenDataPlane } from './dataplane/data-plane.ts';
import { openDataPlane } from './dataplane/open-data-plane.ts';
import { acquireLease, type LeaseTerms } from './lease/acquire-lease.ts';
import { LeaseHolder } from './lease/lease-holder.ts';
import { describeFaults, isConfigFault, type NetworkConfig, parseNetworkConfig } from './lease/network-config.ts';
import { LeaseFeed } from './lease-feed.ts';
import { PeerWatch } from './peer-watch.ts';
import { NotYet, persist } from './persist.ts';
import { type FlanneldView, flanneldChecks, flanneldStatus, registerMetrics } from './status.ts';
import { readSubnetFile, SubnetFile } from './subnet-file.ts';
import { chooseUnderlay, type Underlay } from './underlay.ts';
import { watchUnderlay } from './underlay-watch.ts';

/** What the daemon is made of; a test puts fakes in. */
export interface FlanneldParts {
  readonly registry: Registry;
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly openPlane: OpenDataPlane;
}

/** Starts flanneld with the real parts. Rejects with `ExitError` where it cannot run. */
export async function startFlanneld(config: FlanneldConfig, context: DaemonContext): Promise<RunningDaemon> {
  const registry = await openEtcdRegistry(config.etcd);
  const kernel = openKernel(context.log);
  return runFlanneld(config, context, { registry, kernel, clock: systemClock, openPlane: openDataPlane });
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
  const view: FlanneldView = {
    node: config.node,
    phase: 'waiting for the network config from etcd',
    underlayUp: true,
    etcd: { connected: false, sinceMs: Number(clock.unixMicros() / 1000n), reason: 'it has not answered yet' },
    feedInSync: false,
    malformed: 0,
  };
  const metrics = new Metrics('flanneld');
  registerMetrics(metrics, view);
  atEnd(await serveStatus(config, view, metrics));

  const network = await persist('read the network config', () => fetchConfig(config, registry), { clock, log, signal });
  view.etcd = { connected: true };
  const underlay = await findUnderlay(config, network, kernel);
  view.underlay = underlay;
  log.info({ interface: underlay.name, local: underlay.local, publicIp: underlay.publicIp }, 'underlay chosen');

  let follow = (): void => undefined;
  const backend = openBackend(
    network.backend,
    { ...config, openPlane: parts.openPlane },
    {
      ...{ kernel, clock, log, underlay },
      nodeName: config.node,
      onChange: () => follow(),
    },
  );
  view.phase = 'waiting for a subnet lease from etcd';
  const terms = await leaseTerms(config, network, underlay, backend, context, parts);
  const held = await acquireLease(terms, signal);
  view.holder = new LeaseHolder(terms, held, config.renewMarginSeconds);

  view.phase = 'making the device';
  view.backend = backend;
  const removed = await removeFormerDevices(kernel, overlayOf(network), backend.deviceName);
  if (removed.length > 0) log.info({ removed }, 'removed devices of another backend');
  atEnd(() => backend.stop());
  await backend.start(held.lease);

  const table = new FeedTable();
  const feed = new LeaseFeed(table, clock);
  feed.publishOwn(held.lease, underlay.publicIp);
  const feedServer = await startFeedServer({
    socketPath: feedSocketPath(config.runFolder, 'flanneld'),
    ...{ table, log, metrics },
  });
  atEnd(() => feedServer.close());

  const subnetFile = new SubnetFile(config.subnetFile, network, held.lease);
  await subnetFile.keep(backend.mtuBytes);
  log.info({ file: config.subnetFile, subnet: held.lease.subnet, mtuBytes: backend.mtuBytes }, 'subnet file written');

  const watch = new PeerWatch({ view, table, feed, backend, terms, log, clock, metrics, holder: view.holder });
  follow = () => {
    watch.publishSoon();
    subnetFile.keep(backend.mtuBytes).catch((error: unknown) => context.fail(error));
  };
  registry.watch(watch.folder, (event) => watch.hear(event), signal);
  atEnd(await watchUnderlay({ kernel, underlay, backend, view, log }));
  view.phase = '';
  view.holder.hold(signal).catch((error: unknown) => context.fail(error));
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

async function fetchConfig({ etcdPrefix }: FlanneldConfig, registry: Registry): Promise<NetworkConfig> {
  const key = `${etcdPrefix}/config`;
  const entry = await registry.get(key);
  if (entry === undefined) {
    throw new NotYet(`etcd has no ${key}: write one, such as {"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}`);
  }
  const parsed = parseNetworkConfig(entry.value);
  if (isConfigFault(parsed)) throw new ExitError(EXIT.config, `network config ${key}: ${describeFaults(parsed)}`);
  return parsed;
}

function overlayOf({ pool, pool6 }: NetworkConfig): readonly Prefix[] {
  return pool6 === undefined ? [pool.network] : [pool.network, pool6.network];
}

async function findUnderlay(config: FlanneldConfig, network: NetworkConfig, kernel: Kernel): Promise<Underlay> {
  const [links, addresses, routes] = [
    await kernel.list('link'),
    await kernel.list('address'),
    await kernel.list('route', { table: TABLE_MAIN }),
  ];
  const { iface, publicIp } = config;
  const chosen = chooseUnderlay({ links, addresses, routes }, { iface, publicIp, overlay: overlayOf(network) });
  if (typeof chosen === 'string') throw new ExitError(EXIT.environment, `flanneld: ${chosen}`);
  return chosen;
}

async function leaseTerms(
  config: FlanneldConfig,
  network: NetworkConfig,
  { local, publicIp }: Underlay,
  backend: Backend,
  { log }: DaemonContext,
  { registry, clock }: FlanneldParts,
): Promise<LeaseTerms> {
  const address = familyOf(publicIp) === 4 ? { publicIp } : { publicIp6: publicIp };
  return {
    ...{ registry, clock, log, config: network },
    etcdPrefix: config.etcdPrefix,
    nodeName: config.node,
    publicIps: [publicIp, local],
    previous: await readSubnetFile(config.subnetFile),
    ttlSeconds: config.leaseTtlSeconds,
    attributes: (_, before) => ({ ...address, ...backend.leaseData(before), nodeName: config.node }),
  };
}
