// bgpd's settings: the table that is also its --help, and their typed form.
//
// Names shared with flanneld (etcd, run folder, status) mean the same there; an empty text means "not given".

import { hostname } from 'node:os';
import { type Address, parseAddress } from '../lib/net/address.ts';
import type { EtcdRegistryOptions } from '../lib/registry/etcd-registry.ts';
import { ETCD_SETTINGS, etcdOptions } from '../lib/registry/etcd-settings.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { LOG_LEVELS, type LogLevel } from '../lib/run/log.ts';
import { choice, integer, type Program, readSettings, type Setting, text, toggle } from '../lib/run/settings.ts';
import { BFD_SETTINGS, type BfdSettings, bfdSettings } from './bfd/settings.ts';
import { API_ADDRESS_ACCEPTS, type ApiAddress, parseApiAddress } from './gobgp/api-address.ts';
import { isRouterId } from './mesh/node-record.ts';
import type { RouterId } from './rib/attributes.ts';
import { STALE_TIME_MAX_SECONDS } from './session/exchange-codec.ts';
import type { TlsFiles } from './session/exchange-tls.ts';
import { HOLD_TIME_MAX_SECONDS } from './session/open-check.ts';

export const PROGRAM: Program = {
  name: 'bgpd',
  summary: 'Exchanges routes with the bgpd of every other node and offers the best ones to felix.',
  envPrefix: 'BGPD_',
};

/** 2^32 - 1 is reserved (RFC 7300). */
const ASN_MAX = 0xffff_fffe;

/** Every setting: its flag, variable, default and what it takes. */
export const SETTINGS = {
  'node-name': text('', 'Name of this node, unique in the cluster. Empty: the host name.'),
  'run-dir': text('/run/gingham', 'Folder of the sockets, shared by the daemons of this node.'),
  ...ETCD_SETTINGS,
  'etcd-node-prefix': {
    ...text('/gingham/nodes/', 'Where in etcd the nodes are registered.'),
    accepts: 'a key prefix that begins and ends with /',
    parse: (value: string) => (/^\/(.*\/)?$/.test(value) ? value : undefined),
  },
  config: text(
    '',
    'YAML file of static peers, neighbours by range, groups, policies and routes; read again as it changes.',
  ),
  mesh: toggle(true, 'Register this node and hold a session with every other registered one.'),
  asn: {
    ...integer(
      64_512,
      1,
      ASN_MAX,
      '',
      'AS number of this node; within one AS every node has a session with every other.',
    ),
    accepts: `an AS number from 1 to ${ASN_MAX}`,
  },
  'router-id': optionalAddress(
    'an IPv4 address other than 0.0.0.0',
    'BGP identifier, unique in the cluster. Empty: --address, where that is IPv4.',
    isRouterId,
  ),
  address: optionalAddress(
    'an IP address',
    "Underlay address at which peers reach this node. Empty: the endpoint of the local group in flanneld's feed.",
  ),
  'listen-address': optionalAddress(
    'an IP address',
    'Address to listen on, where it is another than --address (0.0.0.0 for all).',
  ),
  'listen-port': port(1790, 'TCP port for peers; 0 for any free one.'),
  'hold-time-seconds': {
    ...integer(9, 0, HOLD_TIME_MAX_SECONDS, 'seconds', 'Silence after which a peer is dead; 0 for no such limit.'),
    accepts: `0 or a whole number of seconds from 3 to ${HOLD_TIME_MAX_SECONDS}`,
    parse: parseHoldTime,
  },
  'graceful-restart-seconds': integer(
    120,
    0,
    4_095,
    'seconds',
    'How long peers keep the routes of this node while its bgpd is away; 0 turns graceful restart off, both ways.',
  ),
  'long-lived-stale-seconds': integer(
    0,
    0,
    STALE_TIME_MAX_SECONDS,
    'seconds',
    'How much longer peers keep the routes of this node as the very last choice (RFC 9494); 0 for no longer.',
  ),
  'graceful-restart-for': choice(
    ['announced', 'any'],
    'announced',
    'Which ends of a session the routes of a peer outlive: a restart that it announced, or also a crash (RFC 4724).',
  ),
  reflector: toggle(false, 'Reflect routes (RFC 4456): the other nodes then have sessions with reflectors only.'),
  'cluster-id': optionalAddress(
    'an IPv4 address other than 0.0.0.0',
    'Cluster of this reflector, or the one whose reflectors this node uses. Empty: the router id, or any reflector.',
    isRouterId,
  ),
  ...BFD_SETTINGS,
  'maximum-paths': integer(16, 1, 256, 'paths', 'Equal paths of one prefix that are used at once (ECMP); 1 for none.'),
  'sync-wait-seconds': integer(
    5,
    0,
    3_600,
    'seconds',
    'How long after the start to wait for the routes of every known peer before saying that these are all.',
  ),
  'tls-ca-file': text(
    '',
    'PEM file of the authority that signs the certificates of peers. Empty: no TLS between bgpds.',
  ),
  'tls-cert-file': text(
    '',
    "PEM file of this node's certificate: its name is a DNS name in it. Read anew as it changes.",
  ),
  'tls-key-file': text('', 'PEM file of its key.'),
  'gobgp-address': {
    help: 'Where the GoBGP API is served, for the gobgp command: there are no passwords. Empty: nowhere.',
    accepts: API_ADDRESS_ACCEPTS,
    default: '127.0.0.1:50051',
    parse: parseApiAddress,
  },
  'status-address': text('127.0.0.1', 'Address of the status server (/healthz, /readyz, /metrics, /status).'),
  'status-port': port(9252, 'Its port; 0 for any free one.'),
  'log-level': choice(LOG_LEVELS, 'info', 'Least severe level that is logged.'),
};

