// What bgpd says of itself: readiness checks and /status.
//
// Routes are shown up to a bound: the whole table is asked for elsewhere (route-list.ts), never here.

import type { FeedClientStatus } from '../lib/feed/feed-client.ts';
import type { FeedServerStatus } from '../lib/feed/feed-server.ts';
import type { ReadinessCheck } from '../lib/run/status-server.ts';
import type { GobgpServerStatus } from './gobgp/server.ts';
import type { Node } from './node.ts';
import { bfdOf } from './peering.ts';
import { firstRoutes } from './route-list.ts';
import type { TlsFiles } from './session/exchange-tls.ts';

/** Routes listed in /status. */
const ROUTES_SHOWN = 1_000;

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
    { name: 'underlay-address', ok: node.listenProblem === undefined, detail: node.listenProblem ?? node.address },
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
    nextHops: node.nextHops.status(),
    bfd: node.watch.status ?? { state: 'off' },
    peers: peersStatus(node),
    routes: firstRoutes(node.rib, ROUTES_SHOWN),
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
    const refused = node.speaker.refused.of(name);
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
      longLivedFamilies: node.speaker.longLivedFamilies(name),
      updatesFlawed: refused.flawed,
      ...(refused.lastFlaw !== undefined && { lastFlaw: refused.lastFlaw }),
      updatesLooped: refused.looped,
      bfd: bfdOf(node.peering, record, node.speaker.peers.offersBfd(name))
        ? node.watch.peerStatus(record.address)
        : { state: 'not offered by the peer' },
    };
  });
}

function timeText(unixUs: bigint): string {
  return new Date(Number(unixUs / 1000n)).toISOString();
}
