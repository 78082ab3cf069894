// The file of `--config`: static peers, dynamic neighbours, groups of peers, policies, static routes and aggregates. Pure.
//
// It is checked as a whole: every wrong field is named with its path, and nothing of a file with an error is used. Names of
// sets, policies and groups are resolved here, so that what comes out refers to nothing. docs/bgp.md describes the file.

import { parse } from 'yaml';
import { z } from 'zod';
import { parseAddress } from '../lib/net/address.ts';
import { type Prefix, parsePrefix, prefixFamily, prefixLength } from '../lib/net/prefix.ts';
import { BFD_INTERVAL_MS, BFD_MULTIPLIER, type BfdTimings } from './bfd/settings.ts';
import type { PeerRecord } from './peer-set.ts';
import type { PrefixLimit } from './prefix-limit.ts';
import { WEIGHT_MAX } from './rib/attributes.ts';
import type { Policy, PrefixRange } from './rib/policy.ts';
import type { GroupPolicies } from './rib/rib-peer.ts';

/** Group of the peers that come from the registry. */
export const MESH_GROUP = 'mesh';

export interface DynamicRange {
  readonly range: Prefix;
  readonly asn: number;
  readonly group: string;
  readonly client: boolean;
  /** Peers of this range at a time. */
  readonly limit: number;
  readonly prefixLimit?: PrefixLimit;
}

/** What routes that start here are announced with. */
export interface OriginAttributes {
  readonly communities: readonly number[];
  readonly localPref?: number;
  readonly med?: number;
  readonly weight?: number;
}

export interface StaticRoute extends OriginAttributes {
  readonly prefix: Prefix;
  /** Only while a longer prefix within it is known. */
  readonly isAggregate: boolean;
}

/** Sets by name. The lists are the very ones that the conditions of the policies hold: so a condition's set has a name. */
export interface NamedSets {
  readonly prefixes: Readonly<Record<string, readonly PrefixRange[]>>;
  readonly communities: Readonly<Record<string, readonly number[]>>;
  readonly largeCommunities: Readonly<Record<string, readonly string[]>>;
  readonly neighbours: Readonly<Record<string, readonly string[]>>;
}

export interface Peering {
  readonly peers: readonly PeerRecord[];
  readonly dynamic: readonly DynamicRange[];
  /** By group; '' is the group of the mesh. */
  readonly policies: ReadonlyMap<string, GroupPolicies>;
  /** Every policy of the file, assigned or not. */
  readonly definitions: readonly Policy[];
  readonly sets: NamedSets;
  readonly meshLimit: PrefixLimit | undefined;
  /** Timings of BFD where they are not as usual: by group ('' is that of the mesh), and of single peers by name. */
  readonly bfd: Record<'groups' | 'peers', ReadonlyMap<string, Partial<BfdTimings>>>;
  /** For what flanneld's feed says starts here. */
  readonly leases: OriginAttributes;
  readonly routes: readonly StaticRoute[];
}

export const NO_PEERING: Peering = {
  peers: [],
  dynamic: [],
  policies: new Map(),
  definitions: [],
  sets: { prefixes: {}, communities: {}, largeCommunities: {}, neighbours: {} },
  meshLimit: undefined,
  bfd: { groups: new Map(), peers: new Map() },
  leases: { communities: [] },
  routes: [],
};

const address = z.string().transform(parsedBy(parseAddress, 'is no IP address'));
const prefixText = z.string().transform(parsedBy(parsePrefix, 'is no prefix with all host bits zero'));
const uint32 = z.int().min(0).max(0xffff_ffff);
const asn = z.int().min(1).max(0xffff_fffe);
const community = z.string().transform(parsedBy(parseCommunity, 'is no community such as 64512:100'));
const largeCommunity = z.string().regex(/^\d+:\d+:\d+$/, 'is no large community such as 64512:1:2');
const weight = z.int().min(1).max(WEIGHT_MAX);
const range = z.string().transform(parsedBy(parseRange, 'is no prefix such as 10.0.0.0/8 or 10.0.0.0/8 16-24'));
const name = z.string().min(1).max(253);
const prefixLimit = z.strictObject({
  max: z.int().min(1),
  warnPercent: z.int().min(1).max(100).default(75),
  action: z.enum(['warn', 'block', 'restart']).default('warn'),
  restartSeconds: z.int().min(1).max(86_400).default(60),
});

const bfd = z.strictObject({
  transmitMilliseconds: wholeNumber(BFD_INTERVAL_MS).exactOptional(),
  receiveMilliseconds: wholeNumber(BFD_INTERVAL_MS).exactOptional(),
  multiplier: wholeNumber(BFD_MULTIPLIER).exactOptional(),
});

const sets = z.strictObject({
  prefixes: z.record(name, z.array(range)).default({}),
  communities: z.record(name, z.array(community)).default({}),
  largeCommunities: z.record(name, z.array(largeCommunity)).default({}),
  neighbours: z.record(name, z.array(name)).default({}),
});

