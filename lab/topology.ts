// The shape of a lab: networks, machines and the cables between them, computed from a topology. Nothing is made here.
//
//      network a 192.168.64.0/24      router      network b 192.168.65.0/24
//   node1 node2 node4 node5 ... --- .1      .1 --- node3 node6 ...
//                                    |.1
//                          network c 192.168.66.0/24 --- etcd                     (what `up` makes of its options)
//
// A network is a bridge in its router. A cable between two machines has a /31 of its own; a node with cables has its
// address on its loopback and equal routes over all of them. Each machine is a network namespace; addresses may repeat
// between labs, namespace names do not.

import { type Address, address } from '../lib/net/address.ts';
import { type Prefix, prefix, prefixAddress, prefixLength } from '../lib/net/prefix.ts';
import { type Backend, backendType, type LabOptions } from './options.ts';
import { generatedSpec, type Impairment, readTopology, type TopologySpec } from './topology-spec.ts';
import type { YamlSource } from './yaml-file.ts';

/** The overlay's network configuration but for the backend. */
export const OVERLAY = { network: '10.5.0.0/16', subnetLength: 24 } as const;
export const ETCD_PREFIX = '/coreos.com/network';

/** Loopback addresses of nodes with cables, and the /31s of the cables themselves. */
const LOOPBACKS = prefix('192.168.100.0/24');
const CABLE_BYTES = '172.30';
/** The loopback's MTU is not that of any cable. */
const CABLE_MTU_BYTES = 1_500;

export interface Network {
  readonly name: string;
  readonly prefix: Prefix;
  /** The router's address in it: the .1. */
  readonly router: Address;
  /** The machine that has the bridge; empty for the loopbacks, which are no network. */
  readonly at: string;
}

/** A machine's interface: a veth pair from the machine into the network's bridge in the router; or its loopback. */
export interface Link {
  readonly network: Network;
  readonly device: string;
  readonly address: Address;
  readonly impairment?: Impairment;
}

export interface CableEnd {
  readonly machine: string;
  readonly device: string;
  readonly address: Address;
}

/** A veth pair between two machines. */
export interface Cable {
  /** `leaf1-spine2`. */
  readonly name: string;
  readonly ends: readonly [CableEnd, CableEnd];
  readonly impairment: Impairment;
}

interface MachineBase {
  readonly name: string;
  readonly namespace: string;
  readonly link: Link;
}

export interface NodeMachine extends MachineBase {
  readonly kind: 'node';
  readonly podNamespace: string;
  readonly backend: Backend;
  readonly isReflector: boolean;
}

export interface EtcdMachine extends MachineBase {
  readonly kind: 'etcd';
}

export type Machine = NodeMachine | EtcdMachine;

export interface Router {
  readonly name: string;
  readonly namespace: string;
}

export interface Topology {
  readonly lab: string;
  readonly options: LabOptions;
  readonly spec: TopologySpec;
  /** The file that it is from; absent where the options say it all. */
  readonly source: YamlSource | undefined;
  readonly networks: readonly Network[];
  readonly routers: readonly Router[];
  readonly cables: readonly Cable[];
  readonly nodes: readonly NodeMachine[];
  /** The first member is `etcd` or `etcd1`. */
  readonly etcdMembers: readonly EtcdMachine[];
}

/** Host part of node1's address less one; etcd members count from it too. */
const NODE_HOST_BASE = 10;

/** The lab of this name with these options; or from a topology file, whose mode and backends they then are. */
export function buildTopology(lab: string, options: LabOptions, source?: YamlSource): Topology {
  const spec = source === undefined ? generatedSpec(options) : readTopology(source);
  const networks = Object.entries(spec.networks).map(([name, { router, prefix: text }]) => network(name, text, router));
  const nodes = Object.keys(spec.nodes).map((name) => nodeMachine(lab, spec, name, networks));
  const home = networks.find(({ name }) => name === spec.etcd.network) ?? NO_NETWORK;
  const names = spec.etcd.members === 1 ? ['etcd'] : ['etcd1', 'etcd2', 'etcd3'];
  const etcdMembers = names.map((name, index): EtcdMachine => {
    const link = { network: home, device: 'eth0', address: hostAddress(home.prefix, NODE_HOST_BASE + index) };
    return { kind: 'etcd', name, namespace: namespacePrefix(lab) + name, link };
  });
  const routers = spec.routers.map((name) => ({ name, namespace: namespacePrefix(lab) + name }));
  return { lab, options, spec, source, networks, routers, cables: cablesOf(spec), nodes, etcdMembers };
}

