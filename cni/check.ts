// CHECK: whether everything is as ADD left it, on the host and in the pod, by looking at it. It changes nothing.
//
// What was given to the pod is told by prevResult, which the runtime has kept; other plugins of the list may have changed
// it (tuning changes MAC and MTU), and say so in it.

import type { Kernel, KernelKind, KernelObjects, Link } from '../lib/kernel/kernel.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import { readSysctl } from '../lib/kernel/sysctl.ts';
import { type Address, parseAddress } from '../lib/net/address.ts';
import { prefixFamily } from '../lib/net/prefix.ts';
import { effectiveMetric } from '../lib/wire/rtnetlink-routes.ts';
import { ownerOf, withAddresses } from './address-store.ts';
import { subnetsOf } from './allocate.ts';
import { readSubnetEnv } from './attach.ts';
import type { CniCall } from './cni-call.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import type { CniResult, ResultInterface } from './cni-result.ts';
import { includesIpv6 } from './host-side.ts';
import { linkNamed } from './kernel-write.ts';
import type { NetConf } from './net-conf.ts';
import { hostInterfaceName, podAlias, ROUTED_GATEWAY_MAC } from './pod-names.ts';
import { PodNamespace } from './pod-namespace.ts';
import { type PodPlan, planPod } from './pod-plan.ts';
import { hasIpv6, podRoutes, podSysctls } from './pod-side.ts';

/** Says what is not as it should be; collects all of it. */
type Complain = (what: string) => void;

/** Throws `CniError`: 3 where there never was such an attachment, 7 without prevResult, 103 with what differs. */
export async function check(conf: NetConf, call: CniCall): Promise<void> {
  const { prevResult } = conf;
  if (prevResult === undefined) {
    throw new CniError(CNI_ERROR.invalidConfig, 'prevResult is missing: CHECK compares with what ADD returned');
  }
  const wrong: string[] = [];
  const complain: Complain = (what) => wrong.push(what);
  const namespace = new PodNamespace(call.netns ?? '');
  const kernel = openKernel();
  try {
    const addresses = await allocatedAddresses(conf, call);
    checkAddresses(prevResult, addresses, call, complain);
    const plan = planPod(conf, readSubnetEnv(conf.subnetFile), addresses);
    await checkHost(kernel, conf, call, addresses, complain);
    await namespace.within((pod) => checkPod(pod, conf, call, plan, complain));
  } finally {
    await kernel.close();
    namespace.close();
  }
  if (wrong.length === 0) return;
  throw new CniError(CNI_ERROR.checkFailed, wrong[0] ?? '', wrong.join('; '));
}

async function allocatedAddresses(conf: NetConf, call: CniCall): Promise<readonly Address[]> {
  const own = await withAddresses(conf.dataFolder, (store) => store.of(ownerOf(conf.name, call)));
  if (own.length > 0) return own.map(({ address }) => address);
  const who = `container ${call.containerId} (${call.ifname})`;
  throw new CniError(CNI_ERROR.unknownContainer, `${who} has no address in network ${conf.name}`);
}

function checkAddresses(before: CniResult, own: readonly Address[], call: CniCall, complain: Complain): void {
  const at = before.interfaces.findIndex(({ name, sandbox }) => name === call.ifname && sandbox !== undefined);
  if (at < 0) complain(`prevResult has no interface ${call.ifname} of the container`);
  const given = before.ips
    .filter((ip) => ip.interface === at)
    .map((ip) => parseAddress(ip.address.split('/')[0] ?? ''));
  for (const address of own) {
    if (!given.includes(address)) complain(`address ${address} is allocated and not in prevResult`);
  }
  for (const address of given) {
    if (address !== undefined && !own.includes(address)) complain(`address ${address} of prevResult is not allocated`);
  }
}

async function checkHost(
  kernel: Kernel,
  conf: NetConf,
  call: CniCall,
  addresses: readonly Address[],
  complain: Complain,
): Promise<void> {
  const name = hostInterfaceName(conf.name, call);
  const link = await linkNamed(kernel, name);
  if (link === undefined) return complain(`host interface ${name} is gone`);
  if (!link.up) complain(`host interface ${name} is down`);
  if (link.alias !== podAlias(call.containerId)) complain(`host interface ${name} has alias ${link.alias ?? '(none)'}`);
  const told = conf.prevResult?.interfaces.find((each) => each.name === name && each.sandbox === undefined);
  checkTold(link, told, `host interface ${name}`, complain);
  if (readSysctl('net/ipv4/ip_forward') !== '1') complain('net.ipv4.ip_forward of the host is not 1');
  if (includesIpv6(addresses) && readSysctl('net/ipv6/conf/all/forwarding') !== '1') {
    complain('net.ipv6.conf.all.forwarding of the host is not 1');
  }
  await (conf.mode === 'bridge'
    ? checkBridge(kernel, conf, link, complain)
    : checkRoutedPort(kernel, link, addresses, toldPod(conf, call)?.mac, complain));
}

/** The container's interface in prevResult. */
function toldPod({ prevResult }: NetConf, { ifname }: CniCall): ResultInterface | undefined {
  return prevResult?.interfaces.find(({ name, sandbox }) => name === ifname && sandbox !== undefined);
}

