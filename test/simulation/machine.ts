// One simulated machine: flanneld's feed, production's bgpd (bgpd/node.ts and all below it), and the table that felix would
// write. What is not simulated is production code; what is: time, network, etcd, the BFD thread's sockets, flanneld.
//
// The table outlives bgpd, as kernel routes do: felix keeps what it has until a bgpd that came back says that it is in sync.

import { pino } from 'pino';
import { type BgpdConfig, readConfig } from '../../bgpd/config.ts';
import { Node } from '../../bgpd/node.ts';
import type { FeedEvent, FeedNextHop } from '../../lib/feed/feed.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { errorText } from '../../lib/run/exit.ts';
import { bfdThreads, type SimThread } from './bfd-thread.ts';
import type { SimNetwork } from './network.ts';
import type { Random } from './random.ts';
import type { SimEtcd } from './registry.ts';
import { silentMetrics } from './silent-metrics.ts';
import { clockOf, SimProcess, type Skew } from './virtual-time.ts';

/** Between a daemon and the next on one machine, milliseconds. */
const FEED_MS = { least: 0.1, most: 3 } as const;
/** bgpd that was told to stop is gone after this at the latest. */
const STOP_MS = 2_000;
const LOCAL_GROUP = 1;
const FIRST_REMOTE_GROUP = 100;
const SILENT = pino({ level: 'silent' });

/** What never changes of a machine. */
export interface MachineRecord {
  readonly name: string;
  readonly number: number;
  readonly address: Address;
  /** bgpd's flags beyond name and address. */
  readonly flags: readonly string[];
}

export interface MachineOptions {
  readonly record: MachineRecord;
  readonly all: readonly MachineRecord[];
  readonly network: SimNetwork;
  readonly etcd: SimEtcd;
  readonly random: Random;
  readonly skew: Skew;
  /** Something that must never happen did. */
  readonly violated: (what: string) => void;
  /** The table changed. */
  readonly wrote: (machine: Machine, event: FeedEvent) => void;
  /** Given each bgpd before it starts: a test may break it. */
  readonly meddle: (node: Node) => void;
}

interface Running {
  readonly node: Node;
  readonly process: SimProcess;
  readonly stop: AbortController;
  readonly bfd: SimThread;
  readonly flanneld: FeedView;
  unsubscribe: () => void;
}

export class Machine {
  readonly record: MachineRecord;
  readonly config: BgpdConfig;
  readonly options: MachineOptions;
  /** What felix has written. */
  fib = new FeedView();
  /** What flanneld has leased here. */
  readonly prefixes = new Set<Prefix>();
  hasPower = true;
  draining = false;
  /** When its last bgpd ended, or before the first. */
  deadSinceMs = 0;
  /** Nodes that flanneld cannot reach, and since when. */
  readonly lostWays = new Map<MachineRecord, number>();
  #running: Running | undefined;
  #fibAtMs = 0;

  constructor(options: MachineOptions) {
    const { record } = options;
    this.options = options;
    this.record = record;
    const own = [`--node-name=${record.name}`, `--address=${record.address}`];
    this.config = readConfig([...own, ...record.flags], {});
  }

  /** bgpd; `undefined` while there is none. */
  get node(): Node | undefined {
    return this.#running?.node;
  }

  /** bgpd tells felix what it knows: it runs and was not told to stop. */
  get serves(): boolean {
    return this.#running?.stop.signal.aborted === false;
  }

  get process(): SimProcess | undefined {
    return this.#running?.process;
  }

