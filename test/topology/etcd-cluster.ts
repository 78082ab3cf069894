// Three etcd members in one namespace, for tests that lose one: their own ports, their own data, gone after `stop`.
// A single member is etcd-process.ts.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../eventually.ts';

const execute = promisify(execFile);

export class EtcdCluster {
  readonly endpoints: readonly string[];
  readonly #namespace: string;
  readonly #folder: string;
  readonly #members = new Map<string, ChildProcess>();

  private constructor(namespace: string, folder: string, endpoints: readonly string[]) {
    this.#namespace = namespace;
    this.#folder = folder;
    this.endpoints = endpoints;
  }

  /** Starts a member per client port on this address; each peer port is the one above. Waits until all are healthy. */
  static async start(namespace: string, address: string, ports: readonly number[]): Promise<EtcdCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'gh-etcd-'));
    const cluster = new EtcdCluster(
      namespace,
      folder,
      ports.map((port) => `http://${address}:${port}`),
    );
    const peerUrl = (port: number): string => `http://${address}:${port + 1}`;
    const initial = ports.map((port) => `m${port}=${peerUrl(port)}`).join(',');
    for (const [at, port] of ports.entries()) {
      const endpoint = cluster.endpoints[at] ?? '';
      const args = [
        ...[`--name=m${port}`, `--data-dir=${folder}/m${port}`, `--initial-cluster=${initial}`],
        ...[`--listen-client-urls=${endpoint}`, `--advertise-client-urls=${endpoint}`],
        ...[`--listen-peer-urls=${peerUrl(port)}`, `--initial-advertise-peer-urls=${peerUrl(port)}`],
        ...['--heartbeat-interval=50', '--election-timeout=500'],
      ];
      cluster.#members.set(endpoint, spawn('ip', ['netns', 'exec', namespace, 'etcd', ...args], { stdio: 'ignore' }));
    }
    try {
      const healthy = (): Promise<boolean> => cluster.ctl('endpoint', 'health').then(() => true);
      await eventually('the cluster is healthy', healthy, { timeoutMs: 30_000, intervalMs: 100 });
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async ctl(...args: readonly string[]): Promise<string> {
    const flags = [`--endpoints=${this.endpoints.join(',')}`, '--command-timeout=4s'];
    const env = { ...process.env, ETCDCTL_API: '3' };
    return (await execute('ip', ['netns', 'exec', this.#namespace, 'etcdctl', ...flags, ...args], { env })).stdout;
  }

  /** Ends the leader at once. */
  async killLeader(): Promise<void> {
    const status = await this.ctl('endpoint', 'status', '--write-out=json');
    const members = JSON.parse(status.replaceAll(/"(leader|member_id)":(\d+)/g, '"$1":"$2"')) as readonly {
      readonly Endpoint: string;
      readonly Status: { readonly leader: string; readonly header: { readonly member_id: string } };
    }[];
    const leader = members.find(({ Status }) => Status.leader === Status.header.member_id);
    if (leader === undefined) throw new Error(`nobody leads: ${status}`);
    await this.#end(leader.Endpoint);
  }

  async stop(): Promise<void> {
    for (const endpoint of [...this.#members.keys()]) await this.#end(endpoint);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #end(endpoint: string): Promise<void> {
    const child = this.#members.get(endpoint);
    this.#members.delete(endpoint);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}
