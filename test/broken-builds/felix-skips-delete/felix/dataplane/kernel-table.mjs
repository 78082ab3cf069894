// Deliberately broken: a felix that believes to have deleted what it never does.
//
// Stands in a copy of dist/ in place of felix/dataplane/kernel-table.js, which is kernel-table.sound.js beside it.

import { KernelTable as Sound } from './kernel-table.sound.js';

export * from './kernel-table.sound.js';

export class KernelTable extends Sound {
  write(kernel, entries) {
    return super.write({ apply: (changes) => withoutDeletes(kernel, changes) }, entries);
  }
}

async function withoutDeletes(kernel, changes) {
  const puts = changes.filter(({ op }) => op !== 'delete');
  const failures = [...(await kernel.apply(puts))];
  return changes.map(({ op }) => (op === 'delete' ? undefined : failures.shift()));
}
