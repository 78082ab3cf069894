// Which subnet a node should lease, given every lease that there is. Pure.
//
// In this order: the one that is reserved for it, the one that it holds already, the one in its subnet.env, a free one. Of
// free ones there are several candidates, to be tried in one transaction: the slot that the node's name hashes to, so that
// a node which lost everything tends to come back to the same subnet, then others at random. Two hundred nodes that start
// at once, and all see an empty pool, then still get theirs at the first try.
//
// The IPv6 subnet follows the IPv4 one, slot for slot: a lease's key is both together, and etcd keeps keys apart, not
// halves of them.
//
// A taken subnet may have another length than the pool's (the config was changed, an operator reserved more): what counts
// is overlap, so the free room is computed as gaps between intervals, not by walking the pool.

import { addressFromInteger, addressToInteger, familyOf } from '../../lib/net/address.ts';
import { type Prefix, prefixAddress, prefixesOverlap, prefixLastAddress, prefixOf } from '../../lib/net/prefix.ts';
import { type Lease, leaseSubnets } from './lease.ts';
import { type NetworkConfig, type Pool, poolHas } from './network-config.ts';

/** The subnets of one node. */
export interface Subnets {
  readonly subnet: Prefix;
  readonly subnet6?: Prefix;
}

export type Pick =
  /** Take over this lease of ours, as it stands. */
  | { readonly type: 'own'; readonly lease: Lease }
  /** Create a lease for the first of these that is free. */
  | { readonly type: 'free'; readonly candidates: readonly CandidateSubnets[] }
  /** There is none; `fault` says who holds what. */
  | { readonly type: 'none'; readonly fault: string };

export interface CandidateSubnets extends Subnets {
  readonly from: 'previous' | 'name' | 'random';
}

export interface Picker {
  readonly nodeName: string;
  /** Our underlay addresses: a lease that flannel wrote for one of them is ours too. */
  readonly publicIps: readonly string[];
  /** From subnet.env. */
  readonly previous?: Subnets | undefined;
  /** In [0, 1). */
  readonly random: () => number;
}

const HOLDERS_SHOWN = 8;
/** Free subnets to try in one transaction. */
const CANDIDATES = 16;

/** Chooses among `leases`, which are all that are in etcd; `isReserved` says which of them an operator keeps for their node. */
export function pickSubnet(
  config: NetworkConfig,
  leases: readonly Lease[],
  picker: Picker,
  isReserved: (lease: Lease) => boolean = () => false,
): Pick {
  const own = leases.filter((lease) => isOwnLease(lease, picker));
  const fitting = own.filter((lease) => fitsConfig(config, lease));
  const chosen = fitting.find(isReserved) ?? fitting[0];
  if (chosen !== undefined) return { type: 'own', lease: chosen };
  const { previous } = picker;
  // A lease of ours that no longer fits does not stand in our own way.
  const taken = leases.filter((lease) => !own.includes(lease)).flatMap(leaseSubnets);
  const isFree = (subnet: Prefix): boolean => !taken.some((other) => prefixesOverlap(other, subnet));
  const candidates: CandidateSubnets[] = [];
  if (previous !== undefined && fitsConfig(config, previous) && leaseSubnets(previous).every(isFree)) {
    candidates.push({ ...previous, from: 'previous' });
  }
  const slots = pickFree(config.pool, taken, picker);
  const { pool6 } = config;
  const gaps6 = pool6 === undefined ? [] : freeGaps(pool6, taken);
  for (const { slot, from } of slots) {
    const subnet = subnetAt(config.pool, slot);
    if (pool6 === undefined) candidates.push({ subnet, from });
    else {
      const slot6 = besideSlot(gaps6, slot, picker.random);
      if (slot6 !== undefined) candidates.push({ subnet, subnet6: subnetAt(pool6, slot6), from });
    }
  }
  if (candidates.length > 0) return { type: 'free', candidates };
  const full = slots.length > 0 && pool6 !== undefined ? pool6 : config.pool;
  return { type: 'none', fault: describeFullPool(full, leases) };
}

/** Whether a lease is this node's: by name, or by address where the writer gave no name. */
export function isOwnLease(lease: Lease, { nodeName, publicIps }: Omit<Picker, 'previous' | 'random'>): boolean {
  if (lease.nodeName !== '') return lease.nodeName === nodeName;
  return [lease.publicIp, lease.publicIp6].some((ip) => ip !== undefined && publicIps.includes(ip));
}

/** Whether these subnets are what the config hands out now. */
export function fitsConfig({ pool, pool6 }: NetworkConfig, subnets: Subnets): boolean {
  if (!poolHas(pool, subnets.subnet)) return false;
  if (pool6 === undefined || subnets.subnet6 === undefined) return pool6 === subnets.subnet6;
  return poolHas(pool6, subnets.subnet6);
}

/** A run of free slots: index of the first, and how many. */
interface Gap {
  readonly first: bigint;
  readonly count: bigint;
}

