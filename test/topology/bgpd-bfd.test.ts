// BFD between real bgpd processes in namespaces: silence is found in the detection time, with its own time as the cause's;
// a busy main thread is not silence; what comes from further away than the link is not heard.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Cause } from '../../lib/feed/feed.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import { manyPrefixes } from './bgpd-cluster.ts';
import { LivenessRig, type RigNode } from './liveness-rig.ts';

const ROUTE = prefix('10.5.2.0/24');
const LAB = ['--bfd-interval-milliseconds=50', '--bfd-multiplier=3'];

let rig: LivenessRig | undefined;

afterEach(() => rig?.remove());

async function pair(flags: readonly string[], otherFlags = flags): Promise<readonly [RigNode, RigNode]> {
  rig = await LivenessRig.make(2);
  const [a, b] = [rig.node(1), rig.node(2)];
  await Promise.all([a.begin([b], flags), b.begin([a], otherFlags, [ROUTE])]);
  return [a, b];
}

function gone(node: RigNode): Promise<number> {
  return eventually('the route is gone', () => node.view.groupOf(ROUTE) === undefined && performance.now(), {
    intervalMs: 1,
  });
}

async function present(node: RigNode): Promise<void> {
  await eventually('the route is there', () => node.view.groupOf(ROUTE) !== undefined, { timeoutMs: 30_000 });
}

describe('silence', () => {
  test.each([
    ['50x3', LAB, 150],
    ['300x3', [], 900],
  ])('%s: found, the session ends with BFD Down, and all comes back by itself', async (name, flags, detectionMs) => {
    const [a, b] = await pair(flags);
    expect((await a.isUp(b, true)).bfd).toMatchObject({ remoteState: 'Up', downs: 0 });
    await present(a);
    await eventually('negotiated', async () => (await a.isUp(b, true)).bfd.detectionTimeMilliseconds === detectionMs);
    await b.cut();
    const cutMs = performance.now();
    const tookMs = (await gone(a)) - cutMs;
    console.log(`silent drop, ${name}: route withdrawn after ${tookMs.toFixed(0)} ms`);
    expect(tookMs).toBeLessThan(detectionMs + 1_500);
    // The route goes first, the session right after it.
    const why = 'Cease, bfd down: detection time expired';
    await eventually('the session has ended', async () => (await a.peers())[0]?.whyDown === why);
    const [peer] = await a.peers();
    expect(peer?.bfd).toMatchObject({ state: 'Down', downs: 1, whyDown: 'detection time expired' });
    expect(await a.http('/metrics')).toMatch(/^gingham_bgpd_bfd_downs_total 1$/m);
    await b.mend();
    await present(a);
    await a.isUp(b, true);
  });

  test('the cause that goes down the feed has the time at which the thread saw it', async () => {
    const [a, b] = await pair(LAB);
    await a.isUp(b, true);
    await present(a);
    let cause: Cause | undefined;
    a.onChange = (why) => {
      cause ??= why;
    };
    await b.cut();
    await gone(a);
    expect(cause?.kind).toBe('bfd-down');
    const [peer] = await a.peers();
    const seen = peer?.bfd.lastDown ?? '';
    expect(new Date(Number((cause?.detectedUnixUs ?? 0n) / 1000n)).toISOString()).toBe(seen);
  });
});

test('a main thread that is busy for seconds is not silence: 100,000 routes come and go', async () => {
  const [a, b] = await pair([]);
  await Promise.all([a.isUp(b, true), b.isUp(a, true)]);
  const many = manyPrefixes(100_000);
  for (let round = 0; round < 3; round++) {
    b.flanneld.setRoutes(1, many);
    await eventually('all are there', () => a.view.groupOf(many.at(-1) ?? ROUTE) !== undefined, { timeoutMs: 60_000 });
    b.flanneld.withdraw(many);
    await eventually('all are gone', () => a.view.groupOf(many.at(-1) ?? ROUTE) === undefined, { timeoutMs: 60_000 });
  }
  expect((await a.peers())[0]).toMatchObject({ sessions: 1, bfd: { state: 'Up', downs: 0 } });
  expect((await b.peers())[0]).toMatchObject({ sessions: 1, bfd: { state: 'Up', downs: 0 } });
});

