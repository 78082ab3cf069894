// Two allocators on two subnets, with everything that etcd and processes can do to them: there is never a subnet that two
// nodes hold by etcd's word, nor one that two nodes go on using once they have heard of each other.
//
// Commands against the real lease code and an etcd in memory that compacts, loses answers, expires leases, goes away and
// comes back from an older copy. The model is small: which nodes run, and that at rest each holds what etcd says.

import fc from 'fast-check';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { acquireLease, type LeaseTerms } from '../../flanneld/lease/acquire-lease.ts';
import { decodeLease, isLeaseFault, type Lease, leaseFolder, leaseSubnets } from '../../flanneld/lease/lease.ts';
import { LeaseConflict } from '../../flanneld/lease/lease-conflict.ts';
import { LeaseHolder } from '../../flanneld/lease/lease-holder.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../flanneld/lease/network-config.ts';
import { address } from '../../lib/net/address.ts';
import { prefixesOverlap } from '../../lib/net/prefix.ts';
import type { Entry } from '../../lib/registry/registry.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { type Fault, MemoryEtcd } from '../fakes/memory-registry.ts';

const NODES = [0, 1] as const;
type Node = (typeof NODES)[number];
const TTL_SECONDS = 60;
/** Longer than any back-off, and than a conflict takes to be believed. */
const REST_MS = 30_000;

/** Three places for two nodes, or one: then whoever comes back late finds the other in it. */
const NETWORK = {
  Network: '10.5.0.0/24',
  SubnetLen: 26,
  EnableIPv6: true,
  IPv6Network: 'fd00:5::/60',
  IPv6SubnetLen: 64,
};
const ONE = {
  SubnetMin: '10.5.0.64',
  SubnetMax: '10.5.0.64',
  IPv6SubnetMin: 'fd00:5:0:1::',
  IPv6SubnetMax: 'fd00:5:0:1::',
};
const CONFIGS = [NETWORK, { ...NETWORK, ...ONE }].map((fields) => parseNetworkConfig(JSON.stringify(fields)));

interface Running {
  readonly stop: AbortController;
  holder?: LeaseHolder;
}

/** The nodes as processes, and what holds about them. */
class Cluster {
  readonly clock = new FakeClock();
  readonly etcd = new MemoryEtcd(this.clock);
  readonly running = new Map<Node, Running>();
  copy: { readonly entries: readonly Entry[]; readonly revision: bigint } | undefined;
  unexpected: unknown;
  readonly #config: NetworkConfig;

  constructor(config: NetworkConfig) {
    this.#config = config;
  }

  start(node: Node): void {
    const stop = new AbortController();
    const running: Running = { stop };
    this.running.set(node, running);
    this.#live(node, running).catch((error: unknown) => {
      // Stopped, or beaten, or without a place: the operator's supervisor starts it again when told to.
      const isTold = error instanceof LeaseConflict || (error instanceof ExitError && error.exitCode === EXIT.config);
      if (!stop.signal.aborted && !isTold) this.unexpected = error;
      if (this.running.get(node) === running) this.running.delete(node);
    });
  }

  kill(node: Node): void {
    this.running.get(node)?.stop.abort();
    this.running.delete(node);
  }

  /** What each node believes that it holds. */
  held(): Map<Node, Lease> {
    return new Map([...this.running].flatMap(([node, { holder }]) => (holder ? [[node, holder.lease] as const] : [])));
  }

  leases(): Lease[] {
    return this.etcd.snapshot(leaseFolder('/net')).entries.flatMap(({ key, value }) => {
      const lease = decodeLease(key, value);
      return isLeaseFault(lease) ? [] : [lease];
    });
  }

  /** Etcd works and time passes. */
  async rest(): Promise<void> {
    this.etcd.setAway(false);
    this.etcd.setSilent(false);
    await this.clock.advanceAsync(REST_MS);
  }

  async #live(node: Node, running: Running): Promise<void> {
    const { signal } = running.stop;
    const terms = this.#terms(node);
    const held = await acquireLease(terms, signal);
    if (signal.aborted) return;
    const holder = new LeaseHolder(terms, held, 20);
    running.holder = holder;
    terms.registry.watch(leaseFolder('/net'), (event) => holder.observe(event), signal);
    await holder.hold(signal);
  }

  #terms(node: Node): LeaseTerms {
    const publicIp = address(`192.0.2.${node + 1}`);
    const nodeName = `node${node}`;
    return {
      ...{
        registry: this.etcd.registry(),
        clock: this.clock,
        log: pino({ level: 'silent' }),
        config: this.#config,
        nodeName,
      },
      etcdPrefix: '/net',
      publicIps: [publicIp],
      ttlSeconds: TTL_SECONDS,
      attributes: () => ({ publicIp, backendType: 'host-gw', nodeName }),
    };
  }
}

