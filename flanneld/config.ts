// flanneld's settings: the table that is also its --help, and their typed form. Names are flannel's where flannel has them.
// A wrong setting ends the program before anything is touched: it is read whole, and checked whole, first.

import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Address, parseAddress } from '../lib/net/address.ts';
import type { EtcdRegistryOptions } from '../lib/registry/etcd-registry.ts';
import { ETCD_SETTINGS, etcdOptions } from '../lib/registry/etcd-settings.ts';
import { LOG_LEVELS, type LogLevel } from '../lib/run/log.ts';
import { choice, integer, list, type Program, readSettings, type Setting, text, toggle } from '../lib/run/settings.ts';
import type { PlaneIoChoice, PlaneTuning } from './dataplane/data-plane.ts';

export const PROGRAM: Program = {
  name: 'flanneld',
  summary: 'Leases a subnet to this node and carries packets between the subnets of all nodes.',
  envPrefix: 'FLANNELD_',
};

/** Every setting: its flag, variable, default and what it takes. */
export const SETTINGS = {
  'node-name': text('', 'Name of this node, unique in the cluster: it keeps its subnet by it. Empty: the host name.'),
  'run-dir': text('/run/gingham', 'Folder of the sockets, shared by the daemons of this node.'),
  ...ETCD_SETTINGS,
  'etcd-prefix': {
    ...text('/coreos.com/network', 'Where in etcd the network config and the leases are.'),
    accepts: 'a key that begins with / and does not end with it',
    parse: (value: string) => (/^\/.*[^/]$/.test(value) ? value : undefined),
  },
  iface: text(
    '',
    'Underlay interface, by name or address; the first of several, comma-separated, that is there. Empty: as below.',
  ),
  'iface-regex': {
    ...list(
      '',
      'regular expressions',
      'Where --iface finds none: the first interface with such a name or address.',
      regex,
    ),
  },
  'iface-can-reach': optionalAddress('Where those find none: the interface by which the kernel reaches this address.'),
  'public-ip': optionalAddress('Address that other nodes send to, where it is not that of the interface (NAT).'),
  'on-conflict': choice(
    ['exit', 'new-subnet'],
    'exit',
    'What to do where another node really holds the subnet of this one.',
  ),
  'release-on-exit': toggle(false, 'When asked to stop: give the lease back and remove the device.'),
  'subnet-file': text('', 'File that tells which subnet was leased. Empty: subnet.env in the run folder.'),
  'ip-masq': toggle(
    false,
    'Record in the subnet file that pods are masqueraded where they leave the cluster network; felix does it.',
  ),
  'subnet-lease-ttl-seconds': integer(
    86_400,
    5,
    31_536_000,
    'seconds',
    'How long the lease of a node that is gone stays.',
  ),
  'subnet-lease-renew-margin': integer(
    60,
    1,
    1_439,
    'minutes',
    'How long before its end the lease is renewed, but not before half of its time.',
  ),
  'vxlan-user': toggle(false, 'Carry vxlan packets in flanneld (TAP) where the kernel has no VXLAN device.'),
  io: choice(['auto', 'tuntap', 'batched'], 'auto', 'How a data plane in flanneld reads and writes packets.'),
  'dataplane-workers': integer(1, 1, 64, 'threads', 'With batched: threads that carry packets; each has a queue.'),
  'dataplane-source-ports': integer(
    0,
    0,
    16,
    'ports',
    'With batched: UDP source ports per thread, of which each inner flow takes one; 0: 8 for vxlan, 1 for udp.',
  ),
  'dataplane-zero-checksum': toggle(
    false,
    'With batched: send UDP over IPv4 without checksum; costs much speed, for it rules out UDP_SEGMENT.',
  ),
  'busy-poll': integer(
    0,
    0,
    1_000_000,
    'microseconds',
    'With batched: how long a thread looks for packets before it sleeps; takes a whole core while there are any.',
  ),
  'routes-from-bgpd': toggle(
    true,
    'Where flanneld carries packets: take from bgpd, once its socket is there, which node has which prefix.',
  ),
  'status-address': text('127.0.0.1', 'Address of the status server (/healthz, /readyz, /metrics, /status).'),
  'status-port': {
    ...integer(9251, 0, 65_535, '', 'Its port; 0 for any free one.'),
    accepts: 'a port from 0 to 65535',
  },
  'log-level': choice(LOG_LEVELS, 'info', 'Least severe level that is logged.'),
};

export interface FlanneldConfig {
  readonly node: string;
  readonly runFolder: string;
  readonly etcd: EtcdRegistryOptions;
  readonly etcdPrefix: string;
  /** Names or addresses, comma-separated; empty for none. */
  readonly iface: string;
  readonly ifaceRegex: readonly RegExp[];
  readonly ifaceCanReach: Address | undefined;
  readonly publicIp: Address | undefined;
  readonly onConflict: 'exit' | 'new-subnet';
  readonly releaseOnExit: boolean;
  readonly subnetFile: string;
  /** Recorded in subnet.env as FLANNEL_IPMASQ; felix obeys it. */
  readonly ipMasq: boolean;
  readonly leaseTtlSeconds: number;
  readonly renewMarginSeconds: number;
  readonly vxlanUser: boolean;
  readonly io: PlaneIoChoice;
  readonly tuning: PlaneTuning;
  readonly routesFromBgpd: boolean;
  readonly statusAddress: string;
  readonly statusPort: number;
  readonly logLevel: LogLevel;
}

/** Reads flags and variables. Throws `ExitError` (usage) on the first that is wrong. */
export function readConfig(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): FlanneldConfig {
  const values = readSettings(PROGRAM, SETTINGS, argv, env);
  return {
    node: values['node-name'] || hostname(),
    runFolder: values['run-dir'],
    etcd: etcdOptions(PROGRAM.name, values),
    etcdPrefix: values['etcd-prefix'],
    iface: values.iface,
    ifaceRegex: values['iface-regex'],
    ifaceCanReach: values['iface-can-reach'] || undefined,
    publicIp: values['public-ip'] || undefined,
    onConflict: values['on-conflict'],
    releaseOnExit: values['release-on-exit'],
    subnetFile: values['subnet-file'] || join(values['run-dir'], 'subnet.env'),
    ipMasq: values['ip-masq'],
    leaseTtlSeconds: values['subnet-lease-ttl-seconds'],
    renewMarginSeconds: values['subnet-lease-renew-margin'] * 60,
    vxlanUser: values['vxlan-user'],
    io: values.io,
    tuning: {
      workers: values['dataplane-workers'],
      sourcePorts: values['dataplane-source-ports'],
      zeroChecksum: values['dataplane-zero-checksum'],
      busyPollUs: values['busy-poll'],
    },
    routesFromBgpd: values['routes-from-bgpd'],
    statusAddress: values['status-address'],
    statusPort: values['status-port'],
    logLevel: values['log-level'],
  };
}

function regex(text: string): RegExp | undefined {
  try {
    return new RegExp(text);
  } catch {
    return undefined;
  }
}

/** An address, or the empty text for "not given". */
function optionalAddress(help: string): Setting<Address | ''> {
  return {
    help,
    accepts: 'an IP address',
    default: '',
    parse: (value) => (value === '' ? '' : parseAddress(value)),
  };
}
