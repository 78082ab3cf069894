// The shape of a lab: networks, machines and the links between them, computed from the options. Nothing is made here.
//
//      network a 192.168.64.0/24      router      network b 192.168.65.0/24
//   node1 node2 node4 node5 ... --- .1      .1 --- node3 node6 ...
//                                    |.1
//                          network c 192.168.66.0/24 --- etcd
//
// host-gw needs every node on one link, so there all nodes are in network a. Each machine is a network namespace;
// addresses may repeat between labs, namespace names do not.

import { type Address, address } from '../lib/net/address.ts';
import { type Prefix, prefix, prefixAddress, prefixLength } from '../lib/net/prefix.ts';
import { type Backend, backendType, type LabOptions } from './options.ts';

/** The overlay's network configuration but for the backend. */
export const OVERLAY = { network: '10.5.0.0/16', subnetLength: 24 } as const;
export const ETCD_PREFIX = '/coreos.com/network';

export interface Network {
  readonly name: string;
  readonly prefix: Prefix;
  /** The router's address in it: the .1. */
  readonly router: Address;
}

/** A machine's interface: a veth pair from the machine into the network's bridge in the router. */
export interface Link {
  readonly network: Network;
  readonly device: string;
  readonly address: Address;
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
}

export interface EtcdMachine extends MachineBase {
  readonly kind: 'etcd';
}

export type Machine = NodeMachine | EtcdMachine;

export interface Topology {
  readonly lab: string;
  readonly options: LabOptions;
  readonly networks: readonly Network[];
  readonly routerNamespace: string;
  readonly nodes: readonly NodeMachine[];
  readonly etcd: EtcdMachine;
}

const NETWORKS = {
  a: network('a', '192.168.64'),
  b: network('b', '192.168.65'),
  c: network('c', '192.168.66'),
} as const;

/** Host part of node1's address less one. */
const NODE_HOST_BASE = 10;

/** The lab of this name with these options. */
export function buildTopology(lab: string, options: LabOptions): Topology {
  const nodes = Array.from({ length: options.nodes }, (_, index) => nodeMachine(lab, options, index + 1));
  const etcd: EtcdMachine = {
    kind: 'etcd',
    name: 'etcd',
    namespace: `${namespacePrefix(lab)}etcd`,
    link: { network: NETWORKS.c, device: 'eth0', address: hostAddress(NETWORKS.c, NODE_HOST_BASE) },
  };
  const used = new Set([...nodes, etcd].map((machine) => machine.link.network));
  return {
    lab,
    options,
    networks: Object.values(NETWORKS).filter((candidate) => used.has(candidate)),
    routerNamespace: `${namespacePrefix(lab)}router`,
    nodes,
    etcd,
  };
}

/** What the names of a lab's namespaces begin with; lab names have no hyphen, so no lab's prefix begins another's. */
export function namespacePrefix(lab: string): string {
  return `gh-${lab}-`;
}

/** Every namespace of the lab. */
export function namespacesOf(topology: Topology): readonly string[] {
  const ofNodes = topology.nodes.flatMap((node) => [node.namespace, node.podNamespace]);
  return [topology.routerNamespace, topology.etcd.namespace, ...ofNodes];
}

/** Where the nodes find etcd. */
export function etcdEndpoint(topology: Topology): string {
  return `http://${topology.etcd.link.address}:2379`;
}

/** The network configuration as flanneld reads it from etcd. */
export function networkConfig(topology: Topology): string {
  return JSON.stringify({
    Network: OVERLAY.network,
    SubnetLen: OVERLAY.subnetLength,
    Backend: { Type: backendType(topology.options.backend) },
  });
}

/** `192.168.64.11/24`. */
export function interfaceAddress(link: Link): string {
  return `${link.address}/${prefixLength(link.network.prefix)}`;
}

function nodeMachine(lab: string, options: LabOptions, number: number): NodeMachine {
  const name = `node${number}`;
  // Every third node lives behind the router, so that three nodes already make the tunnel cross a hop.
  const home = options.backend !== 'host-gw' && number % 3 === 0 ? NETWORKS.b : NETWORKS.a;
  return {
    kind: 'node',
    name,
    namespace: `${namespacePrefix(lab)}${name}`,
    podNamespace: `${namespacePrefix(lab)}${name}-pod`,
    backend: options.nodeBackends[name] ?? options.backend,
    link: { network: home, device: 'eth0', address: hostAddress(home, NODE_HOST_BASE + number) },
  };
}

function network(name: string, firstBytes: string): Network {
  return { name, prefix: prefix(`${firstBytes}.0/24`), router: address(`${firstBytes}.1`) };
}

function hostAddress(of: Network, host: number): Address {
  return address(`${prefixAddress(of.prefix).split('.').slice(0, 3).join('.')}.${host}`);
}
