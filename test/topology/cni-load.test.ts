// Many calls of the plugin at once, over and over, and cut short by kill -9: no address twice, and nothing left behind.
//
// GINGHAM_CNI_CYCLES sets the number of add/del cycles (100), GINGHAM_CNI_KILLS that of killed calls (50).

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { CniNode } from './cni-node.ts';

const PARALLEL = 200;
const CYCLES = Number(process.env['GINGHAM_CNI_CYCLES'] ?? 100);
const KILLS = Number(process.env['GINGHAM_CNI_KILLS'] ?? 50);
const CYCLES_TIMEOUT_MS = 60_000 + CYCLES * 3_000;
/** Cycles that run side by side, each with a pod of its own. */
const LANES = 4;

let node: CniNode;

beforeAll(async () => {
  node = await CniNode.make();
});
afterAll(() => node.remove());
afterEach(() => node.collect([]));

test(`${PARALLEL} pods that are added at once have ${PARALLEL} addresses, and all of them answer`, async () => {
  const pods = await node.pods(PARALLEL);
  const startMs = performance.now();
  const results = await Promise.all(pods.map((pod) => node.add(pod)));
  const tookMs = performance.now() - startMs;
  process.stdout.write(`${PARALLEL} pods added in parallel: ${(tookMs / 1000).toFixed(1)} s\n`);
  const addresses = results.flatMap(({ ips }) => ips.map(({ address }) => address));
  expect(new Set(addresses).size).toBe(2 * PARALLEL);
  expect((await node.allocated()).length).toBe(2 * PARALLEL);
  // One ping for all: a subshell for each would be 200 processes more.
  const targets = results.map(({ ips }) => ips[0]?.address.split('/')[0]).join(' ');
  const script = `for t in ${targets}; do ping -n -q -c 1 -W 5 $t >/dev/null || echo $t; done`;
  expect(await node.run(['sh', '-c', script])).toBe('');
}, 300_000);

test(
  `${CYCLES} times ADD and DEL leave no interface, rule, route, file or address behind`,
  async () => {
    const pods = await node.pods(LANES);
    // The bridge stays until GC finds it unused: made by the first ADD of all.
    const conf = node.conf({ reuseDelaySeconds: 0 });
    await node.add(pods[0] ?? '', { conf });
    await node.done('DEL', pods[0] ?? '', { conf });
    const before = await node.traces();
    let left = CYCLES;
    const cycle = async (pod: string): Promise<void> => {
      while (left-- > 0) {
        await node.add(pod, { conf });
        await node.done('DEL', pod, { conf });
      }
    };
    await Promise.all(pods.map(cycle));
    expect(await node.traces()).toBe(before);
    expect(await node.allocated()).toEqual([]);
    for (const pod of pods) expect(await node.ip('-o link show', pod)).not.toContain('eth0');
  },
  CYCLES_TIMEOUT_MS,
);

test(`${KILLS} calls killed at random points, then GC: nothing is left; the next ADD of such a pod works`, async () => {
  const pods = await node.pods(LANES);
  const startMs = performance.now();
  await node.add(pods[0] ?? '');
  const callMs = performance.now() - startMs;
  await node.collect([]);
  const before = await node.traces();
  let killed = 0;
  let left = KILLS;
  const lane = async (pod: string): Promise<void> => {
    while (left-- > 0) {
      // The first part of a call is the start of Node.js, in which there is nothing to interrupt.
      const delayMs = callMs * (0.3 + 0.8 * Math.random());
      const answer = await node.call(left % 3 === 0 ? 'DEL' : 'ADD', pod, {
        onStart: (child) => void setTimeout(() => child.kill('SIGKILL'), delayMs),
      });
      if (answer.code === null) killed++;
      // Now and then a runtime tries again at once.
      if (left % 7 === 0) {
        await node.done('DEL', pod);
        await node.add(pod);
      }
    }
  };
  await Promise.all(pods.map(lane));
  expect(killed).toBeGreaterThan(KILLS / 4);
  await node.collect([]);
  expect(await node.traces()).toBe(before);
  expect(await node.allocated()).toEqual([]);
}, 300_000);
