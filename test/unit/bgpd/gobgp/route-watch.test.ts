// A watcher of best paths on a real RIB: what it is told and in what order, and that one that reads too slowly is given up
// loudly and costs no memory.

import { beforeEach, expect, it } from 'vitest';
import { type BestChange, RouteWatch } from '../../../../bgpd/gobgp/route-watch.ts';
import { localAttributes } from '../../../../bgpd/rib/attributes.ts';
import { Rib } from '../../../../bgpd/rib/rib.ts';
import { address } from '../../../../lib/net/address.ts';
import { type Prefix, prefix } from '../../../../lib/net/prefix.ts';

const OWN = address('192.0.2.1');
const PEER = address('192.0.2.2');
const [P, Q] = [prefix('10.9.0.0/16'), prefix('10.8.0.0/16')];
const FROM_PEER = { ...localAttributes(PEER), localPref: 100 };

let rib: Rib;
let watch: RouteWatch;
let lags: number[];

beforeEach(() => {
  rib = new Rib({ asn: 64_512, routerId: OWN, maximumPaths: 1 }, OWN);
  lags = [];
  start(1_000);
  rib.setNextHop(
    {
      id: 9,
      kind: 'unicast',
      local: false,
      node: 'b',
      endpoint: PEER,
      nextHops: [{ device: 'x', onlink: true, weight: 1 }],
    },
    undefined,
  );
  rib.peerUp({ name: 'b', kind: 'ibgp', asn: 64_512, routerId: PEER, address: PEER, families: [4] });
});

it('each change in order: new, better, other attributes, gone', async () => {
  announce([P]);
  rib.originate(OWN, [P], undefined);
  rib.originate(OWN, [P], undefined, { med: 7 });
  rib.withdrawLocal([P], undefined);
  announce([], [P]);
  const told = await take(5);
  expect(told.map(({ path, isWithdrawn }) => [path.source.kind, path.attributes.med, isWithdrawn])).toEqual([
    ['ibgp', undefined, false],
    ['local', undefined, false],
    ['local', 7, false],
    ['ibgp', undefined, false],
    ['ibgp', undefined, true],
  ]);
});

it('what is sent again after a refresh is no change, and neither is another candidate', async () => {
  announce([P]);
  rib.refreshBegin('b', 4);
  announce([P]);
  rib.refreshEnd('b', 4, undefined);
  rib.originate(OWN, [Q], undefined);
  announce([Q]);
  expect((await take(2)).map((each) => each.prefix)).toEqual([P, Q]);
  expect(watch.waiting).toBe(0);
});

it('a peer that goes takes all of its prefixes along', async () => {
  announce([P, Q]);
  rib.peerDown('b', undefined);
  expect((await take(4)).filter(({ isWithdrawn }) => isWithdrawn).map((each) => each.prefix)).toEqual([P, Q]);
});

it('too slow: told once, nothing kept, the stream ends', async () => {
  start(100);
  announce(many(100));
  expect([lags, watch.waiting]).toEqual([[], 100]);
  announce([P, Q]);
  announce([], [P, Q]);
  expect([lags, watch.lagged, watch.waiting]).toEqual([[100], true, 0]);
  expect(await collect(new AbortController().signal)).toEqual([]);
});

it('ends when its caller is gone, also while it waits', async () => {
  const gone = new AbortController();
  const all = collect(gone.signal);
  announce([P]);
  gone.abort();
  expect((await all).length).toBeLessThanOrEqual(1);
});

function start(limit: number): void {
  watch = new RouteWatch((at) => lags.push(at), limit);
  rib.onChange = (changes) => watch.push(changes);
}

function announce(announced: readonly Prefix[], withdrawn: readonly Prefix[] = []): void {
  rib.receive('b', { family: 4, withdrawn, announced, attributes: FROM_PEER }, undefined);
}

function many(count: number): Prefix[] {
  return Array.from({ length: count }, (_, i) => prefix(`20.0.${i}.0/24`));
}

async function take(count: number): Promise<readonly BestChange[]> {
  const told: BestChange[] = [];
  for await (const batch of watch.batches(new AbortController().signal)) {
    told.push(...batch);
    if (told.length >= count) break;
  }
  return told;
}

async function collect(signal: AbortSignal): Promise<readonly BestChange[]> {
  const told: BestChange[] = [];
  for await (const batch of watch.batches(signal)) told.push(...batch);
  return told;
}
