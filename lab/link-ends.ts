// The interfaces at the two ends of each link of a topology, and what the file says that the link does to packets. Pure.
//
// The cable of a node has the node's name; its other end is the interface of that name in the router.

import type { Topology } from './topology.ts';
import type { Impairment } from './topology-spec.ts';

export interface LinkEnd {
  /** The machine. */
  readonly place: string;
  readonly device: string;
}

/** By the link's name. */
export function linkEndsOf({
  nodes,
  etcdMembers,
  networks,
  cables,
}: Topology): ReadonlyMap<string, readonly LinkEnd[]> {
  const attached = [...nodes, ...etcdMembers].flatMap(({ name, link }) => {
    const at = networks.find((network) => network === link.network)?.at;
    if (at === undefined) return [];
    const ends = [
      { place: name, device: link.device },
      { place: at, device: name },
    ];
    return [[name, ends] as const];
  });
  const between = cables.map(({ name, ends }) => {
    return [name, ends.map(({ machine, device }) => ({ place: machine, device }))] as const;
  });
  return new Map([...attached, ...between]);
}

/** The links that delay, lose or limit, by name. */
export function impairedLinks({ nodes, cables }: Topology): ReadonlyMap<string, Impairment> {
  const all = [
    ...nodes.map(({ name, link }) => [name, link.impairment ?? {}] as const),
    ...cables.map(({ name, impairment }) => [name, impairment] as const),
  ];
  return new Map(all.filter(([, { delay, loss, rate }]) => (delay ?? loss ?? rate) !== undefined));
}
