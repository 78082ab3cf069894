// Gathers what `gingham doctor` judges: asks the daemons, the kernel, etcd and the other nodes, all at once.
//
// It changes nothing on the node. Kernel features are tried out in a network namespace of their own that goes with the
// process; pings are a few packets to each node.

import { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parsePrefix, prefixAddress } from '../../lib/net/prefix.ts';
import { parseSubnetEnv } from '../../lib/subnet-env.ts';
import { byName } from '../answer.ts';
import { askReadiness, type DaemonName } from '../daemon-http.ts';
import { type BgpdStatus, type FlanneldStatus, readBgpd, readFelix, readFlanneld } from '../daemon-status.ts';
import { textOf } from '../tool.ts';
import { askEtcd } from './ask-etcd.ts';
import type { CertificateFacts, DaemonFacts, EtcdFacts, Facts, ForeignRoute, LinkFacts, PathFacts } from './facts.ts';

/** Nodes that are pinged; a large cluster is looked at by its first ones. */
const PATHS_MAX = 20;

const PING_COUNT = 3;
const PING_INTERVAL_SECONDS = 0.2;
const PING_TIMEOUT_SECONDS = 2;

/** IP header (RFC 791, RFC 8200) and ICMP echo header (RFC 792, RFC 4443), in bytes. */
const PING_HEADERS_BYTES = { 4: 28, 6: 48 } as const;

const SYSCTLS = ['net.ipv4.ip_forward', 'net.ipv4.conf.all.rp_filter'];

/** Protocol of gingham's own routes in `ip route`, as number and by the name that a table may give it. */
const OWN_PROTOCOL = '71';

/** Tried in a network namespace of its own; the first word that fails is told. */
const FEATURES: Readonly<Record<string, readonly string[]>> = {
  vxlan: ['ip', 'link', 'add', 'doctor0', 'type', 'vxlan', 'id', '1', 'dstport', '8472'],
  'nexthop objects': ['sh', '-c', 'ip link set lo up && ip nexthop add id 1 blackhole'],
  nftables: ['nft', 'add', 'table', 'inet', 'doctor'],
};

const linkList = z.array(z.object({ ifname: z.string(), mtu: z.number() }));
const chainList = z.object({
  nftables: z.array(
    z.object({
      chain: z
        .object({
          ...{ family: z.string(), table: z.string(), name: z.string() },
          ...{ hook: z.string().optional(), policy: z.string().optional() },
        })
        .optional(),
    }),
  ),
});
const routeList = z.array(
  z.object({ dst: z.string(), dev: z.string().optional(), protocol: z.union([z.string(), z.number()]).optional() }),
);

/** Everything that is looked at; `endpoints` overrules where flanneld says that etcd is. */
export async function gatherFacts(runFolder: string, endpoints: readonly string[]): Promise<Facts> {
  const [flanneld, bgpd, felix] = await Promise.all([
    daemonFacts(runFolder, 'flanneld', readFlanneld),
    daemonFacts(runFolder, 'bgpd', readBgpd),
    daemonFacts(runFolder, 'felix', readFelix),
  ]);
  const known = typeof flanneld.status === 'string' ? undefined : flanneld.status;
  const links = await linkFacts();
  const [sysctls, foreignRoutes, subnetEnv, etcd, certificates, paths, features, droppingChains, boundPorts] =
    await Promise.all([
      sysctlFacts(known),
      routeFacts(),
      subnetEnvFacts(runFolder),
      etcdFacts(known, endpoints),
      certificateFacts(known, typeof bgpd.status === 'string' ? undefined : bgpd.status),
      known === undefined ? [] : pathFacts(known, links),
      featureFacts(),
      droppingChainFacts(),
      boundPortFacts(),
    ]);
  const daemons = { flanneld, bgpd, felix };
  const kernel = { sysctls, links, foreignRoutes, features, droppingChains, boundPorts };
  return { ...daemons, ...kernel, subnetEnv, etcd, certificates, paths, nowMs: Date.now() };
}

