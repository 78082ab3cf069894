// The pure parts of felix: keys and comparisons, links, plans, and which ids nexthop objects get.
//
// What they come to together is shown in programming.test.ts.

import { describe, expect, it } from 'vitest';
import { fibKey, sameNexthop, sameRoute } from '../../../felix/desired/fib-entry.ts';
import { assignGroupIds, type GroupWorld } from '../../../felix/desired/group-ids.ts';
import { LinkTable } from '../../../felix/desired/link-table.ts';
import { idFor } from '../../../felix/desired/nexthop-ids.ts';
import { GROUP_IDS, HOP_IDS, isGroupId } from '../../../felix/desired/ownership.ts';
import { type PathWorld, planPaths } from '../../../felix/desired/path-plan.ts';
import type { Link, Nexthop, Route } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { ecmpGroup, localGroup, vtepGroup } from './felix-bench.ts';

const ROUTE: Route = {
  table: 254,
  prefix: prefix('10.5.2.0/24'),
  tos: 0,
  metric: 0,
  protocol: 71,
  type: 'unicast',
  nextHops: [{ gateway: address('192.0.2.2'), linkIndex: 2 }],
};

describe('entries of the FIB', () => {
  it('are keyed as the kernel keys them', () => {
    expect(fibKey(ROUTE)).toBe('10.5.2.0/24');
    expect(fibKey({ ...ROUTE, prefix: prefix('fd00::/64') })).toBe('fd00::/64');
    expect(fibKey({ ...ROUTE, prefix: prefix('fd00::/64'), metric: 1024 })).toBe('fd00::/64');
    const keys = [ROUTE, { ...ROUTE, metric: 1 }, { ...ROUTE, tos: 4 }, { ...ROUTE, table: 7 }].map(fibKey);
    expect(new Set(keys).size).toBe(4);
  });

  it.each<[string, Partial<Route>]>([
    ['type', { type: 'blackhole' }],
    ['protocol', { protocol: 4 }],
    ['nexthop object', { nexthopId: 5 }],
    ['source', { source: address('192.0.2.1') }],
    ['MTU', { mtuBytes: 1280 }],
    ['gateway', { nextHops: [{ gateway: address('192.0.2.3'), linkIndex: 2 }] }],
    ['device', { nextHops: [{ gateway: address('192.0.2.2'), linkIndex: 3 }] }],
    ['onlink', { nextHops: [{ gateway: address('192.0.2.2'), linkIndex: 2, onlink: true }] }],
    ['number of next hops', { nextHops: [...ROUTE.nextHops, { linkIndex: 3 }] }],
  ])('routes with another %s differ', (_, change) => {
    expect(sameRoute(ROUTE, { ...ROUTE, ...change })).toBe(false);
  });

  it('routes do not differ by the order of next hops or a weight that the kernel does not keep', () => {
    const hops = [{ linkIndex: 2, weight: 3 }, { linkIndex: 3 }];
    const two = { ...ROUTE, nextHops: hops };
    expect(sameRoute(two, { ...ROUTE, nextHops: [...hops].reverse() })).toBe(true);
    expect(sameRoute(two, { ...ROUTE, nextHops: [{ linkIndex: 2 }, { linkIndex: 3 }] })).toBe(false);
    const one = { ...ROUTE, nextHops: [{ linkIndex: 2, weight: 9 }] };
    expect(sameRoute(one, { ...ROUTE, nextHops: [{ linkIndex: 2 }] })).toBe(true);
  });

  it('groups do not differ by order or family, and do by weight, member or protocol', () => {
    const group = (...members: [number, number][]): Nexthop => ({
      id: 9,
      protocol: 71,
      family: 4,
      group: members.map(([id, weight]) => ({ id, weight })),
    });
    const held = group([1, 1], [2, 5]);
    expect(sameNexthop(held, { ...group([2, 5], [1, 1]), family: 6 })).toBe(true);
    expect(sameNexthop(held, group([1, 1], [2, 4]))).toBe(false);
    expect(sameNexthop(held, group([1, 1]))).toBe(false);
    expect(sameNexthop(held, { ...held, protocol: 4 })).toBe(false);
    expect(sameNexthop(held, { id: 9, protocol: 71, family: 4, hop: { linkIndex: 1 } })).toBe(false);
    expect(sameNexthop(held, { id: 9, protocol: 71, family: 4, blackhole: true })).toBe(false);
  });
});

describe('link table', () => {
  const link = (index: number, name: string, more: Partial<Link> = {}): Link => ({
    index,
    name,
    mtuBytes: 1500,
    up: true,
    running: true,
    ...more,
  });

  it('tells which names changed their meaning', () => {
    const links = new LinkTable();
    expect(links.set(link(2, 'eth0'))).toEqual(['eth0']);
    expect(links.set(link(2, 'eth0', { mtuBytes: 9000 }))).toEqual([]);
    expect(links.set(link(2, 'eth0', { running: false }))).toEqual(['eth0']);
    expect(links.set(link(2, 'uplink'))).toEqual(['eth0', 'uplink']);
    expect(links.get('eth0')).toBeUndefined();
    expect(links.delete(7)).toEqual([]);
    expect(links.replace([link(3, 'uplink'), link(4, 'x')])).toEqual(['uplink', 'uplink', 'x']);
    expect(links.nameOf(2)).toBeUndefined();
    expect(links.nameOf(3)).toBe('uplink');
  });

  it('survives a name that moves to another link before its old one is told gone', () => {
    const links = new LinkTable();
    links.set(link(2, 'flannel.1'));
    links.set(link(5, 'flannel.1'));
    expect(links.delete(2)).toEqual([]);
    expect(links.get('flannel.1')?.index).toBe(5);
  });
});

