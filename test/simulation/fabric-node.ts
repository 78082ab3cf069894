// One speaker of a fabric: production's Speaker, Rib and RibFeed, wired as bgpd/node.ts does it, without registry and BFD.
//
// `Checklist` is what an unchecked client has in place of a big RIB: a bit per reflector and prefix.

import { pino } from 'pino';
import { Causes } from '../../bgpd/causes.ts';
import { readConfig } from '../../bgpd/config.ts';
import { openOf } from '../../bgpd/identity.ts';
import type { NodeRecord } from '../../bgpd/mesh/node-record.ts';
import { sessionsWanted, type WantedPeer } from '../../bgpd/mesh/sessions-wanted.ts';
import type { BgpdMetrics } from '../../bgpd/metrics.ts';
import { Rib } from '../../bgpd/rib/rib.ts';
import type { Update } from '../../bgpd/rib/update.ts';
import { RibFeed } from '../../bgpd/rib-feed.ts';
import type { Accept } from '../../bgpd/session/connection.ts';
import { Speaker } from '../../bgpd/speaker.ts';
import type { FeedEvent } from '../../lib/feed/feed.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { type Address, address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import type { Fabric } from './fabric.ts';
import { clockOf, SimProcess } from './virtual-time.ts';

export interface FabricPlace {
  readonly number: number;
  readonly isReflector: boolean;
  /** Its RIB and table are run. */
  readonly isChecked: boolean;
}

/** A turn of a loaded event loop: what comes within it is told to the peers together. */
const TURN_MS = 5;
const PORT = 1790;
const LOCAL_GROUP = 1;
const FIRST_REMOTE_GROUP = 100;

const CONFIG = readConfig(['--node-name=any'], {});
const SILENT = pino({ level: 'silent' });
const none = (): void => undefined;
const NO_METRICS: BgpdMetrics = {
  ...{ message: none, flawed: none, looped: none, malformedRecord: none, sessionEnded: none, sessionChanged: none },
  ...{ peers: none, routes: none },
};

export class FabricNode {
  readonly place: FabricPlace;
  readonly name: string;
  readonly address: Address;
  readonly prefix: Prefix;
  readonly table = new FeedTable();
  readonly checklist: Checklist;
  readonly #fabric: Fabric;
  readonly #process: SimProcess;
  #speaker: Speaker | undefined;
  #rib: Rib | undefined;

  constructor(fabric: Fabric, place: FabricPlace) {
    this.place = place;
    this.#fabric = fabric;
    this.#process = new SimProcess(fabric.time);
    this.name = nameOf(place.number);
    this.address = addressOf(place.number);
    this.prefix = prefixOf(place.number);
    this.checklist = new Checklist(fabric.options.nodes);
  }

  get alive(): boolean {
    return this.#speaker !== undefined && this.#process.alive;
  }

