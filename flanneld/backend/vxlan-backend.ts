// The vxlan backend: the kernel's own VXLAN device (RFC 7348), with static neighbour and FDB entries instead of flooding.
//
// Per peer: its gateway (the first address of its subnet) is a neighbour with its VTEP's MAC address, and the FDB says
// behind which underlay address that MAC lives. felix adds one route per subnet, onlink via that gateway.
//
// With DirectRouting a peer on the same link is reached by a plain route; its entries stay, so that a peer that comes to
// sit behind a router needs nothing but another route.

import { createHash } from 'node:crypto';
import type { FeedNextHop } from '../../lib/feed/feed.ts';
import { type Address, familyOf } from '../../lib/net/address.ts';
import { localMac, type Mac } from '../../lib/net/mac.ts';
import { type Prefix, prefixAddress, prefixFamily } from '../../lib/net/prefix.ts';
import { type Lease, type LeaseAttributes, leaseSubnets } from '../lease/lease.ts';
import type { VxlanConfig } from '../lease/network-config.ts';
import type { Underlay } from '../underlay.ts';
import type { Backend, BackendContext, PeerRoute, PeerState } from './backend.ts';
import { DirectRoutes } from './direct-routes.ts';
import { checkPeers, type GoodPeer, type RefusedPeer } from './peer-check.ts';
import { TunnelDevice } from './tunnel-device.ts';

export class VxlanBackend implements Backend {
  readonly name = 'vxlan';
  readonly #config: VxlanConfig;
  readonly setRoutes = undefined;
  readonly #context: BackendContext;
  readonly #direct: DirectRoutes | undefined;
  #underlay: Underlay;
  #own: Lease | undefined;
  #device: TunnelDevice | undefined;
  #good: readonly GoodPeer[] = [];
  #refused: readonly RefusedPeer[] = [];
  /** Keys of leases whose entries have been in place: their routes are offered also while a device is made again. */
  readonly #offered = new Set<string>();

  constructor(config: VxlanConfig, context: BackendContext) {
    this.#config = config;
    this.#context = context;
    this.#underlay = context.underlay;
    if (config.directRouting) this.#direct = new DirectRoutes({ ...context, onChange: () => this.#changed() });
  }

