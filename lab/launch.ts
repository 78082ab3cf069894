// Starts what a lab needs and does not run yet: etcd, daemons, pods. Safe to call on a lab that runs in part.
//
// Starting a daemon costs more CPU than all that it does afterwards, so only a few start at a time: a hundred at once
// would each take so long that hold timers and leases of the first run out before the last has begun.

import { setMaxListeners } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { askDaemon, type DaemonName } from '../ctl/daemon-http.ts';
import { POD_NETNS_FILE } from '../ctl/pod-place.ts';
import { plugPod } from '../ctl/pod-plug.ts';
import { poll } from '../ctl/poll.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { parseSubnetEnv, podAddress, type SubnetEnv } from '../lib/subnet-env.ts';
import { startEtcdMember } from './etcd.ts';
import { lastWords, livingProcess, type ProcessPlace, startProcess } from './lab-process.ts';
import { inNamespace, ipIn } from './namespaces.ts';
import {
  daemonArgv,
  daemonEnvironment,
  daemonPlace,
  daemonsOf,
  findNode,
  offersServices,
  peeringFile,
} from './node-daemons.ts';
import type { Progress } from './progress.ts';
import { plugServices, servicePeering } from './services.ts';
import { machineFolder } from './state.ts';
import type { NodeMachine, Topology } from './topology.ts';

/** How long a daemon may take to serve its status, and flanneld to write subnet.env. */
const START_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/** Starts every daemon that does not run and plugs every pod. Returns how many daemons were started. */
export async function launchNodes(topology: Topology, progress: Progress, signal: AbortSignal): Promise<number> {
  await Promise.all(
    topology.nodes.map(async (node) => {
      const folder = machineFolder(topology.lab, node.name);
      await mkdir(folder, { recursive: true, mode: 0o755 });
      await writeFile(join(folder, POD_NETNS_FILE), `${node.podNamespace}\n`);
      if (offersServices(topology, node)) await writeFile(peeringFile(topology, node), servicePeering(topology, node));
    }),
  );
  const jobs = daemonsOf(topology.options.mode).flatMap((daemon) =>
    topology.nodes.map((node) => ({ node, daemon, place: daemonPlace(topology, node, daemon) })),
  );
  const missing = jobs.filter(({ place }) => livingProcess(place) === undefined);
  let answering = 0;
  await allOrNone(signal, (either) => [
    inParallel(startingAtOnce(), missing, async ({ node, daemon, place }) => {
      either.throwIfAborted();
      startDaemon(topology, node, daemon);
      await daemonAnswers(place, daemon, either);
      answering++;
      progress.detail(`${answering} of ${missing.length}, ${place.title} last`);
    }),
    ...topology.nodes.map((node) => plugNode(topology, node, either)),
  ]);
  return missing.length;
}

/** Starts one daemon, with flags beyond its usual ones; its log and record go to its node's folder. */
export function startDaemon(
  topology: Topology,
  node: NodeMachine,
  daemon: DaemonName,
  extraFlags: readonly string[] = [],
): void {
  const argv = [...daemonArgv(topology, node, daemon), ...extraFlags];
  startProcess(daemonPlace(topology, node, daemon), argv, daemonEnvironment());
}

/** Starts the daemon, or the etcd member, that is called so. */
export async function startPlace(
  topology: Topology,
  name: string,
  daemon: DaemonName | undefined,
  extraFlags: readonly string[] = [],
): Promise<void> {
  const member = topology.etcdMembers.find((candidate) => candidate.name === name);
  if (member !== undefined) await startEtcdMember(topology, member);
  else if (daemon !== undefined)
    startDaemon(topology, findNode(topology, name.split('/')[0] ?? ''), daemon, extraFlags);
}

/** The node's leased subnet from its subnet.env; `undefined` where there is none yet. */
export async function readSubnet(topology: Topology, node: NodeMachine): Promise<SubnetEnv | undefined> {
  const text = await readFile(subnetFile(topology, node), 'utf8').catch(() => undefined);
  const parsed = text === undefined ? undefined : parseSubnetEnv(text);
  return typeof parsed === 'string' ? undefined : parsed;
}

/** Runs `work` on all items, at most `limit` at a time; rejects with the first failure. */
export async function inParallel<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}

/** Waits for all; the first failure aborts the rest, and is thrown only when nothing runs any more. */
async function allOrNone(signal: AbortSignal, work: (either: AbortSignal) => readonly Promise<void>[]): Promise<void> {
  const failed = new AbortController();
  let first: { readonly error: unknown } | undefined;
  const either = AbortSignal.any([signal, failed.signal]);
  setMaxListeners(0, either);
  const watched = work(either).map((promise) =>
    promise.catch((error: unknown) => {
      first ??= { error };
      failed.abort();
    }),
  );
  await Promise.all(watched);
  if (first !== undefined) throw first.error;
}

async function plugNode(topology: Topology, node: NodeMachine, signal: AbortSignal): Promise<void> {
  const flanneld = daemonPlace(topology, node, 'flanneld');
  // The queue may take a while to reach this node's flanneld: the time limit is on the daemon, not on its turn.
  const started = (): true | undefined => (livingProcess(flanneld) === undefined ? undefined : true);
  await poll({ timeoutMs: START_TIMEOUT_MS * 10, intervalMs: POLL_MS, signal }, started);
  const env = await poll({ timeoutMs: START_TIMEOUT_MS, intervalMs: POLL_MS, signal }, async () => {
    failIfEnded(flanneld);
    return readSubnet(topology, node);
  });
  signal.throwIfAborted();
  if (env === undefined) {
    throw new ExitError(EXIT.internal, `lab: ${node.name}/flanneld wrote no usable ${subnetFile(topology, node)}`);
  }
  const inPod = inNamespace(node.podNamespace);
  await plugPod({ nodeIp: ipIn(node.namespace), podNetns: node.podNamespace, inPod }, env, signal);
  await plugServices(topology, node, podAddress(env.subnet));
}

async function daemonAnswers(place: ProcessPlace, daemon: DaemonName, signal: AbortSignal): Promise<void> {
  const answered = await poll({ timeoutMs: START_TIMEOUT_MS, intervalMs: POLL_MS, signal }, async () => {
    failIfEnded(place);
    const answer = await askDaemon(place.folder, daemon, '/healthz');
    return typeof answer === 'string' ? undefined : true;
  });
  signal.throwIfAborted();
  if (answered) return;
  throw new ExitError(
    EXIT.internal,
    `lab: ${place.title} does not answer on its status socket; its last words: ${lastWords(place)}`,
  );
}

function failIfEnded(place: ProcessPlace): void {
  if (livingProcess(place) !== undefined) return;
  throw new ExitError(EXIT.internal, `lab: ${place.title} has ended; its last words: ${lastWords(place)}`);
}

function subnetFile(topology: Topology, node: NodeMachine): string {
  return join(machineFolder(topology.lab, node.name), 'subnet.env');
}

function startingAtOnce(): number {
  return Math.max(4, 2 * cpus().length);
}
