// Ends the engine of a run that was killed before it could clean up; `engine.mjs` calls it before it starts its own.
//
// Such a run is told by its namespace, whose name holds the pid of the run: ghdocker<pid>, and that process is gone.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { run, until } from './process.mjs';
import { removeFolder } from './scratch-folder.mjs';

/** Removes what dead runs left: their dockerd with its containers, its folder, the namespace, the nftables table. */
export async function removeLeftovers() {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  for (const name of names) {
    const pid = /^ghdocker(\d+)$/.exec(name)?.[1];
    if (pid === undefined || isAlive(pid)) continue;
    console.log(`removing what is left of a run that was killed (${name})`);
    await endDockerd(name);
    await run('ip', ['netns', 'del', name]);
    await run('nft', ['delete', 'table', 'ip', `gingham-ghd${pid}`]).catch(() => undefined);
  }
}

async function endDockerd(namespace) {
  const pids = (await run('ip', ['netns', 'pids', namespace])).split('\n').filter(Boolean);
  const dockerd = pids.find((pid) => read(`/proc/${pid}/comm`).trim() === 'dockerd');
  if (dockerd === undefined) return;
  const argv = read(`/proc/${dockerd}/cmdline`).split('\0');
  process.kill(Number(dockerd), 'SIGTERM');
  await until('a dockerd that was left to end', 30, () => (isAlive(dockerd) ? undefined : true));
  // <scratch folder>/engine/data, see run.mjs.
  const data = argv[argv.indexOf('--data-root') + 1] ?? '';
  if (/^\/.*\/gingham-compose-\w+\/engine\/data$/.test(data)) await removeFolder(dirname(dirname(data)));
}

/** A zombie has ended, whether or not somebody has asked for its exit code yet. */
function isAlive(pid) {
  return /^State:\t[^ZX]/m.test(read(`/proc/${pid}/status`));
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
