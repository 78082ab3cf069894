// A mesh of whole speakers (sessions, RIB, decision, served feed) in virtual time, with faults from a seed.
//
// Faults: delay, broken connections, connections that swallow everything, crashes, restarts, prefixes that come, go and
// move, each at a random time while others are still being digested. Once they are over and time has passed, each living
// node must serve exactly what a reference computes from who is alive and who announces what: no blackhole, nothing stale.
// A failing seed is named with the command that runs it again (GINGHAM_SIM_SEED); GINGHAM_SIM_SEEDS runs as many.

import { pino } from 'pino';
import { expect, test } from 'vitest';
import { Causes } from '../../bgpd/causes.ts';
import type { NodeRecord } from '../../bgpd/mesh/node-record.ts';
import { Rib } from '../../bgpd/rib/rib.ts';
import { RibFeed } from '../../bgpd/rib-feed.ts';
import { Speaker } from '../../bgpd/speaker.ts';
import type { FeedEvent } from '../../lib/feed/feed.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { FeedView } from '../../lib/feed/feed-view.ts';
import { address } from '../../lib/net/address.ts';
import { type Prefix, prefix } from '../../lib/net/prefix.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { FakeNetwork } from '../fakes/fake-network.ts';

const SEEDS = 40;
const PREFIXES = Array.from({ length: 6 }, (_, i) => prefix(`10.5.${i}.0/24`));
/** Longer than hold time, the longest wait between dials and the dial itself together. */
const QUIET_MS = 30_000;
const SILENT = pino({ level: 'silent' });
const none = (): void => undefined;

class SimNode {
  readonly record: NodeRecord;
  readonly table = new FeedTable();
  readonly #view = new FeedView();
  readonly #ribFeed: RibFeed;
  readonly #speaker: Speaker;
  readonly #network: FakeNetwork;

  constructor(record: NodeRecord, all: readonly NodeRecord[], clock: FakeClock, network: FakeNetwork) {
    const { address: own, asn, routerId, name } = record;
    this.record = record;
    this.#network = network;
    const rib = new Rib({ asn, routerId, maximumPaths: 4 }, own);
    const causes = new Causes(clock);
    const { table } = this;
    this.#ribFeed = new RibFeed({ rib, view: this.#view, table, causes, address: () => own, onPublished: none });
    this.#speaker = new Speaker({
      open: {
        version: 1,
        asn,
        holdTimeSeconds: 9,
        routerId,
        node: name,
        capabilities: { families: [4], routeRefresh: true },
      },
      rib,
      ribFeed: this.#ribFeed,
      dialler: network.dialler(),
      clock,
      causes,
      log: SILENT,
      metrics: {
        message: none,
        flawed: none,
        malformedRecord: none,
        sessionEnded: none,
        sessionChanged: none,
        peers: none,
        routes: none,
      },
      onSessions: none,
      keepsAfterCrash: false,
      dynamic: () => undefined,
      isComplete: () => true,
    });
    this.#view.beginSync();
    this.#take({
      type: 'group',
      group: { id: 1, kind: 'blackhole', nextHops: [], local: true, node: name, endpoint: own },
    });
    for (const other of all.filter((each) => each !== record)) this.#take(wayTo(other));
    this.#take({ type: 'in-sync' });
    network.listen(record, this.#speaker.peers.accept);
    this.#speaker.peers.setNodes(new Map(all.map((each) => [each.name, each])));
  }

  announce(prefixes: readonly Prefix[]): void {
    this.#take({ type: 'routes', group: 1, prefixes });
  }

  withdraw(prefixes: readonly Prefix[]): void {
    this.#take({ type: 'withdrawn', prefixes });
  }

  /** It is no more, and says nothing. What it would still do reaches nobody. */
  crash(): void {
    this.#network.stopListening(this.record);
    this.#network.silence();
    this.#speaker.peers.setNodes(new Map());
    this.#speaker.peers.stop({ code: 6, subcode: 0, text: '' });
  }

  /** Gateways per prefix, as felix would get them. */
  served(): Record<string, string> {
    const routes = PREFIXES.flatMap((each) => {
      const id = this.table.groupOf(each);
      const group = id === undefined ? undefined : this.table.groups.get(id);
      return group === undefined ? [] : [[each, group.nextHops.map(({ gateway }) => gateway).join() || 'own'] as const];
    });
    return Object.fromEntries(routes);
  }

  #take(event: FeedEvent): void {
    const change = this.#view.apply(event);
    if ('error' in change) throw new Error(change.error);
    this.#ribFeed.follow(change, undefined);
    this.#speaker.wakePeers();
  }
}

