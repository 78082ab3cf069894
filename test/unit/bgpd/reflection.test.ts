// Route reflection over several speakers (RFC 4456): one cluster with two reflectors, two clusters, non-clients, loops.
// Only their RIBs, joined without sessions or time: each is asked for what is due to its peers until nobody has anything.

import { expect, test } from 'vitest';
import { localAttributes } from '../../../bgpd/rib/attributes.ts';
import { Rib } from '../../../bgpd/rib/rib.ts';
import type { Refusal } from '../../../bgpd/rib/route-rules.ts';
import { type Address, address } from '../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../lib/net/prefix.ts';

/** More rounds than any of these topologies needs: a route that goes in circles does not end by itself. */
const ROUNDS_MAX = 20;

class SpeakerNode {
  readonly name: string;
  readonly address: Address;
  readonly rib: Rib;
  readonly refused: Refusal[] = [];

  constructor(number: number, cluster: string | undefined) {
    this.address = address(`10.0.0.${number}`);
    this.name = `n${number}`;
    const clusterId = cluster === undefined ? {} : { clusterId: address(cluster) };
    this.rib = new Rib({ asn: 64_512, routerId: this.address, maximumPaths: 1, ...clusterId }, this.address);
  }
}

class Net {
  readonly #nodes = new Map<number, SpeakerNode>();

  node(number: number, cluster?: string): void {
    const added = new SpeakerNode(number, cluster);
    for (const other of this.#nodes.values()) {
      added.rib.setNextHop(wayTo(other), undefined);
      other.rib.setNextHop(wayTo(added), undefined);
    }
    this.#nodes.set(number, added);
  }

  /** A session; `client`: the second is a client of the first. */
  session(a: number, b: number, client = false): void {
    const [first, second] = [this.of(a), this.of(b)];
    first.rib.peerUp({ ...peerOf(second), client });
    second.rib.peerUp(peerOf(first));
  }

  end(a: number, b: number): void {
    this.of(a).rib.peerDown(this.of(b).name, undefined);
    this.of(b).rib.peerDown(this.of(a).name, undefined);
  }

  originate(number: number, ...prefixes: readonly Prefix[]): void {
    const { rib, address: own } = this.of(number);
    rib.originate(own, prefixes, undefined);
  }

  /** Everybody is told everything. */
  settle(): void {
    for (let round = 0; round < ROUNDS_MAX; round++) if (!this.#round()) return;
    throw new Error(`still something to tell after ${ROUNDS_MAX} rounds`);
  }

  /** ORIGINATOR_ID and CLUSTER_LIST of the best path of a node; `undefined` where it has none. */
  best(number: number, of: Prefix): readonly [string | undefined, readonly string[]] | undefined {
    const best = this.of(number).rib.explain(of)?.decision.best;
    return best && [best.attributes.originatorId, best.attributes.clusterList];
  }

  of(number: number): SpeakerNode {
    return this.#nodes.get(number) as SpeakerNode;
  }

  #round(): boolean {
    let told = false;
    for (const from of this.#nodes.values()) {
      for (const to of this.#nodes.values()) {
        for (let next = from.rib.nextUpdates(to.name, 100); next; next = from.rib.nextUpdates(to.name, 100)) {
          told = true;
          for (const update of next.updates) {
            const { refused } = to.rib.receive(from.name, update, undefined);
            if (refused !== undefined) to.refused.push(refused);
          }
        }
      }
    }
    return told;
  }
}

const P = prefix('10.5.3.0/24');

test('two reflectors of one cluster: every client has every route once, and each reflector refuses what the other reflects', () => {
  const net = new Net();
  for (const reflector of [1, 2]) net.node(reflector, '9.9.9.9');
  for (const client of [3, 4, 5]) net.node(client);
  net.session(1, 2);
  for (const client of [3, 4, 5]) for (const reflector of [1, 2]) net.session(reflector, client, true);
  net.originate(3, P);
  net.settle();
  for (const client of [4, 5]) expect(net.best(client, P)).toEqual(['10.0.0.3', ['9.9.9.9']]);
  expect(net.of(4).rib.explain(P)?.verdicts).toHaveLength(2);
  for (const reflector of [1, 2]) {
    expect(net.of(reflector).rib.explain(P)?.verdicts).toHaveLength(1);
    expect(net.of(reflector).refused).toEqual(['own-cluster-id']);
  }
  // One of them dies: the other serves on.
  for (const other of [2, 3, 4, 5]) net.end(1, other);
  net.settle();
  expect(net.best(4, P)).toEqual(['10.0.0.3', ['9.9.9.9']]);
});

test('two clusters: the route crosses both, each leaves its id', () => {
  const net = new Net();
  net.node(1, '9.9.9.1');
  net.node(2, '9.9.9.2');
  for (const client of [3, 4]) net.node(client);
  net.session(1, 2);
  net.session(1, 3, true);
  net.session(2, 4, true);
  net.originate(3, P);
  net.settle();
  expect(net.best(2, P)).toEqual(['10.0.0.3', ['9.9.9.1']]);
  expect(net.best(4, P)).toEqual(['10.0.0.3', ['9.9.9.2', '9.9.9.1']]);
  expect(net.of(4).rib.explain(P)?.decision.best?.attributes.nextHop).toBe('10.0.0.3');
});

test('a route of a non-client goes to clients, not to other non-clients; one of a client to all', () => {
  const net = new Net();
  net.node(1, '9.9.9.1');
  for (const other of [2, 3, 4]) net.node(other);
  net.session(1, 2, true);
  net.session(1, 3);
  net.session(1, 4);
  net.originate(3, P);
  net.settle();
  expect(net.best(2, P)).toEqual(['10.0.0.3', ['9.9.9.1']]);
  expect(net.best(4, P)).toBeUndefined();
  const q = prefix('10.5.2.0/24');
  net.originate(2, q);
  net.settle();
  for (const other of [3, 4]) expect(net.best(other, q)).toEqual(['10.0.0.2', ['9.9.9.1']]);
});

test('a ring of reflectors: what is withdrawn does not go round in it for ever, CLUSTER_LIST ends it', () => {
  const net = new Net();
  for (const reflector of [1, 2, 3]) net.node(reflector, `9.9.9.${reflector}`);
  net.node(4);
  // Every one of them is a client of the one before it.
  net.session(1, 2, true);
  net.session(2, 3, true);
  net.session(3, 1, true);
  net.session(1, 4, true);
  net.originate(4, P);
  net.settle();
  for (const reflector of [1, 2, 3]) expect(net.best(reflector, P)).toBeDefined();
  net.of(4).rib.withdrawLocal([P], undefined);
  net.settle();
  for (const node of [1, 2, 3, 4]) expect(net.best(node, P)).toBeUndefined();
  expect(net.of(1).refused).toContain('own-cluster-id');
});

function peerOf({ name, address: at }: SpeakerNode) {
  return { name, kind: 'ibgp', asn: 64_512, routerId: at, address: at, families: [4] } as const;
}

function wayTo({ name, address: endpoint }: SpeakerNode) {
  const { nextHop: gateway } = localAttributes(endpoint);
  const nextHops = [{ gateway, device: 'u0', onlink: true, weight: 1 }];
  const id = Number(endpoint.split('.').at(-1));
  return { id, kind: 'unicast', nextHops, local: false, node: name, endpoint } as const;
}
