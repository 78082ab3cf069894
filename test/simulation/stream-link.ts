// One connection between two simulated nodes: bytes in order, both ways, as TCP and gRPC give them to route-exchange.ts.
//
// A lane is one direction. What is lost in it comes later and holds up all that is behind it; while its path is cut it holds
// everything. A path that stays cut for as long as the channel's PINGs wait breaks the connection for both ends.
// An end whose host or process died without a word answers what still comes with a reset, once it is reachable.

import type { Accept, Connection, ConnectionListener } from '../../bgpd/session/connection.ts';
import type { Decoded } from '../../bgpd/session/exchange-codec.ts';
import type { Message } from '../../bgpd/session/message.ts';
import { notification } from '../../bgpd/session/notification.ts';
import type { Address } from '../../lib/net/address.ts';
import { decodeFrame, encodeFrame } from './frames.ts';
import type { SimNetwork } from './network.ts';
import { type SimProcess, TURN_MS } from './virtual-time.ts';

/** First retransmission of TCP (RFC 6298 section 2.4 has 1 s at least; Linux has this). */
const RETRANSMIT_MS = 200;

/** grpc.keepalive_time_ms and grpc.keepalive_timeout_ms of route-exchange.ts. */
const PING_MS = { every: 10_000, timeout: 5_000 } as const;
/** As in route-exchange.ts. */
const LINGER_MS = 500;
const ANONYMOUS_MS = 10_000;

interface Frame {
  readonly bytes: number;
  readonly arrive: () => void;
}

interface Place {
  readonly host: Address;
  readonly process: SimProcess;
}

export class StreamLink {
  readonly network: SimNetwork;
  readonly ends: readonly [StreamEnd, StreamEnd];
  #cutMs: number | undefined;

  constructor(network: SimNetwork, dialler: Place, to: Address) {
    this.network = network;
    this.ends = [new StreamEnd(this, dialler.host), new StreamEnd(this, to)];
    this.ends[0].process = dialler.process;
  }

