// Makes causes: ids and stamps for what this daemon is the first to see. What others saw is carried on unchanged.
//
// `decidedUnixUs` is 0 until the cause leaves in the feed: `decided` stamps it then.

import type { Cause } from '../lib/feed/feed.ts';
import type { Clock } from '../lib/run/clock.ts';
import { isCease, isNotification, type Notification } from './session/notification.ts';

/** Faults of a peer or of the way to it: why its session ended. `peer-down` is an error in what it said. */
export type FaultKind = 'stream-ended' | 'ceased' | 'hold-expired' | 'bfd-down' | 'link-down' | 'peer-down';

/** What bgpd may be the first to see. */
export type CauseKind =
  | FaultKind
  | 'peer-up'
  | 'update-received'
  | 'next-hop-changed'
  | 'stale-dropped'
  | 'kept-long'
  | 'policy-changed';

export class Causes {
  readonly #clock: Clock;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A new cause, detected now or when somebody else says. */
  make(kind: CauseKind, detectedUnixUs: bigint = this.#clock.unixMicros()): Cause {
    const id = `bgpd-${process.pid}-${++this.#count}`;
    return { id, kind, detectedUnixUs, decidedUnixUs: 0n };
  }

  /** The cause as it leaves in the feed: the decision is ready now. */
  decided(cause: Cause | undefined): Cause | undefined {
    return cause && { ...cause, decidedUnixUs: this.#clock.unixMicros() };
  }
}

/** What a session's end says of its peer; without a NOTIFICATION the connection broke. */
export function faultOf(whyDown: Notification | undefined): FaultKind {
  if (whyDown === undefined) return 'stream-ended';
  if (isNotification(whyDown, 'holdTimerExpired')) return 'hold-expired';
  // The peer's end of the link: it says so where another way leads here.
  if (isNotification(whyDown, 'hardReset')) return 'link-down';
  return isCease(whyDown) ? 'ceased' : 'peer-down';
}
