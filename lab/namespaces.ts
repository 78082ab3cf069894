// Makes and removes the lab's network namespaces and the underlay between them, with `ip` in batches.
//
// Every device is made inside a namespace (both ends of a veth pair at once), so nothing ever appears in the machine's
// own namespace, names need to be unique in a namespace only, and removing the namespaces removes all.

import { readdir } from 'node:fs/promises';
import { run } from '../ctl/child.ts';
import { prefixLength } from '../lib/net/prefix.ts';
import { interfaceAddress, isCabled, type Machine, type Network, namespacesOf, type Topology } from './topology.ts';

/**
 * The kernel keeps one table of neighbours for all namespaces of a machine, 1,024 entries by default, and collects from
 * 512 on. A lab that would come near gets permanent entries, which are not counted.
 */
const NEIGHBOUR_LIMIT = 512;

const NAMESPACE_FOLDER = '/run/netns';

/** Prefix that runs what follows inside the namespace. */
export function inNamespace(namespace: string): readonly string[] {
  return ['ip', 'netns', 'exec', namespace];
}

/** Names of all network namespaces of this machine. */
export async function existingNamespaces(): Promise<ReadonlySet<string>> {
  return new Set(await readdir(NAMESPACE_FOLDER).catch(() => []));
}

/** Makes all namespaces, networks and links; none of the names may exist. Rejects with `CommandError`. */
export async function makeNamespaces(topology: Topology, signal: AbortSignal): Promise<void> {
  const names = namespacesOf(topology);
  await batch(
    ['ip'],
    names.map((name) => `netns add ${name}`),
    signal,
  );
  const machines: readonly Machine[] = [...topology.etcdMembers, ...topology.nodes];
  for (const router of topology.routers) {
    const networks = topology.networks.filter(({ at }) => at === router.name);
    const attached = machines.filter(({ link }) => networks.includes(link.network));
    const lines = ['link set lo up', ...networks.flatMap(networkCommands), ...attached.flatMap(attachCommands)];
    await batch(ipIn(router.namespace), lines, signal);
  }
  const neighbours = permanentNeighbours(machines);
  await Promise.all([
    ...topology.routers.map(({ namespace }) =>
      run([...inNamespace(namespace), 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward'], { signal }),
    ),
    ...machines.map((machine) =>
      batch(ipIn(machine.namespace), [...machineCommands(machine), ...(neighbours.get(machine) ?? [])], signal),
    ),
  ]);
}

/** Removes the namespaces, and with them their devices. */
export async function removeNamespaces(names: readonly string[]): Promise<void> {
  const lines = names.map((name) => `netns delete ${name}`);
  if (lines.length > 0) await batch(['ip'], lines);
}

/** `ip` acting in a namespace without entering it. */
export function ipIn(namespace: string): readonly string[] {
  return ['ip', '-n', namespace];
}

function networkCommands(network: Network): readonly string[] {
  const bridge = `net-${network.name}`;
  return [
    `link add ${bridge} type bridge`,
    `address add ${network.router}/${prefixLength(network.prefix)} dev ${bridge}`,
    `link set ${bridge} up`,
  ];
}

function attachCommands({ name, namespace, link }: Machine): readonly string[] {
  return [
    `link add ${name} type veth peer name ${link.device} address ${macOf(link.address)} netns ${namespace}`,
    `link set ${name} master net-${link.network.name} up`,
  ];
}

function machineCommands(machine: Machine): readonly string[] {
  const { link } = machine;
  if (isCabled(machine)) return ['link set lo up'];
  return [
    'link set lo up',
    `address add ${interfaceAddress(link)} dev ${link.device}`,
    `link set ${link.device} up`,
    `route add default via ${link.network.router}`,
  ];
}

function permanentNeighbours(machines: readonly Machine[]): ReadonlyMap<Machine, readonly string[]> {
  const commands = new Map(
    machines.map((machine) => {
      const others = machines.filter(
        (other) => other !== machine && other.link.network === machine.link.network && !isCabled(other),
      );
      const lines = others.map(
        ({ link }) =>
          `neighbour replace ${link.address} lladdr ${macOf(link.address)} dev ${machine.link.device} nud permanent`,
      );
      return [machine, lines] as const;
    }),
  );
  const count = [...commands.values()].reduce((sum, lines) => sum + lines.length, 0);
  return count > NEIGHBOUR_LIMIT ? commands : new Map();
}

/** A locally administered MAC made of the IPv4 address: 192.168.64.11 gives 02:00:c0:a8:40:0b. */
function macOf(address: string): string {
  const bytes = address.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
  return ['02', '00', ...bytes].join(':');
}

/** Runs lines of `ip` in one process. Rejects with `CommandError` at the first that is refused. */
export async function batch(ip: readonly string[], lines: readonly string[], signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  await run([...ip, '-batch', '-'], { input: `${lines.join('\n')}\n`, ...options });
}
