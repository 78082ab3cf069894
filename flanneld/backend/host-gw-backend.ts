// The host-gw backend: no tunnel, no device; each peer's subnet is routed to the peer's own underlay address.
//
// That works only where the peer sits on the same link. A peer behind a router is refused by name: packets for its subnet
// would reach a router that knows nothing of it.

import type { Address } from '../../lib/net/address.ts';
import { familyOf } from '../../lib/net/address.ts';
import { prefixFamily } from '../../lib/net/prefix.ts';
import { type Lease, type LeaseAttributes, leaseSubnets } from '../lease/lease.ts';
import type { Underlay } from '../underlay.ts';
import type { Backend, BackendContext, NodeChange, PeerRoute, PeerState } from './backend.ts';
import { DirectRoutes, type Reach } from './direct-routes.ts';
import type { GoodPeer } from './peer-check.ts';
import { PeerRoster } from './peer-roster.ts';
import { directHop } from './vxlan-backend.ts';

export class HostGwBackend implements Backend {
  readonly name = 'host-gw';
  readonly deviceName = undefined;
  readonly setRoutes = undefined;
  readonly #context: BackendContext;
  readonly #direct: DirectRoutes;
  readonly #roster: PeerRoster;
  #underlay: Underlay;
  #own: Lease | undefined;

  constructor(context: BackendContext) {
    this.#context = context;
    this.#underlay = context.underlay;
    this.#direct = new DirectRoutes({ ...context, onChange: (endpoints) => this.#roster.lookAt(endpoints) });
    this.#roster = new PeerRoster({
      apply: () => this.#direct.setEndpoints(Array.from(this.#roster.good(), ({ endpoint }) => endpoint)),
      isReady: ({ endpoint }) => this.#direct.reach(endpoint) !== undefined,
      stateOf: (peer) => stateOf(peer, this.#direct.reach(peer.endpoint)),
      onChange: (keys) => context.onChange(keys),
    });
  }

  get mtuBytes(): number {
    return this.#underlay.mtuBytes;
  }

  leaseData(): Pick<LeaseAttributes, 'backendType'> {
    return { backendType: 'host-gw' };
  }

  async start(lease: Lease): Promise<void> {
    this.#own = lease;
    this.#roster.judgeBy({ own: lease, underlay: this.#underlay, backendType: 'host-gw' });
    await this.#direct.start();
  }

  setPeers(leases: readonly Lease[]): void {
    this.#roster.setPeers(leases);
  }

  changePeers(put: readonly Lease[], removed: readonly Lease[]): void {
    this.#roster.changePeers(put, removed);
  }

  peers(): readonly PeerState[] {
    return this.#roster.peers();
  }

  peer(key: string): PeerState | undefined {
    return this.#roster.peer(key);
  }

  problem(): string | undefined {
    return this.#own === undefined ? 'not started' : undefined;
  }

  drops(): undefined {}

  update({ underlay = this.#underlay, own = this.#own }: NodeChange): void {
    this.#underlay = underlay;
    this.#own = own;
    if (own !== undefined) this.#roster.judgeBy({ own, underlay, backendType: 'host-gw' });
    this.#context.onChange();
  }

  async stop(): Promise<void> {
    await this.#direct.stop();
  }
}

function stateOf({ lease, endpoint }: GoodPeer, reach: Reach | undefined): PeerState {
  if (reach === undefined) return { lease, endpoint, routes: [], programmed: false };
  if (reach.type !== 'link') {
    const refused = `host-gw reaches only nodes on the same link, and ${whyNot(endpoint, reach)}: use vxlan`;
    return { lease, routes: [], programmed: false, refused };
  }
  const routes = leaseSubnets(lease)
    .filter((subnet) => prefixFamily(subnet) === familyOf(endpoint))
    .map((subnet): PeerRoute => ({ subnet, hop: directHop(endpoint, reach.device) }));
  return { lease, endpoint, routes, programmed: true };
}

function whyNot(endpoint: Address, reach: Exclude<Reach, { type: 'link' }>): string {
  return reach.type === 'router'
    ? `${endpoint} is behind the router ${reach.gateway}`
    : `there is no route to ${endpoint}`;
}
