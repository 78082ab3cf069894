// What the tests of the kernel VXLAN backend share: its config, a start with peers, and the entries in the kernel.
// The node around it is backend-fixture.ts.

import type { VxlanBackend } from '../../../../flanneld/backend/vxlan-backend.ts';
import { type NetworkConfig, parseNetworkConfig, type VxlanConfig } from '../../../../flanneld/lease/network-config.ts';
import { type Fixture, leaseOf } from './backend-fixture.ts';

/** What a network config that says nothing of its backend gives. */
export const VXLAN = (parseNetworkConfig('{"Network":"10.5.0.0/16"}') as NetworkConfig).backend as VxlanConfig;

/** What `entries` tells of nodes 2 and 3. */
export const TWO_PEERS = {
  neighbours: ['10.5.2.0 02:00:00:00:00:02', '10.5.3.0 02:00:00:00:00:03'],
  fdb: ['02:00:00:00:00:02 192.0.2.2', '02:00:00:00:00:03 192.0.2.3'],
};

/** Starts the backend as node 1 with these peers, and lets it finish what that brings. */
export async function startWith(backend: VxlanBackend, fixture: Fixture, ...nodes: readonly number[]): Promise<void> {
  await backend.start(leaseOf(1));
  backend.setPeers(nodes.map((node) => leaseOf(node)));
  await fixture.clock.advanceAsync(0);
}

/** The neighbours and FDB entries in the kernel, as text. */
export function entries({ kernel }: Fixture): { neighbours: string[]; fdb: string[] } {
  return {
    neighbours: kernel.neighbours().map((entry) => `${entry.address} ${entry.mac}`),
    fdb: kernel.fdb().map((entry) => `${entry.mac} ${entry.destination}`),
  };
}
