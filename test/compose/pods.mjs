// Pods in the containers' cluster: every command of docs/pods.md prints what the page shows, and leaves nothing behind.
//
// Ports that are published, podman and IPv6 are not here: the image lacks what they take. test/topology has them.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePage, runPage } from './lab-page.mjs';
import { until } from './process.mjs';

const PAGE = join(import.meta.dirname, '../../docs/pods.md');
/** Where the page has pods. */
const NODES = ['node1', 'node2'];
/** What a pod leaves on its node while it is there: its end of a pair, felix's route to it, records of plugin and command. */
const TRACES = 'ip -o link; ip route; ls -A /run/gingham/pods /run/gingham/pod-runs || true';
const OF_A_POD = /^\d+: gh[0-9a-f]{11}@|dev gh[0-9a-f]{11}|\.json$/m;

/** For the cluster of docker-compose.yml, once it is healthy. */
export async function runPodsPage(project) {
  const page = parsePage(readFileSync(PAGE, 'utf8'));
  await runPage(page, project.page);
  for (const node of NODES) {
    const addresses = await project.exec(node, 'gingham', 'ipam', 'show', '--json');
    if (addresses.trim() !== '[]') throw new Error(`${node} has addresses in use: ${addresses}`);
    await until(`no trace of a pod on ${node}`, 10, async () => {
      const traces = await project.exec(node, 'sh', '-c', TRACES);
      if (OF_A_POD.test(traces)) throw new Error(traces);
      return true;
    });
  }
  const commands = page.filter(({ command }) => command !== undefined);
  return `${commands.length} commands, ${commands.filter(({ expected }) => expected.length > 0).length} outputs compared`;
}