  get deviceName(): string {
    return vxlanDevice(this.#config.vni);
  }

  get mtuBytes(): number {
    return vxlanMtu(this.#config, this.#underlay);
  }

  leaseData(before: Lease | undefined): Pick<LeaseAttributes, 'backendType' | 'vtep' | 'vtep6'> {
    return vxlanLeaseData(this.#config, this.#underlay, vtepMac(before, this.#context.nodeName, this.#config.vni));
  }

  async start(lease: Lease): Promise<void> {
    const { vni, port, learning, gbp } = this.#config;
    const { local, linkIndex } = this.#underlay;
    const mac = lease.vtep?.mac ?? lease.vtep6?.mac;
    this.#own = lease;
    this.#device = new TunnelDevice({
      ...this.#context,
      onChange: () => this.#changed(),
      spec: {
        name: this.deviceName,
        vxlan: { vni, local, port, parentIndex: linkIndex, learning, gbp },
        ...(mac && { mac }),
        mtuBytes: this.mtuBytes,
        addresses: leaseSubnets(lease).map(prefixAddress),
      },
    });
    await this.#device.start();
    await this.#direct?.start();
  }

  setPeers(leases: readonly Lease[]): void {
    if (this.#own === undefined) throw new Error('the backend has not started');
    const { vni } = this.#config;
    const checked = checkPeers(leases, { own: this.#own, underlay: this.#underlay, backendType: 'vxlan', vni });
    this.#good = checked.good;
    this.#refused = checked.refused;
    const keys = new Set(leases.map(({ key }) => key));
    for (const key of this.#offered) if (!keys.has(key)) this.#offered.delete(key);
    const { neighbours, fdb } = peerEntries(checked.good);
    this.#device?.setPeers(neighbours, fdb);
    this.#direct?.setEndpoints(checked.good.map(({ endpoint }) => endpoint));
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

  drops(): undefined {}

  setUnderlayMtu(mtuBytes: number): void {
    this.#underlay = { ...this.#underlay, mtuBytes };
    this.#device?.setMtu(this.mtuBytes);
    this.#context.onChange();
  }

  async stop(): Promise<void> {
    await this.#direct?.stop();
    await this.#device?.stop();
  }

  #changed(): void {
    for (const peer of this.#good) {
      // With DirectRouting the first answer of the kernel is waited for, or a route would be written twice.
      const isReached = this.#direct === undefined || this.#direct.reach(peer.endpoint) !== undefined;
      if (isReached && this.#isProgrammed(peer)) this.#offered.add(peer.lease.key);
    }
    this.#context.onChange();
  }

  #isProgrammed({ lease, mac }: GoodPeer): boolean {
    return this.#device?.isProgrammed(leaseSubnets(lease).map(prefixAddress), mac) ?? false;
  }

  #stateOf(peer: GoodPeer): PeerState {
    const { lease, endpoint } = peer;
    const programmed = this.#isProgrammed(peer);
    const reach = this.#direct?.reach(endpoint);
    if (!this.#offered.has(lease.key)) return { lease, endpoint, routes: [], programmed };
    const routes = leaseSubnets(lease).map((subnet): PeerRoute => {
      const isDirect = reach?.type === 'link' && prefixFamily(subnet) === familyOf(endpoint);
      return { subnet, hop: isDirect ? directHop(endpoint, reach.device) : tunnelHop(subnet, this.deviceName) };
    });
    return { lease, endpoint, routes, programmed };
  }
}

/** `flannel.1`. */
export function vxlanDevice(vni: number): string {
  return `flannel.${vni}`;
}

/** Outer Ethernet is the underlay's; what VXLAN takes of its MTU is IP (20 or 40), UDP (8), VXLAN (8) and the inner Ethernet header (14). */
export function vxlanMtu(config: VxlanConfig, { local, mtuBytes }: Underlay): number {
  return (config.mtuBytes ?? mtuBytes) - (familyOf(local) === 4 ? 50 : 70);
}

/** The MAC address that the node had, else one that follows from its name, so that it survives a lost lease and a reboot. */
export function vtepMac(before: Lease | undefined, nodeName: string, vni: number): Mac {
  const held = before?.vtep ?? before?.vtep6;
  if (held !== undefined) return held.mac;
  return localMac(createHash('sha256').update(`gingham vtep ${vni} ${nodeName}`).digest());
}

/** `vtep6` is flannel's for IPv6 inside, which the same device carries here. */
export function vxlanLeaseData(
  { vni }: VxlanConfig,
  { publicIp }: Underlay,
  mac: Mac,
): Pick<LeaseAttributes, 'backendType' | 'vtep' | 'vtep6'> {
  const vtep = { vni, mac };
  return { backendType: 'vxlan', ...(familyOf(publicIp) === 4 ? { vtep } : { vtep6: vtep }) };
}

/** The neighbour and FDB entries for these peers. */
export function peerEntries(peers: readonly GoodPeer[]): {
  readonly neighbours: ReadonlyMap<Address, Mac>;
  readonly fdb: ReadonlyMap<Mac, Address>;
} {
  const neighbours = new Map<Address, Mac>();
  const fdb = new Map<Mac, Address>();
  for (const { lease, endpoint, mac } of peers) {
    if (mac === undefined) continue;
    fdb.set(mac, endpoint);
    for (const subnet of leaseSubnets(lease)) neighbours.set(prefixAddress(subnet), mac);
  }
  return { neighbours, fdb };
}

/** Through the tunnel: the gateway lies in no subnet of the device. */
export function tunnelHop(subnet: Prefix, device: string): FeedNextHop {
  return { gateway: prefixAddress(subnet), device, onlink: true, weight: 1 };
}

/** Over the underlay. */
export function directHop(endpoint: Address, device: string): FeedNextHop {
  return { gateway: endpoint, device, onlink: false, weight: 1 };
}
