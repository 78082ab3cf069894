// Between flanneld's feed and ours: what is originated, with which NEXT_HOP, and what a restart of flanneld changes.
// The views and tables are the real ones; only the transport is missing.

import { beforeEach, expect, test } from 'vitest';
import { Causes } from '../../../bgpd/causes.ts';
import { Rib } from '../../../bgpd/rib/rib.ts';
import { RibFeed } from '../../../bgpd/rib-feed.ts';
import type { Cause, FeedEvent, FeedGroup } from '../../../lib/feed/feed.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { FeedView } from '../../../lib/feed/feed-view.ts';
import { type Address, address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const OWN = address('10.0.0.1');
const SUBNET = prefix('10.5.1.0/24');
const LOCAL: FeedGroup = { id: 1, kind: 'blackhole', nextHops: [], local: true, node: 'a', endpoint: OWN };
const WAY: FeedGroup = {
  id: 2,
  kind: 'unicast',
  nextHops: [{ gateway: address('10.5.2.0'), device: 'flannel.1', onlink: true, weight: 1 }],
  local: false,
  node: 'b',
  endpoint: address('10.0.0.2'),
};
const CAUSE: Cause = { id: 'flanneld-1-1', kind: 'lease-changed', detectedUnixUs: 5n, decidedUnixUs: 6n };

let view: FeedView;
let table: FeedTable;
let rib: Rib;
let ribFeed: RibFeed;
let own: Address;
let events: FeedEvent[];

beforeEach(() => {
  view = new FeedView();
  table = new FeedTable();
  events = [];
  table.subscribe((event) => events.push(event));
  own = OWN;
  rib = new Rib({ asn: 64_512, routerId: OWN, maximumPaths: 1 }, OWN);
  const causes = new Causes(new FakeClock());
  ribFeed = new RibFeed({ rib, view, table, causes, address: () => own, onPublished: () => undefined });
  view.beginSync();
});

test('local routes are originated and served; those of other nodes only tell the way', () => {
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  take({ type: 'group', group: WAY }, { type: 'routes', group: 2, prefixes: [prefix('10.5.2.0/24')] });
  expect(rib.originated).toBe(1);
  expect(nextHopOf()).toBe(OWN);
  expect(table.routeCount).toBe(1);
  expect(table.groups.get(table.groupOf(SUBNET) ?? 0)).toMatchObject({ kind: 'blackhole', local: true });
});

test('withdrawn by flanneld, withdrawn here', () => {
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  take({ type: 'withdrawn', prefixes: [SUBNET] });
  expect([rib.originated, rib.size, table.routeCount, table.groups.size]).toEqual([0, 0, 0, 0]);
});

test('a prefix that moves from a local group to another node ends here no more, and the other way round', () => {
  take({ type: 'group', group: LOCAL }, { type: 'group', group: WAY });
  take({ type: 'routes', group: 2, prefixes: [SUBNET] });
  expect(rib.originated).toBe(0);
  take({ type: 'routes', group: 1, prefixes: [SUBNET] });
  expect(rib.originated).toBe(1);
  take({ type: 'routes', group: 2, prefixes: [SUBNET] });
  expect([rib.originated, table.routeCount]).toEqual([0, 0]);
});

test('a group becomes local, and ceases to be', () => {
  take({ type: 'group', group: { ...LOCAL, local: false } }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  expect(rib.originated).toBe(0);
  take({ type: 'group', group: LOCAL });
  expect(rib.originated).toBe(1);
  take({ type: 'group', group: { ...LOCAL, local: false } });
  expect(rib.originated).toBe(0);
});

test('flanneld restarts without its subnet: gone at the in-sync marker, not before', () => {
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] }, { type: 'in-sync' });
  view.beginSync();
  take({ type: 'group', group: WAY });
  expect(rib.originated).toBe(1);
  take({ type: 'in-sync' });
  expect(rib.originated).toBe(0);
});

