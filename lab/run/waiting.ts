// Steps that wait for the cluster: for routes to a node to be gone or there in every other kernel, for health.
//
// Looked at in the kernels and at the readiness of the daemons, not in what they say they did.

import { poll } from '../../ctl/poll.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import type { ActionContext } from './actions.ts';
import type { ClusterDriver } from './cluster-driver.ts';

const LOOK_MS = 20;
const HEALTH_LOOK_MS = 100;

/** Waits until all the other nodes' kernels have a route to this node's subnet, or none has. Throws `ExitError`. */
export async function waitRoutes(
  { driver, nodes, signal }: ActionContext,
  to: string,
  there: boolean,
  withinMs: number,
): Promise<void> {
  const pod = nodes.find(({ name }) => name === to)?.pod;
  if (pod === undefined) throw new ExitError(EXIT.internal, `lab: ${to} has no subnet`);
  const subnet = pod.replace(/\d+$/, '0/24');
  const others = nodes.filter(({ name }) => name !== to);
  let wrong = '';
  const outcome = await poll({ timeoutMs: withinMs, intervalMs: LOOK_MS, signal }, async () => {
    for (const { name } of others) {
      const listed = await driver.run(name, ['ip', 'route', 'show', 'proto', '71', 'exact', subnet]);
      wrong = `${name} ${there ? 'has no' : 'still has a'} route to ${to} (${subnet})`;
      if ((listed.trim() !== '') !== there) return undefined;
    }
    return true;
  });
  if (outcome !== true) throw new ExitError(EXIT.internal, `lab: ${wrong} after ${withinMs} ms`);
}

/** Waits until nothing is missing. Throws `ExitError` with what is. */
export async function waitHealthy(driver: ClusterDriver, withinMs: number, signal: AbortSignal): Promise<void> {
  let missing: readonly string[] = [];
  const outcome = await poll({ timeoutMs: withinMs, intervalMs: HEALTH_LOOK_MS, signal }, async () => {
    missing = await driver.missing();
    return missing.length === 0 ? true : undefined;
  });
  if (outcome !== true) throw new ExitError(EXIT.internal, `lab: after ${withinMs} ms: ${missing[0] ?? 'interrupted'}`);
}
