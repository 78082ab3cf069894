// Connections over gRPC: dials peers and accepts them (ExchangeService.Session). Knows streams and frames, no session.
//
// An incoming stream is anonymous until its first message, which must be OPEN: only then is the peer it names asked
// whether it wants the connection. The dialling side has no TCP callback to go by; what tells it that the connection
// stands are the headers, which the accepting side sends at once.

import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  Metadata,
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  status,
} from '@grpc/grpc-js';
import { type Address, familyOf, parseAddress } from '../../lib/net/address.ts';
import { addService, CHANNEL_OPTIONS, openBidiStream } from '../../lib/rpc/service.ts';
import { type Clock, pause } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import {
  ExchangeService,
  type SessionRequest,
  type SessionResponse,
} from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import type { Accept, Connection, ConnectionListener, Dialler } from './connection.ts';
import { type Decoded, decodeFrame, encodeFrames, NLRI_MAX_BYTES } from './exchange-codec.ts';
import { certificateNames, dialCredentials, listenerCredentials, type TlsFiles } from './exchange-tls.ts';
import type { Message } from './message.ts';
import { notification } from './notification.ts';

const EXCHANGE_OPTIONS: ChannelOptions = {
  ...CHANNEL_OPTIONS,
  // A frame beyond this is not read; the largest that is valid has this much in prefixes.
  'grpc.max_receive_message_length': 2 * NLRI_MAX_BYTES,
  // HTTP/2 PINGs find a dead connection where the hold time is 0, or where it died after the session gave it up.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Room for an initial update of 100,000 routes without a stop (RFC 9113 section 5.2); the default is 64 kB.
  'grpc-node.flow_control_window': 1 << 20,
};

/** grpc-js 1.14 remembers its connections only for channelz: without it `forceShutdown` would leave them open. */
const SERVER_OPTIONS: ChannelOptions = { ...EXCHANGE_OPTIONS, 'grpc.enable_channelz': 1 };

/** A connection that was closed may still send what it has (a NOTIFICATION) for this long. */
const LINGER_MS = 500;

/** Anonymous streams at a time; more are refused. */
const ANONYMOUS_MAX = 256;

/** How long a stream may stay anonymous. */
const ANONYMOUS_MS = 10_000;

/** The two kinds of gRPC call have this in common. */
interface Stream {
  write(frame: unknown): boolean;
  end(): unknown;
  on(event: string, listener: (argument: unknown) => void): unknown;
}

/** What differs between the dialling and the accepting side. */
interface StreamSide {
  /** Ends the stream without waiting for what is unsent. */
  destroy(): void;
  /** Where it stands while its stream does. */
  readonly open: Set<StreamConnection>;
}

/** One node's end of the exchange: dials and is dialled. */
export interface Exchange extends Dialler {
  /**
   * Takes connections from now on, in place of where it listened before (whose connections end). Gives the port.
   * Rejects where the address or port cannot be bound.
   */
  listen(address: Address, port: number, accept: Accept): Promise<number>;
  /** Ends every connection, gives what was sent last a moment to get out, and stops listening. */
  close(): Promise<void>;
}

/** An exchange that does not listen yet. Each dial has a channel of its own: nothing reconnects behind the session's back. */
export function openExchange(clock: Clock, tls?: TlsFiles): Exchange {
  const open = new Set<StreamConnection>();
  let server: Server | undefined;
  return {
    dial({ address, port, node = '' }, listener) {
      const secrets = dialCredentials(tls, node);
      if ('error' in secrets) return failedDial(clock, listener, secrets.error);
      const client = new Client(target(address, port), secrets, EXCHANGE_OPTIONS);
      const call = openBidiStream(client, ExchangeService, 'session');
      const destroy = (): void => {
        call.cancel();
        client.close();
      };
      const connection = new StreamConnection(call, clock, listener, { destroy, open });
      follow(call, connection);
      call.on('metadata', () => connection.stands());
      return connection;
    },
    async listen(address, port, accept) {
      server?.forceShutdown();
      server = new Server(SERVER_OPTIONS);
      addService(server, ExchangeService, { session: greetWith(accept, clock, open) });
      return await bind(server, target(address, port), listenerCredentials(tls));
    },
    async close() {
      const ended = [...open].map((connection) => connection.ended);
      for (const connection of open) connection.close();
      await Promise.race([Promise.all(ended), pause(clock, LINGER_MS)]);
      server?.forceShutdown();
    },
  };
}

/** A dial that could not even be tried. */
function failedDial(clock: Clock, listener: ConnectionListener, reason: string): Connection {
  let isClosed = false;
  clock.nextTurn(() => {
    if (!isClosed) listener.closed(reason);
  });
  return {
    send: () => true,
    close() {
      isClosed = true;
    },
  };
}

