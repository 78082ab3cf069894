// felix's settings: the table that is also its --help, and their typed form.
//
// Every flag has a variable FELIX_<FLAG>; see lib/run/settings.ts for who wins.

import { hostname } from 'node:os';
import { join } from 'node:path';
import { TABLE_MAIN } from '../lib/kernel/kernel.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { LOG_LEVELS, type LogLevel } from '../lib/run/log.ts';
import { choice, integer, list, type Program, readSettings, text, toggle } from '../lib/run/settings.ts';
import { RULE_PRIORITY } from './dataplane/reconciler.ts';
import { conflictOf, type FeedClaim, parseFeedClaim } from './desired/feed-classes.ts';

export const PROGRAM: Program = {
  name: 'felix',
  summary: "Makes the kernel's routes agree with the route feed of flanneld or bgpd; the only writer of routes.",
  envPrefix: 'FELIX_',
};

const DAY_SECONDS = 86_400;
/** RTA_TABLE has 32 bits. */
const TABLE_MAX = 0xffff_ffff;

const ROUTE_TABLE = integer(
  TABLE_MAIN,
  1,
  TABLE_MAX,
  '',
  'Number of the routing table for all routes. Another than main (254) gets a rule that leads there, for each family.',
);

/** Every setting: its flag, variable, default and what it takes. */
export const SETTINGS = {
  'node-name': text('', 'Name of this node, for logs and status. Empty: the host name.'),
  'run-dir': text('/run/gingham', 'Folder of the sockets, shared by the daemons of this node.'),
  feed: list(
    'flanneld',
    'flanneld and bgpd, each with classes of routes after a colon where not all are meant: bgpd,flanneld:network',
    'Whose routes to program: flanneld (the leases alone: local, nodes, network) or bgpd (routes exchanged between nodes: local, nodes).',
    parseFeedClaim,
  ),
  'network-unreachable': toggle(
    true,
    'Answer packets to the cluster network that no node has with unreachable, instead of letting them out by another route. The network comes from flanneld.',
  ),
  'route-table': {
    ...ROUTE_TABLE,
    accepts: 'the number of a routing table from 1 to 4294967295, but not 255 (local)',
    parse: (value: string) => (value === '255' ? undefined : ROUTE_TABLE.parse(value)),
  },
  'rule-priority': integer(RULE_PRIORITY, 1, 32_765, '', 'Priority of that rule; main has 32766.'),
  'route-mtu': integer(0, 0, 65_535, 'bytes', 'MTU of the routes to other nodes; 0 for that of the device.'),
  'resync-interval-seconds': integer(
    90,
    1,
    DAY_SECONDS,
    'seconds',
    'How often the whole kernel state is listed and repaired, up to a tenth later; changes that the kernel tells of are repaired at once.',
  ),
  'stale-hold-seconds': integer(
    120,
    0,
    DAY_SECONDS,
    'seconds',
    'How long nothing is deleted while the feed is away or not in sync again. Routes that it has merely not repeated yet stay until it is in sync, however long that takes.',
  ),
  'subnet-file': text(
    '',
    'File in which flanneld tells network, subnet and --ip-masq. Empty: subnet.env in the run folder.',
  ),
  'traffic-rules': choice(
    ['auto', 'on', 'off'],
    'auto',
    'Table inet gingham of nftables: masquerading where flanneld has --ip-masq, forwarding, no spoofing, no tunnel packets from strangers. auto: without nft felix goes on, unless masquerading was asked for; off: removed.',
  ),
  'pod-interfaces': list(
    'cni0',
    'interface names',
    'Behind which pods are, besides those that the CNI plugin has marked; veth* stands for all that begin so.',
    (part) => (/^[^\s/"]{1,14}\*?$/.test(part) ? part : undefined),
  ),
  'status-address': text('127.0.0.1', 'Address of the status server (/healthz, /readyz, /metrics, /status).'),
  'status-port': {
    ...integer(9253, 0, 65_535, '', 'Its port; 0 for any free one.'),
    accepts: 'a port from 0 to 65535',
  },
  'log-level': choice(LOG_LEVELS, 'info', 'Least severe level that is logged.'),
};

export interface FelixConfig {
  readonly node: string;
  readonly runFolder: string;
  /** No class in two of them. */
  readonly feeds: readonly FeedClaim[];
  readonly routeTable: number;
  readonly rulePriority: number;
  /** Absent: that of the device. */
  readonly routeMtuBytes?: number;
  readonly resyncIntervalMs: number;
  readonly staleHoldMs: number;
  readonly subnetFile: string;
  readonly trafficRules: 'auto' | 'on' | 'off';
  readonly podInterfaces: readonly string[];
  readonly statusAddress: string;
  readonly statusPort: number;
  readonly logLevel: LogLevel;
}

/** Reads flags and variables. Throws `ExitError` (usage) on the first that is wrong. */
export function readConfig(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): FelixConfig {
  const values = readSettings(PROGRAM, SETTINGS, argv, env);
  return {
    node: values['node-name'] || hostname(),
    runFolder: values['run-dir'],
    feeds: feedsOf(values.feed, values['network-unreachable']),
    routeTable: values['route-table'],
    rulePriority: values['rule-priority'],
    ...(values['route-mtu'] > 0 && { routeMtuBytes: values['route-mtu'] }),
    resyncIntervalMs: values['resync-interval-seconds'] * 1000,
    staleHoldMs: values['stale-hold-seconds'] * 1000,
    subnetFile: values['subnet-file'] || join(values['run-dir'], 'subnet.env'),
    trafficRules: values['traffic-rules'],
    podInterfaces: values['pod-interfaces'],
    statusAddress: values['status-address'],
    statusPort: values['status-port'],
    logLevel: values['log-level'],
  };
}

/** Throws `ExitError` (usage) where two feeds have one class. */
function feedsOf(claims: readonly FeedClaim[], networkUnreachable: boolean): readonly FeedClaim[] {
  const conflict = conflictOf(claims);
  if (conflict !== undefined) {
    throw new ExitError(
      EXIT.usage,
      `felix: --feed ${conflict}: each class of routes (local, nodes, network) comes from one feed, as in --feed bgpd,flanneld:network`,
    );
  }
  if (networkUnreachable) return claims;
  return claims
    .map(({ feed, classes }) => ({ feed, classes: classes.filter((each) => each !== 'network') }))
    .filter(({ classes }) => classes.length > 0);
}
