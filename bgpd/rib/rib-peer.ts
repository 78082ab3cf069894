// A peer as the RIB knows it while its session is established, and what follows from that for the paths that it gives.
//
// Who may become one, and when, is the speaker's business.

import type { Address, Family } from '../../lib/net/address.ts';
import type { RouterId } from './attributes.ts';
import type { Path, PathSource, SourceKind } from './path.ts';
import type { Policy } from './policy.ts';

/** A peer whose session is established. */
export interface RibPeer {
  /** Unique; the node's name. */
  readonly name: string;
  readonly kind: Exclude<SourceKind, 'local'>;
  readonly asn: number;
  readonly routerId: RouterId;
  readonly address: Address;
  /** Families that both sides offered. */
  readonly families: readonly Family[];
  /** A client of this reflector. */
  readonly client?: boolean;
  /** It knows long-lived stale routes (RFC 9494). */
  readonly longLived?: boolean;
  /** Peers of equal kind and group get the same messages; absent: the default group. */
  readonly group?: string;
  /** Routes that it may have here; what is beyond is refused. Absent: any number. */
  readonly maxPrefixes?: number;
}

/** An operator's policies by group of peers. */
export interface GroupPolicies {
  readonly import?: Policy | undefined;
  readonly export?: Policy | undefined;
}

/** What decides in which update group a peer is. */
export type GroupMember = Pick<RibPeer, 'kind' | 'client' | 'longLived' | 'group'>;

/** Whether a path was learnt from this peer, in whatever session. */
export function isFrom({ source }: Path, name: string): boolean {
  return source.peer === name;
}

/** A new source for what a peer says from now on. */
export function sourceOf({ name, kind, client = false, routerId, address }: RibPeer): PathSource {
  return { peer: name, kind, client, routerId, address, stale: false };
}

/** Peers of equal key are told the same. */
export function groupKey({ kind, client = false, longLived = false, group = '' }: GroupMember): string {
  return `${kind} ${client} ${longLived} ${group}`;
}
