// Thousands of speakers in virtual time, one prefix each, full mesh or with reflectors: what it takes until all know all.
//
// Here nothing fails by chance and streams never fill; it is about numbers. Sessions, RIBs and update groups are production's
// in every node. A client of reflectors tells them nothing but its own route, whatever it hears; so in most clients an
// UPDATE ends in a checklist of what each reflector has announced, and only in some of them, the *checked* ones, in the RIB
// and the table: one of those takes 25 MB at 5,000 nodes. Every UPDATE is sent, sized, delivered and verified all the same.

import type { Update } from '../../bgpd/rib/update.ts';
import type { Connection, ConnectionListener } from '../../bgpd/session/connection.ts';
import type { Message } from '../../bgpd/session/message.ts';
import type { Address } from '../../lib/net/address.ts';
import { FabricNode, type FabricPlace } from './fabric-node.ts';
import { encodeFrame, GRPC_HEADER_BYTES } from './frames.ts';
import { Random } from './random.ts';
import { VirtualTime } from './virtual-time.ts';

export interface FabricOptions {
  readonly nodes: number;
  /** The first of them; 0 for a full mesh. */
  readonly reflectors: number;
  /** Clients whose RIB and table are run and compared. */
  readonly checked: number;
  readonly seed: number;
}

/** What was sent since the last `reset`. */
export interface Traffic {
  messages: number;
  updates: number;
  bytes: number;
}

/** All nodes start within this time, as after a power cut. */
const START_MS = 500;
const LATENCY_MS = { least: 0.2, most: 2 } as const;
/** No news for longer than the longest back-off: nothing more comes. */
const QUIET_MS = 6_000;
const STEP_MS = 1_000;
const RUN_MAX_MS = 600_000;

export class Fabric {
  readonly options: FabricOptions;
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly nodes: readonly FabricNode[];
  readonly traffic: Traffic = { messages: 0, updates: 0, bytes: 0 };
  readonly byAddress: ReadonlyMap<Address, FabricNode>;
  /** When anything but a keepalive last arrived, or a connection broke. */
  lastNewsMs = 0;
  /** Most memory in use at the end of a step. */
  peakBytes = 0;
  readonly #sizes = new WeakMap<Update, number>();
  readonly #links = new Set<FabricEnd>();

  constructor(options: FabricOptions) {
    const { nodes: count, reflectors, checked, seed } = options;
    this.options = options;
    this.random = new Random(seed);
    const clients = count - reflectors;
    const every = Math.max(1, Math.floor(clients / checked));
    const places = Array.from({ length: count }, (_, number): FabricPlace => {
      const isReflector = number < reflectors;
      const client = number - reflectors;
      const isChecked = isReflector || reflectors === 0 || (client % every === 0 && client / every < checked);
      return { number, isReflector, isChecked };
    });
    this.nodes = places.map((place) => new FabricNode(this, place));
    this.byAddress = new Map(this.nodes.map((node) => [node.address, node]));
  }

  /** Starts every node and runs until all is quiet; gives the milliseconds until the last news. */
  start(): number {
    for (const node of this.nodes) this.time.at(this.random.between(0, START_MS), () => node.start());
    return this.settle();
  }