export interface BgpdConfig {
  readonly node: string;
  readonly runFolder: string;
  readonly etcd: EtcdRegistryOptions;
  readonly nodePrefix: string;
  /** `undefined`: none. */
  readonly configFile: string | undefined;
  readonly mesh: boolean;
  readonly asn: number;
  /** `undefined`: the underlay address. */
  readonly routerId: RouterId | undefined;
  /** `undefined`: as in flanneld's feed. */
  readonly address: Address | undefined;
  /** `undefined`: the underlay address. */
  readonly listenAddress: Address | undefined;
  readonly listenPort: number;
  readonly holdTimeSeconds: number;
  /** 0: no graceful restart. */
  readonly gracefulRestartSeconds: number;
  /** 0: not kept beyond that. */
  readonly longLivedSeconds: number;
  readonly gracefulRestartFor: 'announced' | 'any';
  readonly isReflector: boolean;
  readonly clusterId: RouterId | undefined;
  readonly bfd: BfdSettings;
  readonly maximumPaths: number;
  readonly syncWaitMs: number;
  /** `undefined`: no TLS. */
  readonly tls: TlsFiles | undefined;
  /** `undefined`: off. */
  readonly gobgpAddress: ApiAddress | undefined;
  readonly statusAddress: string;
  readonly statusPort: number;
  readonly logLevel: LogLevel;
}

/** Reads flags and variables. Throws `ExitError` (usage) on the first that is wrong. */
export function readConfig(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): BgpdConfig {
  const values = readSettings(PROGRAM, SETTINGS, argv, env);
  const node = values['node-name'] || hostname();
  if (node.includes('/')) throw new ExitError(EXIT.usage, `bgpd: --node-name ${JSON.stringify(node)} contains a slash`);
  return {
    node,
    runFolder: values['run-dir'],
    etcd: etcdOptions(PROGRAM.name, values),
    nodePrefix: values['etcd-node-prefix'],
    configFile: values.config || undefined,
    mesh: values.mesh,
    asn: values.asn,
    routerId: values['router-id'] || undefined,
    address: values.address || undefined,
    listenAddress: values['listen-address'] || undefined,
    listenPort: values['listen-port'],
    holdTimeSeconds: values['hold-time-seconds'],
    gracefulRestartSeconds: values['graceful-restart-seconds'],
    longLivedSeconds: values['long-lived-stale-seconds'],
    gracefulRestartFor: values['graceful-restart-for'],
    isReflector: values.reflector,
    clusterId: values['cluster-id'] || undefined,
    bfd: bfdSettings(values),
    maximumPaths: values['maximum-paths'],
    syncWaitMs: values['sync-wait-seconds'] * 1000,
    tls: tlsFiles(values['tls-ca-file'], values['tls-cert-file'], values['tls-key-file']),
    gobgpAddress: values['gobgp-address'] ?? undefined,
    statusAddress: values['status-address'],
    statusPort: values['status-port'],
    logLevel: values['log-level'],
  };
}

function tlsFiles(caFile: string, certFile: string, keyFile: string): TlsFiles | undefined {
  const files = [caFile, certFile, keyFile];
  if (files.every((file) => file === '')) return undefined;
  if (files.every((file) => file !== '')) return { caFile, certFile, keyFile };
  throw new ExitError(
    EXIT.usage,
    'bgpd: --tls-ca-file, --tls-cert-file and --tls-key-file go together: give all or none',
  );
}

function port(fallback: number, help: string): Setting<number> {
  return { ...integer(fallback, 0, 65_535, '', help), accepts: 'a port from 0 to 65535' };
}

/** An address, or the empty text for "not given". */
function optionalAddress(
  accepts: string,
  help: string,
  holds: (value: Address) => boolean = () => true,
): Setting<Address | ''> {
  return {
    help,
    accepts,
    default: '',
    parse(value) {
      if (value === '') return '';
      const parsed = parseAddress(value);
      return parsed !== undefined && holds(parsed) ? parsed : undefined;
    },
  };
}

/** RFC 4271 section 4.2: 1 and 2 are not allowed. */
function parseHoldTime(value: string): number | undefined {
  const seconds = Number(value);
  if (!/^\d+$/.test(value) || seconds > HOLD_TIME_MAX_SECONDS || seconds === 1 || seconds === 2) return undefined;
  return seconds;
}
