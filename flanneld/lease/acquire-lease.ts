// Takes a subnet lease for this node: list, pick several, one transaction that creates the first of them that is free.
//
// flannel picks one, retries ten times and, through a wrong error comparison, in fact never: ours goes on until it has a
// subnet or knows that there is none. A lease that etcd holds for our name is taken over as it stands, a reservation
// included. etcd keeps keys apart, not subnets: where two keys could overlap, what was created is proven afterwards.

import type { Logger } from 'pino';
import type { Address } from '../../lib/net/address.ts';
import { prefixesOverlap, prefixLength } from '../../lib/net/prefix.ts';
import type { Entry, Registry } from '../../lib/registry/registry.ts';
import { type Clock, pause } from '../../lib/run/clock.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { persist } from '../persist.ts';
import {
  decodeLease,
  decodeLeaseKey,
  decodeReservation,
  encodeLease,
  isLeaseFault,
  type Lease,
  type LeaseAttributes,
  leaseFolder,
  leaseKey,
  leaseSubnets,
} from './lease.ts';
import type { NetworkConfig } from './network-config.ts';
import { type CandidateSubnets, isOwnLease, pickSubnet, type Subnets } from './pick-subnet.ts';

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
  /** Made by this call, not taken over from an earlier run. */
  readonly isNew: boolean;
  /** The node with this name was at this address until now: it moved, or another node has its name. */
  readonly takenFrom?: Address;
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
  return { lease: { key, ...subnets, ...attributes }, entry, expiresAtMs, isNew: false };
}

/** Every lease and reservation among these entries; what cannot be read holds its subnet all the same. */
export function readLeases(entries: readonly Entry[]): readonly Lease[] {
  return entries.flatMap(({ key, value }) => {
    const decoded = decodeLease(key, value);
    if (!isLeaseFault(decoded)) return [decoded];
    const reservation = decodeReservation(key, value);
    if (reservation !== undefined) return [{ ...reservation, backendType: '' }];
    // Whose it is cannot be read, but somebody wrote it: its subnet is not free.
    const subnets = decodeLeaseKey(key);
    return subnets === undefined ? [] : [{ key, ...subnets, backendType: '', nodeName: '(a malformed lease)' }];
  });
}

async function tryAcquire(terms: LeaseTerms): Promise<HeldLease | undefined> {
  const { registry, log, etcdPrefix, config, random = Math.random } = terms;
  const { entries } = await registry.list(leaseFolder(etcdPrefix));
  const byKey = new Map(entries.map((entry) => [entry.key, entry]));
  const leases = readLeases(entries);
  const { nodeName, publicIps, previous } = terms;
  const isReserved = ({ key }: Lease): boolean => byKey.get(key)?.leaseId === undefined;
  const pick = pickSubnet(config, leases, { nodeName, publicIps, previous, random }, isReserved);
  if (pick.type === 'none') throw new ExitError(EXIT.config, `${etcdPrefix}/config: ${pick.fault}`);
  const held =
    pick.type === 'own'
      ? await takeOver(terms, pick.lease, byKey.get(pick.lease.key))
      : await create(terms, leases, pick.candidates);
  if (held === undefined) return undefined;
  await dropOldLeases(terms, leases, byKey, held.lease);
  if (pick.type === 'own') logTaken(log, pick.lease, 'the lease it had');
  return held;
}

async function takeOver(terms: LeaseTerms, lease: Lease, found: Entry | undefined): Promise<HeldLease | undefined> {
  const { subnet, subnet6 } = lease;
  const was = lease.publicIp ?? lease.publicIp6;
  const isMoved = lease.nodeName === terms.nodeName && was !== undefined && !terms.publicIps.includes(was);
  if (isMoved) {
    terms.log.warn(
      { subnet, was },
      'the lease of this name was at another address: a node there with this name loses it',
    );
  }
  const held = await writeLease(terms, { subnet, ...(subnet6 && { subnet6 }) }, lease, found ?? { absent: true });
  return isMoved && held !== undefined ? { ...held, takenFrom: was } : held;
}

async function create(
  terms: LeaseTerms,
  leases: readonly Lease[],
  candidates: readonly CandidateSubnets[],
): Promise<HeldLease | undefined> {
  const { registry, clock, log, etcdPrefix, ttlSeconds } = terms;
  const before = leases.find((lease) => isOwnLease(lease, terms));
  const offers = candidates.map(({ subnet, subnet6, from }) => {
    const subnets = { subnet, ...(subnet6 && { subnet6 }) };
    const lease = { key: leaseKey(etcdPrefix, subnet, subnet6), ...subnets, ...terms.attributes(subnets, before) };
    return { lease, from, candidate: { key: lease.key, value: encodeLease(lease) } };
  });
  const askedAtMs = clock.monotonicMs();
  const entry = await registry.create(
    offers.map(({ candidate }) => candidate),
    ttlSeconds,
  );
  const offer = offers.find(({ candidate }) => candidate.key === entry?.key);
  if (entry === undefined || offer === undefined) return undefined;
  const { lease, from } = offer;
  if (mayOverlap(terms.config, leases) && !(await isAlone(terms, lease))) {
    await registry.delete(entry.key, entry.modRevision);
    return undefined;
  }
  logTaken(log, lease, SAID[from]);
  return { lease, entry, expiresAtMs: askedAtMs + ttlSeconds * 1000, isNew: true };
}

function logTaken(log: Logger, { subnet, subnet6 }: Lease, from: string): void {
  log.info({ subnet, ...(subnet6 && { subnet6 }), from }, 'subnet leased');
}

/** Whether two different keys could stand for overlapping subnets: dual stack, or leases of another length about. */
function mayOverlap({ pool, pool6 }: NetworkConfig, leases: readonly Lease[]): boolean {
  return pool6 !== undefined || leases.some(({ subnet }) => prefixLength(subnet) !== pool.subnetLength);
}

/** Whether no other lease overlaps this one. Of two that were created at once both may find the other: both try again. */
async function isAlone({ registry, etcdPrefix }: LeaseTerms, lease: Lease): Promise<boolean> {
  const { entries } = await registry.list(leaseFolder(etcdPrefix));
  const own = leaseSubnets(lease);
  return readLeases(entries).every(
    (other) =>
      other.key === lease.key ||
      !leaseSubnets(other).some((subnet) => own.some((mine) => prefixesOverlap(mine, subnet))),
  );
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
    // What an operator reserved is the operator's to take back.
    if (entry?.leaseId === undefined || lease.key === current.key || !isOwnLease(lease, terms)) continue;
    const dropped = await terms.registry.delete(lease.key, entry.modRevision).catch(() => false);
    if (dropped) terms.log.info({ subnet: leaseSubnets(lease).join(' ') }, 'gave back an older lease of this node');
  }
}
