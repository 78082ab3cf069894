// What must hold: of each change of a table at once, and of everything once the faults are over and time has passed. What
// must hold of the messages of a session is session-rules.ts; what is due comes from reference.ts.
//
//   always    a route leads to a node that announced its prefix at some time, and not for long to one that is dead
//   quiet     sessions: those that are wanted, one connection each      RIBs: candidates and next hops as the reference has
//             tables: as the RIBs, nothing stale                        packets: reach a node that has the prefix, no loop

import { sessionsWanted } from '../../bgpd/mesh/sessions-wanted.ts';
import type { Node } from '../../bgpd/node.ts';
import type { FeedEvent } from '../../lib/feed/feed.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import type { Machine } from './machine.ts';
import { type ReferenceNode, type ReferenceTable, reference } from './reference.ts';
import type { World } from './world.ts';

const HOPS_MAX = 16;
/** What counts where none is given. */
const PREFERENCE = 100;
/** Where a hold time is 0 the channel's PINGs end a session. */
const PING_SECONDS = 16;
/** flanneld lost the way to a node: bgpd and felix have moved the routes after this. */
const WAY_MS = 200;
/** Timers, latency, retransmissions. */
const SLACK_MS = 2_000;
/** Inside one AS a death is told from reflector to reflector to client at most; each may have to find out by itself. */
const REFLECTED_STAGES = 3;

/** A machine on which bgpd runs. */
interface Living {
  readonly machine: Machine;
  readonly node: Node;
}

/** After one change of a machine's table. */
export function checkRoute({ announcers, violated }: World, { record, fib }: Machine, event: FeedEvent): void {
  if (event.type !== 'routes') return;
  for (const prefix of event.prefixes) {
    const known = announcers.get(prefix);
    for (const gateway of gatewaysOf(fib, prefix) ?? []) {
      if (known?.has(gateway) !== true) violated(`${record.name}: ${prefix} leads to ${gateway}, which never had it`);
    }
  }
}

/** At any time: how long a table may lead to where nobody is. */
export function checkDead({ machines, violated, time, lastStallMs }: World): void {
  // Between ASes everybody passes on what everybody says.
  const isOneAs = machines.every(({ config }) => config.asn === machines[0]?.config.asn);
  const reflected = machines.some(({ config }) => config.isReflector) ? REFLECTED_STAGES : 1;
  const stages = isOneAs ? reflected : machines.length;
  const holds = machines.map(({ config }) => config.holdTimeSeconds);
  const detectSeconds = holds.includes(0) ? PING_SECONDS : Math.max(...holds);
  for (const { fib, serves, process, record, config, lostWays } of machines) {
    // A bgpd that is not in sync yet takes nothing from felix; one that stops or does not run cannot.
    if (!serves || process === undefined || !fib.synced) continue;
    const longestMs = stages * (detectSeconds + config.gracefulRestartSeconds) * 1_050 + SLACK_MS;
    for (const [prefix] of fib.routes()) {
      for (const gateway of gatewaysOf(fib, prefix) ?? []) {
        const to = machines.find((each) => each.record.address === gateway);
        if (to === undefined) continue;
        const lostMs = time.nowMs - (lostWays.get(to.record) ?? time.nowMs);
        if (lostMs > WAY_MS && process.stalledUntilMs + WAY_MS < time.nowMs) {
          violated(
            `${record.name}: ${prefix} leads to ${gateway}, to which the way was lost ${Math.round(lostMs)} ms ago`,
          );
        }
        const deadMs = to.node === undefined ? time.nowMs - to.deadSinceMs : 0;
        if (deadMs > longestMs && lastStallMs + longestMs < time.nowMs) {
          violated(`${record.name}: ${prefix} leads to ${gateway}, dead for ${Math.round(deadMs)} ms`);
        }
      }
    }
  }
}

/** When all is over. */
export function checkQuiet(world: World): void {
  const living = world.machines.flatMap((machine): readonly Living[] =>
    machine.node === undefined ? [] : [{ machine, node: machine.node }],
  );
  checkSessions(world, living);
  const expected = reference(living.map(referenceNode));
  for (const each of living) checkTables(world, each, expected.get(each.machine.record.name) ?? new Map());
  for (const { machine } of living) {
    const due = expected.get(machine.record.name);
    for (const prefix of world.prefixes) walk(world, machine, prefix, due?.has(prefix) === true);
  }
}

