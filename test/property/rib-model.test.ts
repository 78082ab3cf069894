// The three RIBs against a naive model, through any sequence of sessions, updates, local routes and next-hop changes.
//
// After each operation the served feed must say what the model says, with no group left over; at the end every peer must
// hold exactly what the export rules give it, however seldom it was sent anything on the way.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Attributes, localAttributes } from '../../bgpd/rib/attributes.ts';
import { decide } from '../../bgpd/rib/decision.ts';
import { LOCAL_PEER, type PathSource, PathTable } from '../../bgpd/rib/path.ts';
import { Rib } from '../../bgpd/rib/rib.ts';
import type { RibPeer } from '../../bgpd/rib/rib-peer.ts';
import { exportAttributes } from '../../bgpd/rib/route-rules.ts';
import type { FeedEvent, FeedGroup } from '../../lib/feed/feed.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { type Address, address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';

const SPEAKER = { asn: 64_512, routerId: address('10.0.0.1'), maximumPaths: 2 };
const OWN = address('10.0.0.1');
const PREFIXES = Array.from({ length: 6 }, (_, i) => prefix(`10.5.${i}.0/24`));
const ENDPOINTS = ['10.0.0.2', '10.0.0.3', '10.0.0.4'].map((text) => address(text));

const PEERS: readonly RibPeer[] = [
  { name: 'b', kind: 'ibgp', asn: 64_512, routerId: address('10.0.0.2'), address: address('10.0.0.2'), families: [4] },
  { name: 'c', kind: 'ibgp', asn: 64_512, routerId: address('10.0.0.3'), address: address('10.0.0.3'), families: [4] },
  { name: 'd', kind: 'ebgp', asn: 65_001, routerId: address('10.0.0.4'), address: address('10.0.0.4'), families: [4] },
  {
    name: 'e',
    kind: 'ebgp',
    asn: 65_002,
    routerId: address('10.0.0.5'),
    address: address('10.0.0.5'),
    families: [4, 6],
  },
];

type Operation =
  | { readonly type: 'session'; readonly peer: number; readonly up: boolean }
  | { readonly type: 'announce'; readonly peer: number; readonly prefixes: readonly Prefix[]; readonly style: number }
  | { readonly type: 'withdraw'; readonly peer: number; readonly prefixes: readonly Prefix[] }
  | { readonly type: 'local'; readonly prefixes: readonly Prefix[]; readonly here: boolean }
  | { readonly type: 'way'; readonly endpoint: number; readonly gateway: number }
  | { readonly type: 'pull'; readonly peer: number; readonly maxPrefixes: number };

const peerIndex = fc.integer({ min: 0, max: PEERS.length - 1 });
const somePrefixes = fc.subarray(PREFIXES, { minLength: 1 });

const mostlyTrue = fc.integer({ max: 3, min: 0 }).map((n) => n > 0);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ type: fc.constant('session' as const), peer: peerIndex, up: mostlyTrue }),
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('announce' as const),
      peer: peerIndex,
      prefixes: somePrefixes,
      style: fc.integer({ min: 0, max: 5 }),
    }),
  },
  fc.record({ type: fc.constant('withdraw' as const), peer: peerIndex, prefixes: somePrefixes }),
  fc.record({ type: fc.constant('local' as const), prefixes: somePrefixes, here: fc.boolean() }),
  fc.record({
    type: fc.constant('way' as const),
    endpoint: fc.integer({ min: 0, max: ENDPOINTS.length - 1 }),
    gateway: fc.integer({ min: 0, max: 4 }),
  }),
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('pull' as const),
      peer: peerIndex,
      maxPrefixes: fc.integer({ min: 1, max: 4 }),
    }),
  },
);

/** What a peer may announce: another node's next hop, other preferences, a loop that must be refused. */
function attributesOf({ kind, asn, address: from }: RibPeer, style: number): Attributes {
  const nextHop = style === 1 ? (ENDPOINTS[2] as Address) : from;
  const asPath = kind === 'ebgp' ? [asn] : [];
  return {
    ...localAttributes(nextHop),
    asPath: style === 2 ? [...asPath, SPEAKER.asn] : style === 3 ? [...asPath, 65_009] : asPath,
    ...(kind === 'ibgp' && { localPref: style === 4 ? 200 : 100 }),
    ...(style === 5 && { med: 7 }),
  };
}

