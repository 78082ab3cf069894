// What of a scenario cannot be done to the containers of docker-compose.yml, said before anything is made. Pure.
//
// The containers have the shape, the addresses and the command lines that the file gives them: a topology may choose
// backend, mode, timers, roles and services, and no more.

import type { ActionName, Scenario } from '../run/scenario-spec.ts';
import type { TopologySpec } from '../topology-spec.ts';

/** docker-compose.yml has these nodes. */
export const COMPOSE_NODES: readonly string[] = ['node1', 'node2', 'node3'];
const BACKENDS: readonly string[] = ['vxlan', 'vxlan-user', 'udp'];

const CANNOT: { readonly [K in ActionName]?: string } = {
  config: 'the flags of a container are fixed when it is made',
  address: "a container's underlay address is docker-compose.yml's",
  impair: 'the far end of the cable is an interface of the machine itself',
  unimpair: 'the far end of the cable is an interface of the machine itself',
  'etcd-snapshot': "a member's data is in its container, and gone with what it was made from",
  'etcd-wipe': "a member's data is in its container, and gone with what it was made from",
  'etcd-restore': "a member's data is in its container, and gone with what it was made from",
};

/** Why the scenario cannot be run there, in words that follow "name: "; `undefined` where it can. */
export function composeRefusal({ steps }: Pick<Scenario, 'steps'>, spec: TopologySpec): string | undefined {
  const step = steps.find(({ name }) => CANNOT[name] !== undefined);
  if (step !== undefined) return `step "${step.name}" cannot be done to containers: ${CANNOT[step.name]}`;
  const wrong = shapeRefusal(spec);
  return wrong === undefined ? undefined : `topology ${spec.name} is not that of docker-compose.yml: ${wrong}`;
}

function shapeRefusal({ nodes, links, etcd, backend }: TopologySpec): string | undefined {
  const names = Object.keys(nodes);
  if (names.length !== COMPOSE_NODES.length || names.some((name) => !COMPOSE_NODES.includes(name)))
    return `it has ${names.length} nodes, the file ${COMPOSE_NODES.join(', ')}`;
  if (links.length > 0) return 'it has links';
  if (etcd.members !== 1) return `it has ${etcd.members} etcd members, the file one`;
  for (const [name, node] of Object.entries(nodes)) {
    const own = node.backend ?? backend;
    if (!BACKENDS.includes(own)) return `${name} has backend ${own}, containers take ${BACKENDS.join(', ')}`;
    if ((node.delay ?? node.loss ?? node.rate) !== undefined) return `the cable of ${name} is impaired`;
  }
  return undefined;
}
