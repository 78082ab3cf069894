// Two cards with a subnet of each family, and every shape that a route can have there: the ground on which the route and
// nexthop contracts stand.

import { afterEach, beforeEach, expect } from 'vitest';
import {
  type Kernel,
  type KernelChange,
  type KernelFailure,
  type Nexthop,
  PROTOCOL_GINGHAM,
  type Route,
  TABLE_MAIN,
} from '../../lib/kernel/kernel.ts';
import { type Address, address, type Family } from '../../lib/net/address.ts';
import { prefix } from '../../lib/net/prefix.ts';
import type { KernelRig } from './kernel.contract.ts';

/** Two cards with a subnet of each family, and a gateway in each. */
export interface Cards {
  readonly a: number;
  readonly b: number;
}

export const OWN = { 4: ['192.168.10.1', '192.168.11.1'], 6: ['fd00:10::1', 'fd00:11::1'] } as const;
export const GATEWAYS: Readonly<Record<Family, readonly [Address, Address]>> = {
  4: [address('192.168.10.9'), address('192.168.11.9')],
  6: [address('fd00:10::9'), address('fd00:11::9')],
};
export const FAR: Readonly<Record<Family, Address>> = { 4: address('10.77.0.1'), 6: address('fd77::1') };
export const PREFIXES = { 4: prefix('10.5.1.0/24'), 6: prefix('fd00:5:1::/64') } as const;
const METRICS = { 4: 0, 6: 1024 } as const;

/** Shapes of a route, as the kernel lists them. */
export const SHAPES: Readonly<Record<string, (cards: Cards, family: Family) => Partial<Route>>> = {
  'through a gateway': ({ a }, family) => ({ nextHops: [{ gateway: GATEWAYS[family][0], linkIndex: a }] }),
  'through an onlink gateway': ({ b }, family) => ({
    nextHops: [{ gateway: FAR[family], linkIndex: b, onlink: true }],
  }),
  'through a device': ({ a }) => ({ nextHops: [{ linkIndex: a }] }),
  'through two weighted gateways': ({ a, b }, family) => ({
    nextHops: [
      { gateway: GATEWAYS[family][0], linkIndex: a },
      { gateway: GATEWAYS[family][1], linkIndex: b, weight: 7 },
    ],
  }),
  'through two onlink gateways': ({ a, b }, family) => ({
    nextHops: [
      { gateway: FAR[family], linkIndex: a, onlink: true, weight: 2 },
      { gateway: FAR[family], linkIndex: b, onlink: true },
    ],
  }),
  'to a blackhole': () => ({ type: 'blackhole' }),
  unreachable: () => ({ type: 'unreachable' }),
  'with source and MTU': ({ a }, family) => ({
    nextHops: [{ gateway: GATEWAYS[family][0], linkIndex: a }],
    source: address(OWN[family][0]),
    mtuBytes: 1400,
  }),
  'through a nexthop object': () => ({ nexthopId: 11 }),
  'through a nexthop group': () => ({ nexthopId: 13 }),
};
export const SHAPE_NAMES = Object.keys(SHAPES);

/** Makes a kernel with both cards before each test of a suite, and ends it after. What is returned is valid in tests only. */
export function useTwoCards(open: () => Promise<KernelRig>): {
  readonly kernel: () => Kernel;
  readonly cards: () => Cards;
  /** Applies changes that must all succeed. */
  readonly done: (...changes: KernelChange[]) => Promise<void>;
  readonly refusal: (change: KernelChange) => Promise<KernelFailure | undefined>;
  readonly shaped: (shape: string, family: Family) => Route;
  /** 11 and 12 are hops, 13 a group of both; all of this family. */
  readonly putNexthops: (family: Family) => Promise<void>;
  /** All routes of ours. */
  readonly ours: () => Promise<Route[]>;
} {
  let rig: KernelRig;
  let kernel: Kernel;
  let cards: Cards;

  beforeEach(async () => {
    rig = await open();
    kernel = rig.kernel;
    cards = { a: await rig.addCard('card0'), b: await rig.addCard('card1') };
    for (const [family, bits] of [[4, 24] as const, [6, 64] as const]) {
      for (const [card, own] of [[cards.a, OWN[family][0]] as const, [cards.b, OWN[family][1]] as const]) {
        const value = { linkIndex: card, address: address(own), prefixLength: bits };
        await done({ op: 'put', kind: 'address', address: value });
      }
    }
  });

  afterEach(() => rig.dispose());

  async function done(...changes: KernelChange[]): Promise<void> {
    expect(await kernel.apply(changes)).toEqual(changes.map(() => undefined));
  }

  async function refusal(change: KernelChange): Promise<KernelFailure | undefined> {
    return (await kernel.apply([change]))[0];
  }

  function shaped(shape: string, family: Family): Route {
    return routeOf(family, SHAPES[shape]?.(cards, family));
  }

  /** 11 and 12 are hops, 13 a group of both; all of this family. */
  async function putNexthops(family: Family): Promise<void> {
    await done(
      putNexthop({ id: 11, family, hop: { gateway: GATEWAYS[family][0], linkIndex: cards.a } }),
      putNexthop({ id: 12, family, hop: { gateway: GATEWAYS[family][1], linkIndex: cards.b } }),
      putNexthop({
        id: 13,
        family,
        group: [
          { id: 11, weight: 1 },
          { id: 12, weight: 3 },
        ],
      }),
    );
  }

  async function ours(): Promise<Route[]> {
    return kernel.list('route', { protocol: PROTOCOL_GINGHAM });
  }

  return { kernel: () => kernel, cards: () => cards, done, refusal, shaped, putNexthops, ours };
}

export function routeOf(family: Family, more: Partial<Route> = {}): Route {
  return {
    table: TABLE_MAIN,
    prefix: PREFIXES[family],
    tos: 0,
    metric: METRICS[family],
    protocol: PROTOCOL_GINGHAM,
    type: 'unicast',
    nextHops: [],
    ...more,
  };
}

export function put(route: Route): KernelChange {
  return { op: 'put', kind: 'route', route };
}

export function remove(route: Route): KernelChange {
  return { op: 'delete', kind: 'route', route };
}

export function putNexthop(nexthop: Omit<Nexthop, 'protocol'>): KernelChange {
  return { op: 'put', kind: 'nexthop', nexthop: { protocol: PROTOCOL_GINGHAM, ...nexthop } };
}

export function insideOf(family: Family): Address {
  return address(family === 4 ? '10.5.1.7' : 'fd00:5:1::7');
}
