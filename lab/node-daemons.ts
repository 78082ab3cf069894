// Which processes a lab's node has, how each is started, and which places of a lab a person may name.
//
// The daemons run from dist/ as anywhere else; nothing here is known to them but their flags.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DAEMONS, type DaemonName } from '../ctl/daemon-http.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { etcdPlace } from './etcd.ts';
import type { ProcessPlace } from './lab-process.ts';
import type { Mode } from './options.ts';
import { machineFolder } from './state.ts';
import { ETCD_PREFIX, etcdEndpoint, isCabled, type NodeMachine, type Topology } from './topology.ts';

/** Variables that would change a daemon behind the lab's back. */
const DAEMON_VARIABLE = /^(?:FLANNELD|BGPD|FELIX|ETCD)_/;

/** The daemons that a node runs, in starting order. */
export function daemonsOf(mode: Mode): readonly DaemonName[] {
  return mode === 'routed' ? DAEMONS : DAEMONS.filter((daemon) => daemon !== 'bgpd');
}

/** Where a node's daemon runs and writes. */
export function daemonPlace(topology: Topology, node: NodeMachine, daemon: DaemonName): ProcessPlace {
  return {
    title: `${node.name}/${daemon}`,
    name: daemon,
    namespace: node.namespace,
    folder: machineFolder(topology.lab, node.name),
  };
}

/** The command line of a node's daemon. */
export function daemonArgv(topology: Topology, node: NodeMachine, daemon: DaemonName): readonly string[] {
  // Whoever is in the lab may ask: gingham status --all.
  const common = [
    ...['--node-name', node.name, '--run-dir', machineFolder(topology.lab, node.name)],
    ...['--status-address', '0.0.0.0'],
  ];
  const etcd = ['--etcd-endpoints', etcdEndpoint(topology)];
  const own: Record<DaemonName, readonly string[]> = {
    flanneld: [
      ...[...etcd, '--etcd-prefix', ETCD_PREFIX],
      '--ip-masq',
      ...(isCabled(node) ? ['--iface', node.link.device] : []),
    ],
    bgpd: [...etcd, ...(offersServices(topology, node) ? ['--config', peeringFile(topology, node)] : [])],
    felix: ['--feed', topology.options.mode === 'routed' ? 'bgpd,flanneld:network' : 'flanneld'],
  };
  const set = Object.entries(topologySettings(topology, node)[daemon]).map(([name, value]) => `--${name}=${value}`);
  return [process.execPath, mainPath(daemon), ...common, ...own[daemon], ...set];
}

/** What the topology says of a node's daemons, as flags without their dashes. */
export function topologySettings(
  { spec: { bfd, timers } }: Topology,
  node: NodeMachine,
): Record<DaemonName, Readonly<Record<string, string>>> {
  return {
    flanneld: {
      ...(node.backend === 'vxlan-user' && { 'vxlan-user': 'true' }),
      ...setting('subnet-lease-ttl-seconds', timers['lease-ttl'], 1_000),
    },
    bgpd: {
      ...(!bfd && { bfd: 'false' }),
      ...(node.isReflector && { reflector: 'true' }),
      ...setting('bfd-interval-milliseconds', timers['bfd-interval'], 1),
      ...setting('bfd-multiplier', timers['bfd-multiplier'], 1),
      ...setting('hold-time-seconds', timers.hold, 1_000),
    },
    felix: setting('resync-interval-seconds', timers['felix-resync'], 1_000),
  };
}

/** The file in which a node's bgpd finds the routes of services. */
export function peeringFile(topology: Topology, node: NodeMachine): string {
  return join(machineFolder(topology.lab, node.name), 'bgpd.yaml');
}

/** Pods of this node have addresses that pods of other nodes have too. */
export function offersServices({ spec }: Topology, node: NodeMachine): boolean {
  return Object.values(spec.services).some(({ nodes }) => nodes.includes(node.name));
}

function setting(name: string, value: number | undefined, unit: number): Readonly<Record<string, string>> {
  return value === undefined ? {} : { [name]: String(Math.round(value / unit)) };
}

/** The environment of the lab's processes: this one's without variables of the daemons. */
export function daemonEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !DAEMON_VARIABLE.test(name)));
}

/** The node of this name; throws `ExitError` with the names there are. */
export function findNode(topology: Topology, name: string): NodeMachine {
  const node = topology.nodes.find((candidate) => candidate.name === name);
  if (node !== undefined) return node;
  const last = topology.nodes.at(-1)?.name;
  throw new ExitError(EXIT.usage, `lab: there is no ${JSON.stringify(name)}: nodes are node1 to ${last}`);
}

/** The process named `node1/felix` or `etcd`; throws `ExitError` where there is none. */
export function findProcess(topology: Topology, name: string): ProcessPlace & { readonly daemon?: DaemonName } {
  const member = topology.etcdMembers.find((candidate) => candidate.name === name);
  if (member !== undefined) return etcdPlace(topology, member);
  const [nodeName = '', daemonName = ''] = name.split('/');
  const node = findNode(topology, nodeName);
  const names = daemonsOf(topology.options.mode);
  const daemon = names.find((candidate) => candidate === daemonName);
  if (daemon !== undefined) return { ...daemonPlace(topology, node, daemon), daemon };
  const known = names.map((candidate) => `${node.name}/${candidate}`).join(', ');
  throw new ExitError(
    EXIT.usage,
    `lab: there is no process ${JSON.stringify(name)}: it may be ${known} or ${topology.etcdMembers.map(({ name: each }) => each).join(', ')}`,
  );
}

/** The namespace named `node1`, `node1/pod`, or as a router or etcd member, and the run folder where it is a node. */
export function findPlace(topology: Topology, name: string): { namespace: string; runFolder?: string } {
  const other = [...topology.routers, ...topology.etcdMembers].find((candidate) => candidate.name === name);
  if (other !== undefined) return { namespace: other.namespace };
  const [nodeName = '', part] = name.split('/');
  const node = findNode(topology, nodeName);
  if (part !== undefined && part !== 'pod') {
    throw new ExitError(
      EXIT.usage,
      `lab: there is no ${JSON.stringify(name)}: a node has ${nodeName} and ${nodeName}/pod`,
    );
  }
  const namespace = part === 'pod' ? node.podNamespace : node.namespace;
  return { namespace, runFolder: machineFolder(topology.lab, node.name) };
}

function mainPath(daemon: DaemonName): string {
  return fileURLToPath(new URL(`../${daemon}/main.js`, import.meta.url));
}
