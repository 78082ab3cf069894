// What the daemons' /status says, reduced to what the commands and the lab show.
//
// A daemon that is down, or of a version that does not say one of these things, gives a text that says so: nothing is
// made up where nothing is known.

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

const counts = z.record(z.string(), z.number());

/** What flanneld's /status says, as far as it is shown. */
export const flanneldStatusSchema = z.object({
  node: z.string(),
  waitingFor: z.string().optional(),
  subnet: z.string().nullable(),
  subnet6: z.string().optional(),
  backend: z.string().nullable(),
  device: z.string().nullable(),
  mtu: z.number().nullable(),
  publicIP: z.string().nullable(),
  interface: z.string().nullable(),
  lease: z
    .object({
      key: z.string().optional(),
      secondsLeft: z.number().nullable().optional(),
      takenFrom: z.string().optional(),
    })
    .nullish(),
  config: z.object({ fault: z.string().nullable(), needsRestart: z.array(z.string()) }),
  etcd: z.object({
    connected: z.boolean(),
    endpoints: z.array(z.string()),
    tls: z.object({ ca: z.string().optional(), cert: z.string().optional(), key: z.string().optional() }),
    since: z.string().optional(),
    reason: z.string().optional(),
  }),
  malformedLeases: z.number(),
  peers: z.array(
    z.object({
      node: z.string(),
      subnet: z.string(),
      subnet6: z.string().optional(),
      publicIP: z.string().nullable(),
      programmed: z.boolean(),
      via: z.array(z.string()),
      refused: z.string().optional(),
    }),
  ),
  deviceCounters: counts.nullable(),
  drops: counts.nullable(),
});

/** What bgpd's /status says, as far as it is shown; the address is missing until the node's own is known. */
export const bgpdStatusSchema = z.object({
  node: z.string(),
  asn: z.number(),
  address: z.string().optional(),
  routerId: z.string().optional(),
  tls: z.object({ caFile: z.string(), certFile: z.string(), keyFile: z.string() }).nullish(),
  draining: z.boolean().optional(),
  peers: z
    .array(
      z.object({
        node: z.string(),
        address: z.string(),
        asn: z.number(),
        state: z.string(),
        since: z.string(),
        sessions: z.number(),
        adminDown: z.boolean().optional(),
        down: z.object({ kind: z.string(), by: z.string().optional(), text: z.string().optional() }).optional(),
        lastAttempt: z.object({ kind: z.string(), text: z.string().optional() }).optional(),
        whyDown: z.string().optional(),
        lastFailure: z.string().optional(),
        routesReceived: z.number(),
        routesAdvertised: z.number(),
        updatesFlawed: z.number().optional(),
        bfd: z.object({ state: z.string() }),
      }),
    )
    .default([]),
});

/** What felix's /status says, as far as it is shown. */
export const felixStatusSchema = z.object({
  node: z.string(),
  mode: z.string(),
  routes: z.object({
    wanted: z.number(),
    programmed: z.number(),
    waiting: z.number(),
    blocked: z.number(),
    refused: z.number(),
    pending: z.number(),
  }),
});

export type FlanneldStatus = z.infer<typeof flanneldStatusSchema>;
export type BgpdStatus = z.infer<typeof bgpdStatusSchema>;
export type FelixStatus = z.infer<typeof felixStatusSchema>;

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

/** What flanneld says of itself and of the leases; a text says why that is not known. */
export function readFlanneld(runFolder: string): Promise<FlanneldStatus | string> {
  return readStatus(runFolder, 'flanneld', flanneldStatusSchema);
}

/** What bgpd says of itself and of its peers; a text says why that is not known. */
export function readBgpd(runFolder: string): Promise<BgpdStatus | string> {
  return readStatus(runFolder, 'bgpd', bgpdStatusSchema);
}

/** What felix says of the routes; a text says why that is not known. */
export function readFelix(runFolder: string): Promise<FelixStatus | string> {
  return readStatus(runFolder, 'felix', felixStatusSchema);
}

/** bgpd's peers and how many of them have an established session; `undefined` where it does not say. */
export async function readSessions(runFolder: string): Promise<PeerCount | undefined> {
  const status = await readBgpd(runFolder);
  return typeof status === 'string' ? undefined : sessionsOf(status);
}

/** bgpd's peers, and how many of them have an established session. */
export function sessionsOf({ peers }: BgpdStatus): PeerCount {
  return { up: peers.filter(({ state }) => isEstablished(state)).length, total: peers.length };
}

/** Whether this is the state in which routes are exchanged (RFC 4271 section 8.2.2). */
export function isEstablished(state: string): boolean {
  return state.toLowerCase() === 'established';
}

/** The other nodes that flanneld knows; a text says why there are none to be had. */
export async function readOverlayPeers(runFolder: string): Promise<readonly OverlayPeer[] | string> {
  const status = await readFlanneld(runFolder);
  if (typeof status === 'string') return status;
  return status.peers.flatMap((peer) => {
    const subnet = parsePrefix(peer.subnet);
    return subnet === undefined ? [] : [{ node: peer.node, subnet, programmed: peer.programmed }];
  });
}

async function readStatus<T>(runFolder: string, daemon: DaemonName, schema: z.ZodType<T>): Promise<T | string> {
  const status = await askStatus(runFolder, daemon);
  if (typeof status === 'string') return status;
  const parsed = schema.safeParse(status);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return `${daemon}'s /status is of another version: ${issue?.path.join('.')}: ${issue?.message}`;
}
