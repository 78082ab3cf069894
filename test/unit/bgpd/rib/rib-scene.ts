// A RIB under test with its feed: node 10.0.0.1 of AS 64512, with ways to the nodes B and C, and peers made with few words.
// Prefixes behind node n go through the gateway 10.5.n.0.

import { expect } from 'vitest';
import { type Attributes, localAttributes } from '../../../../bgpd/rib/attributes.ts';
import { Rib, type RibSettings } from '../../../../bgpd/rib/rib.ts';
import type { RibPeer } from '../../../../bgpd/rib/rib-peer.ts';
import type { Update } from '../../../../bgpd/rib/update.ts';
import type { PeerOutgoing } from '../../../../bgpd/rib/update-group.ts';
import type { FeedEvent, FeedGroup } from '../../../../lib/feed/feed.ts';
import { FeedTable } from '../../../../lib/feed/feed-table.ts';
import { type Address, address } from '../../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../../lib/net/prefix.ts';

export const OWN = address('10.0.0.1');
export const B = address('10.0.0.2');
export const C = address('10.0.0.3');

export class RibScene {
  readonly rib: Rib;
  readonly table = new FeedTable();

  constructor(settings: Partial<RibSettings> = {}) {
    this.rib = new Rib({ asn: 64_512, routerId: OWN, maximumPaths: 4, ...settings }, OWN);
    this.publish(this.rib.setNextHop(wayTo(2, B), undefined));
    this.publish(this.rib.setNextHop(wayTo(3, C), undefined));
  }

  publish(events: readonly FeedEvent[]): readonly FeedEvent[] {
    for (const event of events) {
      if (event.type === 'group') this.table.setGroup(event.group);
      if (event.type === 'routes') this.table.setRoutes(event.group, event.prefixes);
      if (event.type === 'withdrawn') this.table.withdraw(event.prefixes);
      if (event.type === 'group-removed') expect(this.table.removeGroup(event.id)).toBe(true);
    }
    return events;
  }

  up(...peers: readonly RibPeer[]): void {
    for (const peer of peers) this.rib.peerUp(peer);
  }

  receive(peer: string, update: Update): readonly FeedEvent[] {
    const { events, refused } = this.rib.receive(peer, update, undefined);
    expect(refused).toBeUndefined();
    return this.publish(events);
  }

  announce(peer: string, prefixes: readonly Prefix[], attributes: Attributes): readonly FeedEvent[] {
    return this.receive(peer, { family: 4, withdrawn: [], announced: prefixes, attributes });
  }

  drain(peer: string, maxPrefixes = 1_000): PeerOutgoing[] {
    const all: PeerOutgoing[] = [];
    const { rib } = this;
    for (let next = rib.nextUpdates(peer, maxPrefixes); next; next = rib.nextUpdates(peer, maxPrefixes)) all.push(next);
    return all;
  }

  /** What a peer that held this before holds after everything that is due to it. */
  told(peer: string, before: Record<string, Attributes | undefined> = {}): Record<string, Attributes | undefined> {
    const held = { ...before };
    for (const { withdrawn, announced, attributes } of this.drain(peer).flatMap(({ updates }) => updates)) {
      for (const gone of withdrawn) delete held[gone];
      for (const came of announced) held[came] = attributes;
    }
    return held;
  }

  gatewaysOf(of: Prefix | undefined): (Address | undefined)[] | undefined {
    const id = of && this.table.groupOf(of);
    return id === undefined ? undefined : this.table.groups.get(id)?.nextHops.map(({ gateway }) => gateway);
  }
}

export function ibgp(name: string, at: Address): RibPeer {
  return { name, kind: 'ibgp', asn: 64_512, routerId: at, address: at, families: [4] };
}

export function ebgp(name: string, asn: number): RibPeer {
  const at = address(`10.0.1.${asn & 255}`);
  return { name, kind: 'ebgp', asn, routerId: at, address: at, families: [4] };
}

/** What an internal peer says of a node: its next hop, with LOCAL_PREF. */
export function via(node: Address, more: Partial<Attributes> = {}): Attributes {
  return { ...lp(localAttributes(node)), ...more };
}

export function lp(attributes: Attributes): Attributes {
  return { ...attributes, localPref: 100 };
}

export function wayTo(id: number, endpoint: Address): FeedGroup {
  const nextHops = [{ gateway: address(`10.5.${id}.0`), onlink: true, weight: 1 }];
  return { id, kind: 'unicast', nextHops, endpoint, local: false, node: `node${id}` };
}

export function manyPrefixes(count: number, first = 20): Prefix[] {
  return Array.from({ length: count }, (_, i) => prefix(`${first}.${i >> 8}.${i & 255}.0/24`));
}
