// Candidate paths for tests of the decision process: short to write, everything else at its most ordinary value.
// Also the context that says which next hops can be reached, and at what cost.

import { type Attributes, localAttributes } from '../../../../bgpd/rib/attributes.ts';
import type { DecisionContext } from '../../../../bgpd/rib/decision.ts';
import { LOCAL_PEER, type Path, type PathSource, type PathTable, type SourceKind } from '../../../../bgpd/rib/path.ts';
import { type Address, address } from '../../../../lib/net/address.ts';

/** What a test says of a candidate. */
export interface Candidate extends Partial<Omit<Attributes, 'nextHop' | 'originatorId' | 'clusterList'>> {
  readonly peer?: string;
  readonly kind?: SourceKind;
  readonly stale?: boolean;
  readonly routerId?: string;
  readonly address?: string;
  readonly nextHop?: string;
  readonly originatorId?: string;
  readonly clusterList?: readonly string[];
}

/** A path of `table`; peer and router id follow from the address where they are not given. */
export function pathOf(table: PathTable, candidate: Candidate): Path {
  const {
    peer,
    kind = 'ibgp',
    stale = false,
    address: from = '192.0.2.1',
    routerId,
    nextHop,
    originatorId,
    clusterList,
    ...rest
  } = candidate;
  const source: PathSource = {
    peer: peer ?? (kind === 'local' ? LOCAL_PEER : from),
    kind,
    stale,
    routerId: address(routerId ?? from),
    address: address(from),
  };
  return table.path(source, {
    ...localAttributes(address(nextHop ?? from)),
    ...rest,
    ...(originatorId !== undefined && { originatorId: address(originatorId) }),
    ...(clusterList !== undefined && { clusterList: clusterList.map((id) => address(id)) }),
  });
}

/** Every next hop is reachable at cost 0 but for those given. */
export function contextOf(
  costs: Readonly<Record<string, number | undefined>> = {},
  maximumPaths = 16,
): DecisionContext {
  const known = new Map<Address, number | undefined>(Object.entries(costs).map(([at, cost]) => [address(at), cost]));
  return {
    maximumPaths,
    metric: ({ attributes: { nextHop } }) => (known.has(nextHop) ? known.get(nextHop) : 0),
  };
}