function wayTo({ name, address: endpoint }: NodeRecord): FeedEvent {
  const nextHops = [{ gateway: endpoint, device: 'u0', onlink: true, weight: 1 }];
  const id = 100 + Number(endpoint.split('.').at(-1));
  return { type: 'group', group: { id, kind: 'unicast', nextHops, local: false, node: name, endpoint } };
}

/** Runs one seed; gives what the nodes serve and what they should. */
async function simulate(seed: number): Promise<{ readonly served: unknown; readonly due: unknown }> {
  let state = seed >>> 0;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const pick = (count: number): number => Math.floor(random() * count);
  const clock = new FakeClock();
  const network = new FakeNetwork(clock, () => 1 + pick(50));
  const records = Array.from({ length: 3 + pick(3) }, (_, i): NodeRecord => {
    const own = address(`10.0.0.${i + 1}`);
    return { name: `n${i}`, address: own, port: 1790, asn: 64_512, routerId: own };
  });
  const start = (record: NodeRecord): SimNode => new SimNode(record, records, clock, network);
  const living = new Map(records.map((record) => [record, start(record)]));
  const announced = new Map<NodeRecord, Set<Prefix>>(records.map((record) => [record, new Set()]));
  for (let fault = 0; fault < 25; fault++) {
    const record = records[pick(records.length)] as NodeRecord;
    const chosen = PREFIXES[pick(PREFIXES.length)] as Prefix;
    const node = living.get(record);
    switch (pick(7)) {
      case 0:
        network.breakAll();
        break;
      case 1:
        network.silence();
        break;
      case 2:
        node?.crash();
        living.delete(record);
        break;
      case 3:
        if (node !== undefined) break;
        living.set(record, start(record));
        living.get(record)?.announce([...(announced.get(record) ?? [])]);
        break;
      case 4:
        announced.get(record)?.delete(chosen);
        node?.withdraw([chosen]);
        break;
      default:
        announced.get(record)?.add(chosen);
        node?.announce([chosen]);
    }
    await clock.advanceAsync(pick(3) === 0 ? pick(12_000) : pick(200));
  }
  await clock.advanceAsync(QUIET_MS);
  const due = [...living.keys()].map((own) => [own.name, reference(own, [...living.keys()], announced)]);
  return { served: [...living].map(([{ name }, node]) => [name, node.served()]), due };
}

/** Own prefixes end here; the others go to every living node that announces them, in the order of their addresses. */
function reference(
  own: NodeRecord,
  living: readonly NodeRecord[],
  announced: ReadonlyMap<NodeRecord, ReadonlySet<Prefix>>,
): Record<string, string> {
  const routes = PREFIXES.flatMap((each) => {
    if (announced.get(own)?.has(each)) return [[each, 'own'] as const];
    const from = living.filter((other) => announced.get(other)?.has(each)).map((other) => other.address);
    return from.length === 0 ? [] : [[each, from.sort().slice(0, 4).join()] as const];
  });
  return Object.fromEntries(routes);
}

test('after any faults, every living node serves exactly what is alive', { timeout: 3_600_000 }, async () => {
  const given = process.env['GINGHAM_SIM_SEED'];
  const count = Number(process.env['GINGHAM_SIM_SEEDS'] ?? SEEDS);
  const first = Math.floor(Math.random() * 2 ** 31);
  const seeds = given === undefined ? Array.from({ length: count }, (_, i) => first + i) : [Number(given)];
  for (const seed of seeds) {
    const { served, due } = await simulate(seed);
    const replay = `GINGHAM_SIM_SEED=${seed} npx vitest run test/property/mesh-simulation.test.ts`;
    expect(served, `replay with: ${replay}`).toEqual(due);
  }
});
