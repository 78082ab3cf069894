// ADD: address, bridge or route, veth pair, the pod's end. In this order, so that whatever a killed plugin leaves behind is
// told by an allocation; a failure takes all of it back.
//
// An ADD after one that was killed (same container, same interface) starts over with the same addresses.

import { readFileSync } from 'node:fs';
import type { Kernel, Link } from '../lib/kernel/kernel.ts';
import { openKernel } from '../lib/kernel/rtnetlink-kernel.ts';
import type { Address } from '../lib/net/address.ts';
import { parseSubnetEnv, type SubnetEnv } from '../lib/subnet-env.ts';
import { ownerOf, withAddresses } from './address-store.ts';
import { allocate, release, subnetsOf } from './allocate.ts';
import { enableForwarding, ensureBridge } from './bridge.ts';
import type { CniCall } from './cni-call.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { type CniResult, joinResults, type ResultInterface } from './cni-result.ts';
import { awaitRoutes, removePodRecord, requireDaemons, writePodRecord } from './host-route.ts';
import { includesIpv6, makeBridgePort, makeRoutedPort, removePair } from './host-side.ts';
import { linkNamed } from './kernel-write.ts';
import type { NetConf } from './net-conf.ts';
import { hostInterfaceName, macOfAddress } from './pod-names.ts';
import { PodNamespace } from './pod-namespace.ts';
import { type PodPlan, planPod } from './pod-plan.ts';
import { setUpPod } from './pod-side.ts';

/** Plugs the container in. Throws `CniError`; then nothing of it is left. */
export async function attach(conf: NetConf, call: CniCall): Promise<CniResult> {
  const env = readSubnetEnv(conf.subnetFile);
  if (conf.ipMasq && !env.masquerade) {
    const reason = 'ipMasq: true is not accepted: felix masquerades, and only where flanneld runs with --ip-masq';
    throw new CniError(CNI_ERROR.invalidConfig, reason);
  }
  if (conf.mode === 'routed') await requireDaemons(conf.runFolder);
  const namespace = new PodNamespace(call.netns ?? '');
  const kernel = openKernel();
  try {
    // Before anything is made: it must not be undone by the failure that this is.
    await refuseExisting(namespace, call);
    const addresses = await takeAddresses(conf, call, env);
    try {
      const own = await plug(conf, call, env, { kernel, namespace, addresses });
      return joinResults(conf.prevResult, own);
    } catch (error) {
      await undo(conf, call, kernel);
      throw error;
    }
  } finally {
    await kernel.close();
    namespace.close();
  }
}

/** What flanneld leased. Throws `CniError`: 11 where it has not written it yet, 5 or 6 where it cannot be read. */
export function readSubnetEnv(path: string): SubnetEnv {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== 'ENOENT') {
      throw new CniError(CNI_ERROR.ioFailure, `cannot read ${path} (subnetFile): ${message}`, '', { cause });
    }
    const reason = `there is no ${path} (subnetFile): flanneld has not leased a subnet yet, or writes it elsewhere`;
    throw new CniError(CNI_ERROR.tryAgainLater, reason, '', { cause });
  }
  const env = parseSubnetEnv(text);
  if (typeof env === 'string') throw new CniError(CNI_ERROR.decodingFailure, `${path} (subnetFile): ${env}`);
  return env;
}

interface Workplace {
  readonly kernel: Kernel;
  readonly namespace: PodNamespace;
  readonly addresses: readonly Address[];
}

async function refuseExisting(namespace: PodNamespace, { ifname }: CniCall): Promise<void> {
  if ((await namespace.within((pod) => linkNamed(pod, ifname))) === undefined) return;
  throw new CniError(CNI_ERROR.alreadyAttached, `the container has an interface ${ifname} already`);
}

/** New addresses, or those that a killed ADD of this interface was given. */
function takeAddresses(conf: NetConf, call: CniCall, env: SubnetEnv): Promise<readonly Address[]> {
  const owner = ownerOf(conf.name, call);
  return withAddresses(conf.dataFolder, (store) => {
    // Given back first: they may be of a subnet that this node has no longer, or not those that are asked for now.
    const nowUnixMs = Date.now();
    const former = release(store, owner, nowUnixMs);
    const requested = call.args.ips.length > 0 ? call.args.ips : conf.ips;
    const { reuseDelaySeconds } = conf;
    const again = former.length === subnetsOf(env).length && requested.length === 0 ? former : requested;
    try {
      return allocate(store, owner, subnetsOf(env), { requested: again, reuseDelaySeconds, nowUnixMs });
    } catch (error) {
      if (again === requested) throw error;
      return allocate(store, owner, subnetsOf(env), { requested, reuseDelaySeconds, nowUnixMs });
    }
  });
}

async function plug(conf: NetConf, call: CniCall, env: SubnetEnv, place: Workplace): Promise<CniResult> {
  const { kernel, namespace, addresses } = place;
  const plan = planPod(conf, env, addresses);
  const hostInterface = hostInterfaceName(conf.name, call);
  const podMac = call.args.mac ?? conf.mac ?? addresses.map(macOfAddress).find((mac) => mac !== undefined);
  const pair = { hostInterface, pod: call, mtuBytes: plan.mtuBytes, podMac, namespaceFd: namespace.fd };
  enableForwarding(includesIpv6(addresses));
  // What a killed ADD left of the pair.
  await removePair(kernel, hostInterface);
  const isRouted = conf.mode === 'routed';
  const hosts: Link[] = [];
  if (isRouted) {
    hosts.push(await makeRoutedPort(kernel, pair));
    const { containerId, ifname } = call;
    const gateways = plan.addresses.flatMap(({ gateway }) => gateway ?? []);
    const record = { containerId, ifname, network: conf.name, hostInterface, addresses, gateways };
    writePodRecord(conf.runFolder, { ...record, ...(podMac && { mac: podMac }) });
  } else {
    const bridge = await ensureBridge(kernel, conf.bridge, subnetsOf(env), plan.mtuBytes);
    hosts.push(bridge, await makeBridgePort(kernel, pair, bridge, conf.bridge.hairpin));
  }
  const mac = await namespace.within((pod) => setUpPod(pod, call.ifname, plan, isRouted));
  // While felix wrote the route, the pod's end was set up.
  if (isRouted) await awaitRoutes(kernel, hosts[0] as Link, addresses, conf.runFolder);
  return resultOf(conf, plan, hosts, { name: call.ifname, mac, mtu: plan.mtuBytes, sandbox: namespace.path });
}

function resultOf(conf: NetConf, plan: PodPlan, hosts: readonly Link[], pod: ResultInterface): CniResult {
  const interfaces = hosts.map(({ name, mac, mtuBytes }) => ({ name, ...(mac && { mac }), mtu: mtuBytes }));
  return {
    interfaces: [...interfaces, pod],
    ips: plan.addresses.map(({ address, prefixLength, gateway }) => ({
      address: `${address}/${prefixLength}`,
      ...(gateway && { gateway }),
      interface: interfaces.length,
    })),
    routes: plan.routes,
    dns: conf.dns,
  };
}

/** What can be undone is; the error at hand is the one to tell. */
async function undo(conf: NetConf, call: CniCall, kernel: Kernel): Promise<void> {
  const hostInterface = hostInterfaceName(conf.name, call);
  if (conf.mode === 'routed') removePodRecord(conf.runFolder, hostInterface);
  await removePair(kernel, hostInterface).catch(() => undefined);
  const owner = ownerOf(conf.name, call);
  await withAddresses(conf.dataFolder, (store) => release(store, owner, Date.now())).catch(() => undefined);
}
