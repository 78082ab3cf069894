// A cluster of containers under test. Most is as in namespaces, for a container is one: the lab enters it from outside.
//
// Signals go to the container's process itself, not by way of the engine, whose own time would be part of every figure.
// etcd's container gets a new namespace at each start; what runs there is run by the engine.

import type { ChildProcess } from 'node:child_process';
import { run } from '../../ctl/child.ts';
import type { DaemonAnswer, DaemonName } from '../../ctl/daemon-http.ts';
import { identifyProcess } from '../../ctl/process-identity.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { livingProcess, recordProcess } from '../lab-process.ts';
import { findProcess } from '../node-daemons.ts';
import type { ClusterDriver, ClusterFacts, ClusterLogs, ClusterNode } from '../run/cluster-driver.ts';
import { NetnsDriver } from '../run/netns-driver.ts';
import type { Topology } from '../topology.ts';
import { SWITCH } from './compose-override.ts';
import type { ComposeProject } from './compose-project.ts';

interface KernelLink {
  readonly ifindex: number;
  readonly ifname: string;
  /** Of the other end of a veth pair, in the other end's namespace. */
  readonly link_index?: number;
}

export class ComposeDriver implements ClusterDriver, ClusterLogs {
  readonly facts: ClusterFacts;
  readonly #topology: Topology;
  readonly #project: ComposeProject;
  readonly #inside: NetnsDriver;
  /** Interfaces of the engine by machine; nodes keep theirs, for their containers are never started again. */
  readonly #plugs = new Map<string, readonly string[]>();
  #switchPid: number | undefined;

  constructor(topology: Topology, project: ComposeProject) {
    this.#topology = topology;
    this.#project = project;
    this.#inside = new NetnsDriver(topology);
    const { picture } = this.#inside.facts;
    const summary = `${picture.summary} In the containers of docker-compose.yml: node3 is behind the router.`;
    this.facts = {
      ...this.#inside.facts,
      driver: 'compose',
      picture: { ...picture, summary },
      linkEnds: new Map(),
      etcdDataFolders: [],
      etcdEndpoints: ['http://127.0.0.1:2379'],
    };
  }

  nodes(): Promise<readonly ClusterNode[]> {
    return this.#inside.nodes();
  }

  async run(place: string, argv: readonly string[], input?: string): Promise<string> {
    if (!this.facts.etcdMembers.includes(place)) return this.#inside.run(place, argv, input);
    const { id } = await this.#project.container(place);
    return run(['docker', 'exec', '--interactive', id, ...argv], input === undefined ? {} : { input });
  }

  spawn(place: string, argv: readonly string[]): ChildProcess {
    return this.#inside.spawn(place, argv);
  }

  signal(process: string, signal: NodeJS.Signals): Promise<void> {
    return this.#inside.signal(process, signal);
  }

  async start(process: string, extraFlags: readonly string[] = []): Promise<void> {
    if (extraFlags.length > 0) throw new ExitError(EXIT.config, `lab: ${process} is a container: it takes no flags`);
    const place = findProcess(this.#topology, process);
    if (livingProcess(place) !== undefined) return;
    const { pid } = await this.#project.startAgain(process.replace('/', '-'));
    const identity = identifyProcess(pid);
    if (identity !== undefined) recordProcess(place, identity);
  }

  async setLink(link: string, up: boolean): Promise<void> {
    const known = this.facts.picture.links.map(({ name }) => name);
    if (!known.includes(link))
      throw new ExitError(EXIT.config, `lab: there is no link ${link}: there are ${known.join(', ')}`);
    const plugs = this.#plugs.get(link) ?? (await this.#plugsOf(link));
    if (!this.facts.etcdMembers.includes(link)) this.#plugs.set(link, plugs);
    const lines = plugs.map((name) => `link set ${name} ${up ? 'up' : 'down'}`);
    await run([...(await this.#inSwitch()), 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  ask(node: string, daemon: DaemonName, path: string, method?: 'GET' | 'POST'): Promise<DaemonAnswer | string> {
    return this.#inside.ask(node, daemon, path, method);
  }

  missing(): Promise<readonly string[]> {
    return this.#inside.missing();
  }

  logMarks(): Promise<ReadonlyMap<string, number>> {
    return this.#inside.logMarks();
  }

  errorsSince(marks: ReadonlyMap<string, number>): Promise<readonly string[]> {
    return this.#inside.errorsSince(marks);
  }

  /** The other ends of a machine's interfaces. A container that does not run has none. */
  async #plugsOf(machine: string): Promise<readonly string[]> {
    const { running, pid } = await this.#project.container(machine);
    if (!running) return [];
    const inside = await linksIn(['nsenter', '--target', String(pid), '--net']);
    const others = await linksIn(await this.#inSwitch());
    const wanted = inside.filter(({ ifname }) => ifname.startsWith('eth')).map(({ link_index: index }) => index);
    return others.filter(({ ifindex }) => wanted.includes(ifindex)).map(({ ifname }) => ifname);
  }

  async #inSwitch(): Promise<readonly string[]> {
    this.#switchPid ??= (await this.#project.container(SWITCH)).pid;
    return ['nsenter', '--target', String(this.#switchPid), '--net'];
  }
}

async function linksIn(enter: readonly string[]): Promise<readonly KernelLink[]> {
  return JSON.parse(await run([...enter, 'ip', '-json', 'link', 'show', 'type', 'veth'])) as readonly KernelLink[];
}
