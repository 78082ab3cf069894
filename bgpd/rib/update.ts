// An UPDATE as a value (RFC 4271 section 4.3): prefixes that are gone, and prefixes that share one attribute set.
//
// The protobuf form lives only in session/exchange-codec.ts.

import type { Cause, FeedEvent } from '../../lib/feed/feed.ts';
import type { Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Attributes } from './attributes.ts';
import type { Refusal } from './route-rules.ts';

export interface Update {
  readonly family: Family;
  readonly withdrawn: readonly Prefix[];
  readonly announced: readonly Prefix[];
  /** Present where anything is announced. */
  readonly attributes?: Attributes;
  /** Why it was sent: for measuring, never for deciding. */
  readonly cause?: Cause;
}

/** What a received update led to. */
export interface Received {
  readonly events: FeedEvent[];
  /** Announced prefixes that were treated as withdrawn because of this. */
  readonly refused: Refusal | undefined;
}
