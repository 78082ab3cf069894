// The network between simulated nodes: which hosts can reach which, how long that takes, what is lost. Streams (the exchange)
// are in stream-link.ts; datagrams (BFD) are here.
//
// The exchange runs over TCP: loss and reordering of segments show as delay and, where they last, as a broken connection.
// They are real for datagrams only. A cut path delivers nothing; what was sent into a stream arrives once the path heals,
// unless the connection was given up meanwhile.

import type { Accept, Connection } from '../../bgpd/session/connection.ts';
import type { Message } from '../../bgpd/session/message.ts';
import type { Exchange } from '../../bgpd/session/route-exchange.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Random } from './random.ts';
import { type StreamEnd, StreamLink } from './stream-link.ts';
import type { SimProcess, VirtualTime } from './virtual-time.ts';

export interface NetworkOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  /** One way, milliseconds. */
  readonly latencyMs: { readonly least: number; readonly most: number };
  /** Bytes under way in a stream beyond which its sender is told to wait. */
  readonly windowBytes: number;
  /** Sees every message as it is sent and as it arrives. */
  readonly watcher: StreamWatcher;
}

export interface StreamWatcher {
  sent(end: StreamEnd, message: Message, bytes: number): void;
  arrived(end: StreamEnd, message: Message): void;
}

/** What takes connections at an address. */
export interface Listening {
  readonly process: SimProcess;
  readonly accept: Accept;
}

interface Bound {
  readonly process: SimProcess;
  readonly receive: (from: Address, bytes: Uint8Array) => void;
}

/** What was sent last gets out in this time when a daemon stops. */
const LINGER_MS = 500;

/** Copies of a datagram that networks make now and then. */
const DUPLICATE_SHARE = 0.01;

export class SimNetwork {
  readonly options: NetworkOptions;
  /** Of segments and datagrams. */
  lossShare = 0;
  readonly links = new Set<StreamLink>();
  readonly #listening = new Map<Address, Listening>();
  readonly #bound = new Map<Address, Bound>();
  readonly #cuts = new Set<string>();
  readonly #off = new Set<Address>();

  constructor(options: NetworkOptions) {
    this.options = options;
  }

  /** Connections that neither side has given up. */
  get standing(): readonly StreamLink[] {
    return [...this.links].filter(({ ends }) => !ends.some(({ closed }) => closed));
  }

  passes(from: Address, to: Address): boolean {
    return !(this.#off.has(from) || this.#off.has(to) || this.#cuts.has(`${from} ${to}`));
  }

  /** One way only. */
  cut(from: Address, to: Address): void {
    this.#cuts.add(`${from} ${to}`);
    for (const link of this.links) {
      if (link.ends.some(({ host }) => host === from) && link.ends.some(({ host }) => host === to)) link.pathCut();
    }
  }

  heal(from: Address, to: Address): void {
    this.#cuts.delete(`${from} ${to}`);
    this.#resume();
  }

  healAll(): void {
    this.#cuts.clear();
    this.lossShare = 0;
    this.#resume();
  }

  /** The host has no power: it says nothing to anybody, its connections are forgotten. */
  powerOff(host: Address): void {
    this.#off.add(host);
    this.#listening.delete(host);
    this.#bound.delete(host);
    for (const end of this.#endsOf(host)) {
      end.vanish();
      end.link.pathCut();
    }
  }

  powerOn(host: Address): void {
    this.#off.delete(host);
    this.#resume();
  }

  /** A process was killed: its kernel ends the connections. */
  killed(process: SimProcess, host: Address): void {
    if (this.#listening.get(host)?.process === process) this.#listening.delete(host);
    if (this.#bound.get(host)?.process === process) this.#bound.delete(host);
    for (const end of this.#endsOf(host)) if (end.process === process) end.abort();
  }

  /** Something between the two hosts resets their connections. */
  resetBetween(a: Address, b: Address): void {
    for (const link of [...this.links]) {
      if (link.ends.some(({ host }) => host === a) && link.ends.some(({ host }) => host === b)) link.breakBoth();
    }
  }

  listeningAt(host: Address): Listening | undefined {
    return this.#listening.get(host);
  }

  /** How long one segment or datagram takes, one way. */
  latencyMs(): number {
    const { random, latencyMs } = this.options;
    return random.between(latencyMs.least, latencyMs.most);
  }

  /** The end of the exchange that a process has. */
  exchange(process: SimProcess, host: Address): Exchange {
    const { time } = this.options;
    return {
      dial: ({ address }, listener): Connection => {
        const link = new StreamLink(this, { host, process }, address);
        this.links.add(link);
        return link.dial(listener);
      },
      listen: (address, port, accept) => {
        this.#listening.set(address, { process, accept });
        return Promise.resolve(port);
      },
      close: () => {
        if (this.#listening.get(host)?.process === process) this.#listening.delete(host);
        for (const end of this.#endsOf(host)) if (end.process === process) end.close();
        return new Promise((resolve) => time.at(time.nowMs + LINGER_MS, resolve, true));
      },
    };
  }

  bind(host: Address, bound: Bound): void {
    this.#bound.set(host, bound);
  }

  datagram(from: Address, to: Address, bytes: Uint8Array): void {
    const { time, random } = this.options;
    if (!this.passes(from, to) || random.chance(this.lossShare)) return;
    const copies = random.chance(DUPLICATE_SHARE) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      time.at(time.nowMs + this.latencyMs(), () => {
        const bound = this.#bound.get(to);
        if (bound?.process.alive && this.passes(from, to)) bound.receive(from, bytes);
      });
    }
  }

  #endsOf(host: Address): readonly StreamEnd[] {
    return [...this.links].flatMap(({ ends }) => ends.filter((end) => end.host === host));
  }

  #resume(): void {
    for (const link of this.links) link.resume();
  }
}
