// The data plane benchmark: every way to carry packets between two nodes, side by side in one run.
//
// All rows of one MTU stand at the same time, each in namespaces of its own, and are measured in turn, round after round:
// what else happens on the machine meets them all. A figure is the median of its rounds, a ratio the median of the ratios
// within each round. Figures of different runs are not worth comparing.

import { type Bench, type BenchResult, chosenOption, countOption, nicenessOption, readOptions } from './bench.ts';
import { type RaiseOptions, ROWS, type Row, raise, type StandingRow } from './dataplane-rows.ts';
import { median, rounded } from './statistics.ts';
import { measurePing, measureSmallPackets, measureTcp, startServer } from './traffic.ts';

const MTUS_BYTES = [1450, 8950];
const OPTIONS = ['seconds', 'rounds', 'only', 'mtu', 'measure', 'profile', 'nice'] as const;
const MEASURES = ['tcp1', 'tcp4', 'udp64', 'ping'] as const;
type Measure = (typeof MEASURES)[number];

/** The figures of a row; digits after the point. */
const FIGURES = {
  tcp1_gbps: 2,
  tcp4_gbps: 2,
  udp64_pps: 0,
  ping_avg_us: 1,
  ping_p99_us: 1,
  cpu_s_per_gb: 2,
} as const;
type Figure = keyof typeof FIGURES;
type Sample = Partial<Record<Figure, number>>;

/** Each row's samples, one per round. */
type Samples = ReadonlyMap<string, Sample[]>;

/** Name in the result, row, row that it is compared with. */
const COMPARED = [
  ['user_vxlan_vs_kernel', 'user-vxlan-batched', 'kernel-vxlan'],
  ['user_vxlan_tuntap_vs_kernel', 'user-vxlan-tuntap', 'kernel-vxlan'],
  ['user_udp_vs_kernel', 'user-udp-batched', 'kernel-vxlan'],
  ['kernel_backend_vs_kernel', 'kernel-backend', 'kernel-vxlan'],
  ['kernel_vs_no_tunnel', 'kernel-vxlan', 'no-tunnel'],
] as const;

interface Plan {
  readonly seconds: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly mtusBytes: readonly number[];
  readonly measures: readonly Measure[];
  readonly how: RaiseOptions;
}

export const DATAPLANE: Bench = {
  name: 'dataplane',
  summary:
    'throughput, small packets, round trips and CPU of every backend (--seconds, --rounds, --only, --mtu, --measure, --profile, --nice)',
  run: runDataplane,
};

async function runDataplane(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const plan = readPlan(args);
  const rows: Record<string, unknown>[] = [];
  const ratios: Record<string, number | null> = {};
  for (const mtuBytes of plan.mtusBytes) {
    const samples = await measureAll(plan, mtuBytes, say, signal);
    for (const [name, taken] of samples) rows.push({ name: `${name}-${mtuBytes}`, ...medians(taken) });
    const suffix = mtuBytes === MTUS_BYTES[0] ? '' : `_${mtuBytes}`;
    Object.assign(ratios, compare(samples, suffix));
  }
  return { json: { rows, ratios }, text: asText(rows, ratios) };
}

