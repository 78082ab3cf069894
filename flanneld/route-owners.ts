// Who has each prefix that felix may route into a device of ours, from bgpd's RouteFeed: what the leases do not say.
//
// A TUN (`udp`, `ipip`) shows the data plane a packet and not the route that brought it there, so that the plane needs a
// table of its own; and every plane asks whether an inner source belongs to the node that sent the packet. In routed mode
// that table is bgpd's Loc-RIB: watched here as felix watches it, and by the same rules, so that nothing is routed into
// the device that has no owner. Without bgpd (flannel mode) its socket is not there, and the leases are all there is.
//
// The confusing thing: a route to several nodes names none. Its next hops do: their gateways are the first addresses of
// the nodes' subnets (tunnelHop), or underlay addresses where DirectRouting is on.

import { stat } from 'node:fs/promises';
import type { FeedGroup } from '../lib/feed/feed.ts';
import { type FeedClient, watchFeed } from '../lib/feed/feed-client.ts';
import { feedSocketPath } from '../lib/feed/feed-server.ts';
import { type FeedChange, FeedView } from '../lib/feed/feed-view.ts';
import type { Address } from '../lib/net/address.ts';
import { type Prefix, prefixAddress } from '../lib/net/prefix.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';
import type { PeerState } from './backend/backend.ts';
import type { PlaneRoute } from './dataplane/data-plane.ts';
import { leaseSubnets } from './lease/lease.ts';

/** Between two looks for bgpd's socket until it is there once. */
const LOOK_MS = 1_000;
/** Changes of leases are gathered for so long: each of thousands would otherwise look at all the others. */
const GATHER_MS = 50;

export interface RouteOwnersOptions {
  readonly runFolder: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly peers: () => readonly PeerState[];
  readonly setRoutes: (routes: readonly PlaneRoute[]) => void;
}

/** For `/status`. */
export interface RouteOwnersStatus {
  /** `absent`: bgpd has not been seen on this node. */
  readonly state: 'absent' | 'connecting' | 'syncing' | 'in-sync' | 'stale';
  readonly prefixes: number;
}

export class RouteOwners {
  readonly #options: RouteOwnersOptions;
  readonly #view = new FeedView();
  /** By gateway, as the leases had it when they were last looked at; absent where they may have changed since. */
  #gateways: ReadonlyMap<Address, Address> | undefined;
  #gathering = false;
  #client: FeedClient | undefined;
  #closed = false;
  #cancelTimer: () => void = () => undefined;
  #cancelGathering: () => void = () => undefined;

  /** Begins at once. */
  constructor(options: RouteOwnersOptions) {
    this.#options = options;
    void this.#look();
  }

  status(): RouteOwnersStatus {
    return { state: this.#client?.status().state ?? 'absent', prefixes: this.#view.routeCount };
  }

  /** Leases may have changed: routes to several nodes may lead elsewhere now. */
  refresh(): void {
    this.#gateways = undefined;
    if (this.#gathering || this.#closed) return;
    this.#gathering = true;
    this.#cancelGathering = this.#options.clock.after(GATHER_MS, () => {
      this.#gathering = false;
      const several = [...this.#view.groups.values()].filter(({ endpoint }) => endpoint === undefined);
      this.#tell(several.flatMap(({ id }) => [...this.#view.prefixesOf(id)]));
    });
  }

  /** Ends it; what the plane was told stays. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#cancelGathering();
    this.#client?.close();
  }

  async #look(): Promise<void> {
    const { runFolder, clock, log } = this.#options;
    const socketPath = feedSocketPath(runFolder, 'bgpd');
    const isThere = await stat(socketPath).then(
      () => true,
      () => false,
    );
    if (this.#closed) return;
    if (!isThere) {
      this.#cancelTimer = clock.after(LOOK_MS, () => void this.#look());
      return;
    }
    const view = this.#view;
    const onChange = (change: FeedChange): void => this.#follow(change);
    const onState = (state: string): void => log.info({ state, prefixes: view.routeCount }, "bgpd's feed");
    this.#client = watchFeed({ socketPath, watcher: 'flanneld', view, log, clock, onChange, onState });
  }

  #follow({ groups, prefixes }: FeedChange): void {
    const touched = groups.flatMap((id) => [...this.#view.prefixesOf(id)]);
    this.#tell(touched.length === 0 ? prefixes : new Set([...prefixes, ...touched]));
  }

  #tell(prefixes: Iterable<Prefix>): void {
    const routes = [...prefixes].map((prefix) => ({ prefix, endpoints: this.#endpointsOf(prefix) }));
    if (routes.length > 0) this.#options.setRoutes(routes);
  }

  #endpointsOf(prefix: Prefix): readonly Address[] {
    const id = this.#view.groupOf(prefix);
    const group = id === undefined ? undefined : this.#view.groups.get(id);
    if (group === undefined) return [];
    this.#gateways ??= gatewaysOf(this.#options.peers());
    return endpointsOf(group, this.#gateways);
  }
}

/** Underlay addresses of the nodes that a group leads to; none for one that leads to this node or nowhere. */
export function endpointsOf(
  { kind, local, endpoint, nextHops }: FeedGroup,
  gateways: ReadonlyMap<Address, Address>,
): readonly Address[] {
  if (local || kind !== 'unicast') return [];
  if (endpoint !== undefined) return [endpoint];
  const found = nextHops.map(({ gateway }) => (gateway === undefined ? undefined : gateways.get(gateway)));
  return found.filter((address) => address !== undefined);
}

/** What the gateways of this node's tunnel routes mean: the underlay address of the peer behind each. */
export function gatewaysOf(peers: readonly PeerState[]): ReadonlyMap<Address, Address> {
  const gateways = new Map<Address, Address>();
  for (const { lease, endpoint } of peers) {
    if (endpoint === undefined) continue;
    gateways.set(endpoint, endpoint);
    for (const subnet of leaseSubnets(lease)) gateways.set(prefixAddress(subnet), endpoint);
  }
  return gateways;
}