  dial(listener: ConnectionListener): Connection {
    const [near, far] = this.ends;
    near.listener = listener;
    near.lane.push(0, () => this.#knock(near, far));
    return near;
  }

  otherOf(end: StreamEnd): StreamEnd {
    return this.ends[0] === end ? this.ends[1] : this.ends[0];
  }

  /** One of its paths is cut: the PINGs of both ends stay without answer. */
  pathCut(): void {
    if (this.#cutMs !== undefined) return;
    const { time } = this.network.options;
    const sinceMs = time.nowMs;
    this.#cutMs = sinceMs;
    time.at(sinceMs + PING_MS.every + PING_MS.timeout, () => {
      if (this.#cutMs === sinceMs) this.breakBoth();
    });
  }

  /** Its paths may be whole again. */
  resume(): void {
    const [{ host: a }, { host: b }] = this.ends;
    if (this.network.passes(a, b) && this.network.passes(b, a)) {
      this.#cutMs = undefined;
      // A host that lost its connections answers the next PING with a reset.
      if (this.ends.some(({ vanished }) => vanished)) {
        const { time, random } = this.network.options;
        time.at(time.nowMs + random.between(0, PING_MS.every), () => this.breakBoth());
      }
    }
    for (const { lane } of this.ends) lane.resume();
  }

  /** Both ends learn, each in its own time, that the connection is no more. */
  breakBoth(): void {
    for (const end of this.ends) {
      end.lane.clear();
      end.later(() => end.lose('the connection broke'));
    }
  }

  /** Nobody holds it any more. */
  forgetIfOver(): void {
    if (this.ends.every(({ closed, lane }) => closed && lane.isEmpty)) this.network.links.delete(this);
  }

  #knock(near: StreamEnd, far: StreamEnd): void {
    const listening = this.network.listeningAt(far.host);
    if (listening === undefined) {
      far.lane.push(0, () => near.lose('connection refused'));
      far.closed = true;
      return;
    }
    far.process = listening.process;
    far.remote = near.host;
    far.greet(listening.accept);
    far.lane.push(0, () => near.listener?.connected());
  }
}

/** What one of the two sides holds. */
export class StreamEnd implements Connection {
  readonly link: StreamLink;
  readonly host: Address;
  readonly lane: Lane;
  process: SimProcess | undefined;
  remote?: Address;
  listener: ConnectionListener | undefined;
  closed = false;
  /** Its host knows nothing of it any more. */
  vanished = false;
  #blocked = false;

  constructor(link: StreamLink, host: Address) {
    this.link = link;
    this.host = host;
    this.lane = new Lane(link, this);
  }

  get other(): StreamEnd {
    return this.link.otherOf(this);
  }

  send(...messages: readonly Message[]): boolean {
    if (this.closed) return true;
    const { windowBytes, watcher } = this.link.network.options;
    for (const message of messages) {
      const frame = encodeFrame(message);
      watcher.sent(this, message, frame.length);
      this.lane.push(frame.length, () => this.other.take(decodeFrame(frame)));
    }
    this.#blocked ||= this.lane.bytes > windowBytes;
    return !this.#blocked;
  }

  close(): void {
    if (this.closed) return;
    const { time } = this.link.network.options;
    this.closed = true;
    this.lane.push(0, () => this.other.lose('the peer ended the connection'));
    // What is still unsent then is not sent any more.
    time.at(time.nowMs + LINGER_MS, () => {
      if (this.lane.isEmpty) return;
      this.lane.clear();
      this.#reset();
    });
  }

  /** The process was killed: the kernel sends what it has, and a reset. */
  abort(): void {
    if (this.closed) return;
    this.closed = true;
    this.#reset();
  }

  /** The host lost power. */
  vanish(): void {
    this.closed = true;
    this.vanished = true;
    this.lane.clear();
  }

  lose(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.link.forgetIfOver();
    if (this.process?.alive) this.listener?.closed(reason);
  }

  take(decoded: Decoded): void {
    if (this.vanished) {
      this.lane.push(0, () => this.other.lose('reset by the peer'));
      return;
    }
    if (this.closed) return;
    if ('message' in decoded) this.link.network.options.watcher.arrived(this, decoded.message);
    this.listener?.message(decoded);
  }

  /** Something of this end's lane arrived at the other. */
  drainedTo(bytes: number): void {
    if (!this.#blocked || bytes > this.link.network.options.windowBytes / 2) return;
    this.#blocked = false;
    this.later(() => {
      if (!this.closed) this.listener?.drained();
    });
  }

  /** In this end's process, after a latency. */
  later(callback: () => void): void {
    const { network } = this.link;
    const { time } = network.options;
    time.at(time.nowMs + network.latencyMs(), () => {
      if (this.process === undefined) callback();
      else this.process.run(callback, false);
    });
  }

  /** The accepting side is anonymous until OPEN. */
  greet(accept: Accept): void {
    const { time } = this.link.network.options;
    const forget = time.at(time.nowMs + ANONYMOUS_MS, () => this.close());
    this.listener = {
      connected: () => undefined,
      drained: () => undefined,
      closed: forget,
      message: (decoded) => {
        forget();
        const answer =
          'reset' in decoded
            ? decoded.reset
            : decoded.message.type === 'open'
              ? accept(decoded.message.open, this)
              : notification('unexpectedInOpenSent', `${decoded.message.type} before OPEN`);
        if (!('code' in answer)) {
          this.listener = answer;
          return;
        }
        this.send({ type: 'notification', notification: answer });
        this.close();
      },
    };
  }

  #reset(): void {
    this.lane.push(0, () => this.other.lose('reset by the peer'));
  }
}

/** One direction, from an end to the other. */
class Lane {
  readonly #link: StreamLink;
  readonly #from: StreamEnd;
  #queue: { readonly atMs: number; readonly frame: Frame }[] = [];
  #lastMs = 0;
  #bytes = 0;
  #isStalled = false;
  #isPlanned = false;
  /** Frames of an earlier number were cleared away. */
  #generation = 0;

  constructor(link: StreamLink, from: StreamEnd) {
    this.#link = link;
    this.#from = from;
  }

  /** Under way. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  push(bytes: number, arrive: () => void): void {
    const { network } = this.#link;
    const { time, random } = network.options;
    let atMs = time.nowMs + network.latencyMs();
    for (let waitMs = RETRANSMIT_MS; random.chance(network.lossShare); waitMs *= 2) atMs += waitMs;
    this.#lastMs = Math.max(this.#lastMs, atMs);
    // Lost so often that a PING behind it stays without answer: the connection ends first.
    const brokenMs = time.nowMs + PING_MS.every + PING_MS.timeout;
    if (this.#lastMs > brokenMs) this.#breakAt(brokenMs);
    this.#queue.push({ atMs: this.#lastMs, frame: { bytes, arrive } });
    this.#bytes += bytes;
    if (!this.#isPlanned && !this.#isStalled) this.#plan(this.#lastMs);
  }

  clear(): void {
    this.#queue = [];
    this.#bytes = 0;
    this.#isStalled = false;
    this.#isPlanned = false;
    this.#lastMs = 0;
    this.#generation++;
  }

  resume(): void {
    if (!this.#isStalled || !this.#passes()) return;
    const { time, random } = this.#link.network.options;
    this.#isStalled = false;
    this.#plan(time.nowMs + random.between(RETRANSMIT_MS, 2 * RETRANSMIT_MS));
  }

  #breakAt(atMs: number): void {
    const generation = this.#generation;
    this.#link.network.options.time.at(atMs, () => {
      if (generation === this.#generation) this.#link.breakBoth();
    });
  }

  #passes(): boolean {
    return this.#link.network.passes(this.#from.host, this.#from.other.host);
  }

  #plan(atMs: number): void {
    const generation = this.#generation;
    this.#isPlanned = true;
    this.#link.network.options.time.at(atMs, () => {
      if (generation === this.#generation) this.#deliver();
    });
  }

  #deliver(): void {
    const { time } = this.#link.network.options;
    const { process } = this.#from.other;
    this.#isPlanned = false;
    if (!this.#passes()) {
      this.#isStalled = true;
      this.#link.pathCut();
      return;
    }
    if (process?.alive && process.stalledUntilMs > time.nowMs) {
      this.#plan(process.stalledUntilMs + TURN_MS);
      return;
    }
    const first = this.#queue.shift();
    if (first === undefined) return;
    this.#bytes -= first.frame.bytes;
    first.frame.arrive();
    this.#from.drainedTo(this.#bytes);
    const [next] = this.#queue;
    if (next === undefined) this.#link.forgetIfOver();
    else if (!this.#isPlanned) this.#plan(next.atMs);
  }
}
