// The watcher's mirror: what it reports, what survives a reconnect, and group ids over a server's restart.
//
// Together with the table, at random: test/property/feed-mirror.test.ts.

import { describe, expect, it } from 'vitest';
import type { FeedEvent, FeedGroup } from '../../../../lib/feed/feed.ts';
import { FeedView } from '../../../../lib/feed/feed-view.ts';
import { address } from '../../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../../lib/net/prefix.ts';

const A = prefix('10.5.1.0/24');
const B = prefix('10.5.2.0/24');
const C = prefix('10.5.3.0/24');

const group = (id: number, node: string, gateway = '10.5.2.0'): FeedGroup => ({
  id,
  kind: 'unicast',
  nextHops: [{ gateway: address(gateway), device: 'flannel.1', onlink: true, weight: 1 }],
  local: false,
  node,
});
const groupEvent = (of: FeedGroup): FeedEvent => ({ type: 'group', group: of });
const routes = (id: number, ...prefixes: Prefix[]): FeedEvent => ({ type: 'routes', group: id, prefixes });
const IN_SYNC: FeedEvent = { type: 'in-sync' };

/** A view after one complete call: group 1 (node n1) with A and B, group 2 (node n2) with C. */
function synced(): FeedView {
  const view = new FeedView();
  view.beginSync();
  for (const event of [
    groupEvent(group(1, 'n1')),
    groupEvent(group(2, 'n2', '10.5.3.0')),
    routes(1, A, B),
    routes(2, C),
    IN_SYNC,
  ]) {
    expect(view.apply(event)).not.toHaveProperty('error');
  }
  return view;
}

describe('feed view', () => {
  it('reports what each event changed, and nothing for what it knew', () => {
    const view = synced();
    expect(view.synced).toBe(true);
    expect(view.apply(groupEvent(group(1, 'n1')))).toEqual({ groups: [], prefixes: [] });
    expect(view.apply(groupEvent(group(1, 'n1', '10.5.9.0')))).toEqual({ groups: [1], prefixes: [] });
    expect(view.apply(routes(1, A, C))).toEqual({ groups: [], prefixes: [C] });
    expect(view.apply({ type: 'withdrawn', prefixes: [A, prefix('10.9.0.0/16')] })).toEqual({
      groups: [],
      prefixes: [A],
    });
    expect(view.apply({ type: 'group-removed', id: 2 })).toEqual({ groups: [2], prefixes: [] });
    expect([...view.routes()]).toEqual([
      [B, 1],
      [C, 1],
    ]);
  });

  it('keeps everything over a reconnect and sweeps at the marker', () => {
    const view = synced();
    view.beginSync();
    expect(view.synced).toBe(false);
    expect(view.staleCount).toBe(3);
    expect(view.groupOf(C)).toBe(2);
    expect(view.apply(groupEvent(group(1, 'n1')))).toEqual({ groups: [], prefixes: [] });
    expect(view.apply(routes(1, A))).toEqual({ groups: [], prefixes: [] });
    expect(view.routeCount).toBe(3);
    expect(view.apply(IN_SYNC)).toEqual({ groups: [2], prefixes: [B, C] });
    expect([...view.routes()]).toEqual([[A, 1]]);
    expect(view.staleCount).toBe(0);
  });

  it('keeps the id of a group that a restarted server numbers anew', () => {
    const view = synced();
    view.beginSync();
    // The restarted server has the two nodes the other way round.
    expect(view.apply(groupEvent(group(1, 'n2', '10.5.3.0')))).toEqual({ groups: [], prefixes: [] });
    expect(view.apply(groupEvent(group(2, 'n1')))).toEqual({ groups: [], prefixes: [] });
    expect(view.apply(routes(2, A, B))).toEqual({ groups: [], prefixes: [] });
    expect(view.apply(routes(1, C))).toEqual({ groups: [], prefixes: [] });
    expect(view.apply(IN_SYNC)).toEqual({ groups: [], prefixes: [] });
    expect(view.groups.get(1)?.node).toBe('n1');
    // Deltas still come by the server's numbers.
    expect(view.apply(groupEvent(group(1, 'n2', '10.5.7.0')))).toEqual({ groups: [2], prefixes: [] });
  });

  it('never lets a held route follow a number that now means another node', () => {
    const view = synced();
    view.beginSync();
    view.apply(groupEvent(group(1, 'n3', '10.5.4.0')));
    const id = view.groupOf(A) as number;
    expect(view.groups.get(id)?.node).toBe('n1');
    expect(view.apply(routes(1, A))).toMatchObject({ prefixes: [A] });
    expect(view.groups.get(view.groupOf(A) as number)?.node).toBe('n3');
    expect(view.apply(IN_SYNC)).toEqual({ groups: [1, 2], prefixes: [B, C] });
  });

  it('follows a node whose next hop changed while the feed was away', () => {
    const view = synced();
    view.beginSync();
    expect(view.apply(groupEvent(group(9, 'n1', '10.5.8.0')))).toEqual({ groups: [1], prefixes: [] });
    expect(view.groups.get(1)?.nextHops[0]?.gateway).toBe('10.5.8.0');
  });

  it('keeps a group that only held routes still use, until the marker', () => {
    const view = synced();
    view.beginSync();
    view.apply(groupEvent(group(1, 'n1')));
    expect(view.apply({ type: 'group-removed', id: 1 })).toEqual({ groups: [], prefixes: [] });
    expect(view.groups.has(1)).toBe(true);
    expect(view.apply(IN_SYNC)).toEqual({ groups: [2, 1], prefixes: [A, B, C] });
    expect(view.groups.size).toBe(0);
  });

  it.each<[string, FeedEvent]>([
    ['routes of group 5, which was not sent', routes(5, A)],
    ['removal of group 5, which was not sent', { type: 'group-removed', id: 5 }],
    ['removal of group 1, which has routes', { type: 'group-removed', id: 1 }],
  ])('refuses the %s', (error, event) => {
    const view = synced();
    expect(view.apply(event)).toEqual({ error });
    expect(view.routeCount).toBe(3);
  });
});
