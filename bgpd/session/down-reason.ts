// Why there is no session with a peer, as a word of a fixed vocabulary beside the words for people: for programs that act on
// it, and for tables. Pure.
//
// A NOTIFICATION has codes; a connection that never stood or broke has only what the operating system or TLS said, which
// grpc-js hands over as text: here alone it is read.

import { NOTIFICATION, type Notification } from './notification.ts';

/** Every word that `kind` may be; a new one is an addition, none is ever given another meaning. */
export const DOWN_KINDS = [
  // No connection came about.
  'refused',
  'unreachable',
  'timeout',
  'tls-mismatch',
  'certificate',
  // The session ended, or was refused, with a NOTIFICATION.
  'hold-expired',
  'send-hold-expired',
  'bfd-down',
  'link-down',
  'prefix-limit',
  'admin-down',
  'admin-reset',
  'deconfigured',
  'rejected',
  'config-change',
  'collision',
  'out-of-resources',
  'incompatible',
  'protocol-error',
  // The connection broke without one.
  'connection-lost',
] as const;
export type DownKind = (typeof DOWN_KINDS)[number];

/** How a session or an attempt ended. */
export interface Ending {
  /** For people. */
  readonly reason: string;
  /** The NOTIFICATION that ended it; absent where the connection broke or never stood. */
  readonly notification?: Notification | undefined;
  /** Who sent it. */
  readonly by?: 'us' | 'peer' | undefined;
}

export interface DownReason {
  readonly kind: DownKind;
  readonly by?: 'us' | 'peer';
  /** Of the NOTIFICATION (RFC 4271 section 4.5). */
  readonly code?: number;
  readonly subcode?: number;
  /** What the sender of the NOTIFICATION wrote (RFC 9003), or what the operating system said; may be empty. */
  readonly text: string;
}

const OF_NOTIFICATION: readonly (readonly [keyof typeof NOTIFICATION, DownKind])[] = [
  ['holdTimerExpired', 'hold-expired'],
  ['sendHoldTimerExpired', 'send-hold-expired'],
  ['bfdDown', 'bfd-down'],
  ['prefixLimitReached', 'prefix-limit'],
  ['administrativeShutdown', 'admin-down'],
  ['administrativeReset', 'admin-reset'],
  // Sent for the carrier of the link to the peer, and for nothing else.
  ['hardReset', 'link-down'],
  ['peerDeconfigured', 'deconfigured'],
  ['connectionRejected', 'rejected'],
  ['otherConfigurationChange', 'config-change'],
  ['connectionCollision', 'collision'],
  ['outOfResources', 'out-of-resources'],
];

/** OPEN message error: AS number, router id, version, hold time or capabilities do not go together. */
const OPEN_ERROR = 2;

/** What Node.js says of a connection that did not come about, by its kind; the first that fits. */
const OF_TEXT: readonly (readonly [RegExp, DownKind])[] = [
  [/\bECONNREFUSED\b/, 'refused'],
  [/\bE(NETUNREACH|HOSTUNREACH|NETDOWN|HOSTDOWN|ADDRNOTAVAIL)\b/, 'unreachable'],
  [/\bETIMEDOUT\b|took too long/, 'timeout'],
  // One of the two has TLS and the other has not.
  [/wrong version number/, 'tls-mismatch'],
  [/certificate|self.signed|\bSSL\b|\bTLS\b|\balert\b/i, 'certificate'],
];

/** The word for it. */
export function downReason({ reason, notification, by }: Ending): DownReason {
  if (notification === undefined) {
    return { kind: OF_TEXT.find(([pattern]) => pattern.test(reason))?.[1] ?? 'connection-lost', text: reason };
  }
  const { code, subcode, text } = notification;
  const known = OF_NOTIFICATION.find(
    ([name]) => NOTIFICATION[name].code === code && NOTIFICATION[name].subcode === subcode,
  );
  const kind = known?.[1] ?? (code === OPEN_ERROR ? 'incompatible' : 'protocol-error');
  return { kind, ...(by !== undefined && { by }), code, subcode, text };
}
