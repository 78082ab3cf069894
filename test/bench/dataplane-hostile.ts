// A TCP stream through the user-space VXLAN plane while its receiving node is flooded with garbage: what is left of it.
//
// The sender of the garbage shares the cores with everybody else, so one more row floods a socket that drops all of it by a
// filter: what that leaves is what the flood itself costs the machine, and no plane could do better by much. Ratios are to
// the calm stream of the same round, and to that row. Every datagram of the flood arrives by itself, as from machines of their own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { writeU16 } from '../../lib/wire/bytes.ts';
import { internetChecksum } from '../../lib/wire/checksum.ts';
import { type Bench, type BenchResult, countOption, nicenessOption, readOptions } from './bench.ts';
import { ROWS, raise, type StandingRow } from './dataplane-rows.ts';
import { inside } from './node-pair.ts';
import { median, rounded } from './statistics.ts';
import { measureTcp, startServer } from './traffic.ts';

const OPTIONS = ['seconds', 'rounds', 'rate', 'nice'] as const;
const MTU_BYTES = 1450;
const STRANGER = '192.0.2.66';
const VXLAN_PORT = 8472;
const SINK_PORT = 9;
const SINK_SCRIPT = fileURLToPath(new URL('flood-sink.js', import.meta.url));
const SCRIPT = fileURLToPath(new URL('../../../test/topology/flood-sender.mjs', import.meta.url));
/** VXLAN network 1; Ethernet from the first node of a pair to the second one; UDP in IPv4 between their addresses. */
const VXLAN_AND_ETHERNET = '08000000000001000e00000055020e00000055010800';
const IPV4_AND_UDP = '4500001e00004000401100000a3701000a370200000700090000000a0102';

interface Sample {
  readonly name: string;
  readonly gbps: number;
  /** Of the calm stream. */
  readonly ratio: number;
  /** Of the stream while the sink was flooded. */
  readonly ofSink: number;
  /** Datagrams of garbage that were really sent. */
  readonly perSecond: number;
}

export const DATAPLANE_HOSTILE: Bench = {
  name: 'hostile',
  summary: 'TCP through user vxlan while its node is flooded with garbage (--seconds, --rounds, --rate, --nice)',
  run: runHostile,
};

async function runHostile(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const options = readOptions(args, OPTIONS);
  const seconds = countOption('seconds', options.seconds, 3);
  const rounds = countOption('rounds', options.rounds, 3);
  const rate = countOption('rate', options.rate, 200_000);
  const row = ROWS.find(({ name }) => name === 'user-vxlan-batched');
  if (row === undefined) throw new Error('there is no such row');
  const standing = await raise(row, MTU_BYTES, { nodeFlags: [], niceness: nicenessOption(options.nice) });
  try {
    const [from, to] = standing.pair.nodes;
    await inside(from, `ip address add ${STRANGER}/32 dev ul`);
    await inside(from, 'ethtool -K ul tx-udp-segmentation off');
    await startServer(standing);
    await standing.pair.start(to, [process.execPath, SINK_SCRIPT, to.underlay, `${SINK_PORT}`], 'sinking');
    const floods = {
      sink: [STRANGER, SINK_PORT],
      stranger: [STRANGER, VXLAN_PORT],
      peer: [from.underlay, VXLAN_PORT],
    } as const;
    const taken: Sample[] = [];
    for (let round = 1; round <= rounds; round++) {
      const calm = (await measureTcp(standing, 1, seconds, signal)).gbps;
      let sunk = Number.NaN;
      for (const [name, [address, port]] of Object.entries(floods)) {
        const flooded = await flood(standing, address, port, rate, () => measureTcp(standing, 1, seconds, signal));
        const { gbps } = flooded.result;
        if (name === 'sink') sunk = gbps;
        const sample = { gbps, ratio: gbps / calm, ofSink: gbps / sunk, perSecond: flooded.perSecond };
        taken.push({ name, ...sample });
        say(`round ${round} of ${rounds}, ${name}: ${JSON.stringify(sample)}, calm ${calm.toFixed(2)} Gbit/s`);
      }
    }
    const rows = Object.keys(floods).map((name) =>
      summary(
        name,
        taken.filter((sample) => sample.name === name),
      ),
    );
    const text = rows.map((each) =>
      Object.values(each)
        .map(String)
        .map((cell) => cell.padStart(14))
        .join(''),
    );
    return { json: { rows }, text: text.join('\n') };
  } finally {
    await standing.pair.remove();
  }
}

function summary(name: string, samples: readonly Sample[]) {
  return {
    name,
    tcp1_gbps: rounded(median(samples.map(({ gbps }) => gbps)), 2),
    of_calm: rounded(median(samples.map(({ ratio }) => ratio)), 3),
    of_sink: rounded(median(samples.map(({ ofSink }) => ofSink)), 3),
    garbage_per_second: rounded(median(samples.map(({ perSecond }) => perSecond)), 0),
  };
}

/** Floods from the first node of the row to the second one while `measure` runs. */
async function flood<T>(
  { pair }: StandingRow,
  address: string,
  port: number,
  rate: number,
  measure: () => Promise<T>,
): Promise<{ readonly result: T; readonly perSecond: number }> {
  const [from, to] = pair.nodes;
  const words = [SCRIPT, address, to.underlay, port, rate, validDatagram().toString('hex')].map(String);
  const child = spawn('ip', [
    'netns',
    'exec',
    from.namespace,
    'nice',
    '-n',
    String(pair.niceness),
    process.execPath,
    ...words,
  ]);
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  const closed = once(child, 'close');
  try {
    await once(child.stdout, 'data');
    const result = await measure();
    child.kill('SIGTERM');
    await closed;
    const { perSecond } = JSON.parse(said.trim().split('\n').at(-1) ?? '') as { readonly perSecond: number };
    return { result, perSecond };
  } finally {
    child.kill('SIGKILL');
  }
}

/** What the second node would take: the garbage is made of it. */
function validDatagram(): Buffer {
  const packet = Buffer.from(IPV4_AND_UDP, 'hex');
  writeU16(packet, 10, internetChecksum(packet, 0, 20));
  return Buffer.concat([Buffer.from(VXLAN_AND_ETHERNET, 'hex'), packet]);
}
