// The forwarding table: leases and routes of one prefix, nodes that come late, flows over several nodes, and what is left.
// What packets make of it is in the tests of the plane.

import { beforeEach, describe, expect, test } from 'vitest';
import type { PlanePeer } from '../../../../flanneld/dataplane/data-plane.ts';
import { NO_ENDPOINT } from '../../../../flanneld/dataplane/endpoint-index.ts';
import { ForwardingTable } from '../../../../flanneld/dataplane/forwarding-table.ts';
import { TableChanges } from '../../../../flanneld/dataplane/table-changes.ts';
import { address, addressBytes } from '../../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../../lib/net/prefix.ts';
import { peer, underlay } from './plane-fixture.ts';

const OWN = peer(1).subnets;
const ROUTED = prefix('10.77.0.0/16');

describe('ForwardingTable', () => {
  let table: ForwardingTable;
  let changes: TableChanges;

  beforeEach(() => {
    table = new ForwardingTable(OWN);
    changes = new TableChanges();
    for (const node of [2, 3]) set(peer(node));
  });

  const apply = (words: readonly number[]): void => table.apply(Int32Array.from(words));
  const set = (one: PlanePeer): void => apply(changes.setPeer(one));
  const remove = (node: string): void => apply(changes.removePeer(node));
  const endpointOf = (text: string): number => {
    const bytes = addressBytes(address(text));
    return table.findSender(bytes.length === 4 ? 4 : 6, bytes, 0);
  };
  const isEndpoint = (text: string): boolean => endpointOf(text) !== NO_ENDPOINT;
  /** The node, by its underlay address. */
  const ownerOf = (inner: string, flow = 0): string | undefined => {
    const entry = table.findByDestination(4, addressBytes(address(inner)), 0, flow);
    return entry?.address.replace('192.0.2.', 'node');
  };
  const isBehind = (node: number, inner: string): boolean =>
    table.isBehind(endpointOf(underlay(node)), 4, addressBytes(address(inner)), 0);
  const route = (to: Prefix, ...nodes: readonly number[]): void =>
    apply(changes.setRoute({ prefix: to, endpoints: nodes.map((node) => address(underlay(node))) }));

  test('a route gives a prefix to a node, for sending and for the check of sources, until it is withdrawn', () => {
    expect([ownerOf('10.77.1.1'), isBehind(2, '10.77.1.1')]).toEqual([undefined, false]);
    route(ROUTED, 2);
    expect([ownerOf('10.77.1.1'), isBehind(2, '10.77.1.1'), isBehind(3, '10.77.1.1')]).toEqual(['node2', true, false]);
    route(ROUTED, 3);
    expect([ownerOf('10.77.1.1'), isBehind(2, '10.77.1.1'), isBehind(3, '10.77.1.1')]).toEqual(['node3', false, true]);
    route(ROUTED);
    expect([ownerOf('10.77.1.1'), isBehind(3, '10.77.1.1')]).toEqual([undefined, false]);
  });

  test('a route wins over a lease of the same prefix; the lease is there again after it', () => {
    const leased = prefix('10.55.2.0/24');
    route(leased, 3);
    expect([ownerOf('10.55.2.9'), isBehind(2, '10.55.2.9'), isBehind(3, '10.55.2.9')]).toEqual(['node3', true, true]);
    route(leased);
    expect([ownerOf('10.55.2.9'), isBehind(3, '10.55.2.9')]).toEqual(['node2', false]);
  });

  test('nothing wins over the own subnets, but a longer prefix in one does', () => {
    route(prefix('10.55.1.0/24'), 2);
    expect([ownerOf('10.55.1.9'), isBehind(2, '10.55.1.9')]).toEqual([undefined, false]);
    route(prefix('10.55.1.7/32'), 2);
    expect([ownerOf('10.55.1.7'), ownerOf('10.55.1.9')]).toEqual(['node2', undefined]);
  });

  test('a route to a node that is no peer (yet) is as good as none, and works from the moment it is one', () => {
    route(ROUTED, 4);
    expect([ownerOf('10.77.1.1'), isEndpoint(underlay(4))]).toEqual([undefined, false]);
    set(peer(4));
    expect([ownerOf('10.77.1.1'), isEndpoint(underlay(4))]).toEqual(['node4', true]);
    set({ ...peer(4), port: 9 });
    expect(ownerOf('10.77.1.1')).toBe('node4');
    remove('node4');
    expect([ownerOf('10.77.1.1'), isEndpoint(underlay(4))]).toEqual([undefined, false]);
    route(prefix('10.55.3.0/24'), 4);
    expect(ownerOf('10.55.3.1')).toBe('node3');
  });

  test('a route to several nodes: each flow takes one of them, all of them are taken, dead ones are passed over', () => {
    route(ROUTED, 2, 3, 4);
    const taken = (): Set<string | undefined> =>
      new Set(Array.from({ length: 60 }, (_, flow) => ownerOf('10.77.1.1', flow * 7 - 100)));
    expect(taken()).toEqual(new Set(['node2', 'node3']));
    set(peer(4));
    expect(taken()).toEqual(new Set(['node2', 'node3', 'node4']));
    expect([2, 3, 4, 5].map((node) => isBehind(node, '10.77.1.1'))).toEqual([true, true, true, false]);
    expect(ownerOf('10.77.1.1', -7)).toBe(ownerOf('10.77.1.1', -7));
  });

  test('nothing stays behind of what came and went', () => {
    const before = table.prefixCount;
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 200; i++) route(prefix(`10.${100 + round}.${i}.0/24`), 2, 5);
      set(peer(5));
      for (let i = 0; i < 200; i++) route(prefix(`10.${100 + round}.${i}.0/24`));
      remove('node5');
    }
    expect([table.prefixCount, table.peerCount, isEndpoint(underlay(5))]).toEqual([before, 2, false]);
    route(ROUTED);
    expect(table.prefixCount).toBe(before);
  });

  test('an update touches one entry: whoever looks between two of 5,000 sees each prefix with an old or a new owner', () => {
    const prefixes = Array.from({ length: 5_000 }, (_, i) => prefix(`10.${100 + (i >> 8)}.${i & 255}.0/24`));
    for (const each of prefixes) route(each, 2);
    for (const [i, each] of prefixes.entries()) {
      route(each, 3);
      if (i % 97 !== 0) continue;
      const at = (index: number): string | undefined => ownerOf(`10.${100 + (index >> 8)}.${index & 255}.1`);
      expect([at(i), at(Math.min(i + 1, 4_999))]).toEqual(['node3', i === 4_999 ? 'node3' : 'node2']);
    }
  });
});
