// What this node says of itself: in the OPEN of each session, and in its record in the registry. Both are made of the
// settings and of what is known by the time they are sent; nothing here sends.

import { type Address, familyOf } from '../lib/net/address.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import type { BgpdConfig } from './config.ts';
import type { NodeRecord } from './mesh/node-record.ts';
import { FAMILIES, type RouterId } from './rib/attributes.ts';
import { type Open, PROTOCOL_VERSION } from './session/message.ts';

/** The OPEN. `restarted`: this daemon has not got the routes of its peers yet (RFC 4724 section 4.1). */
export function openOf(config: BgpdConfig, routerId: RouterId, restarted: boolean): Open {
  const { asn, holdTimeSeconds, node, gracefulRestartSeconds, longLivedSeconds } = config;
  // What felix has written goes on forwarding while this daemon is away: every family is preserved.
  const gracefulRestart = {
    restarted,
    restartTimeSeconds: gracefulRestartSeconds,
    families: FAMILIES,
    preserved: FAMILIES,
    notification: true,
  };
  // Without a stale time of its own it still takes part: it keeps the routes of others, and may be told of such routes.
  const longLived = FAMILIES.map((family) => ({ family, preserved: true, staleSeconds: longLivedSeconds }));
  const capabilities = {
    families: FAMILIES,
    routeRefresh: true,
    enhancedRefresh: true,
    ...(gracefulRestartSeconds + longLivedSeconds > 0 && { gracefulRestart, longLived }),
  };
  return { version: PROTOCOL_VERSION, asn, holdTimeSeconds, routerId, node, capabilities };
}

/** The record. `bfd`: this node runs BFD at its address. */
export function recordOf(
  { node: name, asn, isReflector, clusterId }: BgpdConfig,
  { address, port, routerId, bfd }: { address: Address; port: number; routerId: RouterId; bfd: boolean },
): NodeRecord {
  const role = isReflector
    ? { reflectorOf: clusterId ?? routerId }
    : clusterId !== undefined && { clientOf: clusterId };
  return { name, address, port, asn, routerId, ...role, ...(bfd && { bfd }) };
}

/** The router id where none was given. Throws `ExitError` (usage) where the address has not the form of one. */
export function routerIdOf(address: Address): RouterId {
  if (familyOf(address) === 4) return address;
  throw new ExitError(EXIT.usage, `bgpd: --router-id is needed: the underlay address ${address} is not IPv4`);
}
