// Many calls of the plugin at once, over and over, and cut short by kill -9: no address twice, and nothing left behind.
//
// The start of Node.js is most of a call, so the many cycles run in one process for each pod that calls the plugin's code
// again and again (what leaks in a process shows as well); some run as a runtime calls it, a process for each call.
// GINGHAM_CNI_CYCLES sets the number of the former (1,000), GINGHAM_CNI_KILLS that of killed calls (50).

import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { KILLS, killCalls, LANES } from './cni-kills.ts';
import { CniNode } from './cni-node.ts';

const PARALLEL = 200;
const CYCLES = Number(process.env['GINGHAM_CNI_CYCLES'] ?? 1_000);
const PROCESS_CYCLES = 60;
const CYCLES_TIMEOUT_MS = 120_000 + CYCLES * 500;
const PLUGIN = join(import.meta.dirname, '../../dist/cni/plugin.js');
/** argv: the plugin's module, its configuration, the pod, how often. Ends with the number of open files at first and last. */
const CYCLE_AGAIN = `
  const { readdirSync } = await import('node:fs');
  const [plugin, conf, pod, times] = process.argv.slice(1);
  const { runPlugin } = await import(plugin);
  const env = { CNI_CONTAINERID: pod, CNI_NETNS: '/run/netns/' + pod, CNI_IFNAME: 'eth0', CNI_PATH: '/opt/cni/bin' };
  const open = () => readdirSync('/proc/self/fd').length;
  let first = 0;
  for (let done = 0; done < Number(times); done++) {
    for (const CNI_COMMAND of ['ADD', 'DEL']) {
      const { stdout, exitCode } = await runPlugin({ ...env, CNI_COMMAND }, () => conf);
      if (exitCode !== 0) throw new Error(CNI_COMMAND + ': ' + stdout);
    }
    if (done === 0) first = open();
  }
  console.log(JSON.stringify({ openFiles: [first, open()] }));
`;

let node: CniNode;

beforeAll(async () => {
  node = await CniNode.make();
});
afterAll(() => node.remove());
afterEach(() => node.collect([]));

test(`${PARALLEL} pods that are added at once have ${PARALLEL} addresses, and all of them answer`, async () => {
  const pods = await node.pods(PARALLEL);
  const took = stopwatch();
  const results = await Promise.all(pods.map((pod) => node.add(pod)));
  took(`${PARALLEL} pods added in parallel`);
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
    const took = stopwatch();
    let left = PROCESS_CYCLES;
    const asRuntime = async (pod: string): Promise<void> => {
      while (left-- > 0) {
        await node.add(pod, { conf });
        await node.done('DEL', pod, { conf });
      }
    };
    await Promise.all(pods.map(asRuntime));
    took(`${PROCESS_CYCLES} cycles, a process for each call`);
    const took2 = stopwatch();
    const again = [process.execPath, '--input-type=module', '-e', CYCLE_AGAIN, PLUGIN, JSON.stringify(conf)];
    const times = String(Math.ceil(CYCLES / LANES));
    const ends = await Promise.all(pods.map((pod) => node.run([...again, pod, times])));
    took2(`${CYCLES} cycles in ${LANES} processes`);
    for (const end of ends) {
      const { openFiles } = JSON.parse(end) as { openFiles: readonly [number, number] };
      expect(openFiles[1]).toBe(openFiles[0]);
    }
    expect(await node.traces()).toBe(before);
    expect(await node.allocated()).toEqual([]);
    for (const pod of pods) expect(await node.ip('-o link show', pod)).not.toContain('eth0');
  },
  CYCLES_TIMEOUT_MS,
);

test(`${KILLS} calls killed at random points, then GC: nothing is left; the next ADD of such a pod works`, async () => {
  const before = await node.traces();
  expect(await killCalls(node, node.conf())).toBeGreaterThan(KILLS / 4);
  await node.collect([]);
  expect(await node.traces()).toBe(before);
  expect(await node.allocated()).toEqual([]);
}, 300_000);

/** Prints how long something took. */
function stopwatch(): (what: string) => void {
  const startMs = performance.now();
  return (what) => {
    process.stdout.write(`${what}: ${((performance.now() - startMs) / 1000).toFixed(1)} s\n`);
  };
}
