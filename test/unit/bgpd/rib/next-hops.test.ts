// Resolving a NEXT_HOP through flanneld's groups: by endpoint, by family, and whatever the order of arrival.
// What a change of it does to routes: rib.test.ts.

import { expect, test } from 'vitest';
import { NextHopTable } from '../../../../bgpd/rib/next-hops.ts';
import type { FeedGroup } from '../../../../lib/feed/feed.ts';
import { address } from '../../../../lib/net/address.ts';

const B = address('10.0.0.2');

test('of several groups to one endpoint the lowest id is used, whichever came first', () => {
  for (const order of [
    [7, 3],
    [3, 7],
  ]) {
    const table = new NextHopTable();
    for (const id of order) expect(table.set(group(id))).toEqual(new Set([B]));
    expect(gateways(table)).toEqual(['10.5.3.0']);
    expect(table.remove(3)).toEqual(new Set([B]));
    expect(gateways(table)).toEqual(['10.5.7.0']);
  }
});

test('a group that moves to another endpoint changes both', () => {
  const table = new NextHopTable();
  const c = address('10.0.0.3');
  table.set(group(3));
  expect(table.set({ ...group(3), endpoint: c })).toEqual(new Set([B, c]));
  expect(table.resolve(B, 4)).toBeUndefined();
  expect(table.resolve(c, 4)).toMatchObject({ node: 'b' });
});

test('what leads nowhere resolves nothing: local, blackhole, without endpoint, without next hop', () => {
  const table = new NextHopTable();
  const { endpoint: _endpoint, ...homeless } = group(3);
  for (const useless of [
    { ...group(3), local: true },
    { ...group(3), kind: 'blackhole', nextHops: [] } as const,
    { ...group(3), nextHops: [] },
    homeless,
  ]) {
    expect(table.set(useless)).toEqual(new Set());
  }
  expect(table.resolve(B, 4)).toBeUndefined();
  expect(table.remove(99)).toEqual(new Set());
});

test('a device without gateway serves both families, a gateway its own', () => {
  const table = new NextHopTable();
  table.set({ ...group(3), nextHops: [{ device: 'flannel0', onlink: false, weight: 1 }] });
  expect([table.resolve(B, 4)?.node, table.resolve(B, 6)?.node]).toEqual(['b', 'b']);
  table.set(group(3));
  expect(table.resolve(B, 6)).toBeUndefined();
});

function group(id: number): FeedGroup {
  const nextHops = [{ gateway: address(`10.5.${id}.0`), onlink: true, weight: 1 }];
  return { id, kind: 'unicast', nextHops, endpoint: B, local: false, node: 'b' };
}

function gateways(table: NextHopTable): (string | undefined)[] | undefined {
  return table.resolve(B, 4)?.nextHops.map(({ gateway }) => gateway);
}