async function daemonFacts<S>(
  runFolder: string,
  daemon: DaemonName,
  read: (runFolder: string) => Promise<S | string>,
): Promise<DaemonFacts<S>> {
  const [readiness, status] = await Promise.all([askReadiness(runFolder, daemon), read(runFolder)]);
  return { readiness, status };
}

async function linkFacts(): Promise<readonly LinkFacts[]> {
  const list = linkList.safeParse(await jsonOf('ip', ['-json', 'link', 'show']));
  return (list.data ?? []).map(({ ifname, mtu }) => ({ name: ifname, mtuBytes: mtu }));
}

async function routeFacts(): Promise<readonly ForeignRoute[]> {
  const list = routeList.safeParse(await jsonOf('ip', ['-json', '-N', 'route', 'show']));
  return (list.data ?? [])
    .filter(({ dst, protocol }) => dst !== 'default' && String(protocol) !== OWN_PROTOCOL)
    .map(({ dst, dev }) => ({ destination: dst.includes('/') ? dst : `${dst}/32`, device: dev ?? '' }));
}

async function sysctlFacts(flanneld: FlanneldStatus | undefined): Promise<Readonly<Record<string, number>>> {
  const devices = [flanneld?.interface, flanneld?.device].filter((name) => typeof name === 'string');
  const names = [...SYSCTLS, ...devices.map((name) => `net.ipv4.conf.${name}.rp_filter`)];
  const pairs = await Promise.all(
    names.map(async (name) => {
      // A device's name may have a dot of its own: flannel.1.
      const device = devices.find((candidate) => name.includes(`.${candidate}.`));
      const path = (device === undefined ? name : name.replace(device, '\0')).replaceAll('.', '/');
      const text = await readText(join('/proc/sys', path.replace('\0', device ?? '')));
      return text === undefined ? [] : [[name, Number(text)] as const];
    }),
  );
  return Object.fromEntries(pairs.flat());
}

async function subnetEnvFacts(runFolder: string): Promise<Facts['subnetEnv']> {
  const text = await readText(join(runFolder, 'subnet.env'));
  return text === undefined ? undefined : parseSubnetEnv(text);
}

async function etcdFacts(
  flanneld: FlanneldStatus | undefined,
  endpoints: readonly string[],
): Promise<readonly EtcdFacts[]> {
  const asked = endpoints.length > 0 ? endpoints : (flanneld?.etcd.endpoints ?? []);
  return Promise.all(asked.map((endpoint) => askEtcd(endpoint, flanneld?.etcd.tls ?? {})));
}

async function certificateFacts(
  flanneld: FlanneldStatus | undefined,
  bgpd: BgpdStatus | undefined,
): Promise<readonly CertificateFacts[]> {
  const { ca, cert } = flanneld?.etcd.tls ?? {};
  const files = [
    ...[ca, cert].map((path) => ({ daemon: 'flanneld', path })),
    ...[bgpd?.tls?.caFile, bgpd?.tls?.certFile].map((path) => ({ daemon: 'bgpd', path })),
  ];
  return Promise.all(files.flatMap(({ daemon, path }) => (path === undefined ? [] : [readCertificate(daemon, path)])));
}

async function readCertificate(daemon: string, path: string): Promise<CertificateFacts> {
  try {
    const { validFrom, validTo } = new X509Certificate(await readFile(path));
    return { daemon, path, validFrom: new Date(validFrom).toISOString(), validTo: new Date(validTo).toISOString() };
  } catch (error) {
    return { daemon, path, problem: (error as Error).message };
  }
}

