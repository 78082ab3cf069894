// What a change of a BFD session, or of the link to a peer, means to the BGP session with that peer (RFC 5882). Pure, and the
// only place that decides it.
//
// BFD that was never Up says nothing (section 3.2: a peer may not run it, or something filters UDP); BFD that the peer
// switched off says nothing either (section 3.2: AdminDown is no failure of the path). One that began anew was restarted: had
// its BGP been with it, that session has ended by itself, and the one that stands is of its new life.

import type { BfdState } from '../../lib/wire/bfd.ts';

export interface BfdChange {
  readonly from: BfdState;
  readonly to: BfdState;
  readonly remoteState: BfdState;
  /** The peer's C bit: its BFD does not share the fate of its control plane. Never set by this implementation. */
  readonly independent: boolean;
  /** The peer's BFD began anew, so that it said Down: it has forgotten us, which is no word on the path. */
  readonly remoteIsNew: boolean;
}

/** The BGP session as it is at the change. */
export interface BgpStanding {
  readonly established: boolean;
  /** The session ended and its routes are kept for a peer that is restarting (RFC 4724 section 4.2). */
  readonly keepsStale: boolean;
}

/**
 * `dial`: the peer can be reached, do not wait with the next attempt. `end`: end the session, Cease with subcode BFD Down
 * (RFC 9384). `drop-stale`: the forwarding plane of the restarting peer is gone too, its stale routes must go.
 */
export type Reaction = 'none' | 'dial' | 'end' | 'drop-stale';

/** See `Reaction`. */
export function reactionTo(change: BfdChange, { established, keepsStale }: BgpStanding): Reaction {
  if (change.to === 'Up') return established ? 'none' : 'dial';
  if (change.from !== 'Up' || change.remoteState === 'AdminDown' || change.remoteIsNew) return 'none';
  if (established) return 'end';
  // Section 4.3.2: a BFD that restarts with its control plane says nothing of forwarding; the restart timer decides then.
  // Only the peer's bit counts here: ours is about a restart of this node, which is there to see it.
  return keepsStale && change.independent ? 'drop-stale' : 'none';
}

/** The process of the peer is no more: its connections break, some milliseconds before they do. What was kept stays kept. */
export function reactionToEnd({ established }: BgpStanding): Reaction {
  return established ? 'end' : 'none';
}

/** The link that leads to the peer lost its carrier (`up` false), or has it again: nothing can be forwarded meanwhile. */
export function reactionToCarrier(up: boolean, { established, keepsStale }: BgpStanding): Reaction {
  if (up) return established ? 'none' : 'dial';
  if (established) return 'end';
  return keepsStale ? 'drop-stale' : 'none';
}