/** What the names of a lab's namespaces begin with; lab names have no hyphen, so no lab's prefix begins another's. */
export function namespacePrefix(lab: string): string {
  return `gh-${lab}-`;
}

/** Every namespace of the lab. */
export function namespacesOf(topology: Topology): readonly string[] {
  const others = [...topology.routers, ...topology.etcdMembers].map(({ namespace }) => namespace);
  return [...others, ...topology.nodes.flatMap((node) => [node.namespace, node.podNamespace])];
}

/** Where the nodes find etcd. */
export function etcdEndpoint(topology: Topology): string {
  return topology.etcdMembers.map(({ link }) => `http://${link.address}:2379`).join(',');
}

/** The network configuration as flanneld reads it from etcd. */
export function networkConfig(topology: Topology): string {
  const mtu = topology.nodes.some(isCabled) ? { MTU: CABLE_MTU_BYTES } : {};
  return JSON.stringify({
    Network: OVERLAY.network,
    SubnetLen: OVERLAY.subnetLength,
    Backend: { Type: backendType(topology.options.backend), ...mtu },
  });
}

/** `192.168.64.11/24`. */
export function interfaceAddress(link: Link): string {
  return `${link.address}/${prefixLength(link.network.prefix)}`;
}

/** The machine has its address on the loopback and is reached by cables. */
export function isCabled({ link }: Machine): boolean {
  return link.network === NO_NETWORK;
}

const NO_NETWORK: Network = { name: 'loopbacks', prefix: LOOPBACKS, router: hostAddress(LOOPBACKS, 1), at: '' };

function nodeMachine(lab: string, spec: TopologySpec, name: string, networks: readonly Network[]): NodeMachine {
  const { network: home, backend = spec.backend, roles = [], ...impairment } = spec.nodes[name] ?? {};
  const inNetwork = networks.find((candidate) => candidate.name === home);
  const host = NODE_HOST_BASE + Number(name.slice('node'.length));
  const link: Link =
    inNetwork === undefined
      ? { network: NO_NETWORK, device: 'lo', address: hostAddress(LOOPBACKS, host) }
      : { network: inNetwork, device: 'eth0', address: hostAddress(inNetwork.prefix, host), impairment };
  return {
    kind: 'node',
    name,
    namespace: `${namespacePrefix(lab)}${name}`,
    podNamespace: `${namespacePrefix(lab)}${name}-pod`,
    backend,
    isReflector: roles.includes('reflector'),
    link,
  };
}

function cablesOf({ links }: TopologySpec): readonly Cable[] {
  const seen = new Map<string, number>();
  return links.map(({ between: [one, other], ...impairment }, index) => {
    const count = (seen.get(`${one}-${other}`) ?? 0) + 1;
    seen.set(`${one}-${other}`, count);
    const suffix = count === 1 ? '' : `.${count}`;
    const end = (machine: string, peer: string, offset: number): CableEnd => {
      const host = index * 2 + offset;
      return { machine, device: `to-${peer}${suffix}`, address: address(`${CABLE_BYTES}.${host >> 8}.${host & 255}`) };
    };
    return { name: `${one}-${other}${suffix}`, ends: [end(one, other, 0), end(other, one, 1)], impairment };
  });
}

function network(name: string, of: Prefix, at: string): Network {
  return { name, prefix: of, router: hostAddress(of, 1), at };
}

function hostAddress(of: Prefix, host: number): Address {
  return address(`${prefixAddress(of).split('.').slice(0, 3).join('.')}.${host}`);
}