/** Several free slots, the one of the node's name first. */
function pickFree(
  pool: Pool,
  taken: readonly Prefix[],
  { nodeName, random }: Picker,
): readonly { slot: bigint; from: 'name' | 'random' }[] {
  const gaps = freeGaps(pool, taken);
  const free = sizeOf(gaps);
  if (free === 0n) return [];
  const byName = hash(nodeName) % slotCount(pool);
  const chosen = new Set<bigint>();
  if (hasSlot(gaps, byName)) chosen.add(byName);
  const wanted = free < BigInt(CANDIDATES) ? Number(free) : CANDIDATES;
  // A random place, then onwards from there where it is chosen already: ends even where the random numbers do not vary.
  for (let at = randomSlot(gaps, random); chosen.size < wanted; at = randomSlot(gaps, random)) {
    while (chosen.has(at)) at = slotAfter(gaps, at);
    chosen.add(at);
  }
  return [...chosen].map((slot) => ({ slot, from: slot === byName ? 'name' : 'random' }));
}

/** The slot of the same number where that is free, else any. */
function besideSlot(gaps: readonly Gap[], slot: bigint, random: () => number): bigint | undefined {
  if (sizeOf(gaps) === 0n) return undefined;
  return hasSlot(gaps, slot) ? slot : randomSlot(gaps, random);
}

function sizeOf(gaps: readonly Gap[]): bigint {
  return gaps.reduce((sum, { count }) => sum + count, 0n);
}

function hasSlot(gaps: readonly Gap[], slot: bigint): boolean {
  return gaps.some(({ first, count }) => slot >= first && slot < first + count);
}

function randomSlot(gaps: readonly Gap[], random: () => number): bigint {
  const free = sizeOf(gaps);
  // 53 random bits are enough for any pool that is not almost empty.
  let skip = BigInt(Math.floor(random() * Number(free))) % free;
  for (const { first, count } of gaps) {
    if (skip < count) return first + skip;
    skip -= count;
  }
  throw new RangeError('there is no free slot');
}

/** The next free slot, from the last one round to the first. */
function slotAfter(gaps: readonly Gap[], slot: bigint): bigint {
  for (const { first, count } of gaps) {
    if (slot + 1n < first) return first;
    if (slot + 1n < first + count) return slot + 1n;
  }
  return gaps[0]?.first ?? slot;
}

/** The free slots of a pool, in order. */
function freeGaps(pool: Pool, taken: readonly Prefix[]): readonly Gap[] {
  const size = slotSize(pool);
  const base = addressToInteger(pool.min);
  const slots = slotCount(pool);
  const blocked = taken
    .filter((subnet) => familyOf(prefixAddress(subnet)) === familyOf(pool.min))
    .map((subnet) => ({
      first: floorDivide(addressToInteger(prefixAddress(subnet)) - base, size),
      last: floorDivide(addressToInteger(prefixLastAddress(subnet)) - base, size),
    }))
    .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const gaps: Gap[] = [];
  let next = 0n;
  for (const { first, last } of [...blocked.filter((run) => run.first < slots), { first: slots, last: slots }]) {
    if (first > next) gaps.push({ first: next, count: first - next });
    if (last + 1n > next) next = last + 1n;
  }
  return gaps;
}

function slotSize(pool: Pool): bigint {
  return 1n << BigInt((familyOf(pool.min) === 4 ? 32 : 128) - pool.subnetLength);
}

function slotCount(pool: Pool): bigint {
  return (addressToInteger(pool.max) - addressToInteger(pool.min)) / slotSize(pool) + 1n;
}

function subnetAt(pool: Pool, slot: bigint): Prefix {
  const first = addressFromInteger(familyOf(pool.min), addressToInteger(pool.min) + slot * slotSize(pool));
  return prefixOf(first ?? pool.min, pool.subnetLength) as Prefix;
}

/** Towards minus infinity: a taken subnet may begin before the pool. */
function floorDivide(a: bigint, b: bigint): bigint {
  return a < 0n ? -((-a + b - 1n) / b) : a / b;
}

/** FNV-1a, 64 bits (draft-eastlake-fnv): spreads names, guards against nothing. */
function hash(text: string): bigint {
  let value = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  }
  return value;
}

function describeFullPool(pool: Pool, leases: readonly Lease[]): string {
  const inPool = leases.filter((lease) => leaseSubnets(lease).some((subnet) => prefixesOverlap(subnet, pool.network)));
  const shown = inPool.slice(0, HOLDERS_SHOWN).map((lease) => {
    const holder = lease.nodeName || lease.publicIp || lease.publicIp6;
    return `${leaseSubnets(lease).join(' and ')} by ${holder}`;
  });
  const more = inPool.length > HOLDERS_SHOWN ? ` and ${inPool.length - HOLDERS_SHOWN} more` : '';
  return (
    `no free subnet: ${pool.network} has ${slotCount(pool)} of /${pool.subnetLength} from ${pool.min} to ${pool.max}, ` +
    `held: ${shown.join(', ')}${more}; widen Network or SubnetMin/SubnetMax, or delete leases of nodes that are gone`
  );
}
