// The backends whose packets flanneld carries itself: `vxlan-user` (VXLAN on a TAP) and `udp` (bare IP in UDP on a TUN).
//
// To the rest of the node, and to the other nodes, `vxlan-user` is a vxlan node: same device name, MAC address, neighbours
// and lease. Only the FDB is missing from the kernel: the data plane has it. A cluster may mix both.

import { familyOf } from '../../lib/net/address.ts';
import { prefixAddress } from '../../lib/net/prefix.ts';
import type { OpenDataPlane, PlaneConfig, PlaneIoChoice, PlanePeer } from '../dataplane/data-plane.ts';
import { type Lease, type LeaseAttributes, leaseSubnets } from '../lease/lease.ts';
import type { BackendConfig } from '../lease/network-config.ts';
import type { Underlay } from '../underlay.ts';
import type { Backend, BackendContext, PeerRoute, PeerState } from './backend.ts';
import { checkPeers, type GoodPeer, nameOf, type RefusedPeer } from './peer-check.ts';
import { PlaneDevice } from './plane-device.ts';
import { peerEntries, tunnelHop, vtepMac, vxlanDevice, vxlanLeaseData, vxlanMtu } from './vxlan-backend.ts';

export type UserConfig = Exclude<BackendConfig, { readonly type: 'host-gw' | 'ipip' }>;

const UDP_DEVICE = 'flannel0';

export class UserBackend implements Backend {
  readonly name: 'vxlan-user' | 'udp';
  readonly deviceName: string;
  readonly setRoutes: Backend['setRoutes'];
  readonly #config: UserConfig;
  readonly #context: BackendContext;
  readonly #plane: { readonly open: OpenDataPlane; readonly io: PlaneIoChoice };
  #underlay: Underlay;
  #own: Lease | undefined;
  #device: PlaneDevice | undefined;
  #good: readonly GoodPeer[] = [];
  #refused: readonly RefusedPeer[] = [];
  /** Keys of leases that have been programmed: their routes are offered also while a device is made again. */
  readonly #offered = new Set<string>();

  constructor(
    config: UserConfig,
    plane: { readonly open: OpenDataPlane; readonly io: PlaneIoChoice },
    context: BackendContext,
  ) {
    this.name = config.type === 'vxlan' ? 'vxlan-user' : 'udp';
    this.#config = config;
    this.#plane = plane;
    this.#context = context;
    this.#underlay = context.underlay;
    this.deviceName = config.type === 'vxlan' ? vxlanDevice(config.vni) : UDP_DEVICE;
    this.setRoutes = config.type === 'vxlan' ? undefined : (routes) => this.#device?.setRoutes(routes);
  }

  get mtuBytes(): number {
    if (this.#config.type === 'vxlan') return vxlanMtu(this.#config, this.#underlay);
    // IP (20 or 40) and UDP (8).
    return this.#underlay.mtuBytes - (familyOf(this.#underlay.local) === 4 ? 28 : 48);
  }

  leaseData(before: Lease | undefined): Pick<LeaseAttributes, 'backendType' | 'vtep' | 'vtep6'> {
    if (this.#config.type === 'udp') return { backendType: 'udp' };
    return vxlanLeaseData(this.#config, this.#underlay, vtepMac(before, this.#context.nodeName, this.#config.vni));
  }

  async start(lease: Lease): Promise<void> {
    const mac = lease.vtep?.mac ?? lease.vtep6?.mac;
    this.#own = lease;
    this.#device = new PlaneDevice({
      ...this.#context,
      ...this.#plane,
      onChange: () => this.#changed(),
      config: this.#planeConfig(lease),
      spec: {
        name: this.deviceName,
        ...(mac && { mac }),
        mtuBytes: this.mtuBytes,
        addresses: leaseSubnets(lease).map(prefixAddress),
      },
    });
    await this.#device.start();
  }

  setPeers(leases: readonly Lease[]): void {
    if (this.#own === undefined) throw new Error('the backend has not started');
    const { type } = this.#config;
    const vni = type === 'vxlan' ? { vni: this.#config.vni } : {};
    const checked = checkPeers(leases, { own: this.#own, underlay: this.#underlay, backendType: type, ...vni });
    this.#good = checked.good;
    this.#refused = checked.refused;
    const keys = new Set(leases.map(({ key }) => key));
    for (const key of this.#offered) if (!keys.has(key)) this.#offered.delete(key);
    this.#device?.setPeers(planePeers(checked.good, this.#config.port), peerEntries(checked.good).neighbours);
    this.#changed();
  }

  peers(): readonly PeerState[] {
    return [
      ...this.#good.map((peer) => this.#stateOf(peer)),
      ...this.#refused.map(({ lease, reason }) => ({ lease, routes: [], programmed: false, refused: reason })),
    ];
  }

  problem(): string | undefined {
    return this.#device === undefined ? 'not started' : this.#device.problem;
  }

  drops(): Readonly<Record<string, number>> {
    return this.#device?.drops ?? {};
  }

  setUnderlayMtu(mtuBytes: number): void {
    this.#underlay = { ...this.#underlay, mtuBytes };
    this.#device?.setMtu(this.mtuBytes);
    this.#context.onChange();
  }

  async stop(): Promise<void> {
    await this.#device?.stop();
  }

  #planeConfig(lease: Lease): PlaneConfig {
    const base = {
      deviceName: this.deviceName,
      localAddress: this.#underlay.local,
      port: this.#config.port,
      mtuBytes: this.mtuBytes,
      ownSubnets: leaseSubnets(lease),
    };
    if (this.#config.type === 'udp') return { ...base, mode: 'udp' };
    const { vni } = this.#config;
    return { ...base, mode: 'vxlan', vni, mac: vtepMac(lease, this.#context.nodeName, vni) };
  }

  #changed(): void {
    for (const { lease } of this.#good) if (this.#isProgrammed(lease)) this.#offered.add(lease.key);
    this.#context.onChange();
  }

  #isProgrammed(lease: Lease): boolean {
    const gateways = this.#config.type === 'vxlan' ? leaseSubnets(lease).map(prefixAddress) : [];
    return this.#device?.isProgrammed(gateways) ?? false;
  }

  #stateOf({ lease, endpoint }: GoodPeer): PeerState {
    const programmed = this.#isProgrammed(lease);
    if (!this.#offered.has(lease.key)) return { lease, endpoint, routes: [], programmed };
    // On a TUN the gateway is no more than the peer's name, by which a route to several nodes says which ones they are.
    const routes = leaseSubnets(lease).map(
      (subnet): PeerRoute => ({ subnet, hop: tunnelHop(subnet, this.deviceName) }),
    );
    return { lease, endpoint, routes, programmed };
  }
}

/** One plane peer per node; several leases of one node at one address are one peer. */
export function planePeers(peers: readonly GoodPeer[], port: number): readonly PlanePeer[] {
  const byNode = new Map<string, PlanePeer>();
  for (const { lease, endpoint, mac } of peers) {
    const node = `${nameOf(lease)} ${endpoint}${mac === undefined ? '' : ` ${mac}`}`;
    const subnets = [...(byNode.get(node)?.subnets ?? []), ...leaseSubnets(lease)];
    byNode.set(node, { node, endpoint: endpoint, port, ...(mac && { mac }), subnets });
  }
  return [...byNode.values()];
}
