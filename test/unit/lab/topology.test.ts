// The lab's shape for every option, computed without making anything.
//
// The kernel's view of it is in test/topology.

import { describe, expect, it } from 'vitest';
import { combineOptions, DEFAULT_OPTIONS, type LabOptions } from '../../../lab/options.ts';
import { buildTopology, etcdEndpoint, namespacePrefix, namespacesOf, networkConfig } from '../../../lab/topology.ts';
import { prefixContains } from '../../../lib/net/prefix.ts';

const LARGEST: LabOptions = { ...DEFAULT_OPTIONS, nodes: 50 };

describe('buildTopology', () => {
  it('puts every third node behind the router', () => {
    const { nodes, networks } = buildTopology('default', combineOptions(DEFAULT_OPTIONS, { nodes: 6 }));
    expect(nodes.map((node) => node.link.address)).toEqual([
      '192.168.64.11',
      '192.168.64.12',
      '192.168.65.13',
      '192.168.64.14',
      '192.168.64.15',
      '192.168.65.16',
    ]);
    expect(networks.map((network) => network.name)).toEqual(['a', 'b', 'c']);
  });

  it('puts all nodes on one link for host-gw', () => {
    const { nodes, networks } = buildTopology('default', combineOptions(DEFAULT_OPTIONS, { backend: 'host-gw' }));
    expect(nodes.map((node) => node.link.network.name)).toEqual(['a', 'a', 'a']);
    expect(networks.map((network) => network.name)).toEqual(['a', 'c']);
  });

  it('gives each node of the largest lab its own addresses and namespaces', () => {
    const topology = buildTopology('default', LARGEST);
    const machines = [...topology.etcdMembers, ...topology.nodes];
    expect(new Set(machines.map((machine) => machine.link.address)).size).toBe(51);
    expect(machines.every(({ link }) => prefixContains(link.network.prefix, link.address))).toBe(true);
    expect(machines.some(({ link }) => link.address === link.network.router)).toBe(false);
    expect(new Set(namespacesOf(topology)).size).toBe(102);
  });

  it('keeps the names of two labs apart', () => {
    const one = namespacesOf(buildTopology('a', LARGEST));
    const other = namespacesOf(buildTopology('anode1', LARGEST));
    expect(one.filter((name) => other.includes(name))).toEqual([]);
    expect(other.every((name) => !name.startsWith(namespacePrefix('a')))).toBe(true);
    expect(
      Math.max(...namespacesOf(buildTopology('abcdefghijklmnop', LARGEST)).map((name) => name.length)),
    ).toBeLessThan(64);
  });

  it('gives one node another plane', () => {
    const options = combineOptions(DEFAULT_OPTIONS, { nodeBackends: { node2: 'vxlan-user' } });
    expect(buildTopology('default', options).nodes.map((node) => node.backend)).toEqual([
      'vxlan',
      'vxlan-user',
      'vxlan',
    ]);
  });
});

describe('what is told to the daemons', () => {
  it.each([
    ['vxlan', 'vxlan'],
    ['vxlan-user', 'vxlan'],
    ['udp', 'udp'],
    ['host-gw', 'host-gw'],
  ] as const)('%s is Backend.Type %s in etcd', (backend, type) => {
    const topology = buildTopology('default', { ...DEFAULT_OPTIONS, backend });
    expect(JSON.parse(networkConfig(topology))).toEqual({
      Network: '10.5.0.0/16',
      SubnetLen: 24,
      Backend: { Type: type },
    });
  });

  it('names etcd by its underlay address', () => {
    expect(etcdEndpoint(buildTopology('default', DEFAULT_OPTIONS))).toBe('http://192.168.66.10:2379');
  });
});
