// The CNI plugin `gingham-cni`, as a runtime runs it: environment and standard input in, standard output and exit code out.
//
// Bundled into one file (dist/cni/gingham-cni.cjs), because finding and reading forty would take longer than the work.

import { readFileSync, writeSync } from 'node:fs';
import { runPlugin } from './plugin.ts';

void runPlugin(process.env, () => readFileSync(0, 'utf8')).then(({ stdout, exitCode }) => {
  if (stdout !== '') writeSync(1, stdout);
  // Not left to the end of the event loop: a lock that is still waited for on another thread must not hold the process.
  process.exit(exitCode);
});
