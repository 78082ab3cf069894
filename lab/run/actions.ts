// What each step of a scenario does to a cluster, by the few calls that every driver has.
//
// Traffic is dropped by a table of nftables of the lab's own in the node's namespace; only the underlay's interfaces are
// looked at, so that a node that is silent to the others still speaks to its own pod.

import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { ETCD_PREFIX, OVERLAY } from '../topology.ts';
import type { ClusterDriver, ClusterNode } from './cluster-driver.ts';
import { etcdAll, etcdLeader, restoreEtcd, snapshotEtcd, wipeEtcd } from './etcd-actions.ts';
import type { LinkImpairer } from './link-impairer.ts';
import type { ActionArguments, ActionName } from './scenario-spec.ts';
import { waitHealthy, waitRoutes } from './waiting.ts';

const TABLE = 'ghlab';
const UNDERLAY = ['eth0', 'to-*'];
const DAEMONS = ['felix', 'bgpd', 'flanneld'] as const;

/** `ip route flush` gives up at the first route of a nexthop object that went with another one. */
const FLUSH_ROUTES =
  'ip -4 route show proto 71 | awk \'{print $1 == "blackhole" ? $1 " " $2 : $1}\' | while read -r route; do ip route del $route proto 71; done';

/** What steps may remember for later ones of the same run. */
export interface ActionContext {
  readonly driver: ClusterDriver;
  readonly impairer: LinkImpairer;
  /** Nodes as they were when the run began: addresses change. */
  readonly nodes: readonly ClusterNode[];
  /** Processes that the run keeps busy; ended with it. */
  readonly burners: { kill(): unknown }[];
  readonly signal: AbortSignal;
  readonly pause: (ms: number) => Promise<void>;
}

type Action<K extends ActionName> = (argument: ActionArguments[K], context: ActionContext) => Promise<unknown>;

export const ACTIONS: { readonly [K in ActionName]: Action<K> } = {
  kill: (name, context) => eachProcess(name, context, (each) => context.driver.signal(each, 'SIGKILL')),
  term: (name, context) => eachProcess(name, context, (each) => context.driver.signal(each, 'SIGTERM')),
  stop: (name, context) => eachProcess(name, context, (each) => context.driver.signal(each, 'SIGSTOP')),
  continue: (name, context) => eachProcess(name, context, (each) => context.driver.signal(each, 'SIGCONT')),
  start: (name, context) => eachProcess(name, context, (each) => context.driver.start(each)),
  restart: (name, context) =>
    eachProcess(name, context, async (each) => {
      await context.driver.signal(each, 'SIGTERM');
      await context.driver.start(each);
    }),
  config: async ({ process, flags }, { driver }) => {
    await driver.signal(process, 'SIGTERM');
    await driver.start(process, flags);
  },
  'power-off': async (node, { driver }) => {
    await setCables(driver, node, false);
    await Promise.all(DAEMONS.map((daemon) => signalIfThere(driver, `${node}/${daemon}`, 'SIGKILL')));
  },
  'power-on': async (node, { driver }) => {
    await setCables(driver, node, true);
    await startNode(driver, node);
  },
  'remove-node': async (node, context) => {
    for (const daemon of ['bgpd', 'felix', 'flanneld'])
      await signalIfThere(context.driver, `${node}/${daemon}`, 'SIGTERM');
    await revokeLease(node, context);
  },
  'add-node': (node, { driver }) => startNode(driver, node),
  drop: (node, { driver }) =>
    nft(driver, node, [
      ...UNDERLAY.map((name) => rule('in', `iifname "${name}"`)),
      ...UNDERLAY.map((name) => rule('out', `oifname "${name}"`)),
    ]),
  'drop-one-way': ({ from, to }, context) =>
    nft(context.driver, to, [rule('in', `ip saddr ${addressOf(from, context)}`)]),
  partition: async (sets, context) => {
    for (const set of sets) {
      const strangers = sets.filter((other) => other !== set).flat();
      const rules = strangers.map((name) => rule('in', `ip saddr ${addressOf(name, context)}`));
      await Promise.all(set.map((node) => nft(context.driver, node, rules)));
    }
  },
  heal: (_all, { driver, nodes }) => Promise.all(nodes.map(({ name }) => healNode(driver, name))),
  'link-down': (link, { driver }) => driver.setLink(link, false),
  'link-up': (link, { driver }) => driver.setLink(link, true),
  flap: async ({ link, times, down, up }, { driver, pause }) => {
    for (let i = 0; i < times; i++) {
      await driver.setLink(link, false);
      await pause(down);
      await driver.setLink(link, true);
      if (i < times - 1) await pause(up);
    }
  },
  impair: ({ link, ...impairment }, { impairer }) => impairer.impair(link, impairment),
  unimpair: (link, { impairer }) => impairer.unimpair(link),
  drain: (node, { driver }) => post(driver, node, '/drain'),
  undrain: (node, { driver }) => post(driver, node, '/undrain'),
  'etcd-snapshot': (_all, { driver }) => snapshotEtcd(driver),
  'etcd-restore': (_all, { driver }) => restoreEtcd(driver),
  'etcd-wipe': (_all, { driver }) => wipeEtcd(driver),
  address: ({ node, to }, { driver }) =>
    driver.run(node, [
      'sh',
      '-c',
      `ip address add ${to}/24 dev eth0 && ip address delete $(ip -4 -o address show dev eth0 primary | grep -o 'inet [0-9./]*' | cut -d' ' -f2) dev eth0; ip address add ${to}/24 dev eth0 2>/dev/null; ip route replace default via ${to.replace(/\d+$/, '1')} dev eth0`,
    ]),
  'lease-revoke': (node, context) => revokeLease(node, context),
  'device-delete': (node, context) => context.driver.run(node, ['ip', 'link', 'delete', deviceOf(node, context)]),
  'route-flush': (node, { driver }) => driver.run(node, ['sh', '-c', FLUSH_ROUTES]),
  burn: async ({ cpus, for: forMs }, { driver, burners, pause, nodes }) => {
    const place = nodes[0]?.name ?? '';
    const program = [driver.facts.nodeBinary, '-e', 'for (;;) Math.random()'];
    const started = Array.from({ length: cpus }, () => driver.spawn(place, program));
    burners.push(...started);
    await pause(forMs);
    for (const burner of started) burner.kill('SIGKILL');
  },
  routes: ({ to, are, within }, context) => waitRoutes(context, to, are === 'there', within),
  healthy: ({ within }, { driver, signal }) => waitHealthy(driver, within, signal),
};

