// The lease logic against one real etcd, without devices: many nodes that start at once, and one node that watches
// thousands of leases.
//
// The nodes share this process, each with a connection of its own, so a node's time has the work of all others in it. The
// watcher is a process of its own (leases-watcher.ts): its memory and CPU are its alone.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { acquireLease, type LeaseTerms } from '../../flanneld/lease/acquire-lease.ts';
import { encodeLease, leaseFolder } from '../../flanneld/lease/lease.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../flanneld/lease/network-config.ts';
import { address } from '../../lib/net/address.ts';
import { localMac } from '../../lib/net/mac.ts';
import { openEtcdRegistry } from '../../lib/registry/etcd-registry.ts';
import type { Registry } from '../../lib/registry/registry.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { EtcdProcess } from '../topology/etcd-process.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import type { WatcherReport } from './leases-watcher.ts';
import { percentile, rounded } from './statistics.ts';

const PREFIX = '/bench';
const WATCHER = fileURLToPath(new URL('./leases-watcher.js', import.meta.url));
const log = pino({ level: 'silent' });

export const LEASES: Bench = {
  name: 'leases',
  summary: 'time until all nodes that start at once hold a subnet; a watch of thousands (--nodes, --leases, --changes)',
  run: runLeases,
};

async function runLeases(
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<BenchResult> {
  const options = readOptions(args, ['nodes', 'leases', 'changes']);
  const nodes = countOption('nodes', options.nodes, 200);
  const leases = countOption('leases', options.leases, 5_000);
  const changes = countOption('changes', options.changes, 300);
  const etcd = await EtcdProcess.start();
  try {
    say(`${nodes} nodes at once`);
    const held = await startAll(etcd.endpoint, nodes, signal);
    say(`${leases} leases watched, ${changes} changes`);
    const watch = await watchMany(etcd.endpoint, leases, changes, signal);
    const json = { nodes, ...held, watch };
    const text = Object.entries({ ...held, ...watch })
      .map(([name, value]) => `${name.padEnd(20)}${JSON.stringify(value)}`)
      .join('\n');
    return { json, text };
  } finally {
    await etcd.stop();
  }
}

async function startAll(endpoint: string, nodes: number, signal: AbortSignal): Promise<object> {
  const config = parseNetworkConfig('{"Network":"10.5.0.0/16"}') as NetworkConfig;
  const registries = await Promise.all(
    Array.from({ length: nodes }, () => openEtcdRegistry({ endpoints: [endpoint] })),
  );
  const startedMs = performance.now();
  const holds = await Promise.all(
    registries.map(async (registry, i) => {
      const { lease } = await acquireLease(termsOf(i, registry, config), signal);
      return { subnet: lease.subnet, tookMs: performance.now() - startedMs };
    }),
  );
  await Promise.all(registries.map((registry) => registry.close()));
  return {
    distinct: new Set(holds.map(({ subnet }) => subnet)).size,
    all_hold_ms: percentiles(holds.map(({ tookMs }) => tookMs)),
  };
}

function termsOf(i: number, registry: Registry, config: NetworkConfig): LeaseTerms {
  const nodeName = `node${i + 1}`;
  const publicIp = address(`192.168.${i >> 8}.${i & 0xff}`);
  const mac = localMac(new Uint8Array([0, 0, 0, 0, i >> 8, i & 0xff]));
  return {
    ...{ registry, clock: systemClock, log, config, nodeName },
    etcdPrefix: PREFIX,
    publicIps: [publicIp],
    ttlSeconds: 86_400,
    attributes: () => ({ publicIp, backendType: 'vxlan', vtep: { vni: 1, mac }, nodeName }),
  };
}

async function watchMany(endpoint: string, leases: number, changes: number, signal: AbortSignal): Promise<object> {
  const registry = await openEtcdRegistry({ endpoints: [endpoint] });
  const folder = leaseFolder('/many');
  let watcher: ChildProcess | undefined;
  try {
    const put = async (i: number, generation: number): Promise<void> => {
      const key = `${folder}10.${i >> 8}.${i & 0xff}.0-24`;
      const found = generation === 0 ? undefined : await registry.get(key);
      await registry.put(key, leaseValue(i, generation), found ?? { absent: true }, undefined);
    };
    for (let at = 0; at < leases; at += 100) {
      signal.throwIfAborted();
      await Promise.all(Array.from({ length: Math.min(100, leases - at) }, (_, i) => put(at + i, 0)));
    }
    watcher = fork(WATCHER, [endpoint], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const process = watcher;
    const ready = await nextMessage(process);
    if (ready.leases !== leases) throw new Error(`the watcher knows ${ready.leases} leases of ${leases}`);
    const seenMs: number[] = [];
    for (let change = 0; change < changes; change++) {
      signal.throwIfAborted();
      const i = (change * 7_919) % leases;
      const answered = nextMessage(process);
      const sentUnixMs = now();
      await put(i, change + 1);
      seenMs.push((await answered).seenUnixMs - sentUnixMs);
    }
    process.send('report');
    const { rssBytes, cpuSeconds } = await nextMessage(process);
    const rssMb = rounded(rssBytes / 1e6, 1);
    return { leases, rss_mb: rssMb, cpu_s: rounded(cpuSeconds, 2), change_seen_ms: percentiles(seenMs) };
  } finally {
    watcher?.kill();
    await registry.close();
  }
}

function leaseValue(i: number, generation: number): string {
  const publicIp = address(`172.${generation === 0 ? 16 : 17 + (generation % 13)}.${i >> 8}.${i & 0xff}`);
  const mac = localMac(new Uint8Array([0, 0, 0, 1, i >> 8, i & 0xff]));
  return encodeLease({ publicIp, backendType: 'vxlan', vtep: { vni: 1, mac }, nodeName: `node${i}` });
}

function nextMessage(process: ChildProcess): Promise<WatcherReport> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('the watcher ended'));
    process.once('exit', ended);
    process.once('message', (report) => {
      process.off('exit', ended);
      resolve(report as WatcherReport);
    });
  });
}

/** One clock for both processes. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function percentiles(samples: readonly number[]): object {
  return { p50: rounded(percentile(samples, 0.5), 1), p99: rounded(percentile(samples, 0.99), 1) };
}