const statement = z.strictObject({
  name: name.default('unnamed'),
  if: z
    .strictObject({
      prefixes: name.exactOptional(),
      communities: name.exactOptional(),
      largeCommunities: name.exactOptional(),
      neighbours: name.exactOptional(),
      asPath: z
        .strictObject({
          from: z.array(asn).exactOptional(),
          originatedIn: z.array(asn).exactOptional(),
          passes: z.array(asn).exactOptional(),
          maxLength: z.int().min(0).max(255).exactOptional(),
        })
        .exactOptional(),
    })
    .default({}),
  set: z
    .strictObject({
      localPref: uint32.exactOptional(),
      med: uint32.exactOptional(),
      nextHop: address.exactOptional(),
      weight: weight.exactOptional(),
      addCommunities: z.array(community).exactOptional(),
      removeCommunities: z.array(community).exactOptional(),
      addLargeCommunities: z.array(largeCommunity).exactOptional(),
      removeLargeCommunities: z.array(largeCommunity).exactOptional(),
      prepend: z.strictObject({ asn, times: z.int().min(1).max(16) }).exactOptional(),
    })
    .default({}),
  action: z.enum(['accept', 'reject', 'next']).default('next'),
});

const origin = z.strictObject({
  communities: z.array(community).default([]),
  localPref: uint32.exactOptional(),
  med: uint32.exactOptional(),
  weight: weight.exactOptional(),
});

const route = origin.extend({ prefix: prefixText });

const file = z.strictObject({
  peers: z
    .array(
      z.strictObject({
        name,
        address,
        port: z.int().min(1).max(65_535).default(1790),
        asn: asn.exactOptional(),
        routerId: address.exactOptional(),
        group: name.default(MESH_GROUP),
        client: z.boolean().default(false),
        passive: z.boolean().default(false),
        bfd: bfd.exactOptional(),
      }),
    )
    .default([]),
  dynamic: z
    .array(
      z.strictObject({
        range: prefixText,
        asn: asn.exactOptional(),
        group: name.default(MESH_GROUP),
        client: z.boolean().default(false),
        limit: z.int().min(1).max(100_000).default(1_000),
      }),
    )
    .default([]),
  groups: z
    .record(
      name,
      z.strictObject({
        import: name.exactOptional(),
        export: name.exactOptional(),
        prefixLimit: prefixLimit.exactOptional(),
        bfd: bfd.exactOptional(),
      }),
    )
    .default({}),
  sets: sets.prefault({}),
  policies: z
    .record(name, z.strictObject({ statements: z.array(statement), otherwise: z.enum(['accept', 'reject']) }))
    .default({}),
  leases: origin.prefault({}),
  routes: z.array(route).default([]),
  aggregates: z.array(route).default([]),
});

type File = z.output<typeof file>;

/** The file's content, or every error in it, one a line. `ownAsn` is that of peers without one. */
export function parsePeering(text: string, ownAsn: number): Peering | { readonly errors: readonly string[] } {
  let content: unknown;
  try {
    content = parse(text) ?? {};
  } catch (error) {
    return { errors: [`is no YAML: ${(error as Error).message.split('\n')[0]}`] };
  }
  const { success, data, error } = file.safeParse(content);
  if (!success) return { errors: error.issues.map(({ path, message }) => `${path.join('.') || 'file'}: ${message}`) };
  const errors = referenceErrors(data);
  return errors.length > 0 ? { errors } : peeringOf(data, ownAsn);
}

function referenceErrors({ peers, dynamic, groups, policies, sets: known }: File): string[] {
  const errors: string[] = [];
  const check = (path: string, used: string | undefined, among: object, kind: string): void => {
    if (used !== undefined && !Object.hasOwn(among, used)) errors.push(`${path}: there is no ${kind} ${used}`);
  };
  const withMesh = { [MESH_GROUP]: {}, ...groups };
  for (const [i, { group }] of peers.entries()) check(`peers.${i}.group`, group, withMesh, 'group');
  for (const [i, { group }] of dynamic.entries()) check(`dynamic.${i}.group`, group, withMesh, 'group');
  for (const [key, group] of Object.entries(groups)) {
    check(`groups.${key}.import`, group.import, policies, 'policy');
    check(`groups.${key}.export`, group.export, policies, 'policy');
  }
  for (const [key, { statements }] of Object.entries(policies)) {
    for (const [i, { if: conditions }] of statements.entries()) {
      for (const kind of ['prefixes', 'communities', 'largeCommunities', 'neighbours'] as const) {
        check(`policies.${key}.statements.${i}.if.${kind}`, conditions[kind], known[kind], 'set');
      }
    }
  }
  const names = peers.map((peer) => peer.name);
  for (const twice of new Set(names.filter((each, i) => names.indexOf(each) !== i))) {
    errors.push(`peers: ${twice} is there twice`);
  }
  return errors;
}

