// What flanneld offers: a group per peer and hop, its own subnet as a local blackhole, causes that travel once.
// The peers are given as a backend would give them; the table is the real one.

import { beforeEach, describe, expect, test } from 'vitest';
import type { PeerState } from '../../../flanneld/backend/backend.ts';
import { LeaseFeed } from '../../../flanneld/lease-feed.ts';
import type { FeedEvent } from '../../../lib/feed/feed.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { address } from '../../../lib/net/address.ts';
import { type Prefix, prefix, prefixAddress } from '../../../lib/net/prefix.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { leaseOf } from './backend/backend-fixture.ts';

describe('LeaseFeed', () => {
  let table: FeedTable;
  let clock: FakeClock;
  let feed: LeaseFeed;
  let events: FeedEvent[];
  let published: string[];

  beforeEach(() => {
    table = new FeedTable();
    clock = new FakeClock();
    feed = new LeaseFeed(table, clock);
    events = [];
    published = [];
    table.subscribe((event) => events.push(event));
  });

  function peer(node: number, subnets: readonly string[] = [`10.5.${node}.0/24`], device = 'flannel.1'): PeerState {
    const routes = subnets.map((text) => {
      const subnet: Prefix = prefix(text);
      return { subnet, hop: { gateway: prefixAddress(subnet), device, onlink: true, weight: 1 } };
    });
    return { lease: leaseOf(node), endpoint: address(`192.0.2.${node}`), routes, programmed: true };
  }

  /** These are all peers. */
  function publish(...peers: readonly PeerState[]): void {
    const now = new Map<string, PeerState | undefined>(published.map((key) => [key, undefined]));
    for (const peer of peers) now.set(peer.lease.key, peer);
    published = peers.map(({ lease }) => lease.key);
    feed.publish(now);
  }

  test('the own subnet is a local blackhole group with the node and its address', () => {
    feed.publishOwn(leaseOf(1), address('192.0.2.1'));
    expect(table.snapshot()).toEqual([
      {
        type: 'group',
        group: { id: 1, kind: 'blackhole', nextHops: [], endpoint: '192.0.2.1', local: true, node: 'node1' },
      },
      { type: 'routes', group: 1, prefixes: ['10.5.1.0/24'] },
    ]);
  });

  test("the cluster's networks are unreachable, but for what somebody has of them", () => {
    const whole = new FeedTable();
    new LeaseFeed(whole, clock, [prefix('10.5.0.0/16'), prefix('fd00:5::/48')]).publishOwn(
      leaseOf(1),
      address('192.0.2.1'),
    );
    const kinds = [...whole.groups.values()].map(({ id, kind, local }) => [kind, local, ...whole.prefixesOf(id)]);
    expect(kinds).toEqual([
      ['unreachable', false, '10.5.0.0/16', 'fd00:5::/48'],
      ['blackhole', true, '10.5.1.0/24'],
    ]);
  });

  test('a group per peer, with its node, endpoint and hop', () => {
    publish(peer(2));
    expect(events).toEqual([
      {
        type: 'group',
        group: {
          id: 2,
          kind: 'unicast',
          nextHops: [{ gateway: '10.5.2.0', device: 'flannel.1', onlink: true, weight: 1 }],
          endpoint: '192.0.2.2',
          local: false,
          node: 'node2',
        },
      },
      { type: 'routes', group: 2, prefixes: ['10.5.2.0/24'] },
    ]);
  });

  test('the same again says nothing; another hop is one message with the same id', () => {
    publish(peer(2));
    events.length = 0;
    publish(peer(2));
    expect(events).toEqual([]);
    publish(peer(2, ['10.5.2.0/24'], 'eth0'));
    expect(events).toMatchObject([{ type: 'group', group: { id: 2, nextHops: [{ device: 'eth0' }] } }]);
  });

  test('both families of a peer are groups of their own', () => {
    publish(peer(2, ['10.5.2.0/24', 'fd00:5:2::/64']));
    expect([...table.groups.values()].map(({ node, nextHops }) => [node, nextHops[0]?.gateway])).toEqual([
      ['node2', '10.5.2.0'],
      ['node2', 'fd00:5:2::'],
    ]);
  });

  test('a peer that goes, or has no routes yet, has no group', () => {
    publish(peer(2), peer(3), { ...peer(4), routes: [], programmed: false });
    events.length = 0;
    publish(peer(3));
    expect(events).toMatchObject([
      { type: 'withdrawn', prefixes: ['10.5.2.0/24'] },
      { type: 'group-removed', id: 2 },
    ]);
    expect(table.groups.size).toBe(1);
  });

  test('a subnet that moves to another lease is never without a route', () => {
    publish(peer(2));
    events.length = 0;
    publish(peer(3, ['10.5.2.0/24']));
    expect(events.map(({ type }) => type)).toEqual(['group', 'routes', 'group-removed']);
    expect(table.groupOf(prefix('10.5.2.0/24'))).toBe(3);
  });

  test('the cause is stamped when it was seen and when it left, and travels with that change only', () => {
    const { key } = leaseOf(2);
    feed.note(key, 'lease-added');
    clock.advance(5);
    publish({ ...peer(2), routes: [], programmed: false });
    clock.advance(5);
    publish(peer(2));
    const detectedUnixUs = clock.unixMicros() - 10_000n;
    const cause = { id: expect.stringMatching(/^flanneld-\d+-1$/), kind: 'lease-added', detectedUnixUs };
    expect(events).toMatchObject([
      { type: 'group', cause: { ...cause, decidedUnixUs: clock.unixMicros() } },
      { type: 'routes', cause },
    ]);
    events.length = 0;
    publish(peer(2, ['10.5.2.0/24'], 'eth0'));
    expect(events[0]).not.toHaveProperty('cause');
  });

  test('a removal carries its cause', () => {
    publish(peer(2));
    feed.note(leaseOf(2).key, 'lease-removed');
    feed.publish(new Map([[leaseOf(2).key, undefined]]));
    expect(events.slice(-2)).toMatchObject([
      { cause: { kind: 'lease-removed' } },
      { cause: { kind: 'lease-removed' } },
    ]);
  });

  test('no carrier: one event per group, all of one cause, no route withdrawn; and back as they are by then', () => {
    publish(peer(2), peer(3));
    events.length = 0;
    feed.setCarrier(false);
    feed.setCarrier(false);
    publish(peer(2), peer(3, ['10.5.3.0/24'], 'eth0'), peer(4));
    expect(events.slice(0, 2)).toMatchObject([
      { type: 'group', group: { node: 'node2', nextHops: [] }, cause: { kind: 'link-down' } },
      { type: 'group', group: { node: 'node3', nextHops: [] }, cause: { kind: 'link-down' } },
    ]);
    expect(new Set(events.slice(0, 2).map((event) => 'cause' in event && event.cause?.id)).size).toBe(1);
    expect([table.routeCount, events.filter(({ type }) => type === 'withdrawn')]).toEqual([3, []]);
    expect([...table.groups.values()].flatMap(({ nextHops }) => nextHops)).toEqual([]);
    events.length = 0;
    feed.setCarrier(true);
    expect(events).toMatchObject([
      { group: { node: 'node2', nextHops: [{ device: 'flannel.1' }] }, cause: { kind: 'link-up' } },
      { group: { node: 'node3', nextHops: [{ device: 'eth0' }] } },
      { group: { node: 'node4', nextHops: [{ device: 'flannel.1' }] } },
    ]);
  });
});
