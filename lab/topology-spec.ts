// A topology as written in a YAML file (lab/topologies/, docs/lab.md), and the ones that `up` makes of its options.
//
// Pure but for reading the file. Which addresses and namespaces come of it is topology.ts's affair.

import { z } from 'zod';
import { type Address, parseAddress } from '../lib/net/address.ts';
import { type Prefix, parsePrefix, prefixAddress, prefixContains } from '../lib/net/prefix.ts';
import { BACKENDS, backendType, type LabOptions, MODES } from './options.ts';
import { duration, readYaml, shippedFolder, type YamlSource, yamlSource } from './yaml-file.ts';

const NAME_ACCEPTS = 'takes a lower-case letter, then up to 11 lower-case letters or digits';
const name = z.string().regex(/^[a-z][a-z0-9]{0,11}$/, NAME_ACCEPTS);
const networkPrefix = z.string().transform((text, context): Prefix => {
  const prefix = parsePrefix(text);
  if (prefix?.endsWith('/24') && prefixAddress(prefix).includes('.')) return prefix;
  context.addIssue('takes an IPv4 prefix of 24 bits, such as 192.168.64.0/24');
  return z.NEVER;
});
const ipv4 = z.string().transform((text, context): Address => {
  const address = parseAddress(text);
  if (address?.includes('.')) return address;
  context.addIssue('takes an IPv4 address');
  return z.NEVER;
});
const percent = z.string().transform((text, context) => {
  const number = /^(\d+(?:\.\d+)?) ?%$/.exec(text)?.[1];
  if (number !== undefined && Number(number) <= 100) return Number(number);
  context.addIssue('takes a share such as 0.5 %');
  return z.NEVER;
});
const rate = z.string().transform((text, context) => {
  const number = /^(\d+(?:\.\d+)?) ?Mbit\/s$/.exec(text)?.[1];
  if (number !== undefined && Number(number) > 0) return Number(number);
  context.addIssue('takes a rate such as 100 Mbit/s');
  return z.NEVER;
});
/** What a link does to packets, in each direction. */
const impairment = {
  delay: duration.exactOptional(),
  loss: percent.exactOptional(),
  rate: rate.exactOptional(),
};
export const impairmentSchema = z.strictObject(impairment);
export type Impairment = Readonly<z.infer<typeof impairmentSchema>>;

const node = z.strictObject({
  /** The network it is in; without one it is reached by its links, at an address of its own. */
  network: name.exactOptional(),
  backend: z.enum(BACKENDS).exactOptional(),
  roles: z.array(z.enum(['reflector'])).default([]),
  ...impairment,
});

const timers = z.strictObject({
  'bfd-interval': duration.exactOptional(),
  'bfd-multiplier': z.int().min(1).max(50).exactOptional(),
  hold: duration.exactOptional(),
  'lease-ttl': duration.exactOptional(),
  'felix-resync': duration.exactOptional(),
});

const shape = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'takes lower-case letters, digits and hyphens'),
  summary: z.string().min(1),
  backend: z.enum(BACKENDS).default('vxlan'),
  mode: z.enum(MODES).default('routed'),
  /** false: no BFD; it needs nodes on one link anyway. */
  bfd: z.boolean().default(true),
  timers: timers.default({}),
  routers: z.array(name).min(1),
  /** A bridge in a router, with the router's address in it. */
  networks: z.record(name, z.strictObject({ router: name, prefix: networkPrefix })),
  nodes: z.record(name, node),
  links: z.array(z.strictObject({ between: z.tuple([name, name]), ...impairment })).default([]),
  etcd: z.strictObject({ members: z.union([z.literal(1), z.literal(3)]).default(1), network: name }),
  /** Addresses that pods of several nodes have; the first node that lives gets the traffic. */
  services: z.record(name, z.strictObject({ address: ipv4, nodes: z.array(name).min(1) })).default({}),
});
export type TopologySpec = Readonly<z.infer<typeof shape>>;

