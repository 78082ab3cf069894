// Routes of the underlay where it has cables: shortest paths from every machine to every network and loopback. Pure.
//
// Equal paths are used side by side. A node is never a way to somewhere else. The lab knows which cables are plugged: it
// is its own routing protocol, which converges at once and is not what is under test.

import { type Prefix, prefix } from '../lib/net/prefix.ts';
import { type Cable, type CableEnd, isCabled, type Topology } from './topology.ts';

/** rtm_protocol of these routes, so that they can be told from all others. */
export const UNDERLAY_PROTOCOL = 99;

export interface UnderlayRoute {
  readonly to: Prefix;
  /** Empty: there is no way at present. */
  readonly hops: readonly { readonly via: string; readonly device: string }[];
}

/** For each machine that has cables its routes, while the cables of these names are unplugged. */
export function underlayRoutes(
  topology: Topology,
  unplugged: ReadonlySet<string>,
): ReadonlyMap<string, readonly UnderlayRoute[]> {
  const cables = topology.cables.filter(({ name }) => !unplugged.has(name));
  const machines = new Set(topology.cables.flatMap(({ ends }) => ends.map(({ machine }) => machine)));
  const routers = new Set(topology.routers.map(({ name }) => name));
  const destinations = [
    ...topology.networks.map(({ prefix: to, at }) => ({ to, at })),
    ...topology.nodes.filter(isCabled).map(({ name, link }) => ({ to: prefix(`${link.address}/32`), at: name })),
  ];
  const routes = new Map([...machines].map((machine) => [machine, [] as UnderlayRoute[]]));
  for (const { to, at } of destinations) {
    const distances = distancesFrom(at, cables, routers);
    for (const [machine, own] of routes) {
      if (machine === at) continue;
      const distance = distances.get(machine);
      own.push({ to, hops: distance === undefined ? [] : hopsOf(machine, distance, cables, distances) });
    }
  }
  return routes;
}

/** Hops to `start` from everywhere, by way of routers only. */
function distancesFrom(start: string, cables: readonly Cable[], routers: ReadonlySet<string>): Map<string, number> {
  const distances = new Map([[start, 0]]);
  const queue = [start];
  for (const machine of queue) {
    if (machine !== start && !routers.has(machine)) continue;
    for (const { other } of neighbours(machine, cables)) {
      if (distances.has(other.machine)) continue;
      distances.set(other.machine, (distances.get(machine) ?? 0) + 1);
      queue.push(other.machine);
    }
  }
  return distances;
}

function hopsOf(
  machine: string,
  distance: number,
  cables: readonly Cable[],
  distances: ReadonlyMap<string, number>,
): UnderlayRoute['hops'] {
  const nearer = neighbours(machine, cables).filter(({ other }) => distances.get(other.machine) === distance - 1);
  return nearer.map(({ own, other }) => ({ via: other.address, device: own.device }));
}

function neighbours(machine: string, cables: readonly Cable[]): readonly { own: CableEnd; other: CableEnd }[] {
  return cables.flatMap(({ ends: [one, other] }) => {
    if (one.machine === machine) return [{ own: one, other }];
    return other.machine === machine ? [{ own: other, other: one }] : [];
  });
}
