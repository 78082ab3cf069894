// What every node must hold once all is quiet, computed from who is alive, who announces what and which sessions stand.
//
// Written apart from bgpd/rib and knowing nothing of it: all nodes tell all their peers their best route, round after round,
// until a round changes nothing. One AS or several, no policy and no MED: what is left of BGP's rules is some of RFC 4271
// section 9, RFC 4456 and RFC 8326. Slow on purpose.

/** A node as the reference sees it; addresses and ids as text. */
export interface ReferenceNode {
  readonly name: string;
  readonly address: string;
  readonly asn: number;
  /** Absent: it does not reflect. */
  readonly clusterId: string | undefined;
  /** It announces all as the last choice. */
  readonly draining: boolean;
  readonly maximumPaths: number;
  readonly prefixes: ReadonlySet<string>;
  /** Names of the nodes with which its session is established, and which of them are its clients. */
  readonly peers: ReadonlySet<string>;
  readonly clients: ReadonlySet<string>;
}

/** What a node was told of a prefix by one peer. The router id of a node is its address. */
export interface Told {
  readonly by: string;
  readonly nextHop: string;
  /** As the node that was told counts it. */
  readonly preference: number;
  readonly originator: string;
  readonly clusters: readonly string[];
  readonly path: readonly number[];
  readonly isInternal: boolean;
  /** Somebody on the way is about to leave. */
  readonly isLeaving: boolean;
}

/** By node, by prefix. */
export interface ReferenceTable {
  /** Addresses of the nodes that packets go to, sorted; `['own']` where they end here. */
  readonly nextHops: readonly string[];
  readonly told: readonly Told[];
}

export type Reference = ReadonlyMap<string, ReadonlyMap<string, ReferenceTable>>;

const PREFERENCE = 100;
const ROUNDS_MAX = 50;

/** Throws where the rounds never end: that the network has no stable answer is a fault of the scenario. */
export function reference(nodes: readonly ReferenceNode[]): Reference {
  const prefixes = [...new Set(nodes.flatMap((node) => [...node.prefixes]))].sort();
  const result = new Map(nodes.map(({ name }) => [name, new Map<string, ReferenceTable>()]));
  for (const prefix of prefixes) {
    const told = settle(nodes, prefix);
    for (const node of nodes) {
      const of = told.get(node.name) ?? [];
      const nextHops = nextHopsOf(node, prefix, of);
      if (nextHops.length > 0) result.get(node.name)?.set(prefix, { nextHops, told: of });
    }
  }
  return result;
}

/** What each node has been told of a prefix when nobody has anything new to say. */
function settle(nodes: readonly ReferenceNode[], prefix: string): ReadonlyMap<string, readonly Told[]> {
  let told = new Map<string, readonly Told[]>();
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const next = new Map<string, readonly Told[]>();
    for (const node of nodes) {
      const heard = nodes.filter(({ name }) => node.peers.has(name)).flatMap((peer) => tell(peer, node, prefix, told));
      next.set(node.name, heard);
    }
    if (JSON.stringify([...next]) === JSON.stringify([...told])) return next;
    told = next;
  }
  throw new Error(`${prefix}: no stable answer`);
}

/** What `from` tells `to`, as `to` takes it: nothing, or one route. */
function tell(
  from: ReferenceNode,
  to: ReferenceNode,
  prefix: string,
  told: ReadonlyMap<string, readonly Told[]>,
): readonly Told[] {
  const [best] = from.prefixes.has(prefix) ? [startAt(from)] : (told.get(from.name) ?? []).toSorted(compare);
  if (best === undefined || best.by === to.name) return [];
  const isLeaving = best.isLeaving || from.draining;
  const common = { by: from.name, nextHop: best.nextHop, isLeaving, isInternal: from.asn === to.asn };
  if (!common.isInternal) {
    const path = [from.asn, ...best.path];
    const preference = isLeaving ? 0 : PREFERENCE;
    return path.includes(to.asn) ? [] : [{ ...common, path, preference, originator: from.address, clusters: [] }];
  }
  const internal = { ...common, path: best.path, preference: from.draining ? 0 : best.preference };
  if (!best.isInternal) return [{ ...internal, originator: from.address, clusters: [] }];
  if (from.clusterId === undefined) return [];
  if (!from.clients.has(best.by) && !from.clients.has(to.name)) return [];
  const clusters = [from.clusterId, ...best.clusters];
  if (best.originator === to.address || clusters.includes(to.clusterId ?? to.address)) return [];
  return [{ ...internal, originator: best.originator, clusters }];
}

/** A route of the node itself. */
function startAt({ address }: ReferenceNode): Told {
  const none = { clusters: [], path: [], isInternal: false, isLeaving: false };
  return { by: '', nextHop: address, preference: PREFERENCE, originator: address, ...none };
}

function nextHopsOf(node: ReferenceNode, prefix: string, told: readonly Told[]): readonly string[] {
  if (node.prefixes.has(prefix)) return ['own'];
  const [best, ...others] = told.toSorted(compare);
  if (best === undefined) return [];
  const equal = [best, ...others.filter((other) => compareBeforeEcmp(best, other) === 0)];
  return [...new Set(equal.map(({ nextHop }) => nextHop))].slice(0, node.maximumPaths).sort();
}

/** RFC 4271 section 9.1.2.2 as far as these routes differ; those that are equal here are used together. */
function compareBeforeEcmp(a: Told, b: Told): number {
  return b.preference - a.preference || a.path.length - b.path.length || Number(a.isInternal) - Number(b.isInternal);
}

/** And the rest of it: originator, cluster list, peer. */
function compare(a: Told, b: Told): number {
  return (
    compareBeforeEcmp(a, b) ||
    byNumber(a.originator, b.originator) ||
    a.clusters.length - b.clusters.length ||
    a.by.localeCompare(b.by)
  );
}

/** Dotted quads. */
function byNumber(a: string, b: string): number {
  const number = (text: string): number => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return number(a) - number(b);
}
