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
import { errorText } from '../../lib/run/exit.ts';
import { type Lease, type LeaseAttributes, leaseSubnets } from '../lease/lease.ts';
import type { VxlanConfig } from '../lease/network-config.ts';
import type { Underlay } from '../underlay.ts';
import type { Backend, BackendContext, NodeChange, PeerRoute, PeerState } from './backend.ts';
import { DirectRoutes } from './direct-routes.ts';
import type { PeerChanges } from './peer-book.ts';
import type { GoodPeer } from './peer-check.ts';
import { PeerRoster } from './peer-roster.ts';
import { TunnelDevice, type TunnelSpec } from './tunnel-device.ts';

const LOOPBACK = 'lo';

export class VxlanBackend implements Backend {
  readonly name = 'vxlan';
  readonly setRoutes = undefined;
  readonly #context: BackendContext;
  readonly #roster: PeerRoster;
  #config: VxlanConfig;
  #direct: DirectRoutes | undefined;
  #underlay: Underlay;
  #own: Lease | undefined;
  #device: TunnelDevice | undefined;

  constructor(config: VxlanConfig, context: BackendContext) {
    this.#config = config;
    this.#context = context;
    this.#underlay = context.underlay;
    this.#roster = new PeerRoster({
      apply: (changes) => this.#apply(changes),
      isReady: (peer) => this.#isReady(peer),
      stateOf: (peer, offered) => this.#stateOf(peer, offered),
      onChange: (keys) => context.onChange(keys),
    });
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
    const { vni } = this.#config;
    this.#own = lease;
    this.#roster.judgeBy({ own: lease, underlay: this.#underlay, backendType: 'vxlan', vni });
    const spec = { name: this.deviceName, ...this.#specOf(lease) };
    this.#device = new TunnelDevice({ ...this.#context, onChange: () => this.#roster.look(), spec });
    await this.#device.start();
    await this.#followDirectRouting();
  }

  setPeers(leases: readonly Lease[]): void {
    this.#roster.setPeers(leases);
    this.#device?.peersKnown();
  }

  changePeers(put: readonly Lease[], removed: readonly Lease[]): void {
    this.#roster.changePeers(put, removed);
    this.#device?.peersKnown();
  }

  peers(): readonly PeerState[] {
    return this.#roster.peers();
  }

  peer(key: string): PeerState | undefined {
    return this.#roster.peer(key);
  }

  problem(): string | undefined {
    return this.#device === undefined ? 'not started' : this.#device.problem;
  }

  drops(): undefined {}

  update({ underlay = this.#underlay, own = this.#own, config }: NodeChange): void {
    const { vni } = this.#config;
    this.#underlay = underlay;
    this.#own = own;
    if (config?.type === 'vxlan') this.#config = config;
    if (own !== undefined) {
      this.#device?.setSpec(this.#specOf(own));
      this.#roster.judgeBy({ own, underlay, backendType: 'vxlan', vni });
    }
    this.#followDirectRouting().catch((error: unknown) => {
      this.#context.log.warn({ reason: errorText(error) }, 'the underlay cannot be watched for DirectRouting');
    });
    this.#context.onChange();
  }

  async stop(): Promise<void> {
    await this.#direct?.stop();
    await this.#device?.stop();
  }

  #specOf(lease: Lease): Omit<TunnelSpec, 'name'> {
    const { vni, port, learning, gbp } = this.#config;
    const { local, linkIndex, name } = this.#underlay;
    const mac = lease.vtep?.mac ?? lease.vtep6?.mac;
    return {
      // An address on the loopback is reached by any interface: bound to that one, the device would send nothing.
      vxlan: { vni, local, port, ...(name !== LOOPBACK && { parentIndex: linkIndex }), learning, gbp },
      ...(mac && { mac }),
      mtuBytes: this.mtuBytes,
      addresses: leaseSubnets(lease).map(prefixAddress),
    };
  }

  /** Begins or ends to ask which peers are on this node's link. */
  async #followDirectRouting(): Promise<void> {
    const { directRouting } = this.#config;
    if (directRouting === (this.#direct !== undefined)) return;
    const former = this.#direct;
    this.#direct = directRouting
      ? new DirectRoutes({ ...this.#context, onChange: (endpoints) => this.#roster.lookAt(endpoints) })
      : undefined;
    this.#setEndpoints();
    await Promise.all([former?.stop(), this.#direct?.start()]);
    this.#context.onChange();
  }

  #apply({ good, refused, gone }: PeerChanges): void {
    for (const key of [...gone, ...refused.map(({ lease }) => lease.key)]) this.#device?.setPeer(key, undefined);
    for (const { lease, endpoint, mac } of good) {
      const gateways = leaseSubnets(lease).map(prefixAddress);
      this.#device?.setPeer(lease.key, mac && { gateways, mac, endpoint });
    }
    this.#setEndpoints();
  }

  #setEndpoints(): void {
    this.#direct?.setEndpoints(Array.from(this.#roster.good(), ({ endpoint }) => endpoint));
  }

  #isProgrammed({ lease, mac }: GoodPeer): boolean {
    return this.#device?.isProgrammed(leaseSubnets(lease).map(prefixAddress), mac) ?? false;
  }

  #isReady(peer: GoodPeer): boolean {
    // With DirectRouting the first answer of the kernel is waited for, or a route would be written twice.
    return (this.#direct === undefined || this.#direct.reach(peer.endpoint) !== undefined) && this.#isProgrammed(peer);
  }

  #stateOf(peer: GoodPeer, offered: boolean): PeerState {
    const { lease, endpoint } = peer;
    const programmed = this.#isProgrammed(peer);
    const reach = this.#direct?.reach(endpoint);
    if (!offered) return { lease, endpoint, routes: [], programmed };
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

/** Through the tunnel: the gateway lies in no subnet of the device. */
export function tunnelHop(subnet: Prefix, device: string): FeedNextHop {
  return { gateway: prefixAddress(subnet), device, onlink: true, weight: 1 };
}

/** Over the underlay. */
export function directHop(endpoint: Address, device: string): FeedNextHop {
  return { gateway: endpoint, device, onlink: false, weight: 1 };
}
