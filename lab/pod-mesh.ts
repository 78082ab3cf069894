// Pings every pod of a lab from every other one.
//
// Every pod's pings run side by side, so a lab of 50 nodes (2,450 pairs) takes a few seconds.

import { type PingReport, type PingResult, pingFromPod, pingReport } from '../ctl/pod-ping.ts';
import { address } from '../lib/net/address.ts';
import { podAddress } from '../lib/subnet-env.ts';
import { inParallel, readSubnet } from './launch.ts';
import { inNamespace } from './namespaces.ts';
import type { NodeMachine, Topology } from './topology.ts';

/** Pods that ping at the same time; each pings all its targets at once. */
const SOURCES_AT_ONCE = 4;

const NO_ADDRESS = address('0.0.0.0');

/** Pings all ordered pairs. A pair with a node that has no subnet counts as lost. */
export async function pingAllPods(topology: Topology, count: number, signal: AbortSignal): Promise<PingReport> {
  const pods = await Promise.all(
    topology.nodes.map(async (node) => ({ node, subnet: (await readSubnet(topology, node))?.subnet })),
  );
  const results = new Map<NodeMachine, readonly PingResult[]>();
  await inParallel(SOURCES_AT_ONCE, pods, async (source) => {
    const others = pods.filter((pod) => pod !== source);
    const targets = others.flatMap(({ node, subnet }) =>
      subnet === undefined ? [] : [{ node: node.name, address: podAddress(subnet) }],
    );
    const from = source.node.name;
    const without = others
      .filter((pod) => pod.subnet === undefined)
      .map(({ node }) => unreachable(from, node.name, count));
    const pinged =
      source.subnet === undefined
        ? targets.map((target) => unreachable(from, target.node, count))
        : await pingFromPod(from, inNamespace(source.node.podNamespace), targets, count, signal);
    results.set(source.node, [...pinged, ...without]);
  });
  return pingReport(topology.nodes.flatMap((node) => results.get(node) ?? []));
}

function unreachable(from: string, to: string, count: number): PingResult {
  return { from, to, address: NO_ADDRESS, sent: count, received: 0, error: 'one of the two nodes has no subnet' };
}
