// The pod's end of the veth pair: addresses, the link up, the gateway's neighbours, routes, and the few sysctls that count.
//
// IPv4 addresses come before the link is up, so that the kernel announces them (gratuitous ARP, arp_notify) when it goes
// up; IPv6 addresses after, for a link that is down has none.

import { type Kernel, type KernelChange, PROTOCOL_GINGHAM, type Route, TABLE_MAIN } from '../lib/kernel/kernel.ts';
import { ensureSysctl } from '../lib/kernel/sysctl.ts';
import { familyOf } from '../lib/net/address.ts';
import type { Mac } from '../lib/net/mac.ts';
import { prefixContains, prefixOf } from '../lib/net/prefix.ts';
import { madeLink, putLink, writeAll } from './kernel-write.ts';
import { ROUTED_GATEWAY_MAC } from './pod-names.ts';
import { hostPrefix, type PodAddress, type PodPlan } from './pod-plan.ts';

/** Sysctls of a pod's interface: `[name, value]`, IPv6 ones only where the pod has IPv6. */
export function podSysctls(ifname: string, hasIpv6: boolean): readonly (readonly [name: string, value: string])[] {
  return [
    [`net/ipv4/conf/${ifname}/arp_notify`, '1'],
    ...(hasIpv6
      ? ([
          [`net/ipv6/conf/${ifname}/disable_ipv6`, '0'],
          [`net/ipv6/conf/${ifname}/accept_ra`, '0'],
          [`net/ipv6/conf/${ifname}/ndisc_notify`, '1'],
        ] as const)
      : []),
  ];
}

/** Run inside the pod's namespace, on its kernel. Gives the interface's MAC. Throws `CniError` (102). */
export async function setUpPod(kernel: Kernel, ifname: string, plan: PodPlan, isRouted: boolean): Promise<Mac> {
  const link = await madeLink(kernel, ifname);
  for (const [name, value] of podSysctls(ifname, hasIpv6(plan))) ensureSysctl(name, value);
  const address = (own: PodAddress): KernelChange => ({
    op: 'put',
    kind: 'address',
    address: { linkIndex: link.index, address: own.address, prefixLength: own.prefixLength },
  });
  const ipv4 = plan.addresses.filter((own) => familyOf(own.address) === 4);
  const ipv6 = plan.addresses.filter((own) => familyOf(own.address) === 6);
  await writeAll(kernel, [
    ...ipv4.map(address),
    putLink({ name: ifname, up: true }),
    ...ipv6.map(address),
    ...(isRouted ? gatewayNeighbours(link.index, plan) : []),
    ...podRoutes(link.index, plan, isRouted).map((route): KernelChange => ({ op: 'put', kind: 'route', route })),
  ]);
  return link.mac as Mac;
}

/** The routes of a pod as its kernel shall have them. */
export function podRoutes(linkIndex: number, plan: PodPlan, isRouted: boolean): readonly Route[] {
  const common = { tos: 0, protocol: PROTOCOL_GINGHAM, type: 'unicast' } as const;
  const gateways = isRouted
    ? plan.addresses.flatMap(({ gateway }) =>
        gateway === undefined || familyOf(gateway) === 6
          ? []
          : [{ ...common, table: TABLE_MAIN, metric: 0, prefix: hostPrefix(gateway), nextHops: [{ linkIndex }] }],
      )
    : [];
  const others = plan.routes.map(({ dst, gw, mtu, priority, table }) => ({
    ...common,
    table: table ?? TABLE_MAIN,
    metric: priority ?? 0,
    prefix: dst,
    nextHops: [{ linkIndex, ...(gw && { gateway: gw }), ...(gw && !isOnLink(plan, gw) && { onlink: true }) }],
    ...(mtu !== undefined && { mtuBytes: mtu }),
  }));
  return [...gateways, ...others];
}

export function hasIpv6({ addresses }: PodPlan): boolean {
  return addresses.some((own) => familyOf(own.address) === 6);
}

function gatewayNeighbours(linkIndex: number, { addresses }: PodPlan): readonly KernelChange[] {
  return addresses.flatMap(({ gateway }): KernelChange[] =>
    gateway === undefined
      ? []
      : [{ op: 'put', kind: 'neighbour', neighbour: { linkIndex, address: gateway, mac: ROUTED_GATEWAY_MAC } }],
  );
}

/** Whether the kernel sees by itself that the gateway is on the link. */
function isOnLink({ addresses }: PodPlan, gateway: PodAddress['address']): boolean {
  if (gateway.startsWith('fe80:')) return true;
  return addresses.some((own) => {
    const subnet = prefixOf(own.address, own.prefixLength);
    return subnet !== undefined && prefixContains(subnet, gateway);
  });
}
