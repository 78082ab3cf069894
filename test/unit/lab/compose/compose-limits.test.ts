// What is refused for containers, with the reason, and that enough of the shipped scenarios are not.
//
// That those which are taken do run is shown by the compose test.

import { expect, it } from 'vitest';
import { composeRefusal } from '../../../../lab/compose/compose-limits.ts';
import { readScenario, scenarioSource } from '../../../../lab/run/scenario-spec.ts';
import { readTopology, topologySource } from '../../../../lab/topology-spec.ts';
import { namesIn, shippedFolder } from '../../../../lab/yaml-file.ts';

const FLAT = readTopology(topologySource('flat-3'));

function refusal(name: string): string | undefined {
  const scenario = readScenario(scenarioSource(name));
  return composeRefusal(scenario, readTopology(topologySource(scenario.topology)));
}

it.each(['kill-node', 'silent-drop', 'kill-bgpd', 'drain-node', 'etcd-loss', 'partition', 'link-down'])(
  '%s is taken',
  (name) => expect(refusal(name)).toBeUndefined(),
);

it.each([
  ['config-change', 'step "config" cannot be done to containers: the flags of a container are fixed when it is made'],
  ['address-change', `step "address" cannot be done to containers: a container's underlay address is`],
  ['lossy-cable', 'step "impair" cannot be done to containers: the far end of the cable is an interface'],
  ['etcd-restore', `step "etcd-snapshot" cannot be done to containers: a member's data is in its container`],
  ['etcd-leader', 'topology etcd-3 is not that of docker-compose.yml: it has 3 etcd members, the file one'],
  [
    'reflector-kill',
    'topology reflectors-20 is not that of docker-compose.yml: it has 20 nodes, the file node1, node2,',
  ],
  ['user-plane-kill', 'topology mixed-backends is not that of docker-compose.yml: it has 4 nodes'],
])('%s is refused: %s', (name, reason) => {
  expect(refusal(name)).toContain(reason);
});

it('a backend, links and impaired cables that containers do not have are refused', () => {
  const of = (change: object): string | undefined => composeRefusal({ steps: [] }, { ...FLAT, ...change });
  expect(of({})).toBeUndefined();
  expect(of({ backend: 'host-gw' })).toContain('node1 has backend host-gw, containers take vxlan, vxlan-user, udp');
  expect(of({ links: [{ between: ['node1', 'router'] }] })).toContain('it has links');
  const slow = { ...FLAT.nodes, node2: { network: 'a', roles: [], delay: 5 } };
  expect(of({ nodes: slow })).toContain('the cable of node2 is impaired');
});

it('more than half of the shipped scenarios can be run there', () => {
  const all = namesIn(shippedFolder('scenarios'));
  expect(all.filter((name) => refusal(name) === undefined).length).toBeGreaterThan(all.length / 2);
});
