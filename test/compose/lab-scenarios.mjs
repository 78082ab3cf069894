// Scenarios of the lab on the containers of docker-compose.yml, by the lab's own command: as expected, and nothing left.
//
// The lab is a compiled program of this machine, unlike all else here; it is built where it is not.

import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './process.mjs';
import { removeFolder } from './scratch-folder.mjs';

const ROOT = join(import.meta.dirname, '../..');
const SCENARIOS = ['kill-node', 'silent-drop', 'kill-bgpd', 'drain-node', 'etcd-loss'];
/** Needs three etcd members, which docker-compose.yml has not. */
const IMPOSSIBLE = 'etcd-leader';

/** Runs them on one cluster; gives a line with what was measured. `env` reaches the engine. */
export async function fiveScenarios(env) {
  await run(process.execPath, ['setup.mjs', 'build'], { cwd: ROOT, limitSeconds: 300 });
  const name = `c${process.pid}`;
  const folder = mkdtempSync(join(tmpdir(), 'gingham-compose-'));
  const output = join(folder, 'results.json');
  const lab = (...args) =>
    run(process.execPath, ['dist/lab/main.js', 'run', ...args, '--driver', 'compose', '--name', name], {
      cwd: ROOT,
      env,
      limitSeconds: 300,
    });
  try {
    const refused = await lab(IMPOSSIBLE, '--output', output).catch((error) => error.message);
    if (!/lab: etcd-leader: topology etcd-3 is not that of docker-compose.yml/.test(refused))
      throw new Error(`${IMPOSSIBLE} was not refused: ${refused}`);
    await lab(...SCENARIOS, '--output', output);
    const { scenarios } = JSON.parse(readFileSync(output, 'utf8'));
    const wrong = scenarios.filter(({ driver, passed }) => driver !== 'compose' || !passed);
    if (wrong.length > 0 || scenarios.length !== SCENARIOS.length)
      throw new Error(`not as expected: ${wrong.map(({ scenario }) => scenario).join(', ')}`);
    const left = await leftOver(name, env);
    if (left.length > 0) throw new Error(`left over: ${left.join(' ')}`);
    return scenarios.map(({ scenario, lossMs }) => `${scenario} ${Math.round(lossMs.p50)} ms lost`).join(', ');
  } finally {
    await removeFolder(folder);
  }
}

async function leftOver(name, env) {
  const label = ['--quiet', '--filter', `label=com.docker.compose.project=gingham-lab-${name}`];
  const lists = [
    ['ps', '--all'],
    ['network', 'ls'],
    ['volume', 'ls'],
  ].map((what) => run('docker', [...what, ...label], { env }));
  const ids = (await Promise.all(lists)).flatMap((text) => text.split('\n').filter(Boolean));
  return [...ids, ...readdirSync('/run/netns').filter((entry) => entry.startsWith(`gh-${name}-`))];
}
