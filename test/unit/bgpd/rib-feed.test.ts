// Between flanneld's feed and ours: what is originated, with which NEXT_HOP, and what a restart of flanneld changes.
// The views and tables are the real ones; only the transport is missing.

import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Causes } from '../../../bgpd/causes.ts';
import { Rib } from '../../../bgpd/rib/rib.ts';
import { RibFeed } from '../../../bgpd/rib-feed.ts';
import type { Cause, FeedEvent, FeedGroup } from '../../../lib/feed/feed.ts';
import { FeedTable } from '../../../lib/feed/feed-table.ts';
import { FeedView } from '../../../lib/feed/feed-view.ts';
import { type Address, address } from '../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../lib/net/prefix.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { B, ibgp, via } from './rib/rib-scene.ts';

const OWN = address('10.0.0.1');
const SUBNET = prefix('10.5.1.0/24');
const LOCAL: FeedGroup = { id: 1, kind: 'blackhole', nextHops: [], local: true, node: 'a', endpoint: OWN };
const WAY: FeedGroup = {
  id: 2,
  kind: 'unicast',
  nextHops: [{ gateway: address('10.5.2.0'), device: 'flannel.1', onlink: true, weight: 1 }],
  local: false,
  node: 'b',
  endpoint: B,
};
const CAUSE: Cause = { id: 'flanneld-1-1', kind: 'lease-changed', detectedUnixUs: 5n, decidedUnixUs: 6n };

let view: FeedView;
let table: FeedTable;
let rib: Rib;
let ribFeed: RibFeed;
let own: Address;
let events: FeedEvent[];

beforeEach(begin);

/** A node without a past. */
function begin(): void {
  view = new FeedView();
  table = new FeedTable();
  events = [];
  table.subscribe((event) => events.push(event));
  own = OWN;
  rib = new Rib({ asn: 64_512, routerId: OWN, maximumPaths: 1 }, OWN);
  const causes = new Causes(new FakeClock());
  ribFeed = new RibFeed({ rib, view, table, causes, address: () => own, onPublished: () => undefined });
  view.beginSync();
}

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

