// Services: addresses that pods of several nodes have at once, so that traffic has somewhere else to go when a node fails.
//
// bgpd announces them (its --config file) with a MED that rises from node to node of the list. Not with LOCAL_PREF: the
// second node would then prefer the first one's path to its own and tell nobody of its own (RFC 4271 section 9.1.3), so
// that the others had no second path at hand. On the node itself a route of the lab's own leads into the pod.

import type { Address } from '../lib/net/address.ts';
import { batch, ipIn } from './namespaces.ts';
import type { NodeMachine, Topology } from './topology.ts';

/** rtm_protocol of the routes into pods. */
const SERVICE_PROTOCOL = 98;

/** The `--config` file of this node's bgpd. */
export function servicePeering(topology: Topology, node: NodeMachine): string {
  const routes = servicesOf(topology, node).map(({ address, nodes }) => {
    return { prefix: `${address}/32`, med: nodes.indexOf(node.name) };
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
