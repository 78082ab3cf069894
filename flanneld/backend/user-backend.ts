// The backends whose packets flanneld carries itself: `vxlan-user` (VXLAN on a TAP) and `udp` (bare IP in UDP on a TUN).
//
// To the rest of the node, and to the other nodes, `vxlan-user` is a vxlan node: same device name, MAC address, neighbours
// and lease. Only the FDB is missing from the kernel: the data plane has it. A cluster may mix both.

import { familyOf } from '../../lib/net/address.ts';
import { prefixAddress } from '../../lib/net/prefix.ts';
import type { DataPlane, OpenDataPlane, PlaneConfig, PlaneIoChoice, PlaneRoute } from '../dataplane/data-plane.ts';
import { type Lease, type LeaseAttributes, leaseSubnets } from '../lease/lease.ts';
import type { BackendConfig } from '../lease/network-config.ts';
import type { Underlay } from '../underlay.ts';
import type { Backend, BackendContext, NodeChange, PeerRoute, PeerState } from './backend.ts';
import type { PeerChanges } from './peer-book.ts';
import type { GoodPeer, PeerRules } from './peer-check.ts';
import { PeerRoster } from './peer-roster.ts';
import { PlaneDevice } from './plane-device.ts';
import { PlanePeers } from './plane-peers.ts';
import { tunnelHop, vtepMac, vxlanDevice, vxlanLeaseData, vxlanMtu } from './vxlan-backend.ts';

export type UserConfig = Exclude<BackendConfig, { readonly type: 'host-gw' | 'ipip' }>;

const UDP_DEVICE = 'flannel0';

export class UserBackend implements Backend {
  readonly name: 'vxlan-user' | 'udp';
  readonly deviceName: string;
  readonly setRoutes = (routes: readonly PlaneRoute[]): void => this.#device?.setRoutes(routes);
  #config: UserConfig;
  readonly #context: BackendContext;
  readonly #plane: { readonly open: OpenDataPlane; readonly io: PlaneIoChoice };
  #underlay: Underlay;
  readonly #roster: PeerRoster;
  readonly #peers: PlanePeers;
  #own: Lease | undefined;
  #device: PlaneDevice | undefined;

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
    this.#peers = new PlanePeers(config.port);
    this.#roster = new PeerRoster({
      apply: (changes) => this.#apply(changes),
      isReady: ({ lease }) => this.#isProgrammed(lease),
      stateOf: (peer, offered) => this.#stateOf(peer, offered),
      onChange: (keys) => context.onChange(keys),
    });
  }

  get planeIo(): DataPlane['io'] | undefined {
    return this.#device?.io;
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
    this.#roster.judgeBy(this.#rules(lease));
    this.#device = new PlaneDevice({
      ...this.#context,
      ...this.#plane,
      onChange: () => this.#roster.look(),
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

  drops(): Readonly<Record<string, number>> {
    return this.#device?.drops ?? {};
  }

  update({ underlay = this.#underlay, own = this.#own, config }: NodeChange): void {
    this.#underlay = underlay;
    this.#own = own;
    if (config !== undefined && config.type === this.#config.type) this.#config = config as UserConfig;
    if (own !== undefined) {
      this.#device?.setMtu(this.mtuBytes);
      this.#device?.setNode(underlay.local, leaseSubnets(own));
      this.#roster.judgeBy(this.#rules(own));
    }
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

  #rules(own: Lease): PeerRules {
    const { type } = this.#config;
    const vni = type === 'vxlan' ? { vni: this.#config.vni } : {};
    return { own, underlay: this.#underlay, backendType: type, ...vni };
  }

  #apply(changes: PeerChanges): void {
    const { put, gone } = this.#peers.change(changes);
    for (const node of gone) this.#device?.removePeer(node);
    for (const peer of put) this.#device?.setPeer(peer);
    for (const key of [...changes.gone, ...changes.refused.map(({ lease }) => lease.key)]) {
      this.#device?.setNeighbours(key, undefined);
    }
    for (const { lease, mac } of changes.good) {
      this.#device?.setNeighbours(lease.key, mac && { gateways: leaseSubnets(lease).map(prefixAddress), mac });
    }
  }

  #isProgrammed(lease: Lease): boolean {
    const gateways = this.#config.type === 'vxlan' ? leaseSubnets(lease).map(prefixAddress) : [];
    return this.#device?.isProgrammed(gateways) ?? false;
  }

  #stateOf({ lease, endpoint }: GoodPeer, offered: boolean): PeerState {
    const programmed = this.#isProgrammed(lease);
    if (!offered) return { lease, endpoint, routes: [], programmed };
    // On a TUN the gateway is no more than the peer's name, by which a route to several nodes says which ones they are.
    const routes = leaseSubnets(lease).map(
      (subnet): PeerRoute => ({ subnet, hop: tunnelHop(subnet, this.deviceName) }),
    );
    return { lease, endpoint, routes, programmed };
  }
}
