// Plugs a node's one pod into the node's subnet: bridge cni0 with the subnet's .1, a veth pair, the pod's .2 and route.
//
// flannel's shape of a node, as the CNI plugin makes it, but by hand: the plugin is a process of 60 to 90 ms of processor
// time, which for each node of a lab of fifty adds up to two seconds of start on two processors, against four calls of `ip`.
// And the address is not the plugin's to give: .2 is known of every node, without asking it (`podAddress`).
// Level-triggered: what already is as it must be is left alone, so a running ping survives a second call.

import type { Address } from '../lib/net/address.ts';
import { prefixLength } from '../lib/net/prefix.ts';
import { podAddress, type SubnetEnv } from '../lib/subnet-env.ts';
import { run } from './child.ts';

export const BRIDGE = 'cni0';
/** The node's end of the pod's veth pair; the pod's end is eth0. */
export const POD_PORT = 'pod0';

/** Where the node and its pod are. */
export interface PodPlace {
  /** `ip` acting in the node's namespace: `['ip']` from within, `['ip', '-n', name]` from outside. */
  readonly nodeIp: readonly string[];
  /** The pod's namespace as `ip link ... netns` takes it: a name or a pid. */
  readonly podNetns: string;
  /** Runs what follows in the pod's namespace: `['ip', 'netns', 'exec', name]`, `['nsenter', '-t', pid, '-n', '--']`. */
  readonly inPod: readonly string[];
}

/** Makes or mends the pod's plumbing. Rejects with `CommandError` where `ip` refuses. */
export async function plugPod(place: PodPlace, env: SubnetEnv, signal?: AbortSignal): Promise<void> {
  const pod = podAddress(env.subnet);
  const length = prefixLength(env.subnet);
  const [bridgeFits, podFits] = await Promise.all([
    linkFits([...place.nodeIp], BRIDGE, env.gateway, length, env.mtuBytes),
    linkFits([...place.inPod, 'ip'], 'eth0', pod, length, env.mtuBytes),
  ]);
  if (bridgeFits && podFits) return;
  await unplugPod(place);
  const options = signal === undefined ? {} : { signal };
  const node = [
    `link add ${BRIDGE} mtu ${env.mtuBytes} type bridge`,
    `address add ${env.gateway}/${length} dev ${BRIDGE}`,
    `link add ${POD_PORT} mtu ${env.mtuBytes} type veth peer name eth0 mtu ${env.mtuBytes} netns ${place.podNetns}`,
    `link set ${POD_PORT} master ${BRIDGE} up`,
    `link set ${BRIDGE} up`,
  ];
  await run([...place.nodeIp, '-batch', '-'], { input: node.join('\n'), ...options });
  const inside = [
    'link set lo up',
    `address add ${pod}/${length} dev eth0`,
    'link set eth0 up',
    `route add default via ${env.gateway}`,
  ];
  await run([...place.inPod, 'ip', '-batch', '-'], { input: inside.join('\n'), ...options });
}

/** Removes bridge and veth pair; absent ones are as they should be. */
export async function unplugPod(place: PodPlace): Promise<void> {
  const commands = [`link delete ${POD_PORT}`, `link delete ${BRIDGE}`];
  // -force goes on after an error; what is left is an exit code that says no more than that one was absent.
  await run([...place.nodeIp, '-force', '-batch', '-'], { input: commands.join('\n') }).catch(() => undefined);
}

interface LinkFacts {
  readonly mtu?: number;
  readonly flags?: readonly string[];
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

async function linkFits(
  ip: readonly string[],
  device: string,
  address: Address,
  length: number,
  mtuBytes: number,
): Promise<boolean> {
  const text = await run([...ip, '-json', 'address', 'show', 'dev', device]).catch(() => '[]');
  const link = (JSON.parse(text) as LinkFacts[]).find((entry) => entry.addr_info !== undefined);
  return (
    link?.mtu === mtuBytes &&
    link.flags?.includes('UP') === true &&
    link.addr_info?.some((info) => info.local === address && info.prefixlen === length) === true
  );
}
