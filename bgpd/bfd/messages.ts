// What the BFD thread and the rest of bgpd say to each other. Values that structured clone carries; no behaviour.
//
// liveness.ts is at one end, worker.ts at the other.

import type { Address } from '../../lib/net/address.ts';
import type { BfdState } from '../../lib/wire/bfd.ts';
import type { BfdTimings } from './settings.ts';

/** UDP ports by kind of session: single-hop (RFC 5881 section 4) and multihop (RFC 5883 section 5). */
export const BFD_PORTS = { single: 3784, multi: 4784 } as const;

/** TCP, between the BFD threads: life-lines.ts. */
export const LIFE_LINE_PORT = 3784;

/** `single`: the peer is on a link of this node. `multi`: there are routers in between. Both ends must take the same. */
export type BfdHops = keyof typeof BFD_PORTS;

export interface BfdWorkerData {
  /** Packets are received here and leave from here. */
  readonly address: Address;
  readonly intervalMs: number;
  readonly multiplier: number;
  /** What arrives over routers with less is dropped. */
  readonly multihopLeastTtl: number;
}

export type BfdCommand =
  /**
   * The peers whose links are watched, and those of them that are to have a session; the sessions of others end. `timings`:
   * of those sessions that have their own.
   */
  | {
      readonly type: 'peers';
      readonly addresses: readonly Address[];
      readonly offering: readonly Address[];
      readonly timings: ReadonlyMap<Address, BfdTimings>;
    }
  /** Tells every peer that we are switched off here (section 6.8.16), and ends. */
  | { readonly type: 'close' };

/** One session, as it is after a change. */
export interface BfdReport {
  readonly peer: Address;
  readonly hops: BfdHops;
  readonly state: BfdState;
  readonly remoteState: BfdState;
  readonly diagnostic: number;
  /** RFC 5880 section 4.1, C bit: the peer's BFD lives on where its control plane restarts. */
  readonly remoteIndependent: boolean;
  /** The peer's BFD has forgotten us: it began anew. */
  readonly remoteIsNew: boolean;
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
  /** Dropped by the kernel before they could be received: the TTL was too low (or, should that ever be, no room). */
  readonly refused: number;
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
  /** The link that leads to a peer has lost its carrier, or has it again; stamped as `changed`. */
  | {
      readonly type: 'carrier';
      readonly peer: Address;
      readonly device: string;
      readonly up: boolean;
      readonly detectedUnixUs: bigint;
    }
  /** The process of a peer is no more; stamped as `changed`. */
  | { readonly type: 'ended'; readonly peer: Address; readonly detectedUnixUs: bigint }
  /** A session began, or its intervals were negotiated anew. */
  | { readonly type: 'negotiated'; readonly report: BfdReport }
  | { readonly type: 'counts'; readonly counts: BfdCounts };
