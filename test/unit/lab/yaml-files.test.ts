// Topologies and scenarios as files: every shipped one is read, and every way to be wrong is said with line and field.
//
// Nothing is made: what comes of a topology is in topology.test.ts, what a scenario does in test/topology.

import { describe, expect, it } from 'vitest';
import { readScenario, scenarioSource } from '../../../lab/run/scenario-spec.ts';
import { buildTopology } from '../../../lab/topology.ts';
import { optionsOf, readTopology, topologySource } from '../../../lab/topology-spec.ts';
import { namesIn, shippedFolder } from '../../../lab/yaml-file.ts';

const TOPOLOGY = `name: small
summary: Two nodes.
routers: [router]
networks:
  a: {router: router, prefix: 192.168.64.0/24}
nodes:
  node1: {network: a}
  node2: {network: a}
etcd: {network: a}
`;
const SCENARIO = `name: small
topology: flat-3
lesson: A lesson of a paragraph, which says what is to be learnt from it.
flows: [node1 > node2]
steps:
  - {at: 1 s, kill: node2/bgpd}
end: 2 s
expect:
  - loss <= 200 ms
`;

describe('shipped files', () => {
  it.each(namesIn(shippedFolder('topologies')))('topology %s has its file name and can be laid out', (name) => {
    const source = topologySource(name);
    const spec = readTopology(source);
    expect(spec.name).toBe(name);
    expect(buildTopology('t', optionsOf(spec), source).nodes).toHaveLength(Object.keys(spec.nodes).length);
  });

  it.each(namesIn(shippedFolder('scenarios')))('scenario %s fits its topology', (name) => {
    const scenario = readScenario(scenarioSource(name));
    expect(scenario.name).toBe(name);
    const spec = readTopology(topologySource(scenario.topology));
    const targets = [...Object.keys(spec.nodes), ...Object.keys(spec.services)];
    for (const { from, to } of [...scenario.flows, ...scenario.tcp])
      expect(targets).toEqual(expect.arrayContaining([from, to]));
  });

  it('are at least 20 scenarios on seven topologies', () => {
    expect(namesIn(shippedFolder('scenarios')).length).toBeGreaterThanOrEqual(20);
    expect(namesIn(shippedFolder('topologies'))).toHaveLength(7);
  });
});

describe('a topology that is wrong', () => {
  it.each([
    ['routers: [router]', 'routers: [router', /small\.yaml:4: .*flow/i],
    ['summary: Two nodes.', 'summry: Two nodes.', 'small.yaml:1: summary: '],
    ['routers: [router]', 'routers: [Router]', 'small.yaml:3: routers.0 "Router": takes a lower-case letter'],
    ['192.168.64.0/24', '192.168.64.0/16', 'small.yaml:5: networks.a.prefix "192.168.64.0/16": takes an IPv4 prefix'],
    ['node2: {network: a}', 'node2: {network: b}', 'small.yaml:8: nodes.node2.network "b": is not among a'],
    ['node2: {network: a}', 'node2: {}', 'small.yaml:8: nodes.node2: has neither a network nor a link'],
    ['node2: {network: a}', 'node2: {network: a, delay: 5}', 'small.yaml:8: nodes.node2.delay 5: '],
    ['node2: {network: a}', 'node2: {network: a, loss: 5}', 'small.yaml:8: nodes.node2.loss 5: '],
    ['node2: {network: a}', 'node2: {network: a, speed: 5}', 'small.yaml:8: nodes.node2.speed 5: '],
    ['node2: {network: a}', 'node2: {network: a, backend: udp}', 'nodes.node2.backend "udp": cannot talk to vxlan'],
    ['node2: {network: a}', 'host2: {network: a}', 'nodes.host2: a node is called node1 to node99'],
    ['etcd: {network: a}', 'etcd: {network: a, members: 2}', 'small.yaml:9: etcd.members 2: '],
    ['etcd:', 'links: [{between: [node1, router]}]\netcd:', 'small.yaml:7: nodes.node1.network "a": it has links'],
    ['etcd:', 'links: [{between: [router, spine]}]\netcd:', 'small.yaml:9: links.0.between.1 "spine": is not among'],
    ['etcd:', 'timers: {hold: fast}\netcd:', 'small.yaml:9: timers.hold "fast": takes a time such as 200 ms'],
    ['etcd:', 'services: {web: {address: 10.5.0.1, nodes: [node1]}}\netcd:', 'lies in the network of the pods'],
    [
      'etcd:',
      'services: {web: {address: 10.9.0.1, nodes: [node9]}}\netcd:',
      'services.web.nodes.0 "node9": is not among',
    ],
  ])('%j as %j', (right, wrong, message) => {
    const text = TOPOLOGY.replace(right, wrong);
    expect(text).not.toBe(TOPOLOGY);
    expect(() => readTopology({ path: 'small.yaml', text })).toThrow(message);
  });

  it('is compared with one that is right', () => {
    expect(readTopology({ path: 'small.yaml', text: TOPOLOGY }).name).toBe('small');
  });
});

describe('a scenario that is wrong', () => {
  it.each([
    ['at: 1 s,', 'at: 1,', 'small.yaml:6: steps.0.at 1: '],
    ['at: 1 s,', 'at: 3 s,', 'small.yaml:6: steps.0.at "3 s": is after the end of the run'],
    ['kill: node2/bgpd', 'murder: node2/bgpd', 'small.yaml:6: steps.0.murder "node2/bgpd": '],
    ['kill: node2/bgpd', 'kill: node2/bird', 'small.yaml:6: steps.0.kill "node2/bird": takes a process'],
    ['kill: node2/bgpd', 'kill: node2/bgpd, term: node2/bgpd', 'small.yaml:6: steps.0: has 2 actions'],
    [', kill: node2/bgpd', '', 'small.yaml:6: steps.0: has 0 actions'],
    ['kill: node2/bgpd', 'burn: {cpus: 0, for: 1 s}', 'small.yaml:6: steps.0.burn.cpus 0: '],
    ['kill: node2/bgpd', 'drop-one-way: {from: node1}', 'small.yaml:6: steps.0.drop-one-way.to'],
    ['flows: [node1 > node2]', 'flows: [node1]', 'small.yaml:4: flows.0 "node1": takes two pods'],
    ['flows: [node1 > node2]', 'flows: []', 'small.yaml:4: flows: '],
    ['loss <= 200 ms', 'loss < 200 ms', 'small.yaml:9: expect.0 "loss < 200 ms": takes "loss <= 200 ms"'],
    [
      'loss <= 200 ms',
      'loss on node1 > node3 <= 200 ms',
      'small.yaml:9: expect.0 "loss on node1 > node3 <= 200 ms": names a flow',
    ],
    ['lesson: A lesson of', 'lesson: Of\nfoo: A lesson of', 'small.yaml:3: lesson "Of": takes a paragraph'],
  ])('%j as %j', (right, wrong, message) => {
    const text = SCENARIO.replace(right, wrong);
    expect(text).not.toBe(SCENARIO);
    expect(() => readScenario({ path: 'small.yaml', text })).toThrow(message);
  });

  it('is compared with one that is right', () => {
    const { steps } = readScenario({ path: 'small.yaml', text: SCENARIO });
    expect(steps).toEqual([{ atMs: 1_000, name: 'kill', argument: 'node2/bgpd', role: 'fault' }]);
  });

  it('names the files that there are', () => {
    expect(() => scenarioSource('kill-nod')).toThrow(/there are .*kill-node/);
    expect(() => topologySource('flat-4')).toThrow(/there are .*flat-3/);
  });
});
