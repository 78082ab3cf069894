// What the tuntap driver sends and receives with: a UDP socket of node:dgram.
//
// What one dgram socket cannot do: choose the outer source port by a hash of the inner flow (RFC 7348 section 5 SHOULD),
// so that all our datagrams to a peer are one flow to the underlay's load balancers; send without UDP checksum (both are
// allowed by the RFC); set or read DSCP and ECN. The outer packet is therefore Not-ECT, which RFC 6040 section 4.3 calls
// compatibility mode: a congested router on the underlay drops where it could have marked.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { type Address, familyOf } from '../../lib/net/address.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import type { TableEntry } from './table-entry.ts';

/** Asked of the kernel, which gives what net.core.rmem_max and wmem_max allow. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** What became of a datagram. */
export type SendOutcome = 'sent' | 'full' | 'failed';

export interface PlaneSocket {
  /** Family of the peers that it reaches. */
  readonly family: number;

  /** Begins to hand over datagrams, each valid during the call; `fail` is called where none will come any more. */
  listen(
    take: (sender: string, bytes: Uint8Array, at: number, length: number) => void,
    fail: (error: Error) => void,
  ): void;

  /** Sends bytes [at, at + length); `done` is called now or later. True: the bytes must stay as they are until then. */
  send(
    entry: TableEntry,
    bytes: Uint8Array,
    at: number,
    length: number,
    outerTos: number,
    done: (outcome: SendOutcome) => void,
  ): boolean;

  /** After it resolves nothing is handed over any more. */
  close(): Promise<void>;
}

/** A bound UDP socket. Rejects with `ExitError` (environment). */
export async function openUdpSocket(localAddress: Address, port: number): Promise<PlaneSocket> {
  return new UdpSocket(await bindSocket(localAddress, port));
}

class UdpSocket implements PlaneSocket {
  readonly family: number;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.family = socket.address().family === 'IPv6' ? 6 : 4;
  }

  listen(
    take: (sender: string, bytes: Uint8Array, at: number, length: number) => void,
    fail: (error: Error) => void,
  ): void {
    this.#socket.on('message', (message: Buffer, from: RemoteInfo) => take(from.address, message, 0, message.length));
    this.#socket.on('error', fail);
  }

  send(
    { address, port }: TableEntry,
    bytes: Uint8Array,
    at: number,
    length: number,
    _outerTos: number,
    done: (outcome: SendOutcome) => void,
  ): boolean {
    const queued = this.#socket.getSendQueueCount();
    this.#socket.send(bytes, at, length, port, address, (error) => done(error ? 'failed' : 'sent'));
    // Nearly always the kernel has taken the datagram by now. Else dgram keeps the bytes.
    return this.#socket.getSendQueueCount() > queued;
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve));
  }
}

function bindSocket(localAddress: Address, port: number): Promise<Socket> {
  const isV6 = familyOf(localAddress) === 6;
  const socket = createSocket({
    type: isV6 ? 'udp6' : 'udp4',
    ipv6Only: isV6,
    recvBufferSize: SOCKET_BUFFER_BYTES,
    sendBufferSize: SOCKET_BUFFER_BYTES,
    // Every destination is an address already: answering at once spares a turn of the event loop for each datagram.
    lookup: (hostname, _options, callback) => callback(null, hostname, isV6 ? 6 : 4),
  });
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      reject(
        new ExitError(EXIT.environment, `cannot bind UDP ${localAddress} port ${port}: ${error.code}`, {
          cause: error,
        }),
      );
    });
    socket.bind({ address: localAddress, port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}
