// One measurement each: TCP through iperf3, small UDP packets through iperf3, round trips through ping; and what they cost.
//
// CPU seconds are those of the processes that took part (both iperf3, the carriers) and of ksoftirqd, not of the whole
// machine, which may have other work. On kernels without CONFIG_IRQ_TIME_ACCOUNTING, which is the usual case, the softirq
// work that a process sets off is counted as its own.

import { readdirSync, readFileSync } from 'node:fs';
import type { StandingRow } from './dataplane-rows.ts';
import { mean, percentile } from './statistics.ts';

const SMALL_PACKET_BYTES = 64;
const PINGS = 400;
const PING_INTERVAL_SECONDS = 0.002;
/** USER_HZ, the same on every Linux machine. */
const TICKS_PER_SECOND = 100;

export interface TcpResult {
  readonly gbps: number;
  readonly cpuSecondsPerGb: number;
}

interface IperfResult {
  readonly error?: string;
  readonly end: {
    readonly sum: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
    readonly sum_received: { readonly bits_per_second: number; readonly bytes: number; readonly seconds: number };
    readonly cpu_utilization_percent: { readonly host_total: number; readonly remote_total: number };
  };
}

/** Starts what answers in the second node. */
export async function startServer({ pair }: StandingRow): Promise<void> {
  await pair.start(pair.nodes[1], ['iperf3', '--server', '--forceflush'], 'Server listening');
}

export async function measureTcp(
  row: StandingRow,
  streams: number,
  seconds: number,
  signal: AbortSignal,
): Promise<TcpResult> {
  const before = cpuSeconds(row.carriers);
  const { end } = await iperf(row, `--time ${seconds} --parallel ${streams}`, signal);
  const carriers = cpuSeconds(row.carriers) - before;
  const { bits_per_second, bytes, seconds: took } = end.sum_received;
  const { host_total, remote_total } = end.cpu_utilization_percent;
  const ends = ((host_total + remote_total) / 100) * took;
  return { gbps: bits_per_second / 1e9, cpuSecondsPerGb: (carriers + ends) / (bytes / 1e9) };
}

/** Packets per second that arrived, of as many as one sender could send. */
export async function measureSmallPackets(row: StandingRow, seconds: number, signal: AbortSignal): Promise<number> {
  const options = `--udp --length ${SMALL_PACKET_BYTES} --bitrate 0 --time ${seconds}`;
  const { sum } = (await iperf(row, options, signal)).end;
  return (sum.packets - sum.lost_packets) / sum.seconds;
}

/** Round trips, microseconds. */
export async function measurePing(
  { pair, target }: StandingRow,
  signal: AbortSignal,
): Promise<{ readonly averageUs: number; readonly p99Us: number }> {
  const text = await pair.run(`ping -c ${PINGS} -i ${PING_INTERVAL_SECONDS} ${target}`, signal);
  const timesUs = [...text.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) * 1000);
  return { averageUs: mean(timesUs), p99Us: percentile(timesUs, 0.99) };
}

async function iperf({ pair, target }: StandingRow, options: string, signal: AbortSignal): Promise<IperfResult> {
  const text = await pair.run(`iperf3 --client ${target} --json ${options}`, signal);
  const result = JSON.parse(text) as IperfResult;
  if (result.error !== undefined) throw new Error(`iperf3: ${result.error}`);
  return result;
}

function cpuSeconds(processes: readonly number[]): number {
  return [...processes, ...softirqThreads()].reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
}

/** utime and stime, fields 14 and 15 of proc_pid_stat(5); the name in field 2 may have spaces. */
function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

let threads: readonly number[] | undefined;

function softirqThreads(): readonly number[] {
  threads ??= readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(isSoftirqThread);
  return threads;
}

function isSoftirqThread(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('ksoftirqd/');
  } catch {
    return false;
  }
}