  /** A node is killed; runs until all is quiet again. */
  kill(node: FabricNode): number {
    node.kill();
    for (const end of [...this.#links]) if (end.node === node) end.abort();
    return this.settle();
  }

  /** Runs until all is quiet; gives the milliseconds from now until the last news. Throws where that never comes. */
  settle(): number {
    const sinceMs = this.time.nowMs;
    this.lastNewsMs = sinceMs;
    while (this.time.nowMs - this.lastNewsMs < QUIET_MS) {
      if (this.time.nowMs - sinceMs > RUN_MAX_MS) throw new Error('the fabric does not become quiet');
      this.time.runSync(this.time.nowMs + STEP_MS);
      this.peakBytes = Math.max(this.peakBytes, process.memoryUsage().rss);
    }
    return this.lastNewsMs - sinceMs;
  }

  resetTraffic(): void {
    Object.assign(this.traffic, { messages: 0, updates: 0, bytes: 0 });
  }

  dial(from: FabricNode, to: Address, listener: ConnectionListener): Connection {
    const target = this.byAddress.get(to);
    const near = new FabricEnd(this, from);
    near.listener = listener;
    this.time.at(this.time.nowMs + near.latencyMs, () => {
      if (target?.alive !== true) return near.lose('connection refused');
      const far = new FabricEnd(this, target);
      near.join(far);
      far.later(() => near.listener?.connected());
    });
    return near;
  }

  hold(end: FabricEnd): void {
    this.#links.add(end);
  }

  release(end: FabricEnd): void {
    this.#links.delete(end);
  }

  latencyMs(): number {
    return this.random.between(LATENCY_MS.least, LATENCY_MS.most);
  }

  count(message: Message): void {
    this.traffic.messages++;
    this.traffic.bytes += this.#size(message) + GRPC_HEADER_BYTES;
    if (message.type === 'update') this.traffic.updates++;
  }

  /** An update goes to thousands of peers and is encoded once. */
  #size(message: Message): number {
    if (message.type !== 'update') return encodeFrame(message).length;
    let size = this.#sizes.get(message.update);
    if (size === undefined) {
      size = encodeFrame(message).length;
      this.#sizes.set(message.update, size);
    }
    return size;
  }
}

/** One end of a connection. What is sent in one turn arrives together. */
class FabricEnd implements Connection {
  readonly #fabric: Fabric;
  readonly node: FabricNode;
  readonly latencyMs: number;
  listener: ConnectionListener | undefined;
  remote?: Address;
  #other: FabricEnd | undefined;
  #closed = false;
  #pending: Message[] = [];

  constructor(fabric: Fabric, node: FabricNode) {
    this.#fabric = fabric;
    this.node = node;
    this.latencyMs = fabric.latencyMs();
    fabric.hold(this);
  }

  /** The accepting side is anonymous until OPEN. */
  join(far: FabricEnd): void {
    this.#other = far;
    far.#other = this;
    far.remote = this.node.address;
    const nothing = (): void => undefined;
    far.listener = {
      ...{ connected: nothing, drained: nothing, closed: nothing },
      message(decoded) {
        const open = 'message' in decoded && decoded.message.type === 'open' ? decoded.message.open : undefined;
        const answer = open && far.node.accept(open, far);
        if (answer === undefined || 'code' in answer) far.close();
        else far.listener = answer;
      },
    };
  }

  send(...messages: readonly Message[]): boolean {
    if (this.#closed || messages.length === 0) return true;
    const isScheduled = this.#pending.length > 0;
    for (const message of messages) {
      this.#fabric.count(message);
      this.#pending.push(message);
    }
    if (isScheduled) return true;
    this.later(() => {
      const due = this.#pending;
      this.#pending = [];
      for (const each of due) this.#other?.take(each);
    });
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#end();
    this.later(() => this.#other?.lose('the peer ended the connection'));
  }

  abort(): void {
    if (this.#closed) return;
    this.#end();
    this.later(() => this.#other?.lose('reset by the peer'));
  }

  lose(reason: string): void {
    if (this.#closed) return;
    this.#end();
    if (this.#other !== undefined) this.#fabric.lastNewsMs = this.#fabric.time.nowMs;
    if (this.node.alive) this.listener?.closed(reason);
  }

  take(message: Message): void {
    if (this.#closed) return;
    if (message.type !== 'keepalive') this.#fabric.lastNewsMs = this.#fabric.time.nowMs;
    if (message.type === 'update' && !this.node.place.isChecked) {
      this.node.checklist.note(this.#other?.node.place.number ?? -1, message.update);
    } else {
      this.listener?.message({ message });
    }
  }

  later(action: () => void): void {
    this.#fabric.time.at(this.#fabric.time.nowMs + this.latencyMs, action);
  }

  #end(): void {
    this.#closed = true;
    this.#fabric.release(this);
  }
}
