// A connection to a peer, as the session needs it: what a BGP connection is over TCP, here one bidirectional stream.
//
// route-exchange.ts is the real one (gRPC); a test may join two ends in memory. Every call of a listener comes in a later
// turn than the call that led to it, never from inside it; after `closed` nothing comes any more.

import type { Address } from '../../lib/net/address.ts';
import type { Decoded } from './exchange-codec.ts';
import type { Message, Open } from './message.ts';
import type { Notification } from './notification.ts';

export interface Connection {
  /** Sends in order. False: it will be sent, but the next should wait for `drained`. Without effect once closed. */
  send(...messages: readonly Message[]): boolean;
  /** Where it comes from, and the nodes that its certificate is for (absent without TLS); of accepted connections only. */
  readonly remote?: Address;
  readonly certifiedNames?: readonly string[];
  /** Ends it when what was sent is out, or after a short while. */
  close(): void;
}

export interface ConnectionListener {
  /** A dialled connection stands. */
  connected(): void;
  message(decoded: Decoded): void;
  drained(): void;
  closed(reason: string): void;
}

/** Where a peer listens. */
export interface Endpoint {
  /** Name of the node there. */
  readonly node?: string;
  readonly address: Address;
  readonly port: number;
}

export interface Dialler {
  /** Never throws: failure comes as `closed`. */
  dial(endpoint: Endpoint, listener: ConnectionListener): Connection;
}

/** Takes an incoming connection by its first message; a notification refuses it. The listener is not given that OPEN. */
export type Accept = (open: Open, connection: Connection) => ConnectionListener | Notification;
