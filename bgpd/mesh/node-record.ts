// A node in the registry, `/gingham/nodes/<name>`: where its bgpd listens and who it says it is. Pure.
//
// Anybody with access to etcd can write there: a record is checked field by field, and one that is wrong is an error value
// that names the field. Fields that this version does not know are left alone.

import { z } from 'zod';
import { type Address, parseAddress } from '../../lib/net/address.ts';
import type { RouterId } from '../rib/attributes.ts';

/** Longest node name (a DNS name, RFC 1035 section 2.3.4). */
const NAME_MAX = 253;

export interface NodeRecord {
  readonly name: string;
  /** Underlay address at which bgpd listens. */
  readonly address: Address;
  readonly port: number;
  readonly asn: number;
  readonly routerId: RouterId;
  /** It reflects routes, in this cluster (RFC 4456). */
  readonly reflectorOf?: RouterId;
  /** It takes routes from the reflectors of this cluster only; absent: from every reflector. */
  readonly clientOf?: RouterId;
  /** It runs BFD (RFC 5881) at its address and wants a session with whoever does too; absent: it does not. */
  readonly bfd?: boolean;
}

export interface RecordError {
  readonly error: string;
}

const addressText = z.string().transform((text, context): Address => {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is no IP address` });
  return z.NEVER;
});

const routerIdText = addressText.refine((id) => isRouterId(id), 'is no IPv4 address other than 0.0.0.0');

const nodeRecord = z.object({
  name: z.string().min(1).max(NAME_MAX),
  address: addressText,
  port: z.int().min(1).max(65_535),
  asn: z.int().min(1).max(0xffff_ffff),
  routerId: routerIdText,
  reflectorOf: routerIdText.exactOptional(),
  clientOf: routerIdText.exactOptional(),
  bfd: z.boolean().exactOptional(),
});

/** Key of a node's record. */
export function nodeKey(prefix: string, name: string): string {
  return prefix + name;
}

/** The record as it is stored. */
export function encodeNodeRecord(record: NodeRecord): string {
  const { name, address, port, asn, routerId, reflectorOf, clientOf, bfd } = record;
  return JSON.stringify({ name, address, port, asn, routerId, reflectorOf, clientOf, bfd: bfd || undefined });
}

/** The record at `key`; never throws. */
export function decodeNodeRecord(prefix: string, key: string, value: string): NodeRecord | RecordError {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch {
    return { error: 'is no JSON' };
  }
  const { success, data, error } = nodeRecord.safeParse(json);
  if (!success) {
    const [issue] = error.issues;
    return { error: `${issue?.path.join('.') || 'record'}: ${issue?.message ?? 'is wrong'}` };
  }
  if (nodeKey(prefix, data.name) !== key) return { error: `name: ${JSON.stringify(data.name)} is not that of its key` };
  return data;
}

/** Whether an address has the form of a router id. */
export function isRouterId(id: Address): boolean {
  return !id.includes(':') && id !== '0.0.0.0';
}

/** Whether two records say the same. */
export function sameNode(a: NodeRecord, b: NodeRecord): boolean {
  return encodeNodeRecord(a) === encodeNodeRecord(b);
}