  /** Peers with an established session. */
  get sessions(): number {
    return [...(this.#speaker?.peers.members.values() ?? [])].filter(({ peer }) => peer.established).length;
  }

  readonly accept: Accept = (open, connection) => {
    const accept = this.#speaker?.peers.accept;
    return accept === undefined ? { code: 6, subcode: 5, text: '' } : accept(open, connection);
  };

  /** How many peers gave a path for a prefix. */
  candidates(of: Prefix): number {
    return this.#rib?.explain(of)?.verdicts.filter(({ path }) => path.source.kind !== 'local').length ?? 0;
  }

  kill(): void {
    this.#process.kill();
  }

  start(): void {
    const { time, random, options } = this.#fabric;
    const { isReflector, isChecked } = this.place;
    const skew = { rate: random.between(0.999, 1.001), monotonicMs: random.between(0, 1e9), wallOffsetMs: 0 };
    const clock = clockOf(time, this.#process, skew, { awaits: false, turnMs: TURN_MS });
    const { asn, maximumPaths } = CONFIG;
    const cluster = isReflector ? { clusterId: this.address } : {};
    const rib = new Rib({ asn, routerId: this.address, maximumPaths, ...cluster }, this.address);
    const view = new FeedView();
    const causes = new Causes(clock);
    const { table } = this;
    const ribFeed = new RibFeed({ rib, view, table, causes, address: () => this.address, onPublished: none });
    this.#rib = rib;
    this.#speaker = new Speaker({
      open: openOf({ ...CONFIG, node: this.name }, this.address, false),
      dialler: { dial: ({ address: to }, listener) => this.#fabric.dial(this, to, listener) },
      ...{ rib, ribFeed, clock, causes, log: SILENT, metrics: NO_METRICS, random: random.next },
      keepsAfterCrash: false,
      onSessions: none,
      dynamic: () => undefined,
      isComplete: () => true,
    });
    view.beginSync();
    const known = isChecked ? Array.from({ length: options.nodes }, (_, number) => number) : [];
    const ways = known.filter((number) => number !== this.place.number).map(wayTo);
    const own = { id: LOCAL_GROUP, kind: 'blackhole', nextHops: [], local: true, node: this.name } as const;
    const local: FeedEvent = { type: 'group', group: { ...own, endpoint: this.address } };
    const lease: FeedEvent = { type: 'routes', group: LOCAL_GROUP, prefixes: [this.prefix] };
    for (const event of [local, ...ways, lease, { type: 'in-sync' } as const]) {
      const change = view.apply(event);
      if ('error' in change) throw new Error(change.error);
      ribFeed.follow(change, undefined);
    }
    this.#speaker.peers.setNodes(this.#peers());
    this.#speaker.wakePeers();
  }

  /** A client's peers are the reflectors: the records of other clients, which it leaves out, are not even made. */
  #peers(): ReadonlyMap<string, WantedPeer> {
    const { nodes, reflectors } = this.#fabric.options;
    const relevant = reflectors === 0 || this.place.isReflector ? nodes : reflectors;
    const records = Array.from({ length: relevant }, (_, number) => this.#record(number));
    return sessionsWanted(this.#record(this.place.number), new Map(records.map((record) => [record.name, record])));
  }

  #record(number: number): NodeRecord {
    const at = addressOf(number);
    const role = number < this.#fabric.options.reflectors ? { reflectorOf: at } : {};
    return { name: nameOf(number), address: at, port: PORT, asn: CONFIG.asn, routerId: at, ...role };
  }
}

/** What each reflector has announced to a client, and not withdrawn. */
export class Checklist {
  readonly #nodes: number;
  readonly #byReflector = new Map<number, Uint8Array>();
  /** Announcements that were not what their node can have said. */
  wrong = 0;

  constructor(nodes: number) {
    this.#nodes = nodes;
  }

  note(from: number, { withdrawn, announced, attributes }: Update): void {
    let bits = this.#byReflector.get(from);
    if (bits === undefined) {
      bits = new Uint8Array(Math.ceil(this.#nodes / 8));
      this.#byReflector.set(from, bits);
    }
    for (const each of withdrawn) set(bits, NUMBERS.get(each) ?? 0, false);
    for (const each of announced) {
      const number = NUMBERS.get(each);
      if (number === undefined || attributes?.nextHop !== addressOf(number)) this.wrong++;
      else set(bits, number, true);
    }
  }

  /** Whether exactly the prefixes of these nodes are announced by a reflector. */
  has(reflector: number, isDue: (number: number) => boolean): boolean {
    const bits = this.#byReflector.get(reflector);
    for (let number = 0; number < this.#nodes; number++) {
      const isSet = (((bits?.[number >> 3] ?? 0) >> (number & 7)) & 1) === 1;
      if (isSet !== isDue(number)) return false;
    }
    return true;
  }
}

/** What is said of a node by its number; one string each, however many nodes have it. */
const ADDRESSES: Address[] = [];
const PREFIXES: Prefix[] = [];
const NUMBERS = new Map<Prefix, number>();

function nameOf(number: number): string {
  return `node${number}`;
}

function addressOf(number: number): Address {
  ADDRESSES[number] ??= address(`100.64.${(number + 1) >> 8}.${(number + 1) & 255}`);
  return ADDRESSES[number] as Address;
}

function prefixOf(number: number): Prefix {
  PREFIXES[number] ??= prefix(`10.${number >> 8}.${number & 255}.0/24`);
  NUMBERS.set(PREFIXES[number] as Prefix, number);
  return PREFIXES[number] as Prefix;
}

const WAYS: FeedEvent[] = [];

function wayTo(number: number): FeedEvent {
  const nextHops = [{ gateway: addressOf(number), device: 'flannel.1', onlink: true, weight: 1 }];
  const group = { kind: 'unicast', nextHops, local: false, node: nameOf(number), endpoint: addressOf(number) } as const;
  WAYS[number] ??= { type: 'group', group: { id: FIRST_REMOTE_GROUP + number, ...group } };
  return WAYS[number];
}

function set(bits: Uint8Array, number: number, value: boolean): void {
  const at = number >> 3;
  const mask = 1 << (number & 7);
  bits[at] = value ? (bits[at] ?? 0) | mask : (bits[at] ?? 0) & ~mask;
}
