// Routes and DNS of a network configuration, by the shapes that the specification gives them in results.
//
// A route of a pod: `dst`, `gw` (absent: the pod's gateway of that family), `mtu`, `priority` (metric), `table`.

import { type Address, familyOf } from '../lib/net/address.ts';
import { type Prefix, parsePrefix, prefixFamily } from '../lib/net/prefix.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { type Fields, readAddressOf, readInteger, readList, refuseField } from './conf-fields.ts';

const U32_MAX = 0xffff_ffff;

export interface PodRoute {
  readonly dst: Prefix;
  readonly gw?: Address;
  readonly mtu?: number;
  readonly priority?: number;
  readonly table?: number;
}

/** As in a result: every field may be absent. */
export interface Dns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** The field `routes`. Throws `CniError` (2 or 7). */
export function readRoutes(fields: Fields): readonly PodRoute[] {
  return (readList(fields, 'routes') ?? []).map((value, at) => readRoute(value, `routes[${at}]`));
}

/** Throws `CniError` (7). */
export function readDns(fields: Fields): Dns {
  const { domain } = fields;
  if (domain !== undefined && typeof domain !== 'string') refuseField('dns.domain', domain, 'a text');
  const lists = (['nameservers', 'search', 'options'] as const).flatMap((key) => {
    const list = readList(fields, key, `dns.${key}`);
    if (list === undefined) return [];
    const texts = list.map((each) => (typeof each === 'string' ? each : refuseField(`dns.${key}`, each, 'texts')));
    return [[key, texts] as const];
  });
  return { ...Object.fromEntries(lists), ...(domain !== undefined && { domain: domain as string }) };
}

function readRoute(value: unknown, where: string): PodRoute {
  if (typeof value !== 'object' || value === null) refuseField(where, value, 'an object with dst');
  const fields = value as Fields;
  for (const key of ['advmss', 'scope']) {
    if (fields[key] === undefined) continue;
    const reason = `${where}.${key}: ${JSON.stringify(fields[key])} is not supported: routes have dst, gw, mtu, priority, table`;
    throw new CniError(CNI_ERROR.unsupportedField, reason);
  }
  const dst = typeof fields['dst'] === 'string' ? parsePrefix(fields['dst']) : undefined;
  if (dst === undefined) refuseField(`${where}.dst`, fields['dst'], 'a prefix without host bits, such as 10.0.0.0/8');
  const gateway = fields['gw'] === undefined ? undefined : readAddressOf(fields['gw'], `${where}.gw`);
  if (gateway !== undefined && familyOf(gateway) !== prefixFamily(dst)) {
    refuseField(`${where}.gw`, fields['gw'], `an address of the same family as ${dst}`);
  }
  const mtu = readInteger(fields, 'mtu', 68, 65_535, `${where}.mtu`);
  const priority = readInteger(fields, 'priority', 0, U32_MAX, `${where}.priority`);
  const table = readInteger(fields, 'table', 1, U32_MAX, `${where}.table`);
  return {
    dst,
    ...(gateway !== undefined && { gw: gateway }),
    ...(mtu !== undefined && { mtu }),
    ...(priority !== undefined && { priority }),
    ...(table !== undefined && { table }),
  };
}
