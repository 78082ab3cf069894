// Several feeds as one: who has a prefix that two of them want, and what a change of one means for the routes of another.
//
// Ids of groups are those of the merged feeds: a feed's own id times two, plus its place.

import { describe, expect, it } from 'vitest';
import { MergedFeeds } from '../../../felix/desired/merged-feeds.ts';
import type { FeedEvent } from '../../../lib/feed/feed.ts';
import { FeedView } from '../../../lib/feed/feed-view.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { localGroup, subnet, vtepGroup } from './felix-bench.ts';

const NETWORK = { id: 7, kind: 'unreachable', nextHops: [], local: false, node: '' } as const;

function bench() {
  const [bgpd, flanneld] = [new FeedView(), new FeedView()];
  const merged = new MergedFeeds([
    { view: bgpd, classes: ['local', 'nodes'] },
    { view: flanneld, classes: ['network'] },
  ]);
  const take = (at: number, event: FeedEvent) => {
    const change = (at === 0 ? bgpd : flanneld).apply(event);
    if ('error' in change) throw new Error(change.error);
    return merged.changed(at, change);
  };
  const kindOf = (to: string) => {
    const id = merged.groupOf(prefix(to));
    return id === undefined ? undefined : merged.groups.get(id)?.kind;
  };
  return { merged, take, kindOf };
}

describe('merged feeds', () => {
  it('take of each feed its classes only', () => {
    const { merged, take, kindOf } = bench();
    take(1, { type: 'group', group: vtepGroup(2) });
    take(1, { type: 'routes', group: 2, prefixes: [subnet(2)] });
    expect(kindOf('10.5.2.0/24')).toBeUndefined();
    expect([...merged.groups.values()]).toEqual([]);
    take(0, { type: 'group', group: vtepGroup(2) });
    take(0, { type: 'routes', group: 2, prefixes: [subnet(2)] });
    expect(kindOf('10.5.2.0/24')).toBe('unicast');
    expect([...merged.routes()].map(([to]) => to)).toEqual(['10.5.2.0/24']);
  });

  it('give a prefix that two want to the class that comes first, and to the other once that one is gone', () => {
    const { merged, take, kindOf } = bench();
    take(1, { type: 'group', group: NETWORK });
    take(1, { type: 'routes', group: 7, prefixes: [subnet(2)] });
    expect(kindOf('10.5.2.0/24')).toBe('unreachable');
    take(0, { type: 'group', group: vtepGroup(7) });
    expect(take(0, { type: 'routes', group: 7, prefixes: [subnet(2)] }).prefixes).toEqual([subnet(2)]);
    expect(kindOf('10.5.2.0/24')).toBe('unicast');
    expect([...merged.routes()]).toHaveLength(1);
    take(0, { type: 'withdrawn', prefixes: [subnet(2)] });
    expect(kindOf('10.5.2.0/24')).toBe('unreachable');
  });

  it('tell the routes of a group that changes its class, and of no other', () => {
    const { take } = bench();
    take(0, { type: 'group', group: vtepGroup(2) });
    take(0, { type: 'routes', group: 2, prefixes: [subnet(2)] });
    expect(take(0, { type: 'group', group: vtepGroup(2, '10.5.9.0') })).toEqual({ groups: [4], prefixes: [] });
    expect(take(0, { type: 'group', group: localGroup(2) })).toEqual({ groups: [4], prefixes: [subnet(2)] });
  });
});
