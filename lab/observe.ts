// Looks at a running lab from outside: readiness of every daemon, leased subnets, routes in the kernel, peers.
//
// Routes are read from the kernel, not asked of felix: what counts is what forwards packets.

import { z } from 'zod';
import { run } from '../ctl/child.ts';
import { askReadiness, type DaemonName, failingChecks } from '../ctl/daemon-http.ts';
import { type PeerCount, readOverlayPeers, readSessions } from '../ctl/daemon-status.ts';
import type { ProcessIdentity } from '../ctl/process-identity.ts';
import type { SubnetEnv } from '../lib/subnet-env.ts';
import { lastWords, livingProcess } from './lab-process.ts';
import { inParallel, readSubnet } from './launch.ts';
import { ipIn } from './namespaces.ts';
import { daemonPlace, daemonsOf } from './node-daemons.ts';
import type { NodeMachine, Topology } from './topology.ts';

/** The mark of gingham's routes (rtm_protocol). */
const ROUTE_PROTOCOL = 71;
/** Nodes that are looked at side by side. */
const AT_ONCE = 8;

const routesSchema = z.array(z.object({ dst: z.string(), type: z.string().optional() }));

export interface DaemonView {
  readonly daemon: DaemonName;
  readonly process: ProcessIdentity | undefined;
  readonly ready: boolean;
  /** Why it is not ready; empty where it is. */
  readonly reason: string;
}

export interface NodeView {
  readonly node: NodeMachine;
  readonly subnet: SubnetEnv | undefined;
  readonly daemons: readonly DaemonView[];
  /** Destinations of gingham's routes in the node's kernel. */
  readonly routes: readonly string[];
  readonly peers: PeerCount | undefined;
}

/** Looks at all nodes. */
export async function observe(topology: Topology): Promise<readonly NodeView[]> {
  const views = new Map<NodeMachine, NodeView>();
  await inParallel(AT_ONCE, topology.nodes, async (node) => {
    views.set(node, await observeNode(topology, node));
  });
  return topology.nodes.flatMap((node) => views.get(node) ?? []);
}

/** Looks at one node. */
export async function observeNode(topology: Topology, node: NodeMachine): Promise<NodeView> {
  const mode = topology.options.mode;
  const folder = daemonPlace(topology, node, 'flanneld').folder;
  const [daemons, subnet, routes, peers] = await Promise.all([
    Promise.all(daemonsOf(mode).map((daemon) => observeDaemon(topology, node, daemon))),
    readSubnet(topology, node),
    readRoutes(node.namespace),
    mode === 'routed' ? readSessions(folder) : countPeers(folder),
  ]);
  return { node, subnet, daemons, routes, peers };
}

/**
 * Why the cluster has not converged, for each node with something missing; empty when every daemon is ready, every
 * session is up and every kernel has a route to every other node's subnet.
 */
export function whatIsMissing(views: readonly NodeView[]): readonly string[] {
  return views.flatMap((view) => {
    const reason = missingAt(view, views);
    return reason === undefined ? [] : [`${view.node.name}: ${reason}`];
  });
}

/** Daemons that have ended on their own: waiting for these is in vain. */
export function endedDaemons(topology: Topology, views: readonly NodeView[]): readonly string[] {
  return views.flatMap(({ node, daemons }) =>
    daemons
      .filter((view) => view.process === undefined)
      .map(({ daemon }) => {
        const place = daemonPlace(topology, node, daemon);
        return `${place.title} has ended; its last words: ${lastWords(place)}`;
      }),
  );
}

function missingAt(view: NodeView, views: readonly NodeView[]): string | undefined {
  const unready = view.daemons.find((daemon) => !daemon.ready);
  if (unready !== undefined) return `${unready.daemon} is not ready: ${unready.reason}`;
  if (view.subnet === undefined) return 'no subnet is leased';
  const others = views.filter((other) => other !== view);
  const expected = expectedPeers(view, others);
  if (view.peers !== undefined && view.peers.up < expected) return `${view.peers.up} of ${expected} peers are up`;
  const routes = new Set(view.routes);
  const unreached = others.filter(({ subnet }) => subnet === undefined || !routes.has(subnet.subnet));
  if (unreached.length === 0) return undefined;
  const [first] = unreached;
  return `no route to ${first?.node.name} (${first?.subnet?.subnet ?? 'no subnet'})${unreached.length > 1 ? ` and ${unreached.length - 1} more` : ''}`;
}

/** Sessions that a node has when all is well: with all, or where some nodes reflect, the others with those only. */
export function expectedPeers({ node }: NodeView, others: readonly NodeView[]): number {
  const reflectors = others.filter((other) => other.node.isReflector).length;
  return node.isReflector || reflectors === 0 ? others.length : reflectors;
}

async function observeDaemon(topology: Topology, node: NodeMachine, daemon: DaemonName): Promise<DaemonView> {
  const place = daemonPlace(topology, node, daemon);
  const process = livingProcess(place);
  if (process === undefined)
    return { daemon, process, ready: false, reason: `it has ended; its last words: ${lastWords(place)}` };
  const readiness = await askReadiness(place.folder, daemon);
  if (typeof readiness === 'string') return { daemon, process, ready: false, reason: readiness };
  return { daemon, process, ready: readiness.ready, reason: readiness.ready ? '' : failingChecks(readiness) };
}

/** Without bgpd, a peer is up once flanneld has a way for packets to it. */
async function countPeers(folder: string): Promise<PeerCount | undefined> {
  const peers = await readOverlayPeers(folder);
  return typeof peers === 'string'
    ? undefined
    : { up: peers.filter((peer) => peer.programmed).length, total: peers.length };
}

async function readRoutes(namespace: string): Promise<readonly string[]> {
  const text = await run([...ipIn(namespace), '-json', 'route', 'show', 'proto', String(ROUTE_PROTOCOL)]).catch(
    () => '',
  );
  const parsed = routesSchema.safeParse(text.trim() === '' ? [] : JSON.parse(text));
  return parsed.success ? parsed.data.map((route) => route.dst) : [];
}