/** The RIB, what its feed says, and what each peer was sent. */
class Real {
  readonly rib = new Rib(SPEAKER, OWN);
  readonly table = new FeedTable();
  readonly received = new Map<string, Map<Prefix, Attributes>>();
  readonly endsOfRib = new Map<string, number>();

  publish(events: readonly FeedEvent[]): void {
    for (const event of events) {
      if (event.type === 'group') this.table.setGroup(event.group);
      if (event.type === 'routes') this.table.setRoutes(event.group, event.prefixes);
      if (event.type === 'withdrawn') this.table.withdraw(event.prefixes);
      if (event.type === 'group-removed') expect(this.table.removeGroup(event.id)).toBe(true);
    }
  }

  pull(name: string, maxPrefixes: number): boolean {
    const next = this.rib.nextUpdates(name, maxPrefixes);
    if (next === undefined) return false;
    const held = this.received.get(name) as Map<Prefix, Attributes>;
    for (const { withdrawn, announced, attributes } of next.updates) {
      for (const gone of withdrawn) held.delete(gone);
      for (const came of announced) held.set(came, attributes as Attributes);
    }
    this.endsOfRib.set(name, (this.endsOfRib.get(name) ?? 0) + next.endOfRib.length);
    return true;
  }

  /** Prefix by prefix, where packets go. */
  forwarding(): Map<Prefix, string> {
    const result = new Map<Prefix, string>();
    for (const [id, group] of this.table.groups) {
      const text =
        group.kind === 'blackhole'
          ? 'here'
          : group.nextHops

              .map(({ gateway }) => String(gateway))
              .sort()
              .join();
      expect(this.table.prefixesOf(id).size, `group ${id} has no routes`).toBeGreaterThan(0);
      for (const routed of this.table.prefixesOf(id)) result.set(routed, text);
    }
    return result;
  }
}

/** What must come out, the slow way: every question is answered from the raw inputs. */
class Model {
  readonly table = new PathTable();
  readonly up = new Map<string, Map<Prefix, Attributes>>();
  readonly local = new Set<Prefix>();
  readonly ways = new Map<Address, string>();

  decide(of: Prefix) {
    const paths = [...this.up].flatMap(([name, routes]) => {
      const attributes = routes.get(of);
      const peer = PEERS.find((each) => each.name === name) as RibPeer;
      if (attributes === undefined) return [];
      return [this.table.path(sourceOf(peer), attributes)];
    });
    if (this.local.has(of)) paths.push(this.table.path(LOCAL, localAttributes(OWN)));
    return decide(paths, {
      maximumPaths: SPEAKER.maximumPaths,
      metric: ({ source, attributes }) => (source === LOCAL || this.ways.has(attributes.nextHop) ? 0 : undefined),
    });
  }

  forwarding(): Map<Prefix, string> {
    const result = new Map<Prefix, string>();
    for (const of of PREFIXES) {
      const { best, multipath } = this.decide(of);
      if (best === undefined) continue;
      const gateways = new Set(multipath.map(({ attributes }) => String(this.ways.get(attributes.nextHop))));
      result.set(of, best.source === LOCAL ? 'here' : [...gateways].sort().join());
    }
    return result;
  }

  announcedTo(peer: RibPeer): Map<Prefix, Attributes> {
    const result = new Map<Prefix, Attributes>();
    for (const of of PREFIXES) {
      const { best } = this.decide(of);
      if (best === undefined || best.source.peer === peer.name) continue;
      const exported = exportAttributes(best, { kind: peer.kind as 'ibgp' | 'ebgp', speaker: SPEAKER });
      if (exported !== undefined) result.set(of, exported);
    }
    return result;
  }
}

const LOCAL: PathSource = { peer: LOCAL_PEER, kind: 'local', routerId: OWN, address: OWN, stale: false };
const sources = new Map<string, PathSource>();

function sourceOf({ name, kind, routerId, address: at }: RibPeer): PathSource {
  const source = sources.get(name) ?? { peer: name, kind, routerId, address: at, stale: false };
  sources.set(name, source);
  return source;
}

