// The lab's own etcd: one member or three, each in its own namespace, data in the lab's folder, gone with the lab.
//
// Each also listens on a unix socket in its folder, which is how the lab, outside all namespaces, asks for its health and
// writes the network configuration (through etcd's JSON gateway). Nodes use TCP over the underlay.

import { mkdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { z } from 'zod';
import { poll } from '../ctl/poll.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { lastWords, livingProcess, type ProcessPlace, startProcess } from './lab-process.ts';
import { machineFolder } from './state.ts';
import { ETCD_PREFIX, type EtcdMachine, networkConfig, type Topology } from './topology.ts';

const START_TIMEOUT_MS = 15_000;
/** etcd names a unix socket like a TCP port and makes the file in its working folder. */
const SOCKET = 'client:0';

const healthSchema = z.object({ health: z.literal('true') });

export function etcdPlace(topology: Topology, { name, namespace }: EtcdMachine): ProcessPlace {
  return { title: name, name: 'etcd', namespace, folder: machineFolder(topology.lab, name) };
}

/** Where the member keeps what it knows. */
export function etcdDataFolder(place: ProcessPlace): string {
  return join(place.folder, 'data');
}

/** Starts the members that do not run. The data of an earlier run in the same lab is kept. */
export async function startEtcd(topology: Topology): Promise<void> {
  await Promise.all(topology.etcdMembers.map((member) => startEtcdMember(topology, member)));
}

/** Starts one member unless it runs. */
export async function startEtcdMember(topology: Topology, member: EtcdMachine): Promise<void> {
  const place = etcdPlace(topology, member);
  if (livingProcess(place) !== undefined) return;
  await mkdir(place.folder, { recursive: true, mode: 0o755 });
  await rm(join(place.folder, SOCKET), { force: true });
  const isAlone = topology.etcdMembers.length === 1;
  const client = `http://${member.link.address}:2379`;
  const peerOf = ({ link }: EtcdMachine): string => (isAlone ? 'http://127.0.0.1:2380' : `http://${link.address}:2380`);
  const peer = peerOf(member);
  const flags = {
    name: member.name,
    logger: 'zap',
    'data-dir': etcdDataFolder(place),
    'listen-client-urls': `${client},http://127.0.0.1:2379,unix://${SOCKET}`,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': topology.etcdMembers.map((each) => `${each.name}=${peerOf(each)}`).join(','),
    // One member elects itself: no reason to wait a second for it. Three share a busy machine.
    'heartbeat-interval': isAlone ? '20' : '50',
    'election-timeout': isAlone ? '200' : '500',
  };
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_')));
  startProcess(place, ['etcd', ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)], env);
}

/** Waits until every member answers. Throws `ExitError` where it ends or the time is over. */
export async function etcdHealthy(topology: Topology, signal: AbortSignal): Promise<void> {
  await Promise.all(topology.etcdMembers.map((member) => memberHealthy(topology, member, signal)));
}

async function memberHealthy(topology: Topology, member: EtcdMachine, signal: AbortSignal): Promise<void> {
  const place = etcdPlace(topology, member);
  const outcome = await poll({ timeoutMs: START_TIMEOUT_MS, intervalMs: 20, signal }, async () => {
    if (livingProcess(place) === undefined) return `ended: ${lastWords(place)}`;
    const answer = await askEtcd(place.folder, 'GET', '/health').catch(() => undefined);
    return healthSchema.safeParse(answer).success ? '' : undefined;
  });
  signal.throwIfAborted();
  if (outcome === '') return;
  throw new ExitError(EXIT.internal, `lab: ${place.title} ${outcome ?? `is not healthy after ${START_TIMEOUT_MS} ms`}`);
}

/** Writes the network configuration that flanneld reads. */
export async function writeNetworkConfig(topology: Topology): Promise<void> {
  const body = { key: base64(`${ETCD_PREFIX}/config`), value: base64(networkConfig(topology)) };
  const [member] = topology.etcdMembers;
  if (member === undefined) throw new RangeError('a lab has an etcd');
  await askEtcd(etcdPlace(topology, member).folder, 'POST', '/v3/kv/put', body);
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function askEtcd(folder: string, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath: join(folder, SOCKET), method, path, timeout: 2_000, agent: false },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          if (response.statusCode === 200) return resolve(JSON.parse(text));
          reject(new Error(`etcd answered ${path} with ${response.statusCode}: ${text.trim()}`));
        });
      },
    );
    asked.on('timeout', () => asked.destroy(new Error(`etcd did not answer ${path}`)));
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
