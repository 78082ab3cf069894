// The plan of a run: what goes wrong, where and when, all drawn from the seed before the run begins. A plan can be printed.
//
// A fault that makes no sense when its time has come (a dead bgpd is killed) does nothing.

import type { Prefix } from '../../lib/net/prefix.ts';
import type { Random } from './random.ts';

export type Fault =
  | { readonly type: 'announce' | 'withdraw'; readonly node: number; readonly prefix: Prefix }
  | { readonly type: 'kill' | 'stop' | 'start' | 'power-off' | 'power-on'; readonly node: number }
  | { readonly type: 'stall'; readonly node: number; readonly forMs: number }
  | { readonly type: 'reset'; readonly node: number; readonly other: number }
  | { readonly type: 'cut'; readonly node: number; readonly other: number; readonly oneWay: boolean }
  | { readonly type: 'heal' }
  /** Nodes below `node` cannot reach those from it on. */
  | { readonly type: 'split'; readonly node: number }
  | { readonly type: 'loss'; readonly share: number }
  | { readonly type: 'etcd-away' | 'etcd-back'; readonly node: number }
  /** `etcd-wiped`: it has lost all it had. */
  | { readonly type: 'etcd-gone' | 'etcd-there' | 'etcd-wiped' }
  | { readonly type: 'way-lost' | 'way-found'; readonly node: number; readonly other: number }
  /** `refresh`: it asks its peers for their routes again. */
  | { readonly type: 'drain' | 'undrain' | 'refresh'; readonly node: number }
  | { readonly type: 'wall-clock'; readonly node: number; readonly byMs: number };

export interface PlannedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

export interface PlanSettings {
  readonly nodes: number;
  readonly prefixes: readonly Prefix[];
  readonly faults: number;
}

/** How often each is drawn, relative to the others. */
const WEIGHTS: Readonly<Record<Fault['type'], number>> = {
  announce: 8,
  withdraw: 4,
  kill: 3,
  stop: 2,
  start: 5,
  'power-off': 2,
  'power-on': 2,
  stall: 2,
  reset: 3,
  cut: 3,
  heal: 3,
  split: 1,
  loss: 2,
  'etcd-away': 1,
  'etcd-back': 1,
  'etcd-gone': 1,
  'etcd-there': 1,
  'etcd-wiped': 1,
  'way-lost': 2,
  'way-found': 2,
  drain: 1,
  undrain: 1,
  refresh: 1,
  'wall-clock': 1,
};
const TYPES = (Object.keys(WEIGHTS) as Fault['type'][]).flatMap((type) =>
  Array<Fault['type']>(WEIGHTS[type]).fill(type),
);

/** Faults follow each other closely, so that one hits while another is digested, or after a pause. */
const CLOSE_MS = 300;
const PAUSE_MS = 12_000;
const PAUSE_SHARE = 0.35;

/** Every node announces something first; then the faults. */
export function planFaults(random: Random, { nodes, prefixes, faults }: PlanSettings): readonly PlannedFault[] {
  const plan: PlannedFault[] = [];
  for (let node = 0; node < nodes; node++) {
    plan.push({ atMs: random.between(0, 500), fault: { type: 'announce', node, prefix: random.pick(prefixes) } });
  }
  let atMs = random.between(0, 5_000);
  for (let i = 0; i < faults; i++) {
    plan.push({ atMs, fault: draw(random, nodes, prefixes) });
    atMs += random.chance(PAUSE_SHARE) ? random.between(0, PAUSE_MS) : random.between(0, CLOSE_MS);
  }
  return plan.sort((a, b) => a.atMs - b.atMs);
}

/** One line of a printed plan. */
export function faultText({ atMs, fault }: PlannedFault): string {
  const { type, ...rest } = fault;
  const words = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'number' ? +value.toFixed(3) : value}`,
  );
  return [`${Math.round(atMs)} ms`, type, ...words].join(' ');
}

function draw(random: Random, nodes: number, prefixes: readonly Prefix[]): Fault {
  const type = random.pick(TYPES);
  const node = random.below(nodes);
  const other = (node + 1 + random.below(nodes - 1)) % nodes;
  switch (type) {
    case 'announce':
    case 'withdraw':
      return { type, node, prefix: random.pick(prefixes) };
    case 'stall':
      return { type, node, forMs: random.chance(0.5) ? random.between(50, 2_000) : random.between(2_000, 15_000) };
    case 'reset':
    case 'way-lost':
    case 'way-found':
      return { type, node, other };
    case 'cut':
      return { type, node, other, oneWay: random.chance(0.3) };
    case 'split':
      return { type, node: 1 + random.below(nodes - 1) };
    case 'loss':
      return { type, share: random.chance(0.4) ? 0 : random.between(0, 0.4) };
    case 'wall-clock':
      return { type, node, byMs: random.between(-3_600_000, 3_600_000) };
    case 'heal':
    case 'etcd-gone':
    case 'etcd-there':
    case 'etcd-wiped':
      return { type };
    default:
      return { type, node };
  }
}