async function pathFacts(
  flanneld: FlanneldStatus,
  links: readonly LinkFacts[],
): Promise<readonly PathFacts[] | string> {
  const ping = await textOf('ping', ['-V']);
  if ('problem' in ping) return ping.problem;
  const underlayMtu = links.find(({ name }) => name === flanneld.interface)?.mtuBytes;
  const peers = flanneld.peers.toSorted(byName).slice(0, PATHS_MAX);
  return Promise.all(
    peers.map(async ({ node, publicIP, subnet }) => {
      const host = publicIP ?? '';
      const parsed = parsePrefix(subnet);
      const underlay = [answers(host), answers(host, underlayMtu)] as const;
      // The tunnel device of every node has the first address of its subnet.
      const end = flanneld.device === null || parsed === undefined ? undefined : prefixAddress(parsed);
      const tunnel = end && ([answers(end), answers(end, flanneld.mtu ?? undefined)] as const);
      const [small, full] = await Promise.all(underlay);
      const through = tunnel && (await Promise.all(tunnel));
      return {
        ...{ node, publicIP: host, underlay: small, underlayFull: full },
        ...(through && { tunnel: through[0], tunnelFull: through[1] }),
      };
    }),
  );
}

/** Whether one of a few pings is answered, with packets of `mtuBytes` that nobody may cut up, or small ones. */
async function answers(host: string, mtuBytes?: number): Promise<boolean> {
  const headersBytes = PING_HEADERS_BYTES[host.includes(':') ? 6 : 4];
  const size = mtuBytes === undefined ? [] : ['-M', 'do', '-s', String(mtuBytes - headersBytes)];
  const pace = ['-c', PING_COUNT, '-i', PING_INTERVAL_SECONDS, '-W', PING_TIMEOUT_SECONDS].map(String);
  return 'text' in (await textOf('ping', ['-n', '-q', ...pace, ...size, host]));
}

async function featureFacts(): Promise<Readonly<Record<string, true | string>>> {
  const tried = Object.entries(FEATURES).map(async ([name, words]) => {
    const outcome = await textOf('unshare', ['--net', '--', ...words]);
    return [name, 'text' in outcome ? (true as const) : outcome.problem] as const;
  });
  const tun = access('/dev/net/tun', constants.R_OK | constants.W_OK).then(
    () => true as const,
    (error: Error) => error.message,
  );
  return { ...Object.fromEntries(await Promise.all(tried)), tun: await tun };
}

async function droppingChainFacts(): Promise<readonly string[]> {
  const chains = chainList.safeParse(await jsonOf('nft', ['-j', 'list', 'chains']));
  const dropping = (chains.data?.nftables ?? []).flatMap(({ chain }) =>
    chain?.hook === 'forward' && chain.policy === 'drop' ? [`nft ${chain.family} ${chain.table} ${chain.name}`] : [],
  );
  // The tables of iptables-legacy are not nftables': to ask for one where there is none would make it.
  const legacy = (await readText('/proc/net/ip_tables_names')) ?? '';
  if (!legacy.split('\n').includes('filter')) return dropping;
  const listing = await textOf('iptables-legacy', ['-S', 'FORWARD']);
  const drops = 'text' in listing && listing.text.includes('-P FORWARD DROP');
  return drops ? [...dropping, 'iptables-legacy filter FORWARD'] : dropping;
}

/** Local ports in use, from /proc/net (Linux, net/ipv4/tcp_ipv4.c and udp.c: the second column is ADDRESS:PORT in hex). */
async function boundPortFacts(): Promise<readonly string[]> {
  const tables = await Promise.all(
    ['tcp', 'tcp6', 'udp', 'udp6'].map(async (table) => {
      const lines = ((await readText(`/proc/net/${table}`)) ?? '').trim().split('\n').slice(1);
      return lines.flatMap((line) => {
        const [, local = '', , state] = line.trim().split(/\s+/);
        // 0A is LISTEN (include/net/tcp_states.h).
        if (table.startsWith('tcp') && state !== '0A') return [];
        return [`${table.slice(0, 3)} ${Number.parseInt(local.split(':')[1] ?? '', 16)}`];
      });
    }),
  );
  return [...new Set(tables.flat())];
}

async function jsonOf(program: string, args: readonly string[]): Promise<unknown> {
  const outcome = await textOf(program, args);
  return 'text' in outcome ? JSON.parse(outcome.text || '[]') : undefined;
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}
