// Every kind of fault from its first sight to the kernel: bgpd says it as one change of a path group, felix writes next hops
// and no route, and the line that felix logs has the fault's kind, the id that bgpd gave it, and the time of each stage.
//
// One star serves them all: the first node has 500 routes from the second, which is preferred and breaks, and from the third.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Cause } from '../../lib/feed/feed.ts';
import { eventually } from '../eventually.ts';
import { manyPrefixes } from './bgpd-cluster.ts';
import { type FibChange, LivenessRig, type RigNode } from './liveness-rig.ts';

const ROUTES = manyPrefixes(500);
const WAIT = { timeoutMs: 30_000, intervalMs: 10 };
const FLAGS = ['--maximum-paths=1', '--bfd-interval-milliseconds=50'];
/** BFD must not be first where carrier is: the kernel tells of carriers once a second where several change. */
const SLOW = ['--maximum-paths=1', '--bfd-interval-milliseconds=1000'];
const HOLD_ONLY = ['--maximum-paths=1', '--bfd=false', '--hold-time-seconds=3'];

let rig: LivenessRig;
let one: RigNode;
let two: RigNode;
let three: RigNode;
/** What bgpd said in its feed, by the id of the cause: how many events. */
let said: Map<string, number>;
let causes: Cause[];
let mend: () => Promise<void>;

beforeAll(async () => {
  rig = await LivenessRig.make(3);
  [one, two, three] = [rig.node(1), rig.node(2), rig.node(3)];
  await one.begin([two, three], FLAGS);
  one.startFelix();
  await Promise.all([two.begin([one], SLOW, ROUTES), three.begin([one], FLAGS, ROUTES)]);
});

afterAll(() => rig.remove());

beforeEach(async () => {
  await one.isUp(two, true);
  await one.isUp(three, true);
  await uses(two);
  said = new Map();
  causes = [];
  one.onChange = (cause) => {
    if (cause === undefined) return;
    if (!said.has(cause.id)) causes.push(cause);
    said.set(cause.id, (said.get(cause.id) ?? 0) + 1);
  };
});

afterEach(async () => {
  one.onChange = () => undefined;
  await mend();
});

/** Waits until the kernel of the first node sends the first and the last route this way. */
async function uses(node: RigNode): Promise<void> {
  for (const route of [ROUTES[0], ROUTES.at(-1)]) {
    const to = String(route).replace(/0\/24$/, '1');
    const isUsed = async () => (await one.ip(`route get ${to}`)).includes(`via ${node.address} `);
    await eventually(`${to} by ${node.name}`, isUsed, WAIT);
  }
}

/** Lets the one that breaks run with other flags. */
async function restart(flags: readonly string[], withBfd: boolean): Promise<void> {
  await two.endBgpd('SIGTERM');
  two.startBgpd(flags);
  await one.isUp(two, withBfd);
  await uses(two);
  causes = [];
  said.clear();
}

/** The one change that felix made of the first cause. */
async function changeOf(kind: string): Promise<FibChange> {
  await uses(three);
  const [cause] = causes;
  expect(cause?.kind).toBe(kind);
  const change = await eventually('felix has said so', () => one.fibChanges.find((each) => each.cause === cause?.id));
  expect(change).toMatchObject({ kind, routesPut: 0, routesDeleted: 0 });
  expect(change.nexthopsPut).toBeGreaterThan(0);
  expect(said.get(change.cause ?? '')).toBe(1);
  const { ribUs = -1, feedUs = -1, kernelUs = -1, totalUs = -1 } = change;
  expect(Math.min(ribUs, feedUs, kernelUs)).toBeGreaterThanOrEqual(0);
  expect(Math.abs(ribUs + feedUs + kernelUs - totalUs)).toBeLessThanOrEqual(1);
  return change;
}

test('killed: the stream ends', async () => {
  mend = async () => two.startBgpd();
  await two.endBgpd('SIGKILL');
  await changeOf('stream-ended');
});

test('stopped: Cease', async () => {
  mend = async () => two.startBgpd();
  await two.endBgpd('SIGTERM');
  await changeOf('ceased');
});

test('the cable is pulled: carrier', async () => {
  mend = () => two.setCable(true);
  await two.setCable(false);
  await changeOf('link-down');
  const peer = (await one.peers()).find(({ node }) => node === two.name);
  expect(peer?.whyDown).toBe('Cease, hard reset: the link v2 has no carrier');
  expect(peer?.down).toMatchObject({ kind: 'link-down', by: 'us' });
});

test('the cable is pulled while the peer restarts: what was kept for it goes', async () => {
  mend = async () => {
    await two.setCable(true);
    two.startBgpd();
    three.startBgpd();
  };
  // With nobody else to turn to, the routes of the one that restarts stay in use.
  await three.endBgpd('SIGKILL');
  await two.endBgpd('SIGTERM');
  await eventually('told', async () => (await one.peers()).every(({ state }) => state !== 'Established'));
  await uses(two);
  causes = [];
  await two.setCable(false);
  await eventually('gone', () => one.view.routeCount === 0, WAIT);
  expect(causes.map(({ kind }) => kind)).toEqual(['link-down']);
});

test('silence: BFD', async () => {
  mend = () => two.mend();
  await restart(FLAGS, true);
  await two.cut();
  await changeOf('bfd-down');
});

test('no way to the next hop: what flanneld says, under the id that it gave', async () => {
  const nowUs = BigInt(Date.now()) * 1000n;
  const cause: Cause = { id: 'flanneld-1-1', kind: 'link-down', detectedUnixUs: nowUs, decidedUnixUs: nowUs };
  mend = async () => one.setWay(two, true);
  one.setWay(two, false, cause);
  expect(await changeOf('link-down')).toMatchObject({ cause: 'flanneld-1-1' });
});

test('no way to the next hop, and flanneld does not say why', async () => {
  mend = async () => one.setWay(two, true);
  one.setWay(two, false);
  await changeOf('next-hop-changed');
});

test('silence without BFD: the hold timer', async () => {
  mend = () => two.mend();
  await restart(HOLD_ONLY, false);
  await two.cut();
  await changeOf('hold-expired');
});
