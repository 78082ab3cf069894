// The ipip backend: IP in IP (RFC 2003), 20 bytes per packet and no port. The kernel's device where the kernel has one,
// else a TUN and raw sockets in flanneld; other nodes cannot tell which.
//
// The kernel is asked by making the device: it loads the module where there is one, and says EOPNOTSUPP where there is
// none. Its device carries IPv4 alone, so that a node with IPv6 subnets carries its packets itself (IPv6 in IPv4 is
// protocol 41, RFC 4213, for which the kernel would want a second device).
//
// The confusing thing: the next hop. The kernel's device sends a packet to its route's gateway, which is therefore the
// peer's underlay address. The TUN shows only the packet: there the gateway is a name for the peer, the first address of
// its subnet as with vxlan, and the plane has a table of prefixes.

import { type Address, familyOf } from '../../lib/net/address.ts';
import { prefixAddress, prefixFamily } from '../../lib/net/prefix.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import type { DataPlane, OpenDataPlane, PlaneIoChoice, PlaneRoute } from '../dataplane/data-plane.ts';
import { type Lease, type LeaseAttributes, leaseSubnets } from '../lease/lease.ts';
import type { IpipConfig } from '../lease/network-config.ts';
import type { Underlay } from '../underlay.ts';
import type { Backend, BackendContext, NodeChange, PeerRoute, PeerState } from './backend.ts';
import { Refused } from './device-fault.ts';
import { DirectRoutes } from './direct-routes.ts';
import type { PeerChanges } from './peer-book.ts';
import type { GoodPeer } from './peer-check.ts';
import { PeerRoster } from './peer-roster.ts';
import { PlaneDevice } from './plane-device.ts';
import { PlanePeers } from './plane-peers.ts';
import { TunnelDevice } from './tunnel-device.ts';
import { directHop, tunnelHop } from './vxlan-backend.ts';

const DEVICE = 'flannel.ipip';
/** The outer IPv4 header. */
const OVERHEAD_BYTES = 20;
/** What the kernel says where it has no such device: by rtnetlink, by the module loader. */
const NO_DEVICE: readonly string[] = ['EOPNOTSUPP', 'ENOTSUPP', 'ENODEV'];

type Device =
  | { readonly by: 'kernel'; readonly device: TunnelDevice }
  | { readonly by: 'flanneld'; readonly device: PlaneDevice };

