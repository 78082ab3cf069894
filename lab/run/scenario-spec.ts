// A scenario as written in a YAML file (lab/scenarios/, docs/lab.md): a topology, flows, steps at times, expectations.
//
// Pure but for finding the file. What a step does is in the actions; what an expectation compares, in expectations.ts.

import { z } from 'zod';
import { parseAddress } from '../../lib/net/address.ts';
import { impairmentSchema } from '../topology-spec.ts';
import { duration, readYaml, shippedFolder, type YamlSource, yamlSource } from '../yaml-file.ts';
import { type Expectation, parseExpectation } from './expectations.ts';

const node = z.string().regex(/^node[1-9]\d?$/, 'takes a node, such as node2');
const processName = z
  .string()
  .regex(
    /^(node[1-9]\d?\/(flanneld|bgpd|felix)|etcd[1-3]?|etcd-leader|etcd-all)$/,
    'takes a process: node2/bgpd, etcd, etcd2, etcd-leader or etcd-all',
  );
const link = z.string().regex(/^[a-z][a-z0-9.-]*$/, 'takes a link: node2 for its cable, leaf1-spine2 for one between');
const flow = z.string().transform((text, context) => {
  const [, from, to] = /^(node[1-9]\d?) > ([a-z][a-z0-9]*)$/.exec(text) ?? [];
  if (from !== undefined && to !== undefined && from !== to) return { from, to };
  context.addIssue('takes two pods, or a pod and a service, such as node1 > node2');
  return z.NEVER;
});
const ipv4 = z.string().refine((text) => parseAddress(text)?.includes('.'), 'takes an IPv4 address');
const timing = { times: z.int().min(1).max(100), down: duration, up: duration };

/** Each step has exactly one of these. */
const actions = {
  kill: processName,
  term: processName,
  stop: processName,
  continue: processName,
  start: processName,
  restart: processName,
  config: z.strictObject({ process: processName, flags: z.array(z.string().startsWith('--')).min(1) }),
  'power-off': node,
  'power-on': node,
  'remove-node': node,
  'add-node': node,
  drop: node,
  'drop-one-way': z.strictObject({ from: node, to: node }),
  partition: z.array(z.array(node).min(1)).min(2),
  heal: z.literal('all'),
  'link-down': link,
  'link-up': link,
  flap: z.strictObject({ link, ...timing }),
  impair: z.strictObject({ link, ...impairmentSchema.shape }),
  unimpair: link,
  drain: node,
  undrain: node,
  'etcd-snapshot': z.literal('all'),
  'etcd-restore': z.literal('all'),
  'etcd-wipe': z.literal('all'),
  address: z.strictObject({ node, to: ipv4 }),
  'lease-revoke': node,
  'device-delete': node,
  'route-flush': node,
  burn: z.strictObject({ cpus: z.int().min(1).max(64), for: duration }),
  routes: z.strictObject({ to: node, are: z.enum(['gone', 'there']), within: duration }),
  healthy: z.strictObject({ within: duration }),
} as const;
export type ActionName = keyof typeof actions;
export type ActionArguments = { readonly [K in ActionName]: z.output<(typeof actions)[K]> };

/** What undoes a fault, and what only looks; everything else is a fault. */
const MENDS: readonly ActionName[] = [
  ...(['continue', 'start', 'power-on', 'add-node', 'heal', 'link-up', 'unimpair', 'undrain', 'etcd-restore'] as const),
];
const CHECKS: readonly ActionName[] = ['routes', 'healthy', 'etcd-snapshot'];

const step = z
  .strictObject({
    at: duration,
    ...Object.fromEntries(Object.entries(actions).map(([name, schema]) => [name, schema.optional()])),
  })
  .transform((value, context) => {
    const given = Object.entries(value as Readonly<Record<string, unknown>>).filter(
      ([key, argument]) => key !== 'at' && argument !== undefined,
    );
    const [first] = given;
    if (first === undefined || given.length !== 1) {
      context.addIssue(`has ${given.length} actions: it takes one of ${Object.keys(actions).join(', ')}`);
      return z.NEVER;
    }
    const name = first[0] as ActionName;
    const role = MENDS.includes(name) ? 'mend' : CHECKS.includes(name) ? 'check' : 'fault';
    return { atMs: Number(value.at), name, argument: first[1] as ActionArguments[ActionName], role } as const;
  });
export type Step = Readonly<z.output<typeof step>>;

const scenarioSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,40}$/, 'takes lower-case letters, digits and hyphens'),
    topology: z.string().min(1),
    lesson: z.string().min(40, 'takes a paragraph'),
    /** Packets every millisecond. */
    flows: z.array(flow).min(1).max(8),
    tcp: z.array(flow).max(4).default([]),
    steps: z.array(step).min(1),
    /** When the run ends. */
    end: duration,
    expect: z
      .array(
        z.string().transform((text, context): Expectation => {
          const parsed = parseExpectation(text);
          if (typeof parsed !== 'string') return parsed;
          context.addIssue(parsed);
          return z.NEVER;
        }),
      )
      .min(1),
  })
  .superRefine(({ steps, end, flows, tcp, expect }, context) => {
    const issue = (path: PropertyKey[], message: string): void => context.addIssue({ code: 'custom', path, message });
    for (const [at, { atMs }] of steps.entries()) {
      if (atMs < (steps[at - 1]?.atMs ?? 0)) issue(['steps', at, 'at'], 'is before the step above it');
      if (atMs > end) issue(['steps', at, 'at'], 'is after the end of the run');
    }
    for (const [at, { flow: named }] of expect.entries()) {
      const known = [...flows, ...tcp].some(({ from, to }) => `${from} > ${to}` === named);
      if (named !== undefined && !known) issue(['expect', at], 'names a flow that is not among flows');
    }
  });
export type Scenario = Readonly<z.output<typeof scenarioSchema>>;

/** The file of one of the shipped scenarios, or the one at this path. Throws `ExitError` with the names there are. */
export function scenarioSource(nameOrPath: string): YamlSource {
  return yamlSource(shippedFolder('scenarios'), nameOrPath);
}

/** What the file says. Throws `ExitError` with line and field. */
export function readScenario(source: YamlSource): Scenario {
  return readYaml(source, scenarioSchema);
}

/** The step in words, as written: `kill node2/bgpd`. */
export function stepText({ name, argument }: Step): string {
  return `${name} ${typeof argument === 'string' ? argument : JSON.stringify(argument).replaceAll('"', '')}`;
}
