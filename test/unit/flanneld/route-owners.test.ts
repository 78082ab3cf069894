// From bgpd's RouteFeed to owners of prefixes: one node, several, this one, none; peers that come later; bgpd that comes
// late, restarts with less, or never comes. The socket is real, the leases and the plane are not.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PeerState } from '../../../flanneld/backend/backend.ts';
import { RouteOwners } from '../../../flanneld/route-owners.ts';
import type { FeedGroup, FeedNextHop } from '../../../lib/feed/feed.ts';
import { type FeedServer, feedSocketPath, startFeedServer } from '../../../lib/feed/feed-server.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { systemClock } from '../../../lib/run/clock.ts';
import { eventually } from '../../eventually.ts';
import { leaseOf } from './backend/backend-fixture.ts';

const log = pino({ level: 'silent' });
const hop = (gateway: string): FeedNextHop => {
  return { gateway: address(gateway), device: 'flannel0', onlink: true, weight: 1 };
};
const [A, B, C] = [prefix('10.99.1.0/24'), prefix('10.99.2.0/24'), prefix('fd99::/48')];

function peerState(node: number): PeerState {
  return { lease: leaseOf(node), endpoint: address(`192.0.2.${node}`), routes: [], programmed: true };
}

function groupOf(id: number, nextHops: readonly FeedNextHop[], changed: Partial<FeedGroup> = {}): FeedGroup {
  return { id, kind: 'unicast', nextHops, local: false, node: '', ...changed };
}

describe('RouteOwners', () => {
  let folder: string;
  let table: FeedTable;
  let server: FeedServer | undefined;
  let owners: RouteOwners;
  let peers: PeerState[];
  let told: Record<string, readonly string[]>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gh-owners-'));
    table = new FeedTable();
    peers = [peerState(2), peerState(3)];
    told = {};
    server = undefined;
    owners = new RouteOwners({
      runFolder: folder,
      clock: systemClock,
      log,
      peers: () => peers,
      setRoutes: (routes) => {
        for (const route of routes) told[route.prefix] = route.endpoints;
      },
    });
  });

  afterEach(async () => {
    owners.close();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const serve = async (from: FeedTable = table): Promise<void> => {
    server = await startFeedServer({ socketPath: feedSocketPath(folder, 'bgpd'), table: from, log });
  };
  const expectTold = (expected: Record<string, readonly string[]>): Promise<unknown> =>
    eventually('the plane to know', () => {
      expect(told).toEqual(expected);
      return true;
    });

  test('a prefix of one node has its underlay address, whatever its next hops are; a withdrawn one has none', async () => {
    expect(owners.status()).toEqual({ state: 'absent', prefixes: 0 });
    table.setGroup(groupOf(1, [hop('10.5.2.0')], { node: 'node2', endpoint: address('192.0.2.2') }));
    table.setRoutes(1, [A, C]);
    await serve();
    await expectTold({ [A]: ['192.0.2.2'], [C]: ['192.0.2.2'] });
    table.markInSync();
    await eventually('in sync', () => owners.status().state === 'in-sync');
    expect(owners.status().prefixes).toBe(2);
    table.withdraw([A]);
    await expectTold({ [A]: [], [C]: ['192.0.2.2'] });
  });

  test('a prefix of several nodes has those that its gateways name, also such that become peers later', async () => {
    table.setGroup(groupOf(1, [hop('10.5.2.0'), hop('10.5.3.0'), hop('10.5.4.0'), hop('192.0.2.3')]));
    table.setRoutes(1, [A]);
    await serve();
    await expectTold({ [A]: ['192.0.2.2', '192.0.2.3', '192.0.2.3'] });
    peers.push(peerState(4));
    owners.refresh();
    await expectTold({ [A]: ['192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.3'] });
  });

  test('a group that changes its nodes moves all its prefixes; what is local or a blackhole has no owner', async () => {
    table.setGroup(groupOf(1, [hop('10.5.2.0')], { endpoint: address('192.0.2.2') }));
    table.setGroup(groupOf(2, [], { kind: 'blackhole', local: true, endpoint: address('192.0.2.1') }));
    table.setRoutes(1, [A, B]);
    table.setRoutes(2, [C]);
    await serve();
    await expectTold({ [A]: ['192.0.2.2'], [B]: ['192.0.2.2'], [C]: [] });
    table.setGroup(groupOf(1, [hop('10.5.3.0')], { endpoint: address('192.0.2.3') }));
    await expectTold({ [A]: ['192.0.2.3'], [B]: ['192.0.2.3'], [C]: [] });
  });

  test('while bgpd is away all stays; when it comes back, what it no longer has goes', async () => {
    table.setGroup(groupOf(1, [hop('10.5.2.0')], { endpoint: address('192.0.2.2') }));
    table.setRoutes(1, [A, B]);
    table.markInSync();
    await serve();
    await eventually('in sync', () => owners.status().state === 'in-sync');
    await server?.close();
    await eventually('the loss', () => owners.status().state === 'stale');
    expect(told).toEqual({ [A]: ['192.0.2.2'], [B]: ['192.0.2.2'] });
    const next = new FeedTable();
    next.setGroup(groupOf(7, [hop('10.5.2.0')], { endpoint: address('192.0.2.2') }));
    next.setRoutes(7, [B]);
    next.markInSync();
    await serve(next);
    await expectTold({ [A]: [], [B]: ['192.0.2.2'] });
  });
});