export class IpipBackend implements Backend {
  readonly deviceName = DEVICE;
  readonly setRoutes = (routes: readonly PlaneRoute[]): void => {
    if (this.#device?.by === 'flanneld') this.#device.device.setRoutes(routes);
  };
  readonly #config: IpipConfig;
  readonly #plane: { readonly open: OpenDataPlane; readonly io: PlaneIoChoice };
  readonly #context: BackendContext;
  readonly #direct: DirectRoutes | undefined;
  #underlay: Underlay;
  #own: Lease | undefined;
  #device: Device | undefined;
  readonly #roster: PeerRoster;
  readonly #peers = new PlanePeers(0);

  constructor(
    config: IpipConfig,
    plane: { readonly open: OpenDataPlane; readonly io: PlaneIoChoice },
    context: BackendContext,
  ) {
    this.#config = config;
    this.#plane = plane;
    this.#context = context;
    this.#underlay = context.underlay;
    this.#roster = new PeerRoster({
      apply: (changes) => this.#apply(changes),
      isReady: (peer) => this.#isReady(peer),
      stateOf: (peer, offered) => this.#stateOf(peer, offered),
      onChange: (keys) => context.onChange(keys),
    });
    if (config.directRouting) {
      this.#direct = new DirectRoutes({ ...context, onChange: (endpoints) => this.#roster.lookAt(endpoints) });
    }
  }

  get name(): 'ipip' | 'ipip-user' {
    return this.#device?.by === 'flanneld' ? 'ipip-user' : 'ipip';
  }

  get mtuBytes(): number {
    return this.#underlay.mtuBytes - OVERHEAD_BYTES;
  }

  leaseData(): Pick<LeaseAttributes, 'backendType'> {
    return { backendType: 'ipip' };
  }

  async start(lease: Lease): Promise<void> {
    if (familyOf(this.#underlay.local) !== 4) {
      const { local } = this.#underlay;
      throw new ExitError(EXIT.config, `the backend ipip needs an IPv4 underlay, and ${local} is IPv6: use vxlan`);
    }
    this.#own = lease;
    this.#roster.judgeBy({ own: lease, underlay: this.#underlay, backendType: 'ipip' });
    this.#device = await this.#makeDevice(lease);
    await this.#direct?.start();
  }

  setPeers(leases: readonly Lease[]): void {
    this.#roster.setPeers(leases);
    this.#device?.device.peersKnown();
  }

  changePeers(put: readonly Lease[], removed: readonly Lease[]): void {
    this.#roster.changePeers(put, removed);
    this.#device?.device.peersKnown();
  }

  peers(): readonly PeerState[] {
    return this.#roster.peers();
  }

  peer(key: string): PeerState | undefined {
    return this.#roster.peer(key);
  }

  problem(): string | undefined {
    return this.#device === undefined ? 'not started' : this.#device.device.problem;
  }

  get planeIo(): DataPlane['io'] | undefined {
    return this.#device?.by === 'flanneld' ? this.#device.device.io : undefined;
  }

  drops(): Readonly<Record<string, number>> | undefined {
    return this.#device?.by === 'flanneld' ? this.#device.device.drops : undefined;
  }

  update({ underlay = this.#underlay, own = this.#own }: NodeChange): void {
    this.#underlay = underlay;
    this.#own = own;
    if (own !== undefined) {
      const subnets = leaseSubnets(own);
      const addresses = subnets.map(prefixAddress);
      this.#device?.device.setMtu(this.mtuBytes);
      if (this.#device?.by === 'kernel') this.#device.device.setSpec({ ipip: { local: underlay.local }, addresses });
      else this.#device?.device.setNode(underlay.local, subnets);
      this.#roster.judgeBy({ own, underlay, backendType: 'ipip' });
    }
    this.#context.onChange();
  }

  async stop(): Promise<void> {
    await this.#direct?.stop();
    await this.#device?.device.stop();
  }

  async #makeDevice(lease: Lease): Promise<Device> {
    const { log } = this.#context;
    const { local } = this.#underlay;
    const base = { ...this.#context, onChange: () => this.#roster.look() };
    const spec = { name: DEVICE, mtuBytes: this.mtuBytes, addresses: leaseSubnets(lease).map(prefixAddress) };
    if (!this.#config.userSpace && lease.subnet6 === undefined) {
      const device = new TunnelDevice({ ...base, spec: { ...spec, ipip: { local } } });
      try {
        await device.start();
        return { by: 'kernel', device };
      } catch (error) {
        await device.stop();
        const reason = lackOf(error);
        if (reason === undefined) throw error;
        log.info({ device: DEVICE, reason }, 'the kernel has no IP-in-IP device: flanneld carries the packets');
      }
    }
    const ownSubnets = leaseSubnets(lease);
    const config = { deviceName: DEVICE, localAddress: local, port: 0, mtuBytes: this.mtuBytes, ownSubnets };
    const device = new PlaneDevice({ ...base, ...this.#plane, spec, config: { ...config, mode: 'ipip' } });
    await device.start();
    return { by: 'flanneld', device };
  }

  #apply(changes: PeerChanges): void {
    const { put, gone } = this.#peers.change(changes);
    if (this.#device?.by === 'flanneld') {
      for (const node of gone) this.#device.device.removePeer(node);
      for (const peer of put) this.#device.device.setPeer(peer);
    }
    this.#direct?.setEndpoints(Array.from(this.#roster.good(), ({ endpoint }) => endpoint));
  }

  /** With DirectRouting the first answer of the kernel is waited for, or a route would be written twice. */
  #isReady({ endpoint }: GoodPeer): boolean {
    return (this.#direct === undefined || this.#direct.reach(endpoint) !== undefined) && this.#isProgrammed();
  }

  #isProgrammed(): boolean {
    return this.#device?.device.isProgrammed([], undefined) ?? false;
  }

  #stateOf({ lease, endpoint }: GoodPeer, offered: boolean): PeerState {
    const programmed = this.#isProgrammed();
    if (!offered) return { lease, endpoint, routes: [], programmed };
    const reach = this.#direct?.reach(endpoint);
    const routes = leaseSubnets(lease).map((subnet): PeerRoute => {
      const isDirect = reach?.type === 'link' && prefixFamily(subnet) === familyOf(endpoint);
      if (isDirect) return { subnet, hop: directHop(endpoint, reach.device) };
      return { subnet, hop: this.#device?.by === 'kernel' ? kernelHop(endpoint) : tunnelHop(subnet, DEVICE) };
    });
    return { lease, endpoint, routes, programmed };
  }
}

/** The kernel's device sends to the gateway. */
function kernelHop(endpoint: Address): PeerRoute['hop'] {
  return { gateway: endpoint, device: DEVICE, onlink: true, weight: 1 };
}

/** What the kernel said, where it refused because it knows no such kind of device. */
function lackOf(error: unknown): string | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof Refused && NO_DEVICE.includes(cause.failure.code)) return cause.message;
  }
  return undefined;
}
