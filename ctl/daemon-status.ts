// What the daemons' /status says, reduced to what the tables of `gingham status` and the lab show.
//
// Every field may be absent (a daemon that is down, or of another version): a table shows `?` there.

import { z } from 'zod';
import { type Prefix, parsePrefix } from '../lib/net/prefix.ts';
import { askDaemon, type DaemonName } from './daemon-http.ts';

/** What stands in a table where a daemon did not say. */
export const UNKNOWN = '?';

export interface PeerCount {
  readonly up: number;
  readonly total: number;
}

/** Another node of the overlay, as flanneld knows it from its lease. */
export interface OverlayPeer {
  readonly node: string;
  readonly subnet: Prefix;
  /** Packets to it have a way. */
  readonly programmed: boolean;
}

const bgpdSchema = z.object({ peers: z.array(z.object({ state: z.string() })) });
const flanneldSchema = z.object({
  peers: z.array(z.object({ node: z.string(), subnet: z.string(), programmed: z.boolean() })),
});

/** The daemon's /status as parsed JSON; a text says why there is none. */
export async function askStatus(runFolder: string, daemon: DaemonName): Promise<Record<string, unknown> | string> {
  const answer = await askDaemon(runFolder, daemon, '/status');
  if (typeof answer === 'string') return answer;
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(answer.body));
  } catch {
    return `${daemon} answered /status with status ${answer.status} and a body that is not a JSON object`;
  }
}

/** bgpd's peers and how many of them have an established session; `undefined` where it does not say. */
export async function readSessions(runFolder: string): Promise<PeerCount | undefined> {
  const parsed = bgpdSchema.safeParse(await askStatus(runFolder, 'bgpd'));
  if (!parsed.success) return undefined;
  const { peers } = parsed.data;
  return { up: peers.filter((peer) => peer.state.toLowerCase() === 'established').length, total: peers.length };
}

/** The other nodes that flanneld knows; a text says why there are none to be had. */
export async function readOverlayPeers(runFolder: string): Promise<readonly OverlayPeer[] | string> {
  const status = await askStatus(runFolder, 'flanneld');
  if (typeof status === 'string') return status;
  const parsed = flanneldSchema.safeParse(status);
  if (!parsed.success) return 'flanneld does not name its peers in /status';
  return parsed.data.peers.flatMap((peer) => {
    const subnet = parsePrefix(peer.subnet);
    return subnet === undefined ? [] : [{ node: peer.node, subnet, programmed: peer.programmed }];
  });
}