function readPlan(args: readonly string[]): Plan {
  const options = readOptions(args, OPTIONS);
  const only =
    options.only === undefined
      ? ROWS.filter(({ isExtra }) => isExtra !== true).map(({ name }) => name)
      : chosenOption(
          'only',
          options.only,
          ROWS.map(({ name }) => name),
        );
  return {
    seconds: countOption('seconds', options.seconds, 3),
    rounds: countOption('rounds', options.rounds, 3),
    rows: ROWS.filter(({ name }) => only.includes(name)),
    mtusBytes: chosenOption('mtu', options.mtu, MTUS_BYTES.map(String)).map(Number),
    measures: chosenOption('measure', options.measure, MEASURES),
    how: {
      nodeFlags: options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`],
      niceness: nicenessOption(options.nice),
    },
  };
}

async function measureAll(
  plan: Plan,
  mtuBytes: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Samples> {
  const standing = new Map<string, StandingRow>();
  const samples = new Map<string, Sample[]>(plan.rows.map(({ name }) => [name, []]));
  try {
    for (const row of plan.rows) {
      const raised = await raise(row, mtuBytes, plan.how);
      standing.set(row.name, raised);
      await startServer(raised);
    }
    for (let round = 1; round <= plan.rounds; round++) {
      // One measure of all rows after the other, so that what is compared was measured close together.
      for (const { name } of plan.rows) samples.get(name)?.push({});
      for (const measure of plan.measures) {
        for (const [name, row] of standing) {
          signal.throwIfAborted();
          const taken = await take(measure, row, plan.seconds, signal);
          Object.assign(samples.get(name)?.at(-1) ?? {}, taken);
          say(`MTU ${mtuBytes}, round ${round} of ${plan.rounds}, ${name}: ${JSON.stringify(taken)}`);
        }
      }
    }
    return samples;
  } finally {
    for (const { pair } of standing.values()) await pair.remove();
  }
}

async function take(measure: Measure, row: StandingRow, seconds: number, signal: AbortSignal): Promise<Sample> {
  switch (measure) {
    case 'tcp1': {
      const { gbps, cpuSecondsPerGb } = await measureTcp(row, 1, seconds, signal);
      return { tcp1_gbps: gbps, cpu_s_per_gb: cpuSecondsPerGb };
    }
    case 'tcp4':
      return { tcp4_gbps: (await measureTcp(row, 4, seconds, signal)).gbps };
    case 'udp64':
      return { udp64_pps: await measureSmallPackets(row, seconds, signal) };
    case 'ping': {
      const { averageUs, p99Us } = await measurePing(row, signal);
      return { ping_avg_us: averageUs, ping_p99_us: p99Us };
    }
  }
}

function medians(samples: readonly Sample[]): Record<Figure, number | null> {
  const figures = Object.entries(FIGURES) as [Figure, number][];
  return Object.fromEntries(
    figures.map(([figure, digits]) => [figure, rounded(median(valuesOf(samples, figure)), digits)]),
  ) as Record<Figure, number | null>;
}

function valuesOf(samples: readonly Sample[], figure: Figure): number[] {
  return samples.map((sample) => sample[figure]).filter((value) => value !== undefined);
}

/** `<name>_tcp1` and so on; for round trips the difference, in microseconds, which is what their aim is about. */
function compare(samples: Samples, suffix: string): Record<string, number | null> {
  const result: Record<string, number | null> = {};
  for (const [name, row, base] of COMPARED) {
    const [own, other] = [samples.get(row), samples.get(base)];
    if (own === undefined || other === undefined) continue;
    const within = (figure: Figure, of: (a: number, b: number) => number): number =>
      median(own.map((sample, i) => of(sample[figure] ?? Number.NaN, other[i]?.[figure] ?? Number.NaN)));
    for (const figure of ['tcp1_gbps', 'tcp4_gbps', 'udp64_pps'] as const) {
      const short = figure.replace(/_.*/, '');
      result[`${name}_${short}${suffix}`] = rounded(
        within(figure, (a, b) => a / b),
        3,
      );
    }
    result[`${name}_ping_added_us${suffix}`] = rounded(
      within('ping_avg_us', (a, b) => a - b),
      1,
    );
  }
  return result;
}

function asText(rows: readonly Record<string, unknown>[], ratios: Readonly<Record<string, number | null>>): string {
  const figures = Object.keys(FIGURES);
  const line = (name: string, cells: readonly string[]): string =>
    name.padEnd(26) + cells.map((cell) => cell.padStart(14)).join('');
  return [
    line('', figures),
    ...rows.map((row) =>
      line(
        text(row['name']),
        figures.map((figure) => text(row[figure])),
      ),
    ),
    '',
    ...Object.entries(ratios).map(([name, value]) => `${name.padEnd(50)}${String(value ?? '-').padStart(10)}`),
  ].join('\n');
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? `${value}` : '-';
}
