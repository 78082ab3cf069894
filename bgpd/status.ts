// What bgpd says of itself: readiness checks and /status.
//
// Routes are shown up to a bound: the whole table is asked for in slices elsewhere, never in one answer.

import type { FeedClientStatus } from '../lib/feed/feed-client.ts';
import type { FeedServerStatus } from '../lib/feed/feed-server.ts';
import type { Prefix } from '../lib/net/prefix.ts';
import type { ReadinessCheck } from '../lib/run/status-server.ts';
import type { GobgpServerStatus } from './gobgp/server.ts';
import type { Node } from './node.ts';
import type { StepName } from './rib/decision.ts';
import type { Rib } from './rib/rib.ts';
import type { TlsFiles } from './session/exchange-tls.ts';

/** Routes listed in /status. */
const ROUTES_SHOWN = 1_000;

/** Routes listed between two turns of the event loop. */
const LIST_SLICE = 1_000;

export interface StatusInput {
  readonly name: string;
  readonly asn: number;
  /** The files with which sessions are protected; `undefined` where they are not. */
  readonly tls: TlsFiles | undefined;
  /** Absent until the address of this node is known. */
  readonly node: Node | undefined;
  readonly flanneld: FeedClientStatus;
  readonly served: FeedServerStatus;
  readonly gobgp: GobgpServerStatus;
}

/** The promises that bgpd makes, held or not. */
export function bgpdChecks({ node, flanneld, served }: StatusInput): readonly ReadinessCheck[] {
  const feedDetail = flanneld.lastError === undefined ? flanneld.state : `${flanneld.state}: ${flanneld.lastError}`;
  const feed = { name: 'flanneld-feed', ok: flanneld.state === 'in-sync', detail: feedDetail };
  if (node === undefined) {
    const detail = "unknown: no --address, and no local group with an endpoint in flanneld's feed yet";
    return [feed, { name: 'underlay-address', ok: false, detail }];
  }
  const { members } = node.speaker.peers;
  const established = [...members.values()].filter(({ peer }) => peer.established).length;
  const served1 = node.gate.opened ? `${served.routes} routes in ${served.groups} groups` : node.gate.detail;
  return [
    feed,
    { name: 'underlay-address', ok: true, detail: node.address },
    ...registryChecks(node),
    { name: 'router-id', ok: node.sameRouterId.length === 0, detail: routerIdDetail(node) },
    {
      name: 'peers',
      ok: node.gate.waitOver || node.speaker.neverEstablished().length === 0,
      detail: `${established} of ${members.size} established`,
    },
    { name: 'route-feed', ok: served.inSync, detail: served1 },
  ];
}

/** The content of /status. */
export function bgpdStatus({ name, asn, tls, node, flanneld, served, gobgp }: StatusInput): unknown {
  const common = { node: name, asn, tls: tls ?? null, flanneldFeed: flanneld, feed: served, gobgp };
  if (node === undefined) return common;
  return {
    ...common,
    draining: node.rib.draining,
    address: node.address,
    port: node.port,
    routerId: node.routerId,
    registry: node.mesh(),
    registration: node.registration(),
    bfd: node.watch.status ?? { state: 'off' },
    peers: peersStatus(node),
    routes: routesStatus(node.rib),
  };
}

function registryChecks(node: Node): readonly ReadinessCheck[] {
  const mesh = node.mesh();
  const registration = node.registration();
  if (mesh === undefined || registration === undefined) return [];
  const detail = mesh.lastError === undefined ? mesh.state : `${mesh.state}: ${mesh.lastError}`;
  return [
    { name: 'etcd', ok: mesh.state !== 'connecting', detail: `${detail}, ${mesh.nodes} nodes` },
    { name: 'registered', ok: registration.registered, detail: registration.detail },
  ];
}

function routerIdDetail(node: Node): string {
  const others = node.sameRouterId;
  return others.length === 0 ? node.routerId : `${node.routerId} is that of ${others.join(', ')} too`;
}

function peersStatus(node: Node): readonly unknown[] {
  return [...node.speaker.peers.members].map(([name, { record, peer }]) => {
    const { sinceUnixUs, lastUpUnixUs, lastDownUnixUs, downSinceUnixUs, ...status } = peer.status();
    const counts = node.rib.counts(name);
    const flaws = node.speaker.flaws(name);
    return {
      node: name,
      address: record.address,
      port: record.port,
      asn: record.asn,
      routerId: record.routerId,
      ...status,
      since: timeText(sinceUnixUs),
      ...(lastUpUnixUs !== undefined && { lastUp: timeText(lastUpUnixUs) }),
      ...(lastDownUnixUs !== undefined && { lastDown: timeText(lastDownUnixUs) }),
      ...(downSinceUnixUs !== undefined && { downSince: timeText(downSinceUnixUs) }),
      adminDown: node.speaker.peers.isDisabled(name),
      routesReceived: counts?.received ?? 0,
      routesAdvertised: counts?.advertised ?? 0,
      staleFamilies: node.speaker.staleFamilies(name),
      updatesFlawed: flaws.count,
      ...(flaws.last !== undefined && { lastFlaw: flaws.last }),
      bfd: node.speaker.peers.offersBfd(name)
        ? node.watch.peerStatus(record.address)
        : { state: 'not offered by the peer' },
    };
  });
}

function timeText(unixUs: bigint): string {
  return new Date(Number(unixUs / 1000n)).toISOString();
}

/** Every route, as in /status. Made in slices: keepalives are sent in between. */
export async function listRoutes(rib: Rib): Promise<readonly unknown[]> {
  const list: unknown[] = [];
  // The prefixes as they are now: the table may change between two slices.
  const prefixes = [...rib.prefixes()];
  for (const [i, prefix] of prefixes.entries()) {
    const entry = routeEntry(rib, prefix);
    if (entry !== undefined) list.push(entry);
    if (i % LIST_SLICE === LIST_SLICE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return list;
}

function routeEntry(rib: Rib, prefix: Prefix): unknown {
  const explanation = rib.explain(prefix);
  if (explanation === undefined) return undefined;
  const { best, multipath } = explanation.decision;
  return {
    prefix,
    best: best === undefined ? null : { from: best.source.peer || 'this node', nextHop: best.attributes.nextHop },
    nextHops: multipath.map((path) => path.attributes.nextHop),
    candidates: explanation.verdicts.length,
    reason: reasonOf(best !== undefined, explanation.decidedBy),
  };
}

function routesStatus(rib: Rib): unknown {
  const shown: unknown[] = [];
  for (const prefix of rib.prefixes()) {
    if (shown.length === ROUTES_SHOWN) break;
    const entry = routeEntry(rib, prefix);
    if (entry !== undefined) shown.push(entry);
  }
  return { count: rib.size, attributeSets: rib.attributeSets, shown: shown.length, list: shown };
}

function reasonOf(hasBest: boolean, decidedBy: StepName | undefined): string {
  if (!hasBest) return 'no next hop is reachable';
  return decidedBy ?? 'only path';
}
