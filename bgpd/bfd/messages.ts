// What the BFD thread and the rest of bgpd say to each other. Values that structured clone carries; no behaviour.
//
// liveness.ts is at one end, worker.ts at the other.

import type { Address } from '../../lib/net/address.ts';
import type { BfdState } from '../../lib/wire/bfd.ts';

/** UDP port of single-hop BFD (RFC 5881 section 4). */
export const BFD_PORT = 3784;

export interface BfdWorkerData {
  /** Packets are received here and leave from here. */
  readonly address: Address;
  readonly intervalMs: number;
  readonly multiplier: number;
}

export type BfdCommand =
  /** The peers that are to have a session; the sessions of others end. */
  | { readonly type: 'peers'; readonly addresses: readonly Address[] }
  /** Tells every peer that we are switched off here (section 6.8.16), and ends. */
  | { readonly type: 'close' };

/** One session, as it is after a change. */
export interface BfdReport {
  readonly peer: Address;
  readonly state: BfdState;
  readonly remoteState: BfdState;
  readonly diagnostic: number;
  /** RFC 5880 section 4.1, C bit: the peer's BFD lives on where its control plane restarts. */
  readonly remoteIndependent: boolean;
  /** Between our packets, before jitter. */
  readonly transmitIntervalMs: number;
  /** Silence that we take for death; 0 before the first packet. */
  readonly detectionTimeMs: number;
}

export interface BfdCounts {
  readonly sent: number;
  readonly sendErrors: number;
  readonly received: number;
  /** Malformed, or for no session. */
  readonly discarded: number;
}

export type BfdWorkerEvent =
  | { readonly type: 'opened' }
  | { readonly type: 'refused'; readonly message: string }
  /** `detectedUnixUs`: when the thread saw it, however late it is read. */
  | {
      readonly type: 'changed';
      readonly from: BfdState;
      readonly report: BfdReport;
      readonly detectedUnixUs: bigint;
    }
  /** Intervals were negotiated anew. */
  | { readonly type: 'negotiated'; readonly report: BfdReport }
  | { readonly type: 'counts'; readonly counts: BfdCounts };
