// The network config that an operator puts at <prefix>/config: flannel's JSON, its defaults and its rules. Pure.
//
// Every field is checked and every fault is reported at once, each with the field, its value and what is accepted.
// Fields that flannel has and that mean nothing here (EnableNFTables) are accepted and ignored, as are unknown ones.
//
// A Backend without Type means vxlan, as flannel's documentation says; flannel's code takes udp.

import {
  type Address,
  addressFromInteger,
  addressToInteger,
  type Family,
  familyOf,
  parseAddress,
} from '../../lib/net/address.ts';
import {
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixContains,
  prefixFamily,
  prefixLastAddress,
  prefixLength,
  prefixOf,
} from '../../lib/net/prefix.ts';
import { VNI_MAX } from './lease.ts';

/** UDP port of VXLAN in Linux and in flannel; IANA's 4789 can be configured. */
export const VXLAN_PORT = 8472;
export const UDP_PORT = 8285;
export const BACKEND_TYPES = ['vxlan', 'udp', 'ipip', 'host-gw'] as const;

/** Per family: the names of its fields, the longest subnet, the default length and up to which network it holds. */
const POOL_RULES = {
  4: { dash: '', longest: 30, usual: 24, roomUpTo: 22 },
  6: { dash: 'IPv6', longest: 126, usual: 64, roomUpTo: 62 },
} as const;

/** The subnets that nodes may lease: every `subnetLength` block from `min` to `max`. */
export interface Pool {
  readonly network: Prefix;
  readonly subnetLength: number;
  /** First address of the first and of the last subnet. */
  readonly min: Address;
  readonly max: Address;
}

export interface VxlanConfig {
  readonly type: 'vxlan';
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** Peers on the same L2 are reached by plain routes. */
  readonly directRouting: boolean;
  /** The plane runs in flanneld instead of the kernel. */
  readonly userSpace: boolean;
  readonly gbp: boolean;
  readonly learning: boolean;
  /** MTU of the underlay, where it is not the interface's. */
  readonly mtuBytes?: number;
}

export interface IpipConfig {
  readonly type: 'ipip';
  /** Peers on the same L2 are reached by plain routes. */
  readonly directRouting: boolean;
  /** The plane runs in flanneld even where the kernel has an IP-in-IP device. */
  readonly userSpace: boolean;
}

export type BackendConfig =
  | VxlanConfig
  | IpipConfig
  | { readonly type: 'udp'; readonly port: number }
  | { readonly type: 'host-gw' };

export interface NetworkConfig {
  readonly pool: Pool;
  readonly pool6?: Pool;
  readonly backend: BackendConfig;
}

/** One wrong field. */
export interface FieldFault {
  readonly field: string;
  readonly value: unknown;
  readonly accepted: string;
}

/** Reads the config, or says everything that is wrong with it. */
export function parseNetworkConfig(text: string): NetworkConfig | readonly FieldFault[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return [{ field: 'config', value: text, accepted: `a JSON object (${(error as Error).message})` }];
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return [{ field: 'config', value: parsed, accepted: 'a JSON object, such as {"Network":"10.5.0.0/16"}' }];
  }
  const reader = new FieldReader(parsed as Record<string, unknown>, '');
  if (!reader.boolean('EnableIPv4', true)) reader.refuse('EnableIPv4', 'true: a lease is keyed by its IPv4 subnet');
  const pool = readPool(reader, 4);
  const pool6 = reader.boolean('EnableIPv6', false) ? readPool(reader, 6) : undefined;
  const backend = readBackend(reader);
  if (reader.faults.length > 0 || pool === undefined || backend === undefined) return reader.faults;
  return { pool, ...(pool6 && { pool6 }), backend };
}

export function isConfigFault(parsed: NetworkConfig | readonly FieldFault[]): parsed is readonly FieldFault[] {
  return Array.isArray(parsed);
}

/** All faults on one line. */
export function describeFaults(faults: readonly FieldFault[]): string {
  return faults
    .map(({ field, value, accepted }) =>
      value === undefined
        ? `${field} is missing: it takes ${accepted}`
        : `${field} ${JSON.stringify(value)} is not accepted: it takes ${accepted}`,
    )
    .join('; ');
}

/** Whether this subnet is one that the pool has. */
export function poolHas(pool: Pool, subnet: Prefix): boolean {
  if (prefixFamily(subnet) !== prefixFamily(pool.network) || prefixLength(subnet) !== pool.subnetLength) return false;
  const first = addressToInteger(prefixAddress(subnet));
  return first >= addressToInteger(pool.min) && first <= addressToInteger(pool.max);
}