function perform(operation: Operation, real: Real, model: Model): void {
  switch (operation.type) {
    case 'session': {
      const peer = PEERS[operation.peer] as RibPeer;
      if (operation.up === model.up.has(peer.name)) return;
      if (operation.up) {
        real.rib.peerUp(peer);
        real.received.set(peer.name, new Map());
        real.endsOfRib.set(peer.name, 0);
        model.up.set(peer.name, new Map());
      } else {
        real.publish(real.rib.peerDown(peer.name, undefined));
        model.up.delete(peer.name);
      }
      return;
    }
    case 'announce': {
      const peer = PEERS[operation.peer] as RibPeer;
      const attributes = attributesOf(peer, operation.style);
      const update = { family: 4, withdrawn: [], announced: operation.prefixes, attributes } as const;
      real.publish(real.rib.receive(peer.name, update, undefined).events);
      const isLoop = attributes.asPath.includes(SPEAKER.asn);
      for (const each of operation.prefixes) {
        if (isLoop) model.up.get(peer.name)?.delete(each);
        else model.up.get(peer.name)?.set(each, attributes);
      }
      return;
    }
    case 'withdraw': {
      const { name } = PEERS[operation.peer] as RibPeer;
      const update = { family: 4, withdrawn: operation.prefixes, announced: [] } as const;
      real.publish(real.rib.receive(name, update, undefined).events);
      for (const each of operation.prefixes) model.up.get(name)?.delete(each);
      return;
    }
    case 'local': {
      const { rib } = real;
      const { prefixes, here } = operation;
      real.publish(here ? rib.originate(OWN, prefixes, undefined) : rib.withdrawLocal(prefixes, undefined));
      for (const each of prefixes) {
        if (here) model.local.add(each);
        else model.local.delete(each);
      }
      return;
    }
    case 'way': {
      const endpoint = ENDPOINTS[operation.endpoint] as Address;
      const id = 100 + operation.endpoint;
      if (operation.gateway === 0) {
        real.publish(real.rib.removeNextHop(id, undefined));
        model.ways.delete(endpoint);
        return;
      }
      const gateway = address(`10.5.${operation.endpoint}.${operation.gateway}`);
      const group: FeedGroup = {
        id,
        kind: 'unicast',
        nextHops: [{ gateway, onlink: true, weight: 1 }],
        endpoint,
        local: false,
        node: '',
      };
      real.publish(real.rib.setNextHop(group, undefined));
      model.ways.set(endpoint, gateway);
      return;
    }
    case 'pull':
      if (model.up.has(PEERS[operation.peer]?.name ?? ''))
        real.pull(PEERS[operation.peer]?.name ?? '', operation.maxPrefixes);
  }
}

test('feed and peers hold what the model says', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80, size: 'max' }), (operations) => {
      const real = new Real();
      const model = new Model();
      for (const each of operations) {
        perform(each, real, model);
        expect(real.forwarding()).toEqual(model.forwarding());
      }
      for (const peer of PEERS) {
        if (!model.up.has(peer.name)) continue;
        while (real.pull(peer.name, 3));
        expect(real.received.get(peer.name)).toEqual(model.announcedTo(peer));
        expect(real.endsOfRib.get(peer.name)).toBe(peer.families.length);
      }
    }),
    { numRuns: 400 },
  );
});

test('what was added and taken back leaves no trace', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 40, size: 'max' }),
      peerIndex,
      somePrefixes,
      (operations, n, prefixes) => {
        const real = new Real();
        const model = new Model();
        for (const each of operations) perform(each, real, model);
        const peer: RibPeer = { ...(PEERS[n] as RibPeer), name: 'z', address: address('10.0.0.3') };
        real.rib.peerUp(peer);
        const before = fingerprint(real);
        const announced = { ...attributesOf(peer, 0), ...(peer.kind === 'ibgp' && { localPref: 150 }) };
        const update = { family: 4, withdrawn: [], announced: prefixes, attributes: announced } as const;
        real.publish(real.rib.receive('z', update, undefined).events);
        real.publish(real.rib.receive('z', { family: 4, withdrawn: prefixes, announced: [] }, undefined).events);
        expect(fingerprint(real)).toEqual(before);
      },
    ),
    { numRuns: 200 },
  );
});

function fingerprint({ rib, table }: Real): unknown {
  const routes = [...rib.prefixes()].sort().map((each) => [each, rib.explain(each)]);
  const groups = PREFIXES.map((each) => table.groups.get(table.groupOf(each) ?? 0)?.nextHops);
  return { routes, groups, counts: rib.counts('z') };
}