describe('plans', () => {
  const world = (more: Partial<PathWorld> = {}): PathWorld => ({
    link: (name) =>
      ({ eth0: { index: 2, up: true, running: true }, sad0: { index: 3, up: true, running: false } })[name],
    gatewayLink: () => undefined,
    needsCarrier: true,
    ...more,
  });

  it.each([
    [vtepGroup(2), 'device flannel.1 does not exist'],
    [{ ...ecmpGroup(1), nextHops: [{ device: 'sad0', onlink: false, weight: 1 }] }, 'device sad0 has no carrier'],
    [{ ...ecmpGroup(1), nextHops: [] }, 'no next hop'],
    [
      { ...ecmpGroup(1), nextHops: [{ gateway: address('192.0.2.2'), onlink: false, weight: 1 }] },
      'no route to gateway 192.0.2.2',
    ],
  ])('wait, and say for what', (group, reason) => {
    expect(planPaths(group, 4, world())).toEqual({ kind: 'waiting', reason });
  });

  it('never give an IPv6 route an IPv4 gateway, but do the other way round', () => {
    expect(planPaths(ecmpGroup(1, '192.0.2.2'), 6, world())).toMatchObject({ kind: 'waiting' });
    expect(planPaths(ecmpGroup(1, '2001:db8::2'), 4, world())).toMatchObject({ kind: 'paths', hops: [{ family: 6 }] });
  });

  it('take a device without carrier where plain routes are used', () => {
    const group = { ...ecmpGroup(1), nextHops: [{ device: 'sad0', onlink: false, weight: 1 }] };
    expect(planPaths(group, 4, world({ needsCarrier: false }))).toMatchObject({ kind: 'paths' });
  });

  it('drop: the own subnet under everything, others at the usual metric', () => {
    expect(planPaths(localGroup(1), 4, world())).toEqual({ kind: 'drop', type: 'blackhole', metric: 32_767 });
    expect(planPaths({ ...localGroup(1), local: false }, 6, world())).toMatchObject({ metric: 1024 });
    expect(planPaths({ ...localGroup(1), local: false }, 4, world())).toMatchObject({ metric: 0 });
    // What no node has: everything else wins over it.
    expect(planPaths({ ...localGroup(1), kind: 'unreachable' }, 4, world())).toMatchObject({ metric: 0xffff_ffff });
  });
});

describe('ids', () => {
  it('follow from the content, and step aside where they are taken', () => {
    const free = idFor('4 via 192.0.2.2 dev eth0', HOP_IDS, () => false);
    expect(idFor('4 via 192.0.2.2 dev eth0', HOP_IDS, () => false)).toBe(free);
    const next = idFor('4 via 192.0.2.2 dev eth0', HOP_IDS, (id) => id === free);
    expect(next).not.toBe(free);
    expect(() => idFor('x', { first: 1, count: 3 }, () => true)).toThrow(RangeError);
    expect(idFor('x', { first: 1, count: 3 }, (id) => id !== 2)).toBe(2);
  });

  it('spread over their range', () => {
    const ids = Array.from({ length: 5_000 }, (_, i) => idFor(`4 via 10.5.${i >> 8}.${i & 255}`, HOP_IDS, () => false));
    expect(new Set(ids).size).toBeGreaterThan(4_950);
    expect(ids.every((id) => id >= HOP_IDS.first && !isGroupId(id))).toBe(true);
  });

  const group = (id: number, ...members: number[]): Nexthop => ({
    id,
    protocol: 71,
    family: 4,
    group: members.map((member) => ({ id: member, weight: 1 })),
  });
  const claim = (members: readonly number[], ...routes: string[]) => ({
    text: members.join(),
    group: members.map((id) => ({ id, weight: 1 })),
    routes: () => routes,
  });
  const kernel = (objects: readonly Nexthop[], routes: Readonly<Record<string, number>>): GroupWorld => ({
    nexthops: new Map(objects.map((object) => [object.id, object])),
    routes: new Map(Object.entries(routes).map(([key, nexthopId]) => [key, { ...ROUTE, nexthopId }])),
    isTaken: () => false,
  });

  it('of groups are taken over by routes first, then by content', () => {
    const world = kernel([group(100, 1), group(101, 1), group(102, 2)], { a: 101, b: 101, c: 102 });
    expect(assignGroupIds([claim([1], 'x'), claim([1], 'a', 'b'), claim([9], 'c')], world)).toEqual([100, 101, 102]);
  });

  it('of a group that other routes use as well are taken over with equal content only', () => {
    const world = kernel([group(100, 1)], { a: 100, b: 100, stale: 100 });
    expect(assignGroupIds([claim([1], 'a', 'b')], world)).toEqual([100]);
    const [id] = assignGroupIds([claim([2], 'a', 'b')], world);
    expect(id).not.toBe(100);
    expect(isGroupId(id as number)).toBe(true);
  });

  it('of groups are never given twice', () => {
    const world = kernel([group(100, 1)], { a: 100, b: 100 });
    const ids = assignGroupIds([claim([1], 'a'), claim([1], 'b'), claim([1]), claim([1])], world);
    expect(new Set(ids).size).toBe(4);
    expect(ids.filter((id) => id !== 100).every((id) => id >= GROUP_IDS.first)).toBe(true);
  });
});
