// What a scenario's cluster has beyond docker-compose.yml: a second file for compose, laid over the first. Pure.
//
// The topology's timers (BFD no faster than 100 ms) and services as variables of the daemons; daemons that end stay ended,
// for a scenario says itself when they come back; no health checks, which start a program in every container every five
// seconds. One container more: it holds the namespace in which the engine keeps the other ends of the cables, so that they
// can be pulled.

import { DAEMONS, type DaemonName } from '../../ctl/daemon-http.ts';
import { offersServices, peeringFile, topologySettings } from '../node-daemons.ts';
import { backendType } from '../options.ts';
import type { NodeMachine, Topology } from '../topology.ts';

/** The service whose network namespace is the engine's own. */
export const SWITCH = 'lab-switch';
/** Where a container finds the routes of services. */
const PEERING_PATH = '/etc/gingham/bgpd.yaml';
/** As good as none: compose 1 refuses to switch off a check of which the first file says more than the command. */
const NO_HEALTHCHECK = { test: ['CMD', 'true'], interval: '24h' };
/** Containers get no real-time class: below this a busy machine's own pauses pass for a dead peer. */
const LEAST_BFD_INTERVAL_MS = 100;
const BASE = { healthcheck: NO_HEALTHCHECK, logging: { driver: 'json-file' }, restart: 'no' };

/** The second file's content: JSON, which is YAML. */
export function composeOverride(topology: Topology): string {
  const daemons = topology.nodes.flatMap((node) =>
    DAEMONS.map((daemon) => [`${node.name}-${daemon}`, daemonService(topology, node, daemon)] as const),
  );
  const nodes = topology.nodes.map(({ name }) => [name, { healthcheck: NO_HEALTHCHECK }] as const);
  const plug = { image: 'gingham:local', command: ['sleep', 'infinity'], init: true, cap_drop: ['ALL'] };
  const services = { ...Object.fromEntries([...daemons, ...nodes]), [SWITCH]: { ...plug, network_mode: 'host' } };
  return `${JSON.stringify({ services })}\n`;
}

/** Variables that docker-compose.yml reads. */
export function composeVariables({ options }: Topology): Readonly<Record<string, string>> {
  return {
    GINGHAM_BACKEND: backendType(options.backend),
    GINGHAM_FEED: options.mode === 'routed' ? 'bgpd,flanneld:network' : 'flanneld',
    GINGHAM_VXLAN_USER: 'false',
  };
}

function daemonService(topology: Topology, node: NodeMachine, daemon: DaemonName) {
  const set = Object.entries(topologySettings(withoutHaste(topology), node)[daemon]);
  const environment = Object.fromEntries(set.map(([flag, value]) => [variableOf(daemon, flag), value]));
  if (daemon !== 'bgpd' || !offersServices(topology, node)) return { ...BASE, environment };
  return {
    ...BASE,
    environment: { ...environment, [variableOf(daemon, 'config')]: PEERING_PATH },
    volumes: [`${peeringFile(topology, node)}:${PEERING_PATH}:ro`],
  };
}

/** The topology with its BFD interval no shorter than containers can keep. */
function withoutHaste(topology: Topology): Topology {
  const { 'bfd-interval': intervalMs, ...timers } = topology.spec.timers;
  if (intervalMs === undefined || intervalMs >= LEAST_BFD_INTERVAL_MS) return topology;
  return { ...topology, spec: { ...topology.spec, timers: { ...timers, 'bfd-interval': LEAST_BFD_INTERVAL_MS } } };
}

function variableOf(daemon: DaemonName, flag: string): string {
  return `${daemon}_${flag}`.replaceAll('-', '_').toUpperCase();
}