describe("a pod's prefix that a peer announces too", () => {
  beforeEach(meetPeer);

  const begun: readonly FeedEvent[] = [
    { type: 'group', group: POD_GROUP },
    { type: 'routes', group: POD_GROUP.id, prefixes: [POD] },
  ];
  const ended: readonly FeedEvent[] = [
    { type: 'withdrawn', prefixes: [POD] },
    { type: 'group-removed', id: POD_GROUP.id },
  ];

  test.each(['before the pod is there', 'while it is'])('announced %s: it is offered when the pod is gone', (when) => {
    if (when.startsWith('before')) announce(POD);
    take(...begun);
    if (when.startsWith('while')) announce(POD);
    expect(table.groupOf(POD)).toBe(POD_GROUP.id);
    events = [];
    take(...ended);
    expect(nodeOf(POD)).toBe('b');
    expect(events.map(({ type }) => type)).toEqual(['routes', 'group-removed']);
  });

  test('flanneld restarts without the pod: it is offered at the in-sync marker', () => {
    announce(POD);
    take(...begun, { type: 'in-sync' });
    view.beginSync();
    take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] });
    take({ type: 'group', group: WAY });
    expect(table.groupOf(POD)).toBe(POD_GROUP.id);
    take({ type: 'in-sync' });
    expect([nodeOf(POD), table.groups.has(POD_GROUP.id)]).toEqual(['b', false]);
  });

  test('withdrawn while the pod is there: nothing is left when it is gone', () => {
    announce(POD);
    take(...begun);
    announce();
    expect(table.groupOf(POD)).toBe(POD_GROUP.id);
    take(...ended);
    expect(table.groupOf(POD)).toBeUndefined();
  });

  test('a pod that no subnet covers ends: felix hears of the peer, never of a blackhole', () => {
    take({ type: 'withdrawn', prefixes: [SUBNET] });
    announce(POD);
    take(...begun);
    expect(rib.explain(POD)?.decision.best?.source.kind).toBe('local');
    events = [];
    take(...ended);
    expect(nodeOf(POD)).toBe('b');
    const offered = events.flatMap((event) => (event.type === 'routes' ? [table.groups.get(event.group)?.kind] : []));
    expect(offered).toEqual(['unicast']);
    expect(events.some(({ type }) => type === 'withdrawn')).toBe(false);
  });

  test('whatever the order, it is the pod’s while there is one, and the peer’s while that announces it', () => {
    const pods = [POD, prefix('10.5.1.10/32'), prefix('10.9.0.1/32')].map((own, at) => ({ own, id: 10 + at }));
    type Pods = typeof pods;
    const deviceOf = ({ id }: Pods[number]): string => `gh${id}`;
    const groupOf = (pod: Pods[number]): FeedGroup => ({
      ...POD_GROUP,
      id: pod.id,
      nextHops: [{ device: deviceOf(pod), onlink: false, weight: 1 }],
    });
    const someOf = fc.subarray(pods);
    const anyStep = fc.oneof(
      fc.record({ pods: someOf }),
      fc.record({ peer: someOf }),
      fc.record({ subnet: fc.boolean() }),
      fc.record({ restart: someOf }),
    );
    let now: { pods: Pods; peer: Pods; subnet: boolean };
    const beginning = (some: Pods): readonly FeedEvent[] =>
      some.flatMap((pod): FeedEvent[] => [
        { type: 'group', group: groupOf(pod) },
        { type: 'routes', group: pod.id, prefixes: [pod.own] },
      ]);
    const ending = (some: Pods): readonly FeedEvent[] =>
      some.flatMap(({ own, id }): FeedEvent[] => [
        { type: 'withdrawn', prefixes: [own] },
        { type: 'group-removed', id },
      ]);
    const steps = {
      pods: (to: Pods) => take(...ending(now.pods.filter((pod) => !to.includes(pod))), ...beginning(to)),
      peer: (to: Pods) => announce(...to.map(({ own }) => own)),
      subnet: (on: boolean) =>
        take(on ? { type: 'routes', group: 1, prefixes: [SUBNET] } : { type: 'withdrawn', prefixes: [SUBNET] }),
      restart: (to: Pods) => {
        view.beginSync();
        take({ type: 'group', group: LOCAL }, { type: 'group', group: WAY });
        if (now.subnet) steps.subnet(true);
        take(...beginning(to), { type: 'in-sync' });
      },
    };
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 15 }), (all) => {
        begin();
        meetPeer();
        now = { pods: [], peer: [], subnet: true };
        for (const step of all) {
          if ('pods' in step) steps.pods(step.pods);
          if ('peer' in step) steps.peer(step.peer);
          if ('subnet' in step) steps.subnet(step.subnet);
          if ('restart' in step) steps.restart(step.restart);
          now = { ...now, ...('restart' in step ? { pods: step.restart } : step) };
          const wanted = pods.map((pod) =>
            now.pods.includes(pod) ? deviceOf(pod) : now.peer.includes(pod) ? 'flannel.1' : undefined,
          );
          expect(pods.map(({ own }) => groupAt(own)?.nextHops[0]?.device)).toEqual(wanted);
          const offered = [...table.groups.values()].filter(({ local, kind }) => local && kind === 'unicast');
          const devices = new Set(offered.map(({ nextHops }) => nextHops[0]?.device));
          expect([offered.length, devices]).toEqual([now.pods.length, new Set(now.pods.map(deviceOf))]);
        }
      }),
    );
  });
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

/** A session with the node b, a subnet of this node's, and the way to b. */
function meetPeer(): void {
  rib.peerUp(ibgp('b', B));
  take({ type: 'group', group: LOCAL }, { type: 'routes', group: 1, prefixes: [SUBNET] });
  take({ type: 'group', group: WAY });
}

/** The peer announces these, and no others. */
function announce(...prefixes: readonly Prefix[]): void {
  const withdrawn = [...rib.prefixes()].filter((each) => !prefixes.includes(each));
  const update = { family: 4, withdrawn, announced: prefixes, attributes: via(B) } as const;
  ribFeed.publish(rib.receive('b', update, undefined).events, CAUSE);
}

function groupAt(of: Prefix): FeedGroup | undefined {
  return table.groups.get(table.groupOf(of) ?? 0);
}

/** The node that the feed sends packets for this prefix to. */
function nodeOf(of: Prefix): string | undefined {
  return groupAt(of)?.node;
}

function nextHopOf(): Address | undefined {
  return rib.explain(SUBNET)?.decision.best?.attributes.nextHop;
}
