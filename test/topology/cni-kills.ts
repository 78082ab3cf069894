// Calls of the plugin that kill -9 cuts short at random points, in either mode of the plugin.
//
// What must hold afterwards is the tests' business: that GC leaves nothing.

import type { CniNode } from './cni-node.ts';

/** Calls that run side by side, each with a pod of its own. */
export const LANES = 4;

/** How many calls are killed. */
export const KILLS = Number(process.env['GINGHAM_CNI_KILLS'] ?? 50);

/** Kills that many calls of ADD and DEL, and gives how many of them had not ended by themselves before. */
export async function killCalls(node: CniNode, conf: object): Promise<number> {
  const pods = await node.pods(LANES);
  const startMs = performance.now();
  await node.add(pods[0] ?? '', { conf });
  const callMs = performance.now() - startMs;
  let killed = 0;
  let left = KILLS;
  const lane = async (pod: string): Promise<void> => {
    while (left-- > 0) {
      // The first part of a call is the start of Node.js, in which there is nothing to interrupt.
      const delayMs = callMs * (0.3 + 0.8 * Math.random());
      const answer = await node.call(left % 3 === 0 ? 'DEL' : 'ADD', pod, {
        conf,
        onStart: (child) => void setTimeout(() => child.kill('SIGKILL'), delayMs),
      });
      if (answer.code === null) killed++;
      // Now and then a runtime tries again at once.
      if (left % 7 === 0) {
        await node.done('DEL', pod, { conf });
        await node.add(pod, { conf });
      }
    }
  };
  await Promise.all(pods.map(lane));
  return killed;
}
