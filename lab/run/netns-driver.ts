// A cluster of `lab up` under test: places are network namespaces, processes have records in the lab's folder.
//
// The lab must be up. Which cables are unplugged is remembered here, for the underlay's routes depend on all of them.

import { type ChildProcess, spawn } from 'node:child_process';
import { open, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { run as runProgram } from '../../ctl/child.ts';
import { askDaemon, type DaemonAnswer, type DaemonName } from '../../ctl/daemon-http.ts';
import { isAlive, signalProcess } from '../../ctl/process-identity.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { podAddress } from '../../lib/subnet-env.ts';
import { plugCable, routeUnderlay } from '../cables.ts';
import { etcdDataFolder, etcdPlace } from '../etcd.ts';
import { topologyImpairedBy } from '../impairments.ts';
import { ended, livingProcess, logPath } from '../lab-process.ts';
import { readSubnet, startPlace } from '../launch.ts';
import { linkEndsOf } from '../link-ends.ts';
import { batch, inNamespace, ipIn } from '../namespaces.ts';
import { daemonsOf, findPlace, findProcess } from '../node-daemons.ts';
import { observe, whatIsMissing } from '../observe.ts';
import { backendType } from '../options.ts';
import type { TopologyPicture } from '../results/results-schema.ts';
import { machineFolder } from '../state.ts';
import type { Topology } from '../topology.ts';
import type { Impairment } from '../topology-spec.ts';
import type { ClusterDriver, ClusterFacts, ClusterLogs, ClusterNode } from './cluster-driver.ts';

const END_TIMEOUT_MS = 10_000;
const ENDING: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGTERM'];
/** pino's number for `error`. */
const LEVEL_ERROR = 50;
const LOG_READ_MAX = 8 << 20;
const TUNNEL_DEVICES: Readonly<Record<string, string>> = { vxlan: 'flannel.1', udp: 'flannel0', ipip: 'flannel.ipip' };

export class NetnsDriver implements ClusterDriver, ClusterLogs {
  readonly facts: ClusterFacts;
  readonly #topology: Topology;
  readonly #unplugged = new Set<string>();

  constructor(topology: Topology) {
    this.#topology = topology;
    this.facts = {
      driver: 'netns',
      picture: pictureOf(topology),
      programFolder: fileURLToPath(new URL('../..', import.meta.url)),
      nodeBinary: process.execPath,
      etcdMembers: topology.etcdMembers.map(({ name }) => name),
      linkEnds: linkEndsOf(topology),
      impairment: topologyImpairedBy(topology),
      etcdDataFolders: topology.etcdMembers.map((member) => etcdDataFolder(etcdPlace(topology, member))),
      etcdEndpoints: topology.etcdMembers.map(({ link }) => `http://${link.address}:2379`),
      clockErrorMs: 0,
    };
  }

  async nodes(): Promise<readonly ClusterNode[]> {
    const { nodes, options } = this.#topology;
    return Promise.all(
      nodes.map(async (node) => {
        const env = await readSubnet(this.#topology, node);
        return {
          name: node.name,
          address: node.link.address,
          pod: env && podAddress(env.subnet),
          daemons: daemonsOf(options.mode),
          tunnelDevice: TUNNEL_DEVICES[backendType(node.backend)],
        };
      }),
    );
  }

  run(place: string, argv: readonly string[], input?: string): Promise<string> {
    const { namespace } = findPlace(this.#topology, place);
    return runProgram([...inNamespace(namespace), ...argv], input === undefined ? {} : { input });
  }

  spawn(place: string, argv: readonly string[]): ChildProcess {
    const [file = '', ...args] = [...inNamespace(findPlace(this.#topology, place).namespace), ...argv];
    return spawn(file, args, { stdio: 'pipe' });
  }

  async signal(process: string, signal: NodeJS.Signals): Promise<void> {
    const record = livingProcess(findProcess(this.#topology, process));
    if (record === undefined) throw new ExitError(EXIT.internal, `lab: ${process} does not run`);
    signalProcess(record, signal);
    if (!ENDING.includes(signal)) return;
    if ((await ended([record], END_TIMEOUT_MS)) || !isAlive(record)) return;
    throw new ExitError(EXIT.internal, `lab: ${process} still runs 10 s after ${signal}`);
  }

  async start(process: string, extraFlags: readonly string[] = []): Promise<void> {
    const place = findProcess(this.#topology, process);
    if (livingProcess(place) !== undefined) return;
    await startPlace(this.#topology, process, place.daemon, extraFlags);
  }

  async setLink(link: string, up: boolean): Promise<void> {
    const { nodes, etcdMembers, routers, cables } = this.#topology;
    const cable = cables.find(({ name }) => name === link);
    if (cable !== undefined) {
      if (up) this.#unplugged.delete(link);
      else this.#unplugged.add(link);
      await plugCable(this.#topology, cable, up);
      await routeUnderlay(this.#topology, this.#unplugged);
      return;
    }
    const machine = [...nodes, ...etcdMembers].find(({ name }) => name === link);
    const router = routers.find(({ name }) => name === machine?.link.network.at);
    if (machine === undefined || router === undefined) throw this.#noLink(link);
    await batch(ipIn(router.namespace), [`link set ${machine.name} ${up ? 'up' : 'down'}`]);
  }

  ask(node: string, daemon: DaemonName, path: string, method: 'GET' | 'POST' = 'GET'): Promise<DaemonAnswer | string> {
    return askDaemon(machineFolder(this.#topology.lab, node), daemon, path, 2_000, method);
  }

  async missing(): Promise<readonly string[]> {
    return whatIsMissing(await observe(this.#topology));
  }

  async logMarks(): Promise<ReadonlyMap<string, number>> {
    const marks = this.#processes().map(async (name) => {
      const size = await stat(logPath(findProcess(this.#topology, name))).then(
        (found) => found.size,
        () => 0,
      );
      return [name, size] as const;
    });
    return new Map(await Promise.all(marks));
  }

  async errorsSince(marks: ReadonlyMap<string, number>): Promise<readonly string[]> {
    const found = [...marks].map(async ([name, mark]) => {
      const text = await readFrom(logPath(findProcess(this.#topology, name)), mark);
      return text.split('\n').flatMap((line) => errorOf(name, printed(line)));
    });
    return (await Promise.all(found)).flat();
  }

  #processes(): readonly string[] {
    const { nodes, options } = this.#topology;
    return nodes.flatMap(({ name }) => daemonsOf(options.mode).map((daemon) => `${name}/${daemon}`));
  }

  #noLink(link: string): ExitError {
    const known = this.facts.picture.links.map(({ name }) => name).join(', ');
    return new ExitError(EXIT.config, `lab: there is no link ${link}: there are ${known}`);
  }
}

/** The topology as results show it. */
export function pictureOf({ spec, networks, nodes, routers, etcdMembers, cables }: Topology): TopologyPicture {
  const attached = [...nodes, ...etcdMembers].flatMap(({ name, link }) => {
    const at = networks.find((network) => network === link.network)?.at;
    return at === undefined ? [] : [{ name, ends: [name, at] as [string, string], ...shown(link.impairment) }];
  });
  return {
    name: spec.name,
    summary: spec.summary,
    mode: spec.mode,
    machines: [
      ...nodes.map(({ name, link, backend, isReflector }) => {
        const roles = isReflector ? ['reflector'] : [];
        return { name, kind: 'node' as const, roles, address: link.address, backend };
      }),
      ...routers.map(({ name }) => ({ name, kind: 'router' as const, roles: [] })),
      ...etcdMembers.map(({ name, link }) => ({ name, kind: 'etcd' as const, roles: [], address: link.address })),
    ],
    links: [
      ...attached,
      ...cables.map(({ name, ends: [one, other], impairment }) => {
        return { name, ends: [one.machine, other.machine] as [string, string], ...shown(impairment) };
      }),
    ],
    services: Object.entries(spec.services).map(([name, { address, nodes: members }]) => {
      return { name, address, nodes: [...members] };
    }),
  };
}

function shown({ delay, loss, rate }: Impairment = {}) {
  return {
    ...(delay !== undefined && { delayMs: delay }),
    ...(loss !== undefined && { lossPercent: loss }),
    ...(rate !== undefined && { rateMbit: rate }),
  };
}

async function readFrom(path: string, start: number): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const buffer = Buffer.alloc(LOG_READ_MAX);
    const { bytesRead } = await file.read(buffer, 0, LOG_READ_MAX, start);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** What the process printed: a container engine wraps each line. */
function printed(line: string): string {
  if (!line.startsWith('{"log":')) return line;
  try {
    return (JSON.parse(line) as { readonly log: string }).log;
  } catch {
    return line;
  }
}

function errorOf(process: string, line: string): readonly string[] {
  try {
    const { level, msg } = JSON.parse(line) as { level?: number; msg?: string };
    return level !== undefined && level >= LEVEL_ERROR ? [`${process}: ${msg}`] : [];
  } catch {
    // A line that pino did not write: a crash of the process, or nothing.
    return line.trim() === '' ? [] : [`${process}: ${line}`];
  }
}