function checkTold(link: Link, told: ResultInterface | undefined, who: string, complain: Complain): void {
  if (told?.mac !== undefined && told.mac.toLowerCase() !== link.mac) {
    complain(`${who} has MAC ${link.mac ?? '(none)'}, not ${told.mac}`);
  }
  if (told?.mtu !== undefined && told.mtu !== link.mtuBytes) {
    complain(`${who} has MTU ${link.mtuBytes}, not ${told.mtu}`);
  }
}

async function checkBridge(kernel: Kernel, conf: NetConf, port: Link, complain: Complain): Promise<void> {
  const { name, isGateway } = conf.bridge;
  const bridge = await linkNamed(kernel, name);
  if (bridge?.type !== 'bridge') return complain(`bridge ${name} is gone`);
  if (!bridge.up) complain(`bridge ${name} is down`);
  if (port.masterIndex !== bridge.index) complain(`host interface ${port.name} is no port of bridge ${name}`);
  if (!isGateway) return;
  const present = await kernel.list('address', { linkIndex: bridge.index });
  for (const { gateway } of subnetsOf(readSubnetEnv(conf.subnetFile))) {
    if (!present.some(({ address }) => address === gateway)) complain(`bridge ${name} has no address ${gateway}`);
  }
}

async function checkRoutedPort(
  kernel: Kernel,
  link: Link,
  addresses: readonly Address[],
  podMac: string | undefined,
  complain: Complain,
): Promise<void> {
  const { name, index: linkIndex } = link;
  const neighbours = await listed(kernel, 'neighbour', linkIndex);
  for (const address of addresses) {
    const route = await kernel.routeTo(address);
    if (route?.linkIndex !== linkIndex) complain(`the host has no route to ${address} by ${name}`);
    const mac = neighbours.find((own) => own.address === address)?.mac;
    if (mac === undefined) complain(`the host has no neighbour ${address} on ${name}`);
    else if (podMac !== undefined && mac !== podMac.toLowerCase()) {
      complain(`the host has neighbour ${address} at ${mac}, not ${podMac}`);
    }
  }
  const acceptsRouters = readSysctl(`net/ipv6/conf/${name}/accept_ra`);
  if (acceptsRouters !== undefined && acceptsRouters !== '0') {
    complain(`net.ipv6.conf.${name}.accept_ra of the host is ${acceptsRouters}, not 0`);
  }
}

async function checkPod(
  kernel: Kernel,
  conf: NetConf,
  call: CniCall,
  plan: PodPlan,
  complain: Complain,
): Promise<void> {
  const { ifname } = call;
  const link = await linkNamed(kernel, ifname);
  if (link === undefined) return complain(`interface ${ifname} of the container is gone`);
  if (!link.up) complain(`interface ${ifname} of the container is down`);
  checkTold(link, toldPod(conf, call), `interface ${ifname} of the container`, complain);
  const linkIndex = link.index;
  const present = await kernel.list('address', { linkIndex });
  for (const { address, prefixLength } of plan.addresses) {
    const has = present.some((own) => own.address === address && own.prefixLength === prefixLength);
    if (!has) complain(`interface ${ifname} of the container has no address ${address}/${prefixLength}`);
  }
  await checkPodRoutes(await listed(kernel, 'route', linkIndex), plan, linkIndex, conf.mode === 'routed', complain);
  if (conf.mode === 'routed') {
    const neighbours = await listed(kernel, 'neighbour', linkIndex);
    for (const { gateway } of plan.addresses) {
      const mac = neighbours.find(({ address }) => address === gateway)?.mac;
      if (mac === undefined) complain(`the container has no neighbour ${gateway}`);
      else if (mac !== ROUTED_GATEWAY_MAC) complain(`the container has neighbour ${gateway} at ${mac}`);
    }
  }
  for (const [name, value] of podSysctls(ifname, hasIpv6(plan))) {
    const now = readSysctl(name);
    if (now !== undefined && now !== value)
      complain(`${name.replaceAll('/', '.')} of the container is ${now}, not ${value}`);
  }
}

async function checkPodRoutes(
  present: readonly KernelObjects['route'][],
  plan: PodPlan,
  linkIndex: number,
  isRouted: boolean,
  complain: Complain,
): Promise<void> {
  for (const route of podRoutes(linkIndex, plan, isRouted)) {
    const { prefix, table, nextHops } = route;
    const metric = effectiveMetric(prefixFamily(prefix), route.metric);
    const has = present.some(
      (own) =>
        own.prefix === prefix &&
        own.table === table &&
        own.metric === metric &&
        own.nextHops.some(({ gateway }) => gateway === nextHops[0]?.gateway),
    );
    const via = nextHops[0]?.gateway === undefined ? '' : ` via ${nextHops[0].gateway}`;
    if (!has) complain(`the container has no route ${prefix}${via}`);
  }
}

function listed<K extends KernelKind>(kernel: Kernel, kind: K, linkIndex: number): Promise<KernelObjects[K][]> {
  return kernel.list(kind, { linkIndex });
}
