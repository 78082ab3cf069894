// The server's state: events only for real changes, refusals, and snapshots that are complete.
//
// Together with the view, at random: test/property/feed-mirror.test.ts.

import { describe, expect, it } from 'vitest';
import type { FeedEvent, FeedGroup } from '../../../../lib/feed/feed.ts';
import { FeedTable } from '../../../../lib/feed/feed-table.ts';
import { prefix } from '../../../../lib/net/prefix.ts';

const A = prefix('10.5.1.0/24');
const B = prefix('10.5.2.0/24');
const UNICAST: FeedGroup = {
  id: 1,
  kind: 'unicast',
  nextHops: [{ device: 'flannel0', onlink: false, weight: 1 }],
  local: false,
  node: 'n1',
};
const LOCAL: FeedGroup = { id: 2, kind: 'blackhole', nextHops: [], local: true, node: 'me' };

function recorded(): { table: FeedTable; events: FeedEvent[] } {
  const table = new FeedTable();
  const events: FeedEvent[] = [];
  table.subscribe((event) => events.push(event));
  return { table, events };
}

describe('feed table', () => {
  it('makes one event for each real change and none for the rest', () => {
    const { table, events } = recorded();
    const cause = { id: 'x-1-1', kind: 'lease-added', detectedUnixUs: 1n, decidedUnixUs: 2n };
    expect(table.setGroup(UNICAST, cause)).toBe(true);
    expect(table.setGroup({ ...UNICAST, nextHops: [...UNICAST.nextHops] })).toBe(false);
    table.setRoutes(1, [A, B], cause);
    table.setRoutes(1, [A]);
    table.withdraw([B, prefix('10.9.0.0/16')]);
    table.withdraw([B]);
    table.markInSync();
    table.markInSync();
    expect(events).toEqual([
      { type: 'group', group: UNICAST, cause },
      { type: 'routes', group: 1, prefixes: [A, B], cause },
      { type: 'withdrawn', prefixes: [B] },
      { type: 'in-sync' },
    ]);
  });

  it('moves a prefix from group to group', () => {
    const { table } = recorded();
    table.setGroup(UNICAST);
    table.setGroup(LOCAL);
    table.setRoutes(1, [A, B]);
    table.setRoutes(2, [A]);
    expect(table.groupOf(A)).toBe(2);
    expect([...table.prefixesOf(1)]).toEqual([B]);
    expect(table.routeCount).toBe(2);
  });

  it('refuses to remove a group in use, and to give routes to one that is not there', () => {
    const { table, events } = recorded();
    table.setGroup(UNICAST);
    table.setRoutes(1, [A]);
    expect(table.removeGroup(1)).toBe(false);
    table.withdraw(table.prefixesOf(1));
    expect(table.removeGroup(1)).toBe(true);
    expect(table.removeGroup(1)).toBe(true);
    expect(events.at(-1)).toEqual({ type: 'group-removed', id: 1 });
    expect(() => table.setRoutes(1, [A])).toThrow(RangeError);
  });

  it.each([0, -1, 1.5, 0x1_0000_0000])('refuses group id %d', (id) => {
    expect(() => recorded().table.setGroup({ ...UNICAST, id })).toThrow(RangeError);
  });

  it('refuses next hops on a blackhole', () => {
    expect(() => recorded().table.setGroup({ ...UNICAST, kind: 'blackhole' })).toThrow(RangeError);
  });

  it('gives a snapshot with groups before their routes, and the marker only once it was given', () => {
    const { table } = recorded();
    table.setGroup(UNICAST);
    table.setGroup(LOCAL);
    table.setRoutes(2, [A]);
    const before = table.snapshot();
    expect(before).toEqual([
      { type: 'group', group: UNICAST },
      { type: 'group', group: LOCAL },
      { type: 'routes', group: 2, prefixes: [A] },
    ]);
    table.markInSync();
    expect(table.snapshot()).toEqual([...before, { type: 'in-sync' }]);
  });

  it('stops calling a listener that left', () => {
    const table = new FeedTable();
    const events: FeedEvent[] = [];
    const leave = table.subscribe((event) => events.push(event));
    leave();
    table.setGroup(UNICAST);
    expect(events).toEqual([]);
  });
});