test('flanneld restarts and says the same: nothing happens', () => {
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] }, { type: 'in-sync' });
  events = [];
  view.beginSync();
  take(
    { type: 'group', group: { ...LOCAL, id: 7 } },
    { type: 'routes', group: 7, prefixes: [SUBNET] },
    { type: 'in-sync' },
  );
  expect(events).toEqual([]);
});

const POD = prefix('10.5.1.9/32');
const POD_GROUP: FeedGroup = {
  id: 0x8000_0007,
  kind: 'unicast',
  nextHops: [{ device: 'gh1', onlink: false, weight: 1 }],
  local: true,
  node: 'a',
  attachment: { device: 'gh1', addresses: [address('169.254.1.1')], neighbours: [] },
};

test("a pod of this node goes on to felix as it is, and is not announced where the node's subnet covers it", () => {
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  take({ type: 'group', group: POD_GROUP }, { type: 'routes', group: POD_GROUP.id, prefixes: [POD] });
  expect(table.groups.get(table.groupOf(POD) ?? 0)).toEqual(POD_GROUP);
  expect([rib.originated, rib.explain(POD)]).toEqual([1, undefined]);
  take({ type: 'withdrawn', prefixes: [POD] }, { type: 'group-removed', id: POD_GROUP.id });
  expect([table.groupOf(POD), table.groups.has(POD_GROUP.id)]).toEqual([undefined, false]);
});

test('a pod that outlived its subnet is announced, until a subnet covers it again; felix keeps its route', () => {
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  take({ type: 'group', group: POD_GROUP }, { type: 'routes', group: POD_GROUP.id, prefixes: [POD] });
  take({ type: 'withdrawn', prefixes: [SUBNET] });
  expect([rib.originated, rib.explain(POD)?.decision.best?.attributes.nextHop]).toEqual([1, OWN]);
  expect(table.groupOf(POD)).toBe(POD_GROUP.id);
  take({ type: 'routes', group: 1, prefixes: [SUBNET] });
  expect([rib.originated, rib.explain(POD), table.groupOf(POD)]).toEqual([1, undefined, POD_GROUP.id]);
});

test('flanneld restarts without the pod: its route is gone at the in-sync marker', () => {
  take({ type: 'group', group: POD_GROUP }, { type: 'routes', group: POD_GROUP.id, prefixes: [POD] });
  take({ type: 'in-sync' });
  expect(rib.originated).toBe(1);
  view.beginSync();
  take({ type: 'in-sync' });
  expect([table.routeCount, table.groups.size, rib.originated]).toEqual([0, 0, 0]);
});

test('NEXT_HOP is the endpoint of the group, and follows it', () => {
  own = address('10.0.0.9');
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  expect(nextHopOf()).toBe(OWN);
  take({ type: 'group', group: { ...LOCAL, endpoint: address('10.0.0.7') } });
  expect(nextHopOf()).toBe('10.0.0.7');
});

test("without an endpoint it is this node's address, which may change", () => {
  const { endpoint: _endpoint, ...bare } = LOCAL;
  take({ type: 'group', group: bare }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  expect(nextHopOf()).toBe(OWN);
  own = address('10.0.0.9');
  ribFeed.followAll();
  expect(nextHopOf()).toBe('10.0.0.9');
});

test('the cause is carried on, and stamped when the decision is ready', () => {
  take({ type: 'group', group: LOCAL });
  take({ type: 'routes', group: 1, prefixes: [SUBNET], cause: CAUSE });
  const decidedUnixUs = new FakeClock().unixMicros();
  expect(events.map((event) => (event.type === 'in-sync' ? undefined : event.cause))).toEqual([
    { ...CAUSE, decidedUnixUs },
    { ...CAUSE, decidedUnixUs },
  ]);
});

function take(...news: readonly FeedEvent[]): void {
  for (const event of news) {
    const change = view.apply(event);
    if ('error' in change) throw new Error(change.error);
    ribFeed.follow(change, event.type === 'in-sync' ? undefined : event.cause);
  }
}

function nextHopOf(): Address | undefined {
  return rib.explain(SUBNET)?.decision.best?.attributes.nextHop;
}
