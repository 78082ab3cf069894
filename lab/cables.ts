// Cables between machines: made, plugged and unplugged, and the underlay's routes over those that are plugged.
//
// Unplugging sets the second end down, and so takes the carrier of the first as a real cable would. The kernel leaves a hop
// without carrier out by itself; the routes of the machines further away are written anew by the lab.

import { run } from '../ctl/child.ts';
import { batch, inNamespace, ipIn } from './namespaces.ts';
import { type Cable, isCabled, type Topology } from './topology.ts';
import { UNDERLAY_PROTOCOL, underlayRoutes } from './underlay-routes.ts';

/** Equal paths by ports too, for tunnels differ in nothing else; hops without carrier are not used. */
const CABLED_SYSCTLS =
  'cd /proc/sys/net/ipv4; echo 1 >fib_multipath_hash_policy; echo 1 >conf/all/ignore_routes_with_linkdown';

/** Makes every cable with its addresses, and the first routes over them. */
export async function makeCables(topology: Topology, signal: AbortSignal): Promise<void> {
  const { cables } = topology;
  if (cables.length === 0) return;
  for (const { ends } of cables) {
    const [one, other] = ends;
    const peer = `type veth peer name ${other.device} netns ${namespaceOf(topology, other.machine)}`;
    await batch(ipIn(namespaceOf(topology, one.machine)), [`link add ${one.device} ${peer}`], signal);
  }
  for (const machine of new Set(cables.flatMap(({ ends }) => ends.map((end) => end.machine)))) {
    const own = cables.flatMap(({ ends }) => ends.filter((end) => end.machine === machine));
    const lines = own.flatMap((end) => [
      `address add ${end.address}/31 dev ${end.device}`,
      `link set ${end.device} up`,
    ]);
    const namespace = namespaceOf(topology, machine);
    await run([...inNamespace(namespace), 'sh', '-c', CABLED_SYSCTLS], { signal });
    await batch(ipIn(namespace), ['link set lo up', ...lines], signal);
  }
  // A node's routes prefer its loopback address as their source, which must be there first.
  for (const node of topology.nodes.filter(isCabled)) {
    await batch(ipIn(node.namespace), [`address add ${node.link.address}/32 dev lo`], signal);
  }
  await routeUnderlay(topology, new Set());
}

/** Writes the underlay's routes as they are while the cables of these names are unplugged. */
export async function routeUnderlay(topology: Topology, unplugged: ReadonlySet<string>): Promise<void> {
  const sources = new Map(topology.nodes.filter(isCabled).map((node) => [node.name, node.link.address]));
  const work = [...underlayRoutes(topology, unplugged)].map(([machine, routes]) => {
    const source = sources.get(machine);
    const lines = routes.map(({ to, hops }) => {
      if (hops.length === 0) return `route delete ${to} proto ${UNDERLAY_PROTOCOL}`;
      const ways = hops.map(({ via, device }) => `nexthop via ${via} dev ${device}`).join(' ');
      return `route replace ${to} proto ${UNDERLAY_PROTOCOL} ${source === undefined ? '' : `src ${source} `}${ways}`;
    });
    // -force: deleting what is not there is refused, and is as it should be.
    const ip = ['ip', '-force', ...ipIn(namespaceOf(topology, machine)).slice(1)];
    return batch(ip, lines).catch(() => undefined);
  });
  await Promise.all(work);
}

/** Takes the carrier of both ends away, or gives it back; see `routeUnderlay` for the routes. */
export async function plugCable(topology: Topology, { ends }: Cable, up: boolean): Promise<void> {
  const { machine, device } = ends[1];
  await batch(ipIn(namespaceOf(topology, machine)), [`link set ${device} ${up ? 'up' : 'down'}`]);
}

function namespaceOf(topology: Topology, machine: string): string {
  const found = [...topology.routers, ...topology.nodes].find(({ name }) => name === machine);
  if (found === undefined) throw new RangeError(`there is no machine ${machine}`);
  return found.namespace;
}
