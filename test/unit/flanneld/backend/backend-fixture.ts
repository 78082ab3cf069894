// What the backend tests share: a fake kernel with one underlay interface, leases, and a settled clock.
// Addresses are those of documentation (192.0.2.0/24); node N is N everywhere.

import { pino } from 'pino';
import type { BackendContext } from '../../../../flanneld/backend/backend.ts';
import { type Lease, leaseKey } from '../../../../flanneld/lease/lease.ts';
import type { Underlay } from '../../../../flanneld/underlay.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { FakeKernel } from '../../../fakes/fake-kernel.ts';

export interface Fixture {
  readonly kernel: FakeKernel;
  readonly clock: FakeClock;
  readonly underlay: Underlay;
  readonly context: BackendContext;
  /** Calls of `onChange` so far. */
  readonly changes: { count: number };
}

/** eth0 192.0.2.1/24 with MTU 1500. */
export function makeFixture(): Fixture {
  const kernel = new FakeKernel();
  const clock = new FakeClock();
  const eth0 = kernel.addLink({ name: 'eth0', up: true, mtuBytes: 1500 });
  const local = address('192.0.2.1');
  kernel.foreign({ op: 'put', kind: 'address', address: { linkIndex: eth0.index, address: local, prefixLength: 24 } });
  const underlay = { linkIndex: eth0.index, name: 'eth0', mtuBytes: 1500, local, publicIp: local };
  const changes = { count: 0 };
  const context: BackendContext = {
    kernel,
    clock,
    log: pino({ level: 'silent' }),
    nodeName: 'node1',
    underlay,
    onChange: () => {
      changes.count++;
    },
  };
  return { kernel, clock, underlay, context, changes };
}

/** Node N: subnet 10.5.N.0/24, underlay address 192.0.2.N, VTEP 02:..:N. */
export function leaseOf(node: number, changed: Partial<Lease> = {}): Lease {
  const subnet = prefix(`10.5.${node}.0/24`);
  return {
    key: leaseKey('/net', subnet),
    subnet,
    publicIp: address(`192.0.2.${node}`),
    backendType: 'vxlan',
    vtep: { vni: 1, mac: mac(`02:00:00:00:00:${String(node).padStart(2, '0')}`) },
    nodeName: `node${node}`,
    ...changed,
  };
}
