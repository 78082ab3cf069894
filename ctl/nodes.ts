// `gingham nodes`: every node of the overlay as this node sees it: leased subnet, tunnel, session, routes.
//
// What is known comes from this node's flanneld (the leases in etcd, or its memory of them) and bgpd (the sessions). For
// `gingham status --all` each node is also asked over the underlay whether it is ready; it answers where its status is
// served there (--status-address).

import { z } from 'zod';
import { EXIT } from '../lib/run/exit.ts';
import { answered, byName, print } from './answer.ts';
import { askRemote, DAEMONS } from './daemon-http.ts';
import { type BgpdStatus, isEstablished, readBgpd, readFlanneld, UNKNOWN } from './daemon-status.ts';
import { renderTable } from './table.ts';
import { type Tone, yesNoTone } from './tone.ts';

/** What `nodes --json` prints. */
export const nodesAnswer = z.object({
  node: z.string(),
  /** Whether the nodes are as etcd has them now, or as flanneld remembers them. */
  fromEtcd: z.boolean(),
  nodes: z.array(
    z.object({
      node: z.string(),
      publicIP: z.string().nullable(),
      /** null for a node that bgpd knows and that has no lease. */
      subnet: z.string().nullable(),
      tunnel: z.boolean(),
      /** State of the session; null for this node, and where there is no bgpd or it has no such peer. */
      session: z.string().nullable(),
      routes: z.number().nullable(),
      /** For `status --all`: what the node says of itself; a text where it does not answer. */
      ready: z.union([z.boolean(), z.string()]).optional(),
    }),
  ),
});

type NodesAnswer = z.infer<typeof nodesAnswer>;
type NodeLine = NodesAnswer['nodes'][number];

/** Prints the nodes; 1 where a node cannot be reached, its session is down or it says that it is not ready, else 0. */
export async function showNodes(runFolder: string, ask: boolean, json: boolean): Promise<number> {
  const flanneld = answered(await readFlanneld(runFolder));
  const bgpd = await readBgpd(runFolder);
  const { node, subnet, publicIP, etcd, peers } = flanneld;
  const sessions = typeof bgpd === 'string' ? [] : bgpd.peers;
  const own = { node, publicIP, subnet, tunnel: subnet !== null, session: null, routes: null };
  const leased = peers.map((peer) => ({
    ...{ node: peer.node, publicIP: peer.publicIP, subnet: peer.subnet, tunnel: peer.programmed },
    ...sessionOf(sessions, peer.node),
  }));
  const known = new Set([node, ...leased.map((line) => line.node)]);
  const unleased = sessions
    .filter((peer) => !known.has(peer.node))
    .map((peer) => ({
      node: peer.node,
      publicIP: peer.address,
      subnet: null,
      tunnel: false,
      ...sessionOf(sessions, peer.node),
    }));
  const nodes: NodeLine[] = [own, ...leased, ...unleased].sort(byName);
  const asked = ask ? await Promise.all(nodes.map(askNode)) : nodes;
  print(nodesAnswer, { node, fromEtcd: etcd.connected, nodes: asked }, json, nodesTable);
  return asked.every((line) => isWell(line, node)) ? EXIT.ok : EXIT.internal;
}

/** One line a node. */
export function nodesTable({ nodes, fromEtcd, node: self }: NodesAnswer): readonly string[] {
  const isAsked = nodes.some(({ ready }) => ready !== undefined);
  const rows = nodes.map(({ node, publicIP, subnet, tunnel, session, routes, ready }) => [
    node,
    publicIP ?? UNKNOWN,
    subnet ?? 'no lease',
    tunnel ? 'yes' : 'no',
    node === self ? 'this node' : (session ?? '-'),
    routes === null ? '-' : String(routes),
    ...(isAsked ? [ready === true ? 'yes' : ready === false ? 'no' : (ready ?? UNKNOWN)] : []),
  ]);
  const header = ['NODE', 'UNDERLAY', 'SUBNET', 'REACHED', 'SESSION', 'ROUTES', ...(isAsked ? ['READY'] : [])];
  return [...renderTable(header, rows, toneOf), ...(fromEtcd ? [] : ['', 'from memory: etcd does not answer'])];
}

function sessionOf(
  peers: BgpdStatus['peers'],
  node: string,
): { readonly session: string | null; readonly routes: number | null } {
  const peer = peers.find((candidate) => candidate.node === node);
  return { session: peer?.state ?? null, routes: peer?.routesReceived ?? null };
}

async function askNode(line: NodeLine): Promise<NodeLine> {
  const { publicIP } = line;
  if (publicIP === null) return line;
  const answers = await Promise.all(DAEMONS.map((daemon) => askRemote(publicIP, daemon)));
  const told = answers.filter((answer) => typeof answer !== 'string');
  if (told.length === 0) return { ...line, ready: answers.filter((answer) => typeof answer === 'string')[0] };
  return { ...line, ready: told.every(({ ready }) => ready) };
}

function isWell({ node, tunnel, session, ready }: NodeLine, self: string): boolean {
  if (ready === false || !tunnel) return false;
  return node === self || session === null || isEstablished(session);
}

function toneOf(cell: string, column: number): Tone | undefined {
  if (column === 4) return isEstablished(cell) ? 'good' : ['-', 'this node'].includes(cell) ? undefined : 'bad';
  return yesNoTone(cell);
}