/** Takes away what steps may have left: dropped traffic, unplugged cables, stopped or absent processes. */
export async function mendAll(context: ActionContext): Promise<void> {
  const { driver, impairer, nodes, burners } = context;
  for (const burner of burners) burner.kill();
  await impairer.unimpairAll();
  for (const { name } of driver.facts.picture.links) await driver.setLink(name, true);
  for (const member of driver.facts.etcdMembers) {
    await signalIfThere(driver, member, 'SIGCONT');
    await driver.start(member);
  }
  await Promise.all(
    nodes.map(async ({ name, daemons }) => {
      await healNode(driver, name);
      for (const daemon of daemons) await signalIfThere(driver, `${name}/${daemon}`, 'SIGCONT');
      await startNode(driver, name);
    }),
  );
}

async function eachProcess(
  name: string,
  { driver }: ActionContext,
  work: (name: string) => Promise<void>,
): Promise<void> {
  const names = name === 'etcd-all' ? etcdAll(driver) : name === 'etcd-leader' ? [await etcdLeader(driver)] : [name];
  await Promise.all(names.map(work));
}

async function startNode(driver: ClusterDriver, node: string): Promise<void> {
  const daemons = (await driver.nodes()).find(({ name }) => name === node)?.daemons ?? [];
  for (const daemon of daemons) await driver.start(`${node}/${daemon}`);
}

async function setCables(driver: ClusterDriver, node: string, up: boolean): Promise<void> {
  for (const { name, ends } of driver.facts.picture.links) if (ends.includes(node)) await driver.setLink(name, up);
}

async function signalIfThere(driver: ClusterDriver, process: string, signal: NodeJS.Signals): Promise<void> {
  // A process that has ended already is as it is wanted.
  await driver.signal(process, signal).catch(() => undefined);
}

function rule(chain: 'in' | 'out', match: string): string {
  return `add rule inet ${TABLE} ${chain} ${match} counter drop`;
}

async function nft(driver: ClusterDriver, node: string, rules: readonly string[]): Promise<void> {
  const lines = [
    `add table inet ${TABLE}`,
    `add chain inet ${TABLE} in { type filter hook prerouting priority -400; }`,
    `add chain inet ${TABLE} out { type filter hook postrouting priority 400; }`,
    ...rules,
  ];
  await driver.run(node, ['nft', '-f', '-'], `${lines.join('\n')}\n`);
}

async function healNode(driver: ClusterDriver, node: string): Promise<void> {
  // add before delete: a table that is not there cannot be deleted.
  await driver.run(node, ['nft', '-f', '-'], `add table inet ${TABLE}\ndelete table inet ${TABLE}\n`);
}

async function post(driver: ClusterDriver, node: string, path: string): Promise<void> {
  const answer = await driver.ask(node, 'bgpd', path, 'POST');
  if (typeof answer === 'string') throw new ExitError(EXIT.internal, `lab: ${answer}`);
}

async function revokeLease(node: string, { driver, nodes }: ActionContext): Promise<void> {
  const pod = nodes.find(({ name }) => name === node)?.pod;
  if (pod === undefined) throw new ExitError(EXIT.internal, `lab: ${node} has no lease to revoke`);
  const key = `${ETCD_PREFIX}/subnets/${pod.replace(/\d+$/, '0')}-${OVERLAY.subnetLength}`;
  const [member = ''] = driver.facts.etcdMembers;
  await driver.run(member, ['etcdctl', `--endpoints=${driver.facts.etcdEndpoints.join(',')}`, 'del', key]);
}

function addressOf(node: string, { nodes }: ActionContext): string {
  const found = nodes.find(({ name }) => name === node);
  if (found === undefined) throw new ExitError(EXIT.config, `lab: this topology has no ${node}`);
  return found.address;
}

function deviceOf(node: string, { nodes }: ActionContext): string {
  const device = nodes.find(({ name }) => name === node)?.tunnelDevice;
  if (device === undefined) throw new ExitError(EXIT.config, `lab: ${node} has no tunnel device`);
  return device;
}