test('a peer that is back before its silence was noticed keeps its new session', async () => {
  // Half a minute: a busy machine takes its time to start a process.
  const [a, b] = await pair(['--bfd-multiplier=100']);
  await a.isUp(b, true);
  await b.endBgpd('SIGKILL');
  b.startBgpd();
  await eventually('a new session', async () => (await a.peers())[0]?.sessions === 2, { timeoutMs: 30_000 });
  await eventually('BFD has noticed', async () => (await a.peers())[0]?.bfd.downs === 1, { timeoutMs: 30_000 });
  await a.isUp(b, true);
  expect((await a.peers())[0]).toMatchObject({ sessions: 2, bfd: { downs: 1, whyDown: 'the peer signaled down' } });
});

test('a side that does not offer BFD has none; one that stops tells, and is not counted as dead', async () => {
  const [a, b] = await pair([], ['--bfd=false']);
  expect((await a.isUp(b, false)).bfd.state).toBe('not offered by the peer');
  await b.endBgpd('SIGTERM');
  b.startBgpd([]);
  expect((await a.isUp(b, true)).bfd.downs).toBe(0);
  await b.endBgpd('SIGTERM');
  await eventually('a has noticed', async () => (await a.peers())[0]?.state !== 'Established');
  expect(a.output).not.toContain('bfd down');
});

test('a restart on a node with many links, which take their time to be listed, is no loss of a carrier', async () => {
  const [a, b] = await pair([]);
  await addLinks(a, 1_000);
  await a.isUp(b, true);
  await a.endBgpd('SIGTERM');
  a.startBgpd();
  await a.isUp(b, true);
  expect((await b.isUp(a, true)).sessions).toBe(2);
  expect(a.output + b.output).not.toContain('has no carrier');
});

/** Adds links that lead nowhere. */
async function addLinks(node: RigNode, count: number): Promise<void> {
  const file = join(node.runFolder, 'links');
  await writeFile(file, Array.from({ length: count }, (_, i) => `link add m${i} type bridge\n`).join(''));
  await node.ip(`-batch ${file}`);
}

test('timings of the file: other ones are taken while the session is Up, and nothing flaps', async () => {
  rig = await LivenessRig.make(2);
  const [a, b] = [rig.node(1), rig.node(2)];
  await a.makeRunFolder();
  const file = join(a.runFolder, 'peering.yaml');
  const write = (bfd: string): Promise<void> => writeFile(file, `groups: {mesh: {bfd: {${bfd}}}}`);
  await write('receiveMilliseconds: 1000');
  await Promise.all([a.begin([b], [`--config=${file}`]), b.begin([a], [])]);
  const detects = async (node: RigNode, other: RigNode, ms: number): Promise<void> => {
    const found = async () => (await node.isUp(other, true)).bfd.detectionTimeMilliseconds === ms;
    await eventually(`${node.name} detects in ${ms} ms`, found, { timeoutMs: 30_000 });
  };
  // Each direction by itself: a hears b every 1,000 ms, b hears a every 300.
  await detects(a, b, 3_000);
  await detects(b, a, 900);
  await write('transmitMilliseconds: 2000, receiveMilliseconds: 300, multiplier: 4');
  await detects(a, b, 900);
  await detects(b, a, 8_000);
  await write('transmitMilliseconds: 5');
  await eventually('refused', () => a.output.includes('groups.mesh.bfd.transmitMilliseconds: 5 is not accepted'));
  for (const [node, other] of [[a, b] as const, [b, a] as const]) {
    expect(await node.isUp(other, true)).toMatchObject({ sessions: 1, bfd: { downs: 0 } });
  }
  await detects(b, a, 8_000);
});

test('a port that is taken: it says so and runs without', async () => {
  rig = await LivenessRig.make(1);
  const a = rig.node(1);
  const blocker = a.spawn([
    process.execPath,
    '-e',
    "require('dgram').createSocket('udp4').bind(3784, '192.0.2.1', () => console.log('blocked'))",
  ]);
  await eventually('the port is taken', () => a.output.includes('blocked'));
  await a.begin([], []);
  await eventually('bgpd has said so', () => a.output.includes('cannot receive on 192.0.2.1 port 3784: EADDRINUSE'));
  expect(JSON.parse(await a.http('/status'))).toMatchObject({ bfd: { state: 'failed' } });
  blocker.kill('SIGKILL');
});
