// A gigabyte through every backend, with a hash at both ends; then the counters of the receiving kernel, which must have seen
// no segment with a bad checksum. It is not about speed: hashing takes longer than most of the ways.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { type Bench, type BenchResult, chosenOption, countOption, readOptions } from './bench.ts';
import { INTEGRITY_ROWS, raise, type StandingRow } from './dataplane-rows.ts';
import { inside } from './node-pair.ts';
import { rounded } from './statistics.ts';

const MTU_BYTES = 1450;
const PORT = 7_000;
const SCRIPT = fileURLToPath(new URL('../../../test/topology/tcp-transfer.mjs', import.meta.url));
const NAMES = INTEGRITY_ROWS.map(({ name }) => name);

export const DATAPLANE_INTEGRITY: Bench = {
  name: 'integrity',
  summary: 'many bytes through every backend, with a hash at both ends; fails where they differ (--bytes, --only)',
  run: runIntegrity,
};

interface Outcome {
  readonly name: string;
  readonly bytes: number;
  readonly sent_sha256: string;
  readonly received_sha256: string;
  /** TCP segments that the receiving kernel refused (Tcp InCsumErrors of snmp). */
  readonly bad_checksums: number;
  readonly seconds: number | null;
}

async function runIntegrity(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const options = readOptions(args, ['bytes', 'only']);
  const bytes = countOption('bytes', options.bytes, 1024 ** 3);
  const only = chosenOption('only', options.only, NAMES);
  const rows: Outcome[] = [];
  for (const row of INTEGRITY_ROWS.filter(({ name }) => only.includes(name))) {
    signal.throwIfAborted();
    const standing = await raise(row, MTU_BYTES, { nodeFlags: [], niceness: 0 });
    try {
      rows.push(await transfer(row.name, standing, bytes, signal));
    } finally {
      await standing.pair.remove();
    }
    say(JSON.stringify(rows.at(-1)));
  }
  const wrong = rows.filter((row) => row.sent_sha256 !== row.received_sha256 || row.bad_checksums > 0);
  if (wrong.length > 0) throw new ExitError(EXIT.internal, `not what was sent: ${JSON.stringify(wrong)}`);
  const text = rows.map(({ name, seconds, sent_sha256: hash }) => {
    return `${name.padEnd(22)}${bytes} bytes in ${seconds} s, at both ends ${hash}`;
  });
  return { json: { rows }, text: text.join('\n') };
}

async function transfer(
  name: string,
  { pair, target }: StandingRow,
  bytes: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const [from, to] = pair.nodes;
  const receiver = spawn('ip', ['netns', 'exec', to.namespace, process.execPath, SCRIPT, 'receive', target, `${PORT}`]);
  try {
    let printed = '';
    receiver.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    const ended = once(receiver, 'close', { signal });
    await once(receiver.stdout, 'data', { signal });
    const startedMs = performance.now();
    const sent = await inside(from, `${process.execPath} ${SCRIPT} send ${target} ${PORT} ${bytes}`, signal);
    await ended;
    const [, received = ''] = printed.split('\n');
    return {
      ...{ name, bytes, sent_sha256: sent.trim(), received_sha256: received },
      bad_checksums: badChecksums(await inside(to, 'cat /proc/net/snmp')),
      seconds: rounded((performance.now() - startedMs) / 1000, 1),
    };
  } finally {
    receiver.kill('SIGKILL');
  }
}

/** InCsumErrors of the lines that begin with "Tcp:": names, then values. */
function badChecksums(snmp: string): number {
  const [names = [], values = []] = snmp
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('InCsumErrors')]);
}