type Step = fc.AsyncCommand<object, Cluster>;

function step(name: string, run: (cluster: Cluster) => void | Promise<void>): Step {
  return {
    check: () => true,
    async run(_, cluster) {
      await run(cluster);
      await cluster.clock.advanceAsync(0);
      expectNoTwoOwners(cluster.leases());
    },
    toString: () => name,
  };
}

/** The invariant that no order of events may break: etcd never gives overlapping subnets to different nodes for long. */
function expectNoTwoOwners(leases: readonly Lease[]): void {
  const claimed = leases.filter(({ nodeName }) => nodeName.startsWith('node'));
  const keys = claimed.map(({ subnet }) => subnet);
  expect(new Set(keys).size).toBe(keys.length);
}

const node = fc.constantFrom(...NODES);
const fault = fc.record<Fault>({
  operation: fc.constantFrom('list', 'get', 'create', 'put', 'delete'),
  how: fc.constantFrom('unavailable', 'lost-answer'),
});

const STEPS = [
  node.map((n) => step(`start ${n}`, (cluster) => void (cluster.running.has(n) || cluster.start(n)))),
  node.map((n) => step(`kill ${n}`, (cluster) => cluster.kill(n))),
  fc.integer({ min: 1, max: 90 }).map((s) => step(`pass ${s} s`, (cluster) => cluster.clock.advanceAsync(s * 1000))),
  fc.integer({ min: 61, max: 200 }).map((s) => step(`stall ${s} s`, (cluster) => cluster.clock.stall(s * 1000))),
  fault.map((f) => step(`${f.how} ${f.operation}`, (cluster) => cluster.etcd.failNext(f))),
  fc.boolean().map((away) => step(`away ${away}`, (cluster) => cluster.etcd.setAway(away))),
  fc.boolean().map((silent) => step(`silent ${silent}`, (cluster) => cluster.etcd.setSilent(silent))),
  fc.constant(step('compact', (cluster) => cluster.etcd.compact())),
  fc.constant(step('revision gap', (cluster) => void cluster.etcd.write('/elsewhere', 'x'))),
  node.map((n) =>
    step(`expire ${n}`, (cluster) => {
      const lease = cluster.held().get(n);
      const leaseId = lease && cluster.etcd.entry(lease.key)?.leaseId;
      if (leaseId !== undefined) cluster.etcd.expire(leaseId);
    }),
  ),
  node.map((n) =>
    step(`delete ${n}`, (cluster) => {
      const lease = cluster.held().get(n);
      if (lease !== undefined) cluster.etcd.erase(lease.key);
    }),
  ),
  fc.constant(
    step('copy', (cluster) => {
      const { entries, revision } = cluster.etcd.snapshot('/');
      cluster.copy = { entries, revision };
    }),
  ),
  fc.constant(
    step('restore', (cluster) => {
      if (cluster.copy !== undefined) cluster.etcd.restore(cluster.copy.entries, cluster.copy.revision);
    }),
  ),
];

test('two allocators, crashes, compaction, revision gaps, expiry, lost answers, an older copy: never two owners', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...CONFIGS),
      fc.commands(STEPS, { maxCommands: 40, size: 'max' }),
      async (config, steps) => {
        const cluster = new Cluster(config as NetworkConfig);
        try {
          await fc.asyncModelRun(() => ({ model: {}, real: cluster }), steps);
          await cluster.rest();
          await cluster.rest();
          expect(cluster.unexpected).toBeUndefined();
          const held = [...cluster.held().values()];
          // At rest nobody uses what another uses, in either family, and etcd says the same as each node believes.
          for (const [at, one] of held.entries()) {
            for (const other of held.slice(at + 1)) {
              const overlap = leaseSubnets(one).some((a) => leaseSubnets(other).some((b) => prefixesOverlap(a, b)));
              expect({ one: one.key, other: other.key, overlap }).toMatchObject({ overlap: false });
            }
            expect(cluster.leases().find(({ key }) => key === one.key)?.nodeName).toBe(one.nodeName);
          }
        } finally {
          for (const n of NODES) cluster.kill(n);
          await cluster.clock.advanceAsync(10_000);
        }
      },
    ),
    { numRuns: 300 },
  );
});
