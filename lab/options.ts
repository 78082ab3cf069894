// What a person may ask of a lab, with the bounds of each option; wrong values end the program with one line.
//
// The record of a lab holds the same options, so both are described once, here.

import { z } from 'zod';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { choice, integer, type Setting } from '../lib/run/settings.ts';

export const BACKENDS = ['vxlan', 'vxlan-user', 'udp', 'ipip', 'host-gw'] as const;
export const MODES = ['routed', 'flannel'] as const;

export type Backend = (typeof BACKENDS)[number];
export type Mode = (typeof MODES)[number];

/** Options of `up`. All nodes share `backend`, but for those named in `nodeBackends`. */
export const labOptionsSchema = z.strictObject({
  nodes: z.int().min(1).max(50),
  backend: z.enum(BACKENDS),
  mode: z.enum(MODES),
  nodeBackends: z.record(z.string(), z.enum(BACKENDS)),
});
export type LabOptions = Readonly<z.infer<typeof labOptionsSchema>>;

export const DEFAULT_OPTIONS: LabOptions = { nodes: 3, backend: 'vxlan', mode: 'routed', nodeBackends: {} };

export const NODES = integer(DEFAULT_OPTIONS.nodes, 1, 50, 'nodes', 'how many nodes');
export const BACKEND = choice(BACKENDS, DEFAULT_OPTIONS.backend, 'how packets reach other nodes');
export const MODE = choice(
  MODES,
  DEFAULT_OPTIONS.mode,
  'where felix takes its routes from: bgpd (routed) or the leases alone (flannel)',
);
export const COUNT = integer(1, 1, 1_000, 'packets', 'packets for each pair');
export const RUNS = integer(1, 1, 1_000, 'runs', 'how often each scenario is run');
export const SEED = integer(1, 0, 2 ** 31, '', 'what moments and losses are drawn from; the same again gives the same');
export const DRIVER = choice(
  ['netns', 'compose'],
  'netns',
  'what clusters are made of: namespaces of this machine, or the containers of docker-compose.yml',
);
export const LAB_NAME: Setting<string> = {
  help: 'a lab of another name stands beside the default one',
  accepts: 'a lower-case letter, then up to 15 lower-case letters or digits',
  default: 'default',
  parse: (value) => (/^[a-z][a-z0-9]{0,15}$/.test(value) ? value : undefined),
};
export const SIGNAL = choice(
  ['KILL', 'TERM', 'INT', 'HUP', 'STOP', 'CONT', 'QUIT', 'USR1', 'USR2'],
  'KILL',
  'which signal',
);

/** The value of a flag; throws `ExitError` (usage) with what is accepted. */
export function optionValue<T>(flag: string, setting: Setting<T>, raw: string): T {
  const value = setting.parse(raw);
  if (value === undefined) throw usage(`${flag} ${JSON.stringify(raw)} is not accepted: it takes ${setting.accepts}`);
  return value;
}

/** Reads `node2=vxlan-user`. */
export function nodeBackend(raw: string): readonly [string, Backend] {
  const [, node = '', word = ''] = /^(node[1-9]\d?)=(.*)$/.exec(raw) ?? [];
  const backend = BACKEND.parse(word);
  if (backend !== undefined) return [node, backend];
  throw usage(
    `--node-backend ${JSON.stringify(raw)} is not accepted: it takes <node>=<backend>, like node2=vxlan-user`,
  );
}

/** The options as given on top of `base`; throws `ExitError` where they contradict each other. */
export function combineOptions(base: LabOptions, given: Partial<LabOptions>): LabOptions {
  const options = { ...base, ...given };
  for (const [node, backend] of Object.entries(options.nodeBackends)) {
    if (Number(node.slice('node'.length)) > options.nodes) {
      throw usage(`--node-backend ${node}=${backend} names no node: this lab has node1 to node${options.nodes}`);
    }
    if (backendType(backend) !== backendType(options.backend)) {
      throw usage(
        `--node-backend ${node}=${backend} cannot talk to --backend ${options.backend}: only vxlan and vxlan-user mix`,
      );
    }
  }
  return options;
}

/** The Backend.Type in etcd: where the encoding is done is each node's own affair. */
export function backendType(backend: Backend): string {
  return backend === 'vxlan-user' ? 'vxlan' : backend;
}

/** The options as one would type them. */
export function optionsText(options: LabOptions): string {
  const mixed = Object.entries(options.nodeBackends).map(([node, backend]) => ` --node-backend ${node}=${backend}`);
  return `--nodes ${options.nodes} --backend ${options.backend} --mode ${options.mode}${mixed.join('')}`;
}

function usage(message: string): ExitError {
  return new ExitError(EXIT.usage, `lab: ${message}`);
}
