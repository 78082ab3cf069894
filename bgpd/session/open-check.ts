// Checks a peer's OPEN against what we sent and what we know of the peer (RFC 4271 section 6.2, RFC 6286).
//
// That its fields have the right form is the codec's business.

import type { RouterId } from '../rib/attributes.ts';
import { type Open, PROTOCOL_VERSION } from './message.ts';
import { type Notification, notification } from './notification.ts';

/** What is known of a peer before it speaks; what is absent is not checked. */
export interface ExpectedPeer {
  readonly node: string;
  readonly asn?: number;
  readonly routerId?: RouterId;
}

/** Shortest hold time other than 0, seconds (RFC 4271 section 4.2). */
export const HOLD_TIME_MIN_SECONDS = 3;
export const HOLD_TIME_MAX_SECONDS = 65_535;

/** What is wrong with the OPEN; `undefined` where nothing is. */
export function checkOpen(open: Open, own: Open, expected: ExpectedPeer): Notification | undefined {
  if (open.version !== PROTOCOL_VERSION) {
    return notification('unsupportedVersion', `version ${open.version}: this is ${PROTOCOL_VERSION}`);
  }
  if (open.asn === 0 || (expected.asn !== undefined && open.asn !== expected.asn)) {
    return notification('badPeerAs', `AS ${open.asn}: expected ${expected.asn ?? 'another than 0'}`);
  }
  if (open.node !== expected.node) {
    return notification('connectionRejected', `node ${JSON.stringify(open.node)}: expected ${expected.node}`);
  }
  // RFC 6286 section 2.2: within one AS a router id is used once; between two it may repeat.
  if (open.routerId === own.routerId && open.asn === own.asn) {
    return notification('badRouterId', `router id ${open.routerId} is that of ${own.node} too`);
  }
  if (expected.routerId !== undefined && open.routerId !== expected.routerId) {
    return notification('badRouterId', `router id ${open.routerId}: ${open.node} has registered ${expected.routerId}`);
  }
  const hold = open.holdTimeSeconds;
  if (hold !== 0 && (hold < HOLD_TIME_MIN_SECONDS || hold > HOLD_TIME_MAX_SECONDS)) {
    return notification('unacceptableHoldTime', `hold time ${hold} s: 0 or at least ${HOLD_TIME_MIN_SECONDS}`);
  }
  if (!open.capabilities.families.some((family) => own.capabilities.families.includes(family))) {
    return notification('unsupportedCapability', 'no address family in common');
  }
  return undefined;
}