function readPool(reader: FieldReader, family: Family): Pool | undefined {
  const rules = POOL_RULES[family];
  const names = {
    network: family === 4 ? 'Network' : 'IPv6Network',
    length: `${rules.dash}SubnetLen`,
    min: `${rules.dash}SubnetMin`,
    max: `${rules.dash}SubnetMax`,
  };
  const network = reader.prefix(names.network, family);
  if (network === undefined) return undefined;
  const networkLength = prefixLength(network);
  const shortest = networkLength + 2;
  if (shortest > rules.longest) {
    reader.refuse(
      names.network,
      `a prefix of at most ${rules.longest - 2} bits: it must hold four subnets of four addresses`,
    );
    return undefined;
  }
  const usual = networkLength <= rules.roomUpTo ? rules.usual : shortest;
  const subnetLength = reader.integer(names.length, usual, shortest, rules.longest, ` (four subnets of ${network})`);
  if (subnetLength === undefined) return undefined;
  const size = 1n << BigInt((family === 4 ? 32 : 128) - subnetLength);
  const first = addressToInteger(prefixAddress(network));
  // The first subnet is skipped unless asked for, as in flannel: its first address is the network's own.
  const min = reader.subnetBound(names.min, network, subnetLength) ?? addressFromInteger(family, first + size);
  const last = addressToInteger(prefixLastAddress(network)) + 1n - size;
  const max = reader.subnetBound(names.max, network, subnetLength) ?? addressFromInteger(family, last);
  if (min === undefined || max === undefined) return undefined;
  if (addressToInteger(min) > addressToInteger(max)) {
    reader.refuse(names.min, `an address not above ${names.max} (${max})`);
  }
  return { network, subnetLength, min, max };
}

function readBackend(config: FieldReader): BackendConfig | undefined {
  const given = config.fields['Backend'] ?? {};
  if (typeof given !== 'object' || Array.isArray(given)) {
    config.refuse('Backend', 'an object such as {"Type":"vxlan"}');
    return undefined;
  }
  const reader = new FieldReader(given as Record<string, unknown>, 'Backend.', config.faults);
  const type = reader.fields['Type'] ?? 'vxlan';
  switch (typeof type === 'string' ? type.toLowerCase() : type) {
    case 'vxlan': {
      const mtuBytes = reader.integer('MTU', 0, 0, 65_535);
      return {
        type: 'vxlan',
        vni: reader.integer('VNI', 1, 1, VNI_MAX) ?? 1,
        // 0 is flannel's word for the kernel's default.
        port: reader.integer('Port', 0, 0, 65_535) || VXLAN_PORT,
        directRouting: reader.boolean('DirectRouting', false),
        userSpace: reader.boolean('UserSpace', false),
        gbp: reader.boolean('GBP', false),
        learning: reader.boolean('Learning', false),
        ...(mtuBytes ? { mtuBytes } : {}),
      };
    }
    case 'udp':
      return { type: 'udp', port: reader.integer('Port', UDP_PORT, 1, 65_535) ?? UDP_PORT };
    case 'ipip':
      return {
        type: 'ipip',
        directRouting: reader.boolean('DirectRouting', false),
        userSpace: reader.boolean('UserSpace', false),
      };
    case 'host-gw':
      return { type: 'host-gw' };
    default:
      reader.refuse(
        'Type',
        `one of ${BACKEND_TYPES.join(', ')} (vxlan with "UserSpace":true for the user-space plane)`,
      );
      return undefined;
  }
}

/** Reads fields of one JSON object and collects what is wrong. */
class FieldReader {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly faults: FieldFault[];
  readonly #path: string;

  constructor(fields: Readonly<Record<string, unknown>>, path: string, faults: FieldFault[] = []) {
    this.fields = fields;
    this.#path = path;
    this.faults = faults;
  }

  refuse(field: string, accepted: string): undefined {
    this.faults.push({ field: this.#path + field, value: this.fields[field], accepted });
  }

  boolean(field: string, fallback: boolean): boolean {
    const value = this.fields[field] ?? fallback;
    if (typeof value === 'boolean') return value;
    this.refuse(field, 'true or false');
    return fallback;
  }

  /** A number in the range; the fallback where the field is missing or 0, as flannel reads 0. */
  integer(field: string, fallback: number, min: number, max: number, why = ''): number | undefined {
    const value = this.fields[field] ?? 0;
    if (value === 0) return fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    return this.refuse(field, `a whole number from ${min} to ${max}${why}`);
  }

  /** A prefix; host bits are cut off, as flannel does. */
  prefix(field: string, family: Family): Prefix | undefined {
    const value = this.fields[field];
    const accepted = `an IPv${family} prefix such as ${family === 4 ? '10.5.0.0/16' : 'fd00:5::/48'}`;
    if (typeof value !== 'string') return this.refuse(field, accepted);
    const address = parseAddress(value.slice(0, value.indexOf('/')));
    const length = /\/(\d{1,3})$/.exec(value)?.[1];
    if (address === undefined || length === undefined || familyOf(address) !== family) {
      return this.refuse(field, accepted);
    }
    return prefixOf(address, Number(length)) ?? this.refuse(field, accepted);
  }

  /** First address of a subnet inside `network`; `undefined` where the field is missing or wrong. */
  subnetBound(field: string, network: Prefix, subnetLength: number): Address | undefined {
    const value = this.fields[field];
    if (value === undefined || value === null || value === '') return undefined;
    const address = typeof value === 'string' ? parseAddress(value) : undefined;
    if (address === undefined || familyOf(address) !== prefixFamily(network)) {
      return this.refuse(field, `an IPv${prefixFamily(network)} address inside ${network}`);
    }
    if (!prefixContains(network, address)) return this.refuse(field, `an address inside ${network}`);
    if (parsePrefix(`${address}/${subnetLength}`) !== undefined) return address;
    return this.refuse(field, `the first address of a /${subnetLength}, such as ${prefixOf(address, subnetLength)}`);
  }
}