/** The handler of incoming streams: each is anonymous until it has said OPEN. */
function greetWith(
  accept: Accept,
  clock: Clock,
  open: Set<StreamConnection>,
): (call: ServerDuplexStream<SessionRequest, SessionResponse>) => void {
  let anonymous = 0;
  return (call) => {
    if (anonymous >= ANONYMOUS_MAX) {
      call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too many connections without OPEN' });
      return;
    }
    anonymous++;
    call.sendMetadata(new Metadata());
    const greeter = new Greeter(accept, clock, () => anonymous--);
    // A server cannot reset a stream; ending it has been tried, and the channel's PINGs end the rest.
    const destroy = (): void => undefined;
    const { sslPeerCertificate } = call.getAuthContext();
    const remote = parseAddress(
      call
        .getPeer()
        .replace(/:\d+$/, '')
        .replace(/^\[(.*)\]$/, '$1'),
    );
    const connection = new StreamConnection(
      call,
      clock,
      greeter,
      { destroy, open },
      {
        ...(remote !== undefined && { remote }),
        ...(sslPeerCertificate !== undefined && { certifiedNames: certificateNames(sslPeerCertificate) }),
      },
    );
    greeter.greet(connection);
    follow(call, connection);
  };
}

/** Listens to a stream until its OPEN says whose it is. */
class Greeter implements ConnectionListener {
  readonly #accept: Accept;
  readonly #named: () => void;
  readonly #cancelTimer: () => void;
  #connection: StreamConnection | undefined;
  #over = false;

  constructor(accept: Accept, clock: Clock, named: () => void) {
    this.#accept = accept;
    this.#named = named;
    this.#cancelTimer = clock.after(ANONYMOUS_MS, () => {
      this.#finish();
      this.#connection?.close();
    });
  }

  greet(connection: StreamConnection): void {
    this.#connection = connection;
  }

  connected(): void {}

  drained(): void {}

  message(decoded: Decoded): void {
    const connection = this.#connection;
    if (connection === undefined || this.#over) return;
    this.#finish();
    const answer = this.#answer(decoded, connection);
    if ('code' in answer) {
      connection.send({ type: 'notification', notification: answer });
      connection.close();
      return;
    }
    connection.handTo(answer);
  }

  closed(): void {
    this.#finish();
  }

  #answer(decoded: Decoded, connection: Connection): ReturnType<Accept> {
    if ('reset' in decoded) return decoded.reset;
    if (decoded.message.type === 'open') return this.#accept(decoded.message.open, connection);
    return notification('unexpectedInOpenSent', `${decoded.message.type} before OPEN`);
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#named();
  }
}

class StreamConnection implements Connection {
  readonly #stream: Stream;
  readonly #clock: Clock;
  readonly #side: StreamSide;
  #listener: ConnectionListener;
  #stands = false;
  #closed = false;
  #cancelLinger: () => void = () => undefined;
  #resolveEnded: () => void = () => undefined;
  readonly ended = new Promise<void>((resolve) => {
    this.#resolveEnded = resolve;
  });

  readonly remote?: Address;
  readonly certifiedNames?: readonly string[];

  constructor(
    stream: Stream,
    clock: Clock,
    listener: ConnectionListener,
    side: StreamSide,
    from: Pick<Connection, 'remote' | 'certifiedNames'> = {},
  ) {
    Object.assign(this, from);
    this.#stream = stream;
    this.#clock = clock;
    this.#listener = listener;
    this.#side = side;
    side.open.add(this);
  }

  send(...messages: readonly Message[]): boolean {
    if (this.#closed) return true;
    let room = true;
    for (const frame of encodeFrames(messages)) room = this.#stream.write(frame);
    return room;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.end();
    this.#cancelLinger = this.#clock.after(LINGER_MS, () => this.lost('closed'));
  }

  handTo(listener: ConnectionListener): void {
    this.#listener = listener;
  }

  stands(): void {
    if (this.#closed || this.#stands) return;
    this.#stands = true;
    this.#listener.connected();
  }

  take(decoded: Decoded): void {
    if (!this.#closed) this.#listener.message(decoded);
  }

  drained(): void {
    if (!this.#closed) this.#listener.drained();
  }

  /** The stream is over, whoever ended it. */
  lost(reason: string): void {
    this.#cancelLinger();
    this.#side.destroy();
    this.#side.open.delete(this);
    this.#resolveEnded();
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.end();
    this.#listener.closed(reason);
  }
}

/** Brings a stream's events to its connection. An `error` without a listener would end the process. */
function follow(
  call: ClientDuplexStream<SessionRequest, SessionResponse> | ServerDuplexStream<SessionRequest, SessionResponse>,
  connection: StreamConnection,
): void {
  call.on('data', ({ messages }: SessionRequest | SessionResponse) => {
    for (const decoded of decodeFrame(messages)) connection.take(decoded);
  });
  call.on('drain', () => connection.drained());
  call.on('error', (error: Error) => connection.lost(reasonOf(error)));
  call.on('end', () => connection.lost('the peer ended the connection'));
  call.on('cancelled', () => connection.lost('the connection broke'));
  call.on('close', () => connection.lost('the connection broke'));
}

/** What a person wants to know: gRPC wraps `connect ECONNREFUSED 10.0.0.2:1790` into three sentences of its own. */
function reasonOf(error: Error): string {
  const text = errorText(error).replace(/^\d+ [A-Z_]+: /, '');
  return /Last error: (?:Error: )?(.+?)\.? *(?:Resolution note:.*)?$/.exec(text)?.[1] ?? text;
}

/** gRPC name of an address, resolved by nobody. */
function target(address: Address, port: number): string {
  return familyOf(address) === 4 ? `ipv4:${address}:${port}` : `ipv6:[${address}]:${port}`;
}

function bind(server: Server, where: string, withCredentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(where, withCredentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}
