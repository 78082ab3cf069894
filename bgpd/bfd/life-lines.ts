// One TCP connection with each peer whose BFD is Up, between the BFD threads: when it ends without a farewell, the process at
// the other end is no more. Nothing else is ever said on it.
//
// A bgpd that is killed gives back its memory before its connections end, which takes longer the more routes it had. The BFD
// thread has descriptors of its own (lib/kernel/descriptor-table.ts) and real-time priority: its connections end at once.
//
// The node of the lower address dials. A peer that does not listen (or where TCP does not pass) is found by other means.

import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { type Address, parseAddress } from '../../lib/net/address.ts';
import type { Clock } from '../../lib/run/clock.ts';

/** Said before a connection is closed while the process lives. */
const FAREWELL = new Uint8Array([0x42]);

/** Between two attempts with a peer that did not answer. */
const RETRY_MS = 10_000;

export interface LifeLinesOptions {
  readonly address: Address;
  /** TCP, the same on every node. */
  readonly port: number;
  readonly clock: Clock;
  /** The process of this peer is no more. */
  readonly ended: (peer: Address) => void;
}

export class LifeLines {
  readonly #options: LifeLinesOptions;
  readonly #server: Server;
  readonly #lines = new Map<Address, Socket>();
  readonly #notBeforeMs = new Map<Address, number>();
  #known: ReadonlySet<Address> = new Set();

  /** Listens; where it cannot, it only dials. */
  constructor(options: LifeLinesOptions) {
    const { address, port } = options;
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.on('error', () => undefined);
    this.#server.listen({ host: address, port });
  }

  /** Connections that stand or are being made. */
  get size(): number {
    return this.#lines.size;
  }

  /** Whose connections are taken from now on; those of others are closed. */
  setPeers(peers: Iterable<Address>): void {
    this.#known = new Set(peers);
    for (const peer of [...this.#lines.keys()]) if (!this.#known.has(peer)) this.#part(peer);
  }

  /** BFD with this peer is Up: there should be a connection. */
  want(peer: Address): void {
    const { address, port, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (peer <= address || this.#lines.has(peer) || nowMs < (this.#notBeforeMs.get(peer) ?? 0)) return;
    this.#notBeforeMs.set(peer, nowMs + RETRY_MS);
    this.#hold(peer, createConnection({ host: peer, port, localAddress: address }), false);
  }

  /** BFD with this peer is Down: what its connection says means nothing any more. */
  drop(peer: Address): void {
    this.#part(peer);
    this.#notBeforeMs.delete(peer);
  }

  /** Closes all, so that no peer takes this process for dead. */
  close(): void {
    for (const peer of [...this.#lines.keys()]) this.#part(peer);
    this.#server.close();
  }

  #accept(socket: Socket): void {
    const peer = parseAddress(socket.remoteAddress ?? '');
    if (peer === undefined || !this.#known.has(peer) || peer > this.#options.address) {
      socket.on('error', () => undefined);
      part(socket);
      return;
    }
    this.#part(peer);
    this.#hold(peer, socket, true);
  }

  #hold(peer: Address, socket: Socket, isOpen: boolean): void {
    let stands = isOpen;
    const over = (isFarewell: boolean): void => {
      socket.destroy();
      if (this.#lines.get(peer) !== socket) return;
      this.#lines.delete(peer);
      if (stands && !isFarewell) this.#options.ended(peer);
    };
    this.#lines.set(peer, socket);
    socket.on('connect', () => {
      stands = true;
    });
    socket.on('data', () => over(true));
    socket.on('end', () => over(false));
    socket.on('error', () => over(false));
    socket.on('close', () => over(false));
  }

  /** Closes with a farewell, whoever may still hear it. */
  #part(peer: Address): void {
    const socket = this.#lines.get(peer);
    this.#lines.delete(peer);
    if (socket !== undefined) part(socket);
  }
}

/** Waits for nobody: neither for an answer to its SYN nor for the other end to close too. */
function part(socket: Socket): void {
  if (socket.connecting) {
    socket.destroy();
    return;
  }
  socket.end(FAREWELL);
  socket.destroySoon();
}