/** The whole file; what refers to something that is not there is an error of the field that refers. */
export const topologySchema = shape.superRefine((spec, context) => {
  const issue = (path: PropertyKey[], message: string): void => context.addIssue({ code: 'custom', path, message });
  const routers = new Set(spec.routers);
  const networks = new Set(Object.keys(spec.networks));
  const nodes = Object.keys(spec.nodes);
  const machines = new Set([...spec.routers, ...nodes]);
  const among = (known: Iterable<string>): string => `is not among ${[...known].join(', ')}`;
  if (nodes.length === 0 || nodes.length > 50) issue(['nodes'], 'takes 1 to 50 nodes');
  for (const [at, router] of spec.routers.entries()) {
    if (nodes.includes(router) || spec.routers.indexOf(router) !== at) issue(['routers', at], 'is the name of another');
    if (router === 'etcd') issue(['routers', at], 'is the name of another');
  }
  for (const [key, { router }] of Object.entries(spec.networks)) {
    if (!routers.has(router)) issue(['networks', key, 'router'], among(routers));
  }
  for (const [key, { network, backend, roles, delay, loss, rate: limit }] of Object.entries(spec.nodes)) {
    if (!/^node[1-9]\d?$/.test(key)) issue(['nodes', key], 'a node is called node1 to node99');
    if (network !== undefined && !networks.has(network)) issue(['nodes', key, 'network'], among(networks));
    const isLinked = spec.links.some(({ between }) => between.includes(key));
    if (network === undefined && !isLinked) issue(['nodes', key], 'has neither a network nor a link');
    if (network !== undefined && isLinked) issue(['nodes', key, 'network'], 'it has links: give it one or the other');
    if (network === undefined && (delay ?? loss ?? limit) !== undefined)
      issue(['nodes', key], 'has no cable to impair');
    if (backend !== undefined && backendType(backend) !== backendType(spec.backend)) {
      issue(['nodes', key, 'backend'], `cannot talk to ${spec.backend}: only vxlan and vxlan-user mix`);
    }
    if (roles.length > 0 && spec.mode === 'flannel') issue(['nodes', key, 'roles'], 'reflectors need mode: routed');
  }
  for (const [at, { between }] of spec.links.entries()) {
    for (const [end, machine] of between.entries()) {
      if (!machines.has(machine)) issue(['links', at, 'between', end], among(machines));
    }
    if (between[0] === between[1]) issue(['links', at, 'between'], 'takes two machines');
    if (between.every((machine) => nodes.includes(machine)))
      issue(['links', at, 'between'], 'takes at least one router');
  }
  if (!networks.has(spec.etcd.network)) issue(['etcd', 'network'], among(networks));
  for (const [key, service] of Object.entries(spec.services)) {
    for (const [at, member] of service.nodes.entries()) {
      if (!nodes.includes(member)) issue(['services', key, 'nodes', at], among(nodes));
    }
    if (machines.has(key)) issue(['services', key], 'is the name of a machine');
    if (prefixContains('10.5.0.0/16' as Prefix, service.address)) {
      issue(['services', key, 'address'], 'lies in the network of the pods, 10.5.0.0/16');
    }
  }
});

/** The file of one of the shipped topologies, or the one at this path. Throws `ExitError` with the names there are. */
export function topologySource(nameOrPath: string): YamlSource {
  return yamlSource(shippedFolder('topologies'), nameOrPath);
}

/** What the file says. Throws `ExitError` with line and field. */
export function readTopology(source: YamlSource): TopologySpec {
  return readYaml(source, topologySchema);
}

/** What `up` makes of its options: every third node behind the router, but for host-gw, which needs one link. */
export function generatedSpec(options: LabOptions): TopologySpec {
  const numbers = Array.from({ length: options.nodes }, (_, index) => index + 1);
  const homeOf = (number: number): string => (options.backend !== 'host-gw' && number % 3 === 0 ? 'b' : 'a');
  const used = new Set([...numbers.map(homeOf), 'c']);
  const prefixes = { a: '192.168.64.0/24', b: '192.168.65.0/24', c: '192.168.66.0/24' } as const;
  const networks = Object.entries(prefixes).filter(([key]) => used.has(key));
  return topologySchema.parse({
    name: 'generated',
    summary: `${options.nodes} nodes, every third one behind the router.`,
    backend: options.backend,
    mode: options.mode,
    bfd: options.nodes <= BFD_NODES_MAX,
    routers: ['router'],
    networks: Object.fromEntries(networks.map(([key, text]) => [key, { router: 'router', prefix: text }])),
    nodes: Object.fromEntries(
      numbers.map((number) => {
        const own = options.nodeBackends[`node${number}`];
        return [`node${number}`, { network: homeOf(number), ...(own && { backend: own }) }];
      }),
    ),
    etcd: { network: 'c' },
  });
}

/**
 * Up to so many nodes run BFD: a full mesh of N nodes sends about 7 N² packets a second at 300 ms, and all of a lab's nodes
 * share one machine, whose load would then look like silence.
 */
export const BFD_NODES_MAX = 10;

/** The options that say the same as far as they can: for titles, and for what depends on mode and backend alone. */
export function optionsOf(spec: TopologySpec): LabOptions {
  const own = Object.entries(spec.nodes).flatMap(([key, { backend }]) => (backend ? [[key, backend] as const] : []));
  return {
    nodes: Object.keys(spec.nodes).length,
    backend: spec.backend,
    mode: spec.mode,
    nodeBackends: Object.fromEntries(own),
  };
}