function checkSessions({ violated, network }: World, living: readonly Living[]): void {
  const records = new Map(
    living.map(({ machine: { config, record }, node }) => [
      record.name,
      {
        ...{ name: record.name, address: record.address, port: 1790, asn: config.asn, routerId: record.address },
        ...(config.isReflector
          ? { reflectorOf: config.clusterId ?? node.routerId }
          : config.clusterId !== undefined && { clientOf: config.clusterId }),
      },
    ]),
  );
  let sessions = 0;
  for (const { machine, node } of living) {
    const { name } = machine.record;
    const peers = establishedPeers(node);
    sessions += peers.size;
    const own = records.get(name);
    const wanted = own === undefined ? [] : [...sessionsWanted(own, records).keys()];
    for (const peer of wanted) if (!peers.has(peer)) violated(`${name}: no session with ${peer}`);
    for (const peer of peers) {
      const other = living.find(({ machine: { record } }) => record.name === peer);
      if (other === undefined) violated(`${name}: a session with ${peer}, which is dead`);
      else if (!establishedPeers(other.node).has(name)) violated(`${name}: ${peer} knows nothing of their session`);
    }
    if (!machine.fib.synced) violated(`${name}: its feed is not in sync: ${node.gate.detail}`);
  }
  const { standing } = network;
  if (2 * standing.length !== sessions) violated(`${standing.length} connections for ${sessions / 2} sessions`);
}

function checkTables(
  { violated, prefixes }: World,
  { machine, node }: Living,
  expected: ReadonlyMap<string, ReferenceTable>,
): void {
  const { name } = machine.record;
  const peers = node.speaker.peers.members.keys();
  for (const peer of peers) {
    const families = node.speaker.staleFamilies(peer);
    if (families.length > 0) violated(`${name}: still waits for routes of ${peer}`);
  }
  for (const prefix of prefixes) {
    const due = expected.get(prefix);
    const dueHops = due?.nextHops.join() ?? 'none';
    const inFib = gatewaysOf(machine.fib, prefix);
    const hops = inFib === undefined ? 'none' : inFib.length === 0 ? 'own' : inFib.toSorted().join();
    if (hops !== dueHops) violated(`${name}: table: ${prefix} by ${hops}, due ${dueHops}`);
    const candidates = candidatesOf(node, prefix).sort().join('; ');
    const dueCandidates = (due?.told ?? []).map(
      ({ by, nextHop, preference, path }) => `${by} ${nextHop} ${preference} [${path.join(' ')}]`,
    );
    const dueText = dueCandidates.sort().join('; ');
    if (candidates !== dueText) violated(`${name}: RIB: ${prefix} has [${candidates}], due [${dueText}]`);
  }
  const extra = [...machine.fib.routes()].filter(([prefix]) => !prefixes.includes(prefix));
  if (extra.length > 0) violated(`${name}: table: ${extra.length} prefixes that nobody has`);
}

/** Follows packets of a machine for a prefix over every path that the tables have. */
function walk({ machines, violated }: World, start: Machine, prefix: Prefix, reachable: boolean): void {
  const has = (machine: Machine): boolean => machine.node !== undefined && machine.prefixes.has(prefix);
  const visit = (at: Machine, way: readonly string[]): void => {
    const line = [...way, at.record.name];
    if (way.length > HOPS_MAX || way.includes(at.record.name)) {
      violated(`loop: ${prefix} by ${line.join(' ')}`);
      return;
    }
    const gateways = gatewaysOf(at.fib, prefix);
    if (gateways === undefined || gateways.length === 0) {
      if (!has(at) && (reachable || way.length > 0)) violated(`blackhole: ${prefix} by ${line.join(' ')}`);
      return;
    }
    for (const gateway of gateways) {
      const next = machines.find(({ record }) => record.address === gateway);
      if (next !== undefined) visit(next, line);
    }
  };
  visit(start, []);
}

function referenceNode({ machine, node }: Living): ReferenceNode {
  const { config, record, prefixes, draining } = machine;
  const peers = establishedPeers(node);
  const clients = [...node.speaker.peers.members].filter(([, { record: peer }]) => peer.client).map(([name]) => name);
  return {
    name: record.name,
    address: record.address,
    asn: config.asn,
    clusterId: config.isReflector ? (config.clusterId ?? record.address) : undefined,
    draining,
    maximumPaths: config.maximumPaths,
    prefixes,
    peers,
    clients: new Set(clients),
  };
}

function establishedPeers(node: Node): ReadonlySet<string> {
  return new Set([...node.speaker.peers.members].filter(([, { peer }]) => peer.established).map(([name]) => name));
}

/** Candidates that peers gave, as text; a stale one says so. */
function candidatesOf(node: Node, prefix: Prefix): string[] {
  const verdicts = node.rib.explain(prefix)?.verdicts ?? [];
  return verdicts
    .filter(({ path }) => path.source.kind !== 'local')
    .map(({ path: { source, attributes } }) => {
      const stale = source.stale ? ' stale' : '';
      return `${source.peer} ${attributes.nextHop} ${attributes.localPref ?? PREFERENCE} [${attributes.asPath.join(' ')}]${stale}`;
    });
}

/** Empty where the packets end here; `undefined` without a route. */
function gatewaysOf(fib: Machine['fib'], prefix: Prefix): readonly Address[] | undefined {
  const id = fib.groupOf(prefix);
  const group = id === undefined ? undefined : fib.groups.get(id);
  return group?.nextHops.flatMap(({ gateway }) => (gateway === undefined ? [] : [gateway]));
}
