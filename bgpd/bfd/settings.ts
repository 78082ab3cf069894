// The settings of BFD: a part of bgpd's table, and its typed form.
//
// The default finds a dead peer in 0.9 s and stands a machine that is short of CPU; 50 ms x 3 is for a lab.

import { integer, toggle } from '../../lib/run/settings.ts';

/** How fast one session is. Both intervals are least ones: the slower side of each direction decides (RFC 5880 section 4.1). */
export interface BfdTimings {
  /** Desired Min TX Interval. */
  readonly transmitMs: number;
  /** Required Min RX Interval. */
  readonly receiveMs: number;
  /** Detect Mult: lost packets after which the peer takes this node for dead. */
  readonly multiplier: number;
}

export interface BfdSettings {
  readonly enabled: boolean;
  readonly intervalMs: number;
  readonly multiplier: number;
  readonly multihopLeastTtl: number;
}

export const BFD_INTERVAL_MS = { min: 10, max: 60_000 } as const;
export const BFD_MULTIPLIER = { min: 1, max: 255 } as const;

export const BFD_SETTINGS = {
  bfd: toggle(true, 'Watch each peer that does the same with BFD, and end the session with one that fell silent.'),
  'bfd-interval-milliseconds': integer(
    300,
    BFD_INTERVAL_MS.min,
    BFD_INTERVAL_MS.max,
    'milliseconds',
    "Between BFD packets, in both directions; the slower of two peers' values counts.",
  ),
  'bfd-multiplier': integer(
    3,
    BFD_MULTIPLIER.min,
    BFD_MULTIPLIER.max,
    'packets',
    'Lost BFD packets in a row after which this node is taken for dead.',
  ),
  'bfd-multihop-minimum-ttl': integer(
    245,
    1,
    255,
    'hops',
    'TTL with which BFD packets from behind routers must arrive; they leave with 255, and each router takes 1.',
  ),
};

/** The typed form of what was given. */
export function bfdSettings(values: {
  readonly bfd: boolean;
  readonly 'bfd-interval-milliseconds': number;
  readonly 'bfd-multiplier': number;
  readonly 'bfd-multihop-minimum-ttl': number;
}): BfdSettings {
  return {
    enabled: values.bfd,
    intervalMs: values['bfd-interval-milliseconds'],
    multiplier: values['bfd-multiplier'],
    multihopLeastTtl: values['bfd-multihop-minimum-ttl'],
  };
}
