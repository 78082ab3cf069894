// Makes and removes the cluster of containers that scenarios run on, and gives its parts the places that the lab looks at.
//
//   /run/gingham-lab/<lab>/node1/   links to the sockets and files in the node's volume, records of its processes, logs
//   gh-<lab>-node1, ...-pod         names of the containers' network namespaces, as if the lab had made them
//
// So all that looks at a lab, or acts on one, does so here as well.

import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../ctl/child.ts';
import { DAEMONS, statusSocket } from '../../ctl/daemon-http.ts';
import { poll } from '../../ctl/poll.ts';
import { identifyProcess } from '../../ctl/process-identity.ts';
import { parseAddress } from '../../lib/net/address.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { podAddress } from '../../lib/subnet-env.ts';
import { converged } from '../cluster.ts';
import { etcdPlace } from '../etcd.ts';
import { logPath, type ProcessPlace, recordProcess } from '../lab-process.ts';
import { readSubnet } from '../launch.ts';
import { existingNamespaces } from '../namespaces.ts';
import { daemonPlace, offersServices, peeringFile } from '../node-daemons.ts';
import type { Progress } from '../progress.ts';
import { plugServices, servicePeering } from '../services.ts';
import { clearLabState, labFolder, machineFolder } from '../state.ts';
import { buildTopology, type NodeMachine, namespacePrefix, type Topology } from '../topology.ts';
import { optionsOf, readTopology } from '../topology-spec.ts';
import type { YamlSource } from '../yaml-file.ts';
import { ComposeDriver } from './compose-driver.ts';
import { composeOverride, composeVariables } from './compose-override.ts';
import { ComposeProject, type Container } from './compose-project.ts';

/** Until every node has a subnet and its pod an address. */
const POD_TIMEOUT_MS = 90_000;
const LOOK_MS = 100;
/** Run folder in every container. */
const RUN_FOLDER = 'run/gingham';

/** A cluster of docker-compose.yml with what the topology says of timers and services, converged. */
export async function makeComposeCluster(
  lab: string,
  source: YamlSource,
  progress: Progress,
  signal: AbortSignal,
): Promise<ComposeDriver> {
  const project = await composeProject(lab);
  progress.step('building images and starting containers');
  const asked = buildTopology(lab, optionsOf(readTopology(source)), source);
  for (const { name } of [...asked.nodes, ...asked.etcdMembers])
    await mkdir(machineFolder(lab, name), { recursive: true, mode: 0o755 });
  for (const node of asked.nodes.filter((each) => offersServices(asked, each)))
    await writeFile(peeringFile(asked, node), servicePeering(asked, node));
  await writeFile(overridePath(lab), composeOverride(asked));
  await project.up(composeVariables(asked), signal);
  const containers = await project.containers();
  const topology = withAddresses(asked, containers);
  for (const member of topology.etcdMembers)
    await adoptProcess(etcdPlace(topology, member), containerOf(containers, member.name));
  progress.step('waiting for every pod');
  await Promise.all(topology.nodes.map((node) => adoptNode(topology, node, containers, signal)));
  progress.step('waiting for every node to know every other');
  await converged(topology, progress, signal);
  return new ComposeDriver(topology, project);
}

/** Removes it, and whatever an interrupted run left. */
export async function removeComposeCluster(lab: string): Promise<void> {
  const project = await composeProject(lab);
  const names = [...(await existingNamespaces())].filter((name) => name.startsWith(namespacePrefix(lab)));
  // The names only: the namespaces are the containers', and go with them.
  for (const name of names) await run(['ip', 'netns', 'delete', name]);
  await project.down();
  await clearLabState(lab);
}

function composeProject(lab: string): Promise<ComposeProject> {
  return ComposeProject.find(`gingham-lab-${lab}`, overridePath(lab));
}

function overridePath(lab: string): string {
  return join(labFolder(lab), 'compose-override.json');
}

/** Nodes are where docker-compose.yml puts them. */
function withAddresses(topology: Topology, containers: ReadonlyMap<string, Container>): Topology {
  const nodes = topology.nodes.map((node) => {
    const found = parseAddress(containerOf(containers, node.name).addresses[0] ?? '');
    return found === undefined ? node : { ...node, link: { ...node.link, address: found } };
  });
  return { ...topology, nodes };
}

async function adoptNode(
  topology: Topology,
  node: NodeMachine,
  containers: ReadonlyMap<string, Container>,
  signal: AbortSignal,
): Promise<void> {
  const { pid } = containerOf(containers, node.name);
  const folder = machineFolder(topology.lab, node.name);
  const inContainer = `/proc/${pid}/root/${RUN_FOLDER}`;
  for (const path of ['subnet.env', ...DAEMONS.map((daemon) => statusSocket('', daemon))])
    await symlink(join(inContainer, path), join(folder, path));
  for (const daemon of DAEMONS) {
    const container = containerOf(containers, `${node.name}-${daemon}`);
    await adoptProcess(daemonPlace(topology, node, daemon), container);
  }
  await run(['ip', 'netns', 'attach', node.namespace, String(pid)], { signal });
  const pod = await poll({ timeoutMs: POD_TIMEOUT_MS, intervalMs: LOOK_MS, signal }, () => podHolder(pid));
  signal.throwIfAborted();
  if (pod === undefined) throw new ExitError(EXIT.internal, `lab: ${node.name} has made no pod`);
  await run(['ip', 'netns', 'attach', node.podNamespace, String(pod)], { signal });
  const address = await poll({ timeoutMs: POD_TIMEOUT_MS, intervalMs: LOOK_MS, signal }, async () => {
    const env = await readSubnet(topology, node);
    const listed = await run(['ip', '-n', node.podNamespace, 'route', 'show', 'default']).catch(() => '');
    return env === undefined || listed.trim() === '' ? undefined : podAddress(env.subnet);
  });
  signal.throwIfAborted();
  if (address === undefined) throw new ExitError(EXIT.internal, `lab: the pod of ${node.name} has no address`);
  await plugServices(topology, node, address);
}

/** Notes a container's first process as the place's, and where its output is found. */
async function adoptProcess(place: ProcessPlace, { pid, logPath: engineLog }: Container): Promise<void> {
  const identity = identifyProcess(pid);
  if (identity === undefined) {
    const where = 'it has ended, or the engine is not of this machine';
    throw new ExitError(EXIT.environment, `lab: the container of ${place.title} has no process here: ${where}`);
  }
  recordProcess(place, identity);
  await symlink(engineLog, logPath(place));
}

/** The child of a node's process that lives in another network namespace. */
async function podHolder(pid: number): Promise<number | undefined> {
  const own = await readlink(`/proc/${pid}/ns/net`);
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => ''));
  const children = (await Promise.all(lists)).join(' ').split(/\s+/).filter(Boolean);
  for (const child of children) {
    const namespace = await readlink(`/proc/${child}/ns/net`).catch(() => own);
    if (namespace !== own) return Number(child);
  }
  return undefined;
}

function containerOf(containers: ReadonlyMap<string, Container>, service: string): Container {
  const found = containers.get(service);
  if (found !== undefined) return found;
  throw new ExitError(EXIT.internal, `lab: compose made no container of ${service}`);
}
