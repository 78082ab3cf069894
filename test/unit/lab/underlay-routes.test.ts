// The underlay's routes over cables: equal paths side by side, the way round after a cut, nothing through a node.
//
// On shipped topologies; that the kernel forwards by them is shown in test/topology.

import { expect, it } from 'vitest';
import { buildTopology, type Topology } from '../../../lab/topology.ts';
import { optionsOf, readTopology, topologySource } from '../../../lab/topology-spec.ts';
import { underlayRoutes } from '../../../lab/underlay-routes.ts';

function shipped(name: string): Topology {
  const source = topologySource(name);
  return buildTopology('t', optionsOf(readTopology(source)), source);
}

/** Devices by which `from` reaches the loopback of `to`. */
function devices(topology: Topology, from: string, to: string, unplugged: readonly string[] = []): readonly string[] {
  const address = topology.nodes.find(({ name }) => name === to)?.link.address;
  const routes = underlayRoutes(topology, new Set(unplugged)).get(from) ?? [];
  return routes.find((route) => route.to === `${address}/32`)?.hops.map(({ device }) => device) ?? ['no route'];
}

it('uses every shortest path of a leaf-spine', () => {
  const topology = shipped('leaf-spine');
  expect(devices(topology, 'node1', 'node3')).toEqual(['to-leaf1', 'to-leaf2']);
  expect(devices(topology, 'leaf1', 'node3')).toEqual(['to-spine1', 'to-spine2']);
  expect(devices(topology, 'leaf1', 'node1')).toEqual(['to-node1']);
});

it('leaves out what a cut takes away, near and far', () => {
  const topology = shipped('leaf-spine');
  expect(devices(topology, 'leaf1', 'node3', ['leaf1-spine1'])).toEqual(['to-spine2']);
  // The other spine has no cable trouble of its own, but spine1 now reaches node1 by leaf2 only.
  expect(devices(topology, 'spine1', 'node1', ['leaf1-spine1'])).toEqual(['to-leaf2']);
  expect(devices(topology, 'node1', 'node3', ['node1-leaf1'])).toEqual(['to-leaf2']);
});

it('never goes through a node', () => {
  const topology = shipped('leaf-spine');
  // node1 hangs on leaf1 and leaf2; without spines it would be a way between them.
  const noSpines = ['leaf1-spine1', 'leaf1-spine2', 'leaf2-spine1', 'leaf2-spine2'];
  expect(devices(topology, 'leaf1', 'node3', noSpines)).toEqual([]);
});

it('goes the long way round a ring', () => {
  const topology = shipped('ring-5');
  expect(devices(topology, 'r1', 'node2')).toEqual(['to-r2']);
  expect(devices(topology, 'r1', 'node2', ['r1-r2'])).toEqual(['to-r5']);
});

it('keeps parallel cables apart', () => {
  const routes = underlayRoutes(shipped('two-racks'), new Set()).get('tor1');
  expect(routes?.find(({ to }) => to === '192.168.65.0/24')?.hops.map(({ device }) => device)).toEqual([
    'to-tor2',
    'to-tor2.2',
  ]);
});
