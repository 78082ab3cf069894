// Removes a folder in which other programs may have mounted things: debootstrap its /proc, dockerd its overlays.
//
// Deleting through a mount would delete what is mounted, so the mounts go first.

import { readFileSync, rmSync } from 'node:fs';
import { run } from './process.mjs';

/** Unmounts everything below `folder` and deletes it; one that is not there is as it should be. */
export async function removeFolder(folder) {
  for (const mount of mountsBelow(folder).reverse()) await run('umount', ['--lazy', mount]);
  const left = mountsBelow(folder);
  if (left.length > 0) throw new Error(`${folder} is not deleted: ${left.join(', ')} is still mounted in it`);
  rmSync(folder, { recursive: true, force: true });
}

function mountsBelow(folder) {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return lines.map((line) => line.split(' ')[1] ?? '').filter((path) => path.startsWith(`${folder}/`));
}
