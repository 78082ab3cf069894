// One run: a few machines, a network and an etcd between them, a plan of faults, and what must hold during it and after it.
//
// Everything is drawn from the seed; the same seed gives the same run to the last message, and its signature proves it.
//
//   start ─▶ faults, one into the other ─▶ all healed ─▶ quiet ─▶ invariants.ts

import type { Node } from '../../bgpd/node.ts';
import { type Address, address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import { type Fault, faultText, type PlannedFault, planFaults } from './faults.ts';
import { checkDead, checkQuiet, checkRoute } from './invariants.ts';
import { Machine, type MachineRecord } from './machine.ts';
import { SimNetwork } from './network.ts';
import { Random } from './random.ts';
import { SimEtcd } from './registry.ts';
import { SessionRules } from './session-rules.ts';
import { type Skew, VirtualTime } from './virtual-time.ts';

export interface WorldOptions {
  readonly seed: number;
  /** Absent: drawn from the seed. */
  readonly nodes?: number;
  /** Of the nodes; absent: drawn from the seed. 0 for a full mesh. */
  readonly reflectors?: number;
  /** Given each bgpd before it starts: a test may break it, to see that it is noticed. */
  readonly meddle?: (node: Node) => void;
}

export interface Outcome {
  readonly seed: number;
  readonly nodes: number;
  readonly reflectors: number;
  /** Of every message and every change of a table, with their times. */
  readonly signature: string;
  /** What did not hold, in words; empty where all did. */
  readonly violations: readonly string[];
  readonly faults: readonly string[];
  readonly events: number;
  readonly messages: number;
  readonly bytes: number;
  readonly virtualMs: number;
}

/** Longer than hold time, dial, back-off, the channel's PINGs, a restart time and the life of a record in etcd together. */
const QUIET_MS = 75_000;
/** Nothing but keepalives may come in the end. */
const SILENCE_MS = 10_000;
const LOOK_MS = 500;
/** A run that is this wrong is wrong enough. */
const VIOLATIONS_MAX = 20;

const PREFIXES = Array.from({ length: 7 }, (_, i) => prefix(`10.5.${i}.0/24`));

/** Runs one seed. Never rejects for what bgpd does: that is a violation. */
export async function runWorld(options: WorldOptions): Promise<Outcome> {
  const world = new World(options);
  return await world.run();
}

export class World {
  readonly options: WorldOptions;
  readonly time = new VirtualTime();
  readonly network: SimNetwork;
  readonly etcd: SimEtcd;
  readonly machines: readonly Machine[];
  readonly rules: SessionRules;
  readonly prefixes = PREFIXES;
  /** Who ever announced a prefix. */
  readonly announcers = new Map<Prefix, Set<Address>>();
  /** When an event loop that stood still went on. */
  lastStallMs = Number.NEGATIVE_INFINITY;
  readonly #plan: readonly PlannedFault[];
  readonly #violations: string[] = [];
  readonly #reflectors: number;
  readonly #skews = new Map<string, Skew>();

  constructor(options: WorldOptions) {
    const { seed, meddle = () => undefined } = options;
    const random = new Random(seed);
    this.options = options;
    const count = options.nodes ?? 3 + random.below(4);
    this.#reflectors = Math.min(count, options.reflectors ?? (random.chance(0.5) ? 0 : 1 + random.below(3)));
    const records = drawRecords(random.fork(), count, this.#reflectors);
    this.rules = new SessionRules({
      time: this.time,
      violated: this.violated,
      rateOf: (host) => this.#skews.get(host)?.rate ?? 1,
    });
    const least = random.between(0.2, 5);
    this.network = new SimNetwork({
      time: this.time,
      random: random.fork(),
      latencyMs: { least, most: least + random.between(0, 60) },
      windowBytes: random.pick([400, 4_000, 1_000_000]),
      watcher: this.rules,
    });
    this.etcd = new SimEtcd(this.time, random.fork());
    this.machines = records.map((record) => {
      const skew = drawSkew(random);
      this.#skews.set(record.address, skew);
      const common = { network: this.network, etcd: this.etcd, violated: this.violated, meddle, skew };
      return new Machine({
        ...common,
        record,
        all: records,
        random: random.fork(),
        wrote: (machine, event) => {
          this.rules.note(`${machine.record.name} ${textOf(event)}`);
          checkRoute(this, machine, event);
        },
      });
    });
    this.#plan = planFaults(random.fork(), { nodes: count, prefixes: PREFIXES, faults: 8 + random.below(25) });
  }

  readonly violated = (what: string): void => {
    const line = `${Math.round(this.time.nowMs)} ms: ${what}`;
    if (this.#violations.length < VIOLATIONS_MAX) this.#violations.push(line);
  };

  async run(): Promise<Outcome> {
    const { time, machines, rules } = this;
    const random = new Random(this.options.seed ^ 0x5eed);
    for (const machine of machines) time.at(random.between(0, 300), () => machine.start(), true);
    for (const { atMs, fault } of this.#plan) time.at(atMs, () => this.#strike(fault), true);
    const calmMs = (this.#plan.at(-1)?.atMs ?? 0) + 1;
    const endMs = calmMs + QUIET_MS;
    for (let atMs = LOOK_MS; atMs < endMs; atMs += LOOK_MS) time.at(atMs, () => this.#look());
    time.at(calmMs, () => this.#calm(), true);
    await time.run(endMs);
    if (endMs - rules.lastNewsMs < SILENCE_MS) this.violated('it does not become quiet');
    checkQuiet(this);
    // Whatever still waits for something (a call to etcd) is let go.
    for (const machine of machines) machine.kill();
    await time.run(endMs + 1);
    return {
      seed: this.options.seed,
      nodes: machines.length,
      reflectors: this.#reflectors,
      signature: rules.signature(),
      violations: this.#violations,
      faults: this.#plan.map(faultText),
      events: time.events,
      messages: [...rules.counts.values()].reduce((sum, each) => sum + each, 0),
      bytes: rules.bytes,
      virtualMs: endMs,
    };
  }

  #look(): void {
    this.rules.checkTimers(this.network);
    checkDead(this);
  }

  /** Everything is mended but what is dead. */
  #calm(): void {
    this.network.healAll();
    this.etcd.reachAll();
    for (const machine of this.machines) machine.findAllWays();
  }

  #machine(number: number): Machine {
    return this.machines[number] as Machine;
  }

  #strike(fault: Fault): void {
    const { network, etcd, machines } = this;
    switch (fault.type) {
      case 'announce':
        this.#announcersOf(fault.prefix).add(this.#machine(fault.node).record.address);
        this.#machine(fault.node).announce([fault.prefix]);
        break;
      case 'withdraw':
        this.#machine(fault.node).withdraw([fault.prefix]);
        break;
      case 'kill':
      case 'stop':
      case 'start':
        this.#machine(fault.node)[fault.type]();
        break;
      case 'power-off':
        this.#machine(fault.node).powerOff();
        break;
      case 'power-on':
        this.#machine(fault.node).powerOn();
        this.#machine(fault.node).start();
        break;
      case 'stall':
        this.lastStallMs = Math.max(this.lastStallMs, this.time.nowMs + fault.forMs);
        this.#machine(fault.node).process?.stall(fault.forMs);
        break;
      case 'reset':
        network.resetBetween(this.#machine(fault.node).record.address, this.#machine(fault.other).record.address);
        break;
      case 'cut':
        this.#cut(this.#machine(fault.node), this.#machine(fault.other), fault.oneWay);
        break;
      case 'heal':
        network.healAll();
        break;
      case 'split':
        for (const a of machines.slice(0, fault.node))
          for (const b of machines.slice(fault.node)) this.#cut(a, b, false);
        break;
      case 'loss':
        network.lossShare = fault.share;
        break;
      case 'way-lost':
      case 'way-found':
        this.#machine(fault.node).setWay(this.#machine(fault.other).record, fault.type === 'way-found');
        break;
      case 'drain':
      case 'undrain':
        this.#machine(fault.node).drain(fault.type === 'drain');
        break;
      case 'refresh':
        this.#machine(fault.node).refresh();
        break;
      case 'wall-clock': {
        const skew = this.#skews.get(this.#machine(fault.node).record.address);
        if (skew !== undefined) skew.wallOffsetMs += fault.byMs;
        break;
      }
      case 'etcd-away':
        etcd.cutOff(this.#machine(fault.node).record.name);
        break;
      case 'etcd-back':
        etcd.reach(this.#machine(fault.node).record.name);
        break;
      case 'etcd-gone':
        for (const { record } of machines) etcd.cutOff(record.name);
        break;
      case 'etcd-wiped':
        etcd.wipe();
        break;
      case 'etcd-there':
        etcd.reachAll();
        break;
    }
  }

  #cut({ record: a }: Machine, { record: b }: Machine, oneWay: boolean): void {
    this.network.cut(a.address, b.address);
    if (!oneWay) this.network.cut(b.address, a.address);
  }

  #announcersOf(of: Prefix): Set<Address> {
    const known = this.announcers.get(of) ?? new Set();
    this.announcers.set(of, known);
    return known;
  }
}

/** Roles and flags. Without reflectors there may be several ASes. Reflectors come first; they have a cluster each, share one, or are two clusters with clients of their own. */
function drawRecords(random: Random, count: number, reflectors: number): readonly MachineRecord[] {
  const clusters = random.pick(['own', 'shared', 'split'] as const);
  const restart = random.pick([0, 10]);
  const systems = random.pick([1, 1, 2, count]);
  const asnOf = (number: number): number => 64_512 + (number % systems);
  const common = [
    `--graceful-restart-seconds=${restart}`,
    `--graceful-restart-for=${random.pick(['announced', 'any'])}`,
    `--maximum-paths=${random.pick([1, 2, 16])}`,
    ...(random.chance(0.3)
      ? [`--bfd-interval-milliseconds=${random.pick([100, 300, 300])}`, `--bfd-multiplier=${random.pick([3, 5])}`]
      : ['--bfd=false']),
  ];
  return Array.from({ length: count }, (_, number): MachineRecord => {
    const isReflector = number < reflectors;
    const cluster = clusters === 'shared' ? '192.0.2.1' : `192.0.2.${1 + (number % 2)}`;
    const role = isReflector && clusters === 'own' ? [] : clusters === 'own' ? [] : [`--cluster-id=${cluster}`];
    return {
      name: `n${String(number).padStart(2, '0')}`,
      number,
      address: address(`10.0.0.${number + 1}`),
      flags: [
        ...common,
        ...(isReflector ? ['--reflector'] : []),
        ...(reflectors > 0 ? role : [`--asn=${asnOf(number)}`]),
        `--hold-time-seconds=${random.pick([3, 9, 9, 9, 9, 0])}`,
      ],
    };
  });
}

/** Clocks run up to two percent fast or slow, and agree on nothing. */
function drawSkew(random: Random): Skew {
  return {
    rate: random.between(0.98, 1.02),
    monotonicMs: random.between(0, 1e9),
    wallOffsetMs: random.between(-3_600_000, 3_600_000),
  };
}

function textOf(event: Parameters<Machine['options']['wrote']>[1]): string {
  const { cause: _cause, ...rest } = { cause: undefined, ...event };
  return JSON.stringify(rest);
}
