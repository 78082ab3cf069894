// `npm run bench -- <name> [options]`: the benchmarks, each by its name. With --json the result goes to standard output as
// JSON and nothing else does; progress goes to standard error.
//
// A benchmark is a file of its own with a `Bench`; it is added to the list below and to nothing else.

import { delimiter } from 'node:path';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { runMain } from '../../lib/run/lifecycle.ts';
import type { Bench } from './bench.ts';
import { CNI } from './cni.ts';
import { DATAPLANE } from './dataplane.ts';
import { DATAPLANE_HOSTILE } from './dataplane-hostile.ts';
import { DATAPLANE_INTEGRITY } from './dataplane-integrity.ts';
import { FAILOVER } from './failover.ts';
import { FIB } from './fib.ts';
import { LEASES } from './leases.ts';
import { RIB } from './rib.ts';
import { SIMULATE } from './simulate.ts';
import { TABLE_REPLACE } from './table-replace.ts';

const BENCHES: readonly Bench[] = [
  CNI,
  DATAPLANE,
  FAILOVER,
  FIB,
  DATAPLANE_HOSTILE,
  DATAPLANE_INTEGRITY,
  LEASES,
  RIB,
  SIMULATE,
  TABLE_REPLACE,
];

await runMain(async () => {
  // Debian keeps ip in sbin, which a user's PATH may lack even after becoming root.
  process.env['PATH'] = [process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(delimiter);
  const [name, ...rest] = process.argv.slice(2);
  const bench = BENCHES.find((candidate) => candidate.name === name);
  if (name === undefined || name === '--help') {
    console.log(`usage: npm run bench -- <name> [--json] [options]\n\n${BENCHES.map(describe).join('\n')}`);
    return;
  }
  if (bench === undefined) {
    const names = BENCHES.map((known) => known.name).join(', ');
    throw new ExitError(EXIT.usage, `bench "${name}" is not known; accepted: ${names}`);
  }
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const args = rest.filter((argument) => argument !== '--json');
  const { json, text } = await bench.run(args, (line) => process.stderr.write(`${line}\n`), stop.signal);
  process.stdout.write(`${rest.includes('--json') ? JSON.stringify(json) : text}\n`);
});

function describe({ name, summary }: Bench): string {
  return `  ${name.padEnd(16)}${summary}`;
}
