// Any interleaving of several nodes that allocate, with answers that get lost, never gives one subnet to two nodes.
//
// The nodes run the real code against one etcd in memory; a scheduler decides whose operation is done next and whose
// answer arrives next. A slow model checks what pickSubnet calls free.

import fc from 'fast-check';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { acquireLease } from '../../flanneld/lease/acquire-lease.ts';
import { decodeLease, isLeaseFault, type Lease, leaseFolder } from '../../flanneld/lease/lease.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../flanneld/lease/network-config.ts';
import { pickSubnet } from '../../flanneld/lease/pick-subnet.ts';
import { address } from '../../lib/net/address.ts';
import { type Prefix, prefix, prefixesOverlap } from '../../lib/net/prefix.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { type Fault, MemoryEtcd } from '../fakes/memory-registry.ts';

const log = pino({ level: 'silent' });

/** Waits end at once: what matters here is the order, not the time. */
class HurriedClock extends FakeClock implements Clock {
  override after(delayMs: number, callback: () => void): () => void {
    if (delayMs > 10_000) return () => undefined;
    const timer = setImmediate(callback);
    return () => clearImmediate(timer);
  }
}

const fault = fc.record<Fault>({
  operation: fc.constantFrom('list', 'create', 'put', 'delete'),
  how: fc.constantFrom('unavailable', 'lost-answer'),
});

test('no interleaving gives one subnet to two nodes', async () => {
  // Seven places for up to six nodes, one of them held by a stranger: collisions are the rule.
  const config = parseNetworkConfig('{"Network":"10.5.0.0/24","SubnetLen":27}') as NetworkConfig;
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 2, max: 6 }),
      fc.array(fault, { maxLength: 4 }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      async (scheduler, nodes, faults, randoms) => {
        const etcd = new MemoryEtcd(new HurriedClock());
        etcd.write('/net/subnets/10.5.0.32-27', '{"PublicIP":"192.0.2.99"}');
        etcd.failNext(...faults);
        etcd.interleave = (operation) => scheduler.schedule(Promise.resolve(), operation);
        const acquired = Array.from({ length: nodes }, (_, i) => {
          const publicIp = address(`192.0.2.${i + 1}`);
          const terms = {
            registry: etcd.registry(),
            clock: etcd.clock,
            log,
            etcdPrefix: '/net',
            config,
            nodeName: `node${i + 1}`,
            publicIps: [publicIp],
            ttlSeconds: 86_400,
            attributes: () => ({ publicIp, backendType: 'host-gw', nodeName: `node${i + 1}` }),
            random: () => randoms.next().value,
          };
          return acquireLease(terms, new AbortController().signal);
        });
        const held = await scheduler.waitFor(Promise.all(acquired));
        const subnets = held.map(({ lease }) => lease.subnet);
        expect(new Set(subnets).size).toBe(nodes);
        expect(subnets).not.toContain('10.5.0.32/27');
        // Each node's entry is what it believes, and no node has two.
        for (const { lease, entry } of held) expect(etcd.entry(lease.key)).toEqual(entry);
        expect(etcd.snapshot(leaseFolder('/net')).entries).toHaveLength(nodes + 1);
        expect(etcd.leaseIds).toHaveLength(nodes);
      },
    ),
    { numRuns: 150 },
  );
});

test('what is picked is free, in the pool, and found whenever there is a free place', () => {
  const taken = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 20, max: 28 }));
  fc.assert(
    fc.property(
      fc.array(taken, { maxLength: 40 }),
      fc.integer({ min: 22, max: 26 }),
      fc.string({ minLength: 1, maxLength: 8 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (blocks, subnetLength, nodeName, random) => {
        const config = parseNetworkConfig(
          JSON.stringify({ Network: '10.5.0.0/20', SubnetLen: subnetLength }),
        ) as NetworkConfig;
        const leases = blocks.map(([byte, length]) => leaseOf(byte, length));
        const picker = { nodeName: `me ${nodeName}`, publicIps: [], random: () => random };
        const picked = pickSubnet(config, leases, picker);
        const free = everySubnet(subnetLength).filter((subnet) =>
          leases.every((lease) => !prefixesOverlap(lease.subnet, subnet)),
        );
        if (picked.type === 'free')
          expect(free).toEqual(expect.arrayContaining(picked.candidates.map(({ subnet }) => subnet)));
        else expect({ type: picked.type, free }).toMatchObject({ type: 'none', free: [] });
      },
    ),
  );
});

/** The slow model: every subnet of 10.5.0.0/20 but the first, one by one. */
function everySubnet(length: number): Prefix[] {
  const size = 2 ** (32 - length);
  return Array.from({ length: 2 ** (length - 20) - 1 }, (_, i) => {
    const offset = (i + 1) * size;
    return prefix(`10.5.${offset >> 8}.${offset & 255}/${length}`);
  });
}

function leaseOf(byte: number, length: number): Lease {
  const value = ((10 << 24) | (5 << 16) | (byte << 4)) & (-1 << (32 - length));
  const text = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
  const lease = decodeLease(`/net/subnets/${text}-${length}`, '{"PublicIP":"192.0.2.1","NodeName":"other"}');
  if (isLeaseFault(lease)) throw new Error(lease.fault);
  return lease;
}
