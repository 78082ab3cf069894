// `gingham peers`: the sessions of this node's bgpd, and why one is down.
//
// The reason is that of the last session's end; for a peer that never had one, that of the last attempt.

import { z } from 'zod';
import { EXIT } from '../lib/run/exit.ts';
import { ageOf, answered, byName, print } from './answer.ts';
import { type BgpdStatus, isEstablished, readBgpd, sessionsOf } from './daemon-status.ts';
import { renderTable } from './table.ts';
import type { Tone } from './tone.ts';

/** What `peers --json` prints. */
export const peersAnswer = z.object({
  node: z.string(),
  draining: z.boolean(),
  established: z.number(),
  peers: z.array(
    z.object({
      node: z.string(),
      address: z.string(),
      asn: z.number(),
      state: z.string(),
      since: z.string(),
      sessions: z.number(),
      routesReceived: z.number(),
      routesAdvertised: z.number(),
      bfd: z.string(),
      /** While there is no session: a word of a fixed vocabulary (bgpd/session/down-reason.ts), and the words for people. */
      down: z.string().optional(),
      whyDown: z.string().optional(),
    }),
  ),
});

type PeersAnswer = z.infer<typeof peersAnswer>;

/** Prints the peers; 0 when every session is established, else 1. Throws `ExitError` where bgpd does not answer. */
export async function showPeers(runFolder: string, json: boolean): Promise<number> {
  const answer = peersOf(answered(await readBgpd(runFolder)));
  print(peersAnswer, answer, json, peersTable);
  return answer.established === answer.peers.length ? EXIT.ok : EXIT.internal;
}

/** One line a peer. */
export function peersTable({ peers }: PeersAnswer): readonly string[] {
  if (peers.length === 0) return ['no peers'];
  const rows = peers.map((peer) => [
    peer.node,
    peer.address,
    peer.state,
    ageOf(peer.since),
    String(peer.routesReceived),
    String(peer.routesAdvertised),
    peer.bfd,
    peer.down === undefined ? (peer.whyDown ?? '-') : `${peer.down}: ${peer.whyDown ?? ''}`,
  ]);
  return renderTable(['PEER', 'ADDRESS', 'STATE', 'SINCE', 'IN', 'OUT', 'BFD', 'WHY DOWN'], rows, toneOf);
}

function peersOf(status: BgpdStatus): PeersAnswer {
  const peers = status.peers.toSorted(byName).map((peer) => {
    const { node, address, asn, state, since, sessions, routesReceived, routesAdvertised } = peer;
    const shown = { node, address, asn, state, since, sessions, routesReceived, routesAdvertised, bfd: peer.bfd.state };
    if (isEstablished(state)) return shown;
    const whyDown = peer.whyDown ?? peer.lastFailure;
    const down = peer.adminDown === true ? 'admin-down' : (peer.down ?? peer.lastAttempt)?.kind;
    return { ...shown, ...(down !== undefined && { down }), ...(whyDown !== undefined && { whyDown }) };
  });
  return {
    node: status.node,
    draining: status.draining ?? false,
    established: sessionsOf(status).up,
    peers,
  };
}

function toneOf(cell: string, column: number): Tone | undefined {
  if (column === 2) return isEstablished(cell) ? 'good' : 'bad';
  return column === 6 && cell === 'Down' ? 'bad' : undefined;
}
