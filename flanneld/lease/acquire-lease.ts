// Takes a subnet lease for this node: list, pick, one transaction; whoever loses the race picks again.
//
// flannel retries ten times and, through a wrong error comparison, in fact never: ours goes on until it has a subnet or
// knows that there is none. A lease that etcd holds for our name is taken over as it stands, a reservation included.

import type { Logger } from 'pino';
import type { Entry, Registry } from '../../lib/registry/registry.ts';
import { type Clock, pause } from '../../lib/run/clock.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { persist } from '../persist.ts';
import {
  decodeLease,
  decodeLeaseKey,
  encodeLease,
  isLeaseFault,
  type Lease,
  type LeaseAttributes,
  leaseFolder,
  leaseKey,
  leaseSubnets,
} from './lease.ts';
import type { NetworkConfig } from './network-config.ts';
import { isOwnLease, pickSubnet, type Subnets } from './pick-subnet.ts';

/** Wait after a lost race: long enough to spread many starters, too short to notice. */
const LOST_RACE_MS = 20;

const SAID = { previous: 'the subnet file', name: 'the place of its name', random: 'a free place' } as const;

export interface LeaseTerms {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Logger;
  /** flannel's `--etcd-prefix`. */
  readonly etcdPrefix: string;
  readonly config: NetworkConfig;
  readonly nodeName: string;
  readonly publicIps: readonly string[];
  /** From subnet.env. */
  readonly previous?: Subnets | undefined;
  readonly ttlSeconds: number;
  /** What to say in the lease; `before` is the lease that it replaces, so that a MAC address can be kept. */
  attributes(subnets: Subnets, before: Lease | undefined): LeaseAttributes;
  readonly random?: () => number;
}

export interface HeldLease {
  readonly lease: Lease;
  readonly entry: Entry;
  /** When etcd drops it, on the monotonic clock; `undefined` for a reservation, which stays. */
  readonly expiresAtMs: number | undefined;
}

/** Resolves with a lease. Rejects with `ExitError` where there is no free subnet or etcd refuses, or with the signal's reason. */
export async function acquireLease(terms: LeaseTerms, signal: AbortSignal): Promise<HeldLease> {
  const { clock, log } = terms;
  for (let lost = 0; ; lost++) {
    const held = await persist('take a subnet lease', () => tryAcquire(terms), { clock, log, signal });
    if (held !== undefined) return held;
    log.info({ lost: lost + 1 }, 'another node was faster: choosing another subnet');
    await pause(clock, LOST_RACE_MS * (0.5 + Math.random()), signal);
  }
}

/** Writes a lease under a precondition and says how long it lasts; `undefined` where the precondition did not hold. */
export async function writeLease(
  terms: LeaseTerms,
  subnets: Subnets,
  before: Lease | undefined,
  precondition: { readonly absent: true } | Entry,
): Promise<HeldLease | undefined> {
  const { registry, clock, etcdPrefix } = terms;
  const attributes = terms.attributes(subnets, before);
  // A reservation has no etcd lease and must not get one, or it would end.
  const isReservation = 'key' in precondition && precondition.leaseId === undefined;
  const ttlSeconds = isReservation ? undefined : terms.ttlSeconds;
  const askedAtMs = clock.monotonicMs();
  const key = leaseKey(etcdPrefix, subnets.subnet, subnets.subnet6);
  const entry = await registry.put(key, encodeLease(attributes), precondition, ttlSeconds);
  if (entry === undefined) return undefined;
  const expiresAtMs = ttlSeconds === undefined ? undefined : askedAtMs + ttlSeconds * 1000;
  return { lease: { key, ...subnets, ...attributes }, entry, expiresAtMs };
}

async function tryAcquire(terms: LeaseTerms): Promise<HeldLease | undefined> {
  const { registry, log, etcdPrefix, config, random = Math.random } = terms;
  const { entries } = await registry.list(leaseFolder(etcdPrefix));
  const byKey = new Map(entries.map((entry) => [entry.key, entry]));
  const leases = entries.flatMap(({ key, value }) => {
    const decoded = decodeLease(key, value);
    if (!isLeaseFault(decoded)) return [decoded];
    // Whose it is cannot be read, but somebody wrote it: its subnet is not free.
    const subnets = decodeLeaseKey(key);
    return subnets === undefined ? [] : [{ key, ...subnets, backendType: '', nodeName: '(a malformed lease)' }];
  });
  const pick = pickSubnet(config, leases, { ...terms, random });
  if (pick.type === 'none') throw new ExitError(EXIT.config, `${etcdPrefix}/config: ${pick.fault}`);
  const before = pick.type === 'own' ? pick.lease : leases.find((lease) => isOwnLease(lease, terms));
  const { subnet, subnet6 } = pick.type === 'own' ? pick.lease : pick.subnets;
  const subnets = { subnet, ...(subnet6 && { subnet6 }) };
  const found = byKey.get(leaseKey(etcdPrefix, subnet, subnet6));
  const held = await writeLease(terms, subnets, before, found ?? { absent: true });
  if (held === undefined) return undefined;
  const from = pick.type === 'own' ? 'the lease it had' : SAID[pick.from];
  log.info({ subnet, ...(subnet6 && { subnet6 }), from }, 'subnet leased');
  await dropOldLeases(terms, leases, byKey, held.lease);
  return held;
}

/** Leases of ours that the config no longer allows would only keep others out. */
async function dropOldLeases(
  terms: LeaseTerms,
  leases: readonly Lease[],
  byKey: ReadonlyMap<string, Entry>,
  current: Lease,
): Promise<void> {
  for (const lease of leases) {
    const entry = byKey.get(lease.key);
    if (entry === undefined || lease.key === current.key || !isOwnLease(lease, terms)) continue;
    const dropped = await terms.registry.delete(lease.key, entry.modRevision).catch(() => false);
    if (dropped) terms.log.info({ subnet: leaseSubnets(lease).join(' ') }, 'gave back an older lease of this node');
  }
}
