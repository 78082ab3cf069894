// Services: addresses that pods of several nodes have at once, so that traffic has somewhere else to go when a node fails.
//
// bgpd announces them (its --config file) with a preference that falls from node to node of the list; on the node itself
// a route of the lab's own leads into the pod, which keeps felix from sending the node's own share away.

import type { Address } from '../lib/net/address.ts';
import { batch, ipIn } from './namespaces.ts';
import type { NodeMachine, Topology } from './topology.ts';

/** rtm_protocol of the routes into pods. */
const SERVICE_PROTOCOL = 98;
const PREFERENCE_MAX = 200;

/** The `--config` file of this node's bgpd. */
export function servicePeering(topology: Topology, node: NodeMachine): string {
  const routes = servicesOf(topology, node).map(({ address, nodes }) => {
    return { prefix: `${address}/32`, localPref: PREFERENCE_MAX - nodes.indexOf(node.name) };
  });
  // JSON is YAML.
  return `${JSON.stringify({ routes })}\n`;
}

/** Gives the node's pod the addresses, and the node its routes to them. */
export async function plugServices(topology: Topology, node: NodeMachine, pod: Address): Promise<void> {
  const own = servicesOf(topology, node);
  if (own.length === 0) return;
  const add = own.map(({ address }) => `address replace ${address}/32 dev lo`);
  await batch(ipIn(node.podNamespace), add);
  const route = own.map(({ address }) => `route replace ${address}/32 via ${pod} proto ${SERVICE_PROTOCOL}`);
  await batch(ipIn(node.namespace), route);
}

function servicesOf({ spec }: Topology, { name }: NodeMachine) {
  return Object.values(spec.services).filter(({ nodes }) => nodes.includes(name));
}
