// The messages of a session as values (RFC 4271 section 4, RFC 2918, RFC 4724 section 2).
//
// Their protobuf form lives only in exchange-codec.ts; an UPDATE's content is rib/update.ts.

import type { Family } from '../../lib/net/address.ts';
import type { RouterId } from '../rib/attributes.ts';
import type { Update } from '../rib/update.ts';
import type { Notification } from './notification.ts';

/** Version of the message set of proto/gingham/exchange/v1. */
export const PROTOCOL_VERSION = 1;

/** OPEN (RFC 4271 section 4.2) as a peer sent it: of right form, not yet checked against what is expected. */
export interface Open {
  readonly version: number;
  readonly asn: number;
  /** 0 for no hold timer; 1 and 2 are errors that the session answers. */
  readonly holdTimeSeconds: number;
  readonly routerId: RouterId;
  readonly node: string;
  readonly capabilities: Capabilities;
}

export interface Capabilities {
  /** Families offered that this version knows, each once. */
  readonly families: readonly Family[];
  readonly routeRefresh: boolean;
  /** RFC 7313: a refresh is marked by its begin and its end. Absent: not offered. */
  readonly enhancedRefresh?: boolean;
  /** RFC 4724; absent: not offered. */
  readonly gracefulRestart?: GracefulRestart;
  /** RFC 9494; absent: not offered. Without meaning where `gracefulRestart` is absent. */
  readonly longLived?: readonly LongLivedFamily[];
}

/** What the sender promises for its own restart (RFC 4724 section 3, RFC 8538 section 2). */
export interface GracefulRestart {
  /** It has just restarted. */
  readonly restarted: boolean;
  readonly restartTimeSeconds: number;
  /** It will send END-OF-RIB for these: only they are waited for. */
  readonly families: readonly Family[];
  /** Of these, the ones for which it kept forwarding. */
  readonly preserved: readonly Family[];
  /** A NOTIFICATION keeps routes as well (the N bit). */
  readonly notification: boolean;
}

/** For how long routes of one family are to be kept once the restart time is up (RFC 9494 section 3.1). */
export interface LongLivedFamily {
  readonly family: Family;
  /** The sender kept forwarding (the F bit). */
  readonly preserved: boolean;
  /** 0: not at all. */
  readonly staleSeconds: number;
}

export type RefreshKind = 'request' | 'begin' | 'end';

export type Message =
  | { readonly type: 'open'; readonly open: Open }
  | { readonly type: 'update'; readonly update: Update }
  | { readonly type: 'keepalive' }
  | { readonly type: 'notification'; readonly notification: Notification }
  /** RFC 2918, or with enhanced refresh the marks around what answers it (RFC 7313). */
  | { readonly type: 'route-refresh'; readonly family: Family; readonly kind: RefreshKind }
  | { readonly type: 'end-of-rib'; readonly family: Family };