  start(): void {
    if (this.#running !== undefined || !this.hasPower) return;
    const { network, etcd, random, skew, meddle, record, violated } = this.options;
    const { time } = network.options;
    const process = new SimProcess(time);
    const stop = new AbortController();
    const bfd = bfdThreads(network, process, skew);
    const flanneld = new FeedView();
    const table = new FeedTable();
    const node = new Node(
      {
        config: this.config,
        context: {
          log: SILENT,
          signal: stop.signal,
          fail: (error) => violated(`${record.name}: bgpd failed: ${errorText(error)}`),
        },
        clock: clockOf(time, process, skew),
        metrics: silentMetrics(),
        registry: etcd.registry(record.name, process),
        view: flanneld,
        table,
        feedInSync: () => flanneld.synced,
        exchange: network.exchange(process, record.address),
        startBfd: bfd.start,
        random: random.next,
      },
      record.address,
    );
    meddle(node);
    this.draining = false;
    this.#running = { node, process, stop, bfd, flanneld, unsubscribe: this.#followBy(table) };
    node.start().catch((error: unknown) => violated(`${record.name}: bgpd does not start: ${String(error)}`));
    flanneld.beginSync();
    for (const event of this.#leases()) this.#tell(event);
  }

  /** kill -9: its kernel ends the connections, the table stays. */
  kill(): void {
    const running = this.#end();
    if (running !== undefined) this.options.network.killed(running.process, this.record.address);
  }

  /** SIGTERM: felix is let go first, then peers and registry are told. */
  stop(): void {
    const running = this.#running;
    if (running === undefined || running.stop.signal.aborted) return;
    const { network, violated, record } = this.options;
    const { time } = network.options;
    running.unsubscribe();
    const over = (): void => {
      if (this.#running === running) this.kill();
    };
    running.process.run(() => {
      running.stop.abort();
      running.node.stop().then(over, (error: unknown) => violated(`${record.name}: stop: ${String(error)}`));
    }, true);
    time.at(time.nowMs + STOP_MS, over, true);
  }

  powerOff(): void {
    this.#end();
    this.hasPower = false;
    this.fib = new FeedView();
    this.#fibAtMs = 0;
    this.options.network.powerOff(this.record.address);
  }

  powerOn(): void {
    this.hasPower = true;
    this.options.network.powerOn(this.record.address);
  }

  announce(prefixes: readonly Prefix[]): void {
    for (const prefix of prefixes) this.prefixes.add(prefix);
    this.#tell({ type: 'routes', group: LOCAL_GROUP, prefixes });
  }

  withdraw(prefixes: readonly Prefix[]): void {
    for (const prefix of prefixes) this.prefixes.delete(prefix);
    this.#tell({ type: 'withdrawn', prefixes });
  }

  /** flanneld does not know how to reach another node for a while. */
  setWay(to: MachineRecord, known: boolean): void {
    if (known === !this.lostWays.has(to)) return;
    if (known) this.lostWays.delete(to);
    else this.lostWays.set(to, this.options.network.options.time.nowMs);
    this.#tell(known ? wayTo(to) : { type: 'group-removed', id: FIRST_REMOTE_GROUP + to.number });
  }

  findAllWays(): void {
    for (const record of [...this.lostWays.keys()]) this.setWay(record, true);
  }

  drain(draining: boolean): void {
    const asked = this.#ask(({ speaker }) => speaker.setDraining(draining));
    if (asked) this.draining = draining;
  }

  /** Asks the peers for their routes again, as after a change of an import policy. */
  refresh(): void {
    this.#ask(({ speaker }) => speaker.setPolicies(new Map(), new Set([''])));
  }

  /** False where no bgpd is there to do it. */
  #ask(what: (node: Node) => Promise<void>): boolean {
    const running = this.#running;
    if (running === undefined || running.stop.signal.aborted) return false;
    const { violated } = this.options;
    running.process.run(() => {
      what(running.node).catch((error: unknown) => violated(`${this.record.name}: ${String(error)}`));
    }, true);
    return true;
  }

  #end(): Running | undefined {
    const running = this.#running;
    if (running === undefined) return undefined;
    running.process.kill();
    running.bfd.kill();
    running.unsubscribe();
    // A process that is no more watches nothing.
    running.stop.abort();
    this.#running = undefined;
    this.deadSinceMs = this.options.network.options.time.nowMs;
    this.draining = false;
    return running;
  }

  /** One event of flanneld's feed, to the bgpd that runs now. */
  #tell(event: FeedEvent): void {
    const running = this.#running;
    if (running === undefined) return;
    const { time } = this.options.network.options;
    const { node, process, flanneld } = running;
    time.at(
      time.nowMs + FEED_MS.most,
      () =>
        process.run(() => {
          const change = flanneld.apply(event);
          if ('error' in change) return this.options.violated(`${this.record.name}: flanneld's feed: ${change.error}`);
          node.follow(change, undefined);
        }, false),
      true,
    );
  }

  /** felix's side of bgpd's feed: in order, a moment later. */
  #followBy(table: FeedTable): () => void {
    const { network, random, violated, wrote, record } = this.options;
    const { time } = network.options;
    const { fib } = this;
    let following = true;
    fib.beginSync();
    const unsubscribe = table.subscribe((event) => {
      this.#fibAtMs = Math.max(this.#fibAtMs, time.nowMs + random.between(FEED_MS.least, FEED_MS.most));
      time.at(this.#fibAtMs, () => {
        if (!following || this.fib !== fib) return;
        const change = fib.apply(event);
        if ('error' in change) return violated(`${record.name}: bgpd's feed: ${change.error}`);
        wrote(this, event);
      });
    });
    return () => {
      following = false;
      unsubscribe();
    };
  }

  #leases(): readonly FeedEvent[] {
    const { record, all } = this.options;
    const { name, address: endpoint } = record;
    const own = { id: LOCAL_GROUP, kind: 'blackhole', nextHops: [], local: true, node: name, endpoint } as const;
    const others = all.filter((other) => other !== record && !this.lostWays.has(other));
    return [
      { type: 'group', group: own },
      ...others.map(wayTo),
      { type: 'routes', group: LOCAL_GROUP, prefixes: [...this.prefixes] },
      { type: 'in-sync' },
    ];
  }
}

function wayTo({ name, number, address: endpoint }: MachineRecord): FeedEvent {
  const nextHops: readonly FeedNextHop[] = [{ gateway: endpoint, device: 'flannel.1', onlink: true, weight: 1 }];
  const id = FIRST_REMOTE_GROUP + number;
  return { type: 'group', group: { id, kind: 'unicast', nextHops, local: false, node: name, endpoint } };
}
