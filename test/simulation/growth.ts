// How messages, bytes and time grow with the size of a fabric: all nodes start, one client dies, one reflector dies.
//
// After each of the three everything is compared with what is due; a fabric that is wrong has no row but an error.

import { Fabric, type FabricOptions } from './fabric.ts';
import type { FabricNode } from './fabric-node.ts';

export interface GrowthRow {
  readonly nodes: number;
  /** 0: full mesh. */
  readonly reflectors: number;
  readonly event: 'start' | 'node dies' | 'reflector dies';
  /** Sent, keepalives included. */
  readonly messages: number;
  readonly updates: number;
  readonly bytes: number;
  /** From the event to the last message that said anything new. */
  readonly virtual_ms: number;
  readonly wall_s: number;
  /** Most so far of the whole process that simulates. */
  readonly rss_mb: number;
  /** Nodes whose RIB and table were run and compared; of the others, what they were told. */
  readonly checked: number;
}

/** Runs one size; each row as it is done. Throws where anything is not as it is due. */
export function* runGrowth(options: FabricOptions): Generator<GrowthRow> {
  const { nodes, reflectors } = options;
  const fabric = new Fabric(options);
  const measured = (event: GrowthRow['event'], run: () => number): GrowthRow => {
    fabric.resetTraffic();
    const startedMs = performance.now();
    const virtualMs = run();
    const wallMs = performance.now() - startedMs;
    checkFabric(fabric);
    return {
      ...{ nodes, reflectors, event, ...fabric.traffic },
      virtual_ms: Number(virtualMs.toFixed(1)),
      wall_s: Number((wallMs / 1_000).toFixed(2)),
      rss_mb: Math.round(fabric.peakBytes / 2 ** 20),
      checked: fabric.nodes.filter(({ place }) => place.isChecked).length,
    };
  };
  yield measured('start', () => fabric.start());
  const victim = fabric.nodes.findLast(({ place, alive }) => alive && (reflectors === 0 || !place.isChecked));
  const client = victim ?? fabric.nodes.findLast(({ place }) => !place.isReflector);
  if (client !== undefined) yield measured('node dies', () => fabric.kill(client));
  const [first] = fabric.nodes;
  if (reflectors > 1 && first !== undefined) yield measured('reflector dies', () => fabric.kill(first));
}

export function growthText(rows: readonly GrowthRow[]): string {
  const line = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(16)).join('');
  const [first] = rows;
  if (first === undefined) return '';
  const head = rows.length > 1 ? [line(Object.keys(first))] : [];
  return [...head, ...rows.map((row) => line(Object.values(row)))].join('\n');
}

/** Every prefix has one node, so what is due is short: each living node's prefix, by way of that node, from every peer. */
export function checkFabric({ nodes, options: { reflectors } }: Fabric): void {
  const living = nodes.filter(({ alive }) => alive);
  const reflecting = living.filter(({ place }) => place.isReflector);
  for (const node of living) {
    const peers = reflectors === 0 || node.place.isReflector ? living.length - 1 : reflecting.length;
    due(node, 'sessions', node.sessions, peers);
    if (node.place.isChecked) checkTable(node, nodes, reflectors === 0 ? 1 : reflecting.length);
    else checkList(node, nodes, reflecting);
  }
}

function checkTable(node: FabricNode, nodes: readonly FabricNode[], copies: number): void {
  const { table, name } = node;
  for (const other of nodes) {
    const id = table.groupOf(other.prefix);
    const group = id === undefined ? undefined : table.groups.get(id);
    const isOwn = other === node;
    const hops = group?.nextHops.map(({ gateway }) => gateway).join() ?? 'none';
    due(node, `way to ${other.name}`, hops, !other.alive ? 'none' : isOwn ? '' : other.address);
    // A reflector's own route is told to another reflector by that one alone: they are not each other's clients.
    const told = node.place.isReflector && other.place.isReflector ? 1 : copies;
    due(node, `candidates for ${other.name}`, node.candidates(other.prefix), !other.alive || isOwn ? 0 : told);
  }
  if (table.routeCount !== nodes.filter(({ alive }) => alive).length)
    throw new Error(`${name}: routes that nobody has`);
}

function checkList(
  { checklist, place, name }: FabricNode,
  nodes: readonly FabricNode[],
  reflecting: readonly FabricNode[],
): void {
  const isDue = (number: number): boolean => number !== place.number && nodes[number]?.alive === true;
  for (const reflector of reflecting) {
    if (!checklist.has(reflector.place.number, isDue)) throw new Error(`${name}: not what ${reflector.name} must tell`);
  }
  if (checklist.wrong > 0) throw new Error(`${name}: ${checklist.wrong} announcements of others' prefixes`);
}

function due(node: FabricNode, what: string, is: unknown, should: unknown): void {
  if (is !== should) throw new Error(`${node.name}: ${what}: ${String(is)}, due ${String(should)}`);
}
