// Which registered nodes this one holds a session with: all of them, unless some reflect routes (RFC 4456). Pure.
//
// With a reflector in the registry its clients have sessions with reflectors only. A node that names a cluster uses the
// reflectors of that cluster; reflectors have a session with each other whatever their clusters.

import type { NodeRecord } from './node-record.ts';

/** What the registry says of a node, and what it is to this one. */
export interface WantedPeer extends NodeRecord {
  /** This node reflects routes to it. */
  readonly client: boolean;
}

/** The peers of `own` among the registered nodes, by name; `own` itself is left out. */
export function sessionsWanted(
  own: Pick<NodeRecord, 'name' | 'reflectorOf' | 'clientOf' | 'asn'>,
  nodes: ReadonlyMap<string, NodeRecord>,
): ReadonlyMap<string, WantedPeer> {
  const others = [...nodes.values()].filter(({ name }) => name !== own.name);
  const reflected = own.reflectorOf !== undefined || others.some(({ reflectorOf }) => reflectorOf !== undefined);
  const wanted = others.filter((other) => !reflected || isJoined(own, other) || isJoined(other, own));
  return new Map(wanted.map((other) => [other.name, { ...other, client: isClient(own, other) }]));
}

/** `reflector` serves `other`. */
function isJoined(
  reflector: Pick<NodeRecord, 'reflectorOf'>,
  other: Pick<NodeRecord, 'reflectorOf' | 'clientOf'>,
): boolean {
  if (reflector.reflectorOf === undefined) return false;
  return other.reflectorOf !== undefined || other.clientOf === undefined || other.clientOf === reflector.reflectorOf;
}

function isClient(own: Pick<NodeRecord, 'reflectorOf' | 'asn'>, other: NodeRecord): boolean {
  return own.reflectorOf !== undefined && other.reflectorOf === undefined && other.asn === own.asn;
}
