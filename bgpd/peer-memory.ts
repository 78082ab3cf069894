// What a speaker remembers of one peer, across its sessions and within the present one. Plain state: speaker.ts changes it
// and decides by it.

import type { Cause } from '../lib/feed/feed.ts';
import type { Family } from '../lib/net/address.ts';
import type { Message, Open } from './session/message.ts';

/** What is remembered of a peer across its sessions. */
export interface PeerMemory {
  everEstablished: boolean;
  /** END-OF-RIB came for every negotiated family, in some session. */
  everSynced: boolean;
  /** Families whose END-OF-RIB the present session still owes. */
  owed: ReadonlySet<Family>;
  /** The session's start, to which routes of its initial update are due. */
  upCause: Cause | undefined;
  /** Its OPEN, while a session is established. */
  open: Open | undefined;
  /** Messages that go before any routes. */
  readonly first: Message[];
  /** Families whose END-OF-RIB waits until this node's table is complete. */
  readonly endOfRibDue: Set<Family>;
  /** Families of which a refresh is under way: it ends with EoRR. */
  readonly refreshing: Set<Family>;
  /** The prefix limit was said to be near, or passed. */
  limitWarned: boolean;
  /** Why the session is about to end, where that was seen outside of it. */
  downCause: Cause | undefined;
}

/** Of a peer that was never heard of. */
export function newPeerMemory(): PeerMemory {
  return {
    everEstablished: false,
    everSynced: false,
    owed: new Set(),
    upCause: undefined,
    open: undefined,
    first: [],
    endOfRibDue: new Set(),
    refreshing: new Set(),
    limitWarned: false,
    downCause: undefined,
  };
}