function peeringOf(data: File, ownAsn: number): Peering {
  const groupOf = (group: string) => data.groups[group] ?? {};
  const common = (group: string) => {
    const { prefixLimit: limit } = groupOf(group);
    return { group: group === MESH_GROUP ? '' : group, ...(limit !== undefined && { prefixLimit: limit }) };
  };
  const policyOf = (key: string | undefined): Policy | undefined => {
    const found = key === undefined ? undefined : data.policies[key];
    return found === undefined || key === undefined
      ? undefined
      : { ...found, name: key, statements: resolved(found, data) };
  };
  return {
    peers: data.peers.map(({ group, passive, bfd: _bfd, ...peer }) => ({
      ...peer,
      ...common(group),
      asn: peer.asn ?? ownAsn,
      isPassive: passive,
    })),
    dynamic: data.dynamic.map(({ group, ...range }) => ({ ...range, ...common(group), asn: range.asn ?? ownAsn })),
    policies: new Map(
      Object.entries(data.groups).map(([key, group]) => [
        key === MESH_GROUP ? '' : key,
        { import: policyOf(group.import), export: policyOf(group.export) },
      ]),
    ),
    definitions: Object.keys(data.policies).flatMap((key) => policyOf(key) ?? []),
    sets: data.sets,
    meshLimit: groupOf(MESH_GROUP).prefixLimit,
    bfd: {
      groups: timings(Object.entries(data.groups).map(([key, group]) => [key === MESH_GROUP ? '' : key, group.bfd])),
      peers: timings(data.peers.map((peer) => [peer.name, peer.bfd])),
    },
    leases: data.leases,
    routes: [
      ...data.routes.map((each) => ({ ...each, isAggregate: false })),
      ...data.aggregates.map((each) => ({ ...each, isAggregate: true })),
    ],
  };
}

function resolved({ statements }: File['policies'][string], { sets: known }: File): Policy['statements'] {
  return statements.map(({ if: { prefixes, communities, largeCommunities, neighbours, asPath }, ...rest }) => ({
    ...rest,
    if: {
      ...(prefixes !== undefined && { prefixes: known.prefixes[prefixes] ?? [] }),
      ...(communities !== undefined && { communities: known.communities[communities] ?? [] }),
      ...(largeCommunities !== undefined && { largeCommunities: known.largeCommunities[largeCommunities] ?? [] }),
      ...(neighbours !== undefined && { neighbours: known.neighbours[neighbours] ?? [] }),
      ...(asPath !== undefined && { asPath }),
    },
  }));
}

function timings(
  of: readonly (readonly [string, z.output<typeof bfd> | undefined])[],
): ReadonlyMap<string, Partial<BfdTimings>> {
  return new Map(
    of.flatMap(([key, given]) => {
      if (given === undefined) return [];
      const { transmitMilliseconds: transmitMs, receiveMilliseconds: receiveMs, multiplier } = given;
      const own = {
        ...(transmitMs !== undefined && { transmitMs }),
        ...(receiveMs !== undefined && { receiveMs }),
        ...(multiplier !== undefined && { multiplier }),
      };
      return [[key, own] as const];
    }),
  );
}

function wholeNumber({ min, max }: { readonly min: number; readonly max: number }) {
  const error = ({ input }: { readonly input?: unknown }): string =>
    `${JSON.stringify(input)} is not accepted; accepted: a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

function parsedBy<T>(read: (text: string) => T | undefined, message: string) {
  return (text: string, context: z.RefinementCtx): T => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} ${message}` });
    return z.NEVER;
  };
}

/** `64512:100`, two 16-bit numbers (RFC 1997). */
function parseCommunity(text: string): number | undefined {
  const [, high = '', low = ''] = /^(\d{1,5}):(\d{1,5})$/.exec(text) ?? [];
  if (high === '' || Number(high) > 0xffff || Number(low) > 0xffff) return undefined;
  return Number(high) * 0x1_0000 + Number(low);
}

/** `10.0.0.0/8` for itself only, `10.0.0.0/8 16-24` for what is in it with these lengths. */
function parseRange(text: string): PrefixRange | undefined {
  const [, inside = '', from, to] = /^(\S+)(?: (\d+)-(\d+))?$/.exec(text) ?? [];
  const prefix = parsePrefix(inside);
  if (prefix === undefined) return undefined;
  const minLength = from === undefined ? prefixLength(prefix) : Number(from);
  const maxLength = to === undefined ? prefixLength(prefix) : Number(to);
  const bits = prefixFamily(prefix) === 4 ? 32 : 128;
  return minLength <= maxLength && maxLength <= bits ? { prefix, minLength, maxLength } : undefined;
}
