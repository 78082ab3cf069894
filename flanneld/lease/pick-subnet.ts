// Which subnet a node should lease, given every lease that there is. Pure.
//
// In this order: the one that it holds already, the one in its subnet.env, a free one. A free one is first sought at the
// slot that the node's name hashes to, so that a node which lost everything tends to come back to the same subnet; where
// that is taken, anywhere at random among all free ones: nodes that start together then rarely want the same.
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
  /** Create a lease for these. */
  | { readonly type: 'free'; readonly subnets: Subnets; readonly from: 'previous' | 'name' | 'random' }
  /** There is none; `fault` says who holds what. */
  | { readonly type: 'none'; readonly fault: string };

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

/** Chooses among `leases`, which are all that are in etcd. */
export function pickSubnet(config: NetworkConfig, leases: readonly Lease[], picker: Picker): Pick {
  const own = leases.filter((lease) => isOwnLease(lease, picker));
  const fitting = own.find((lease) => fitsConfig(config, lease));
  if (fitting !== undefined) return { type: 'own', lease: fitting };
  const { previous } = picker;
  // A lease of ours that no longer fits does not stand in our own way.
  const taken = leases.filter((lease) => !own.includes(lease)).flatMap(leaseSubnets);
  const isFree = (subnet: Prefix): boolean => !taken.some((other) => prefixesOverlap(other, subnet));
  if (previous !== undefined && fitsConfig(config, previous) && leaseSubnets(previous).every(isFree)) {
    return { type: 'free', subnets: previous, from: 'previous' };
  }
  const picked = pickFree(config.pool, taken, picker);
  if (picked === undefined) return { type: 'none', fault: describeFullPool(config.pool, leases) };
  if (config.pool6 === undefined) return { type: 'free', subnets: { subnet: picked.subnet }, from: picked.from };
  const picked6 = pickFree(config.pool6, taken, picker);
  if (picked6 === undefined) return { type: 'none', fault: describeFullPool(config.pool6, leases) };
  return { type: 'free', subnets: { subnet: picked.subnet, subnet6: picked6.subnet }, from: picked.from };
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

function pickFree(
  pool: Pool,
  taken: readonly Prefix[],
  { nodeName, random }: Picker,
): { subnet: Prefix; from: 'name' | 'random' } | undefined {
  const gaps = freeGaps(pool, taken);
  const free = gaps.reduce((sum, { count }) => sum + count, 0n);
  if (free === 0n) return undefined;
  const byName = hash(nodeName) % slotCount(pool);
  if (gaps.some(({ first, count }) => byName >= first && byName < first + count)) {
    return { subnet: subnetAt(pool, byName), from: 'name' };
  }
  // 53 random bits are enough for any pool that is not almost empty.
  let skip = BigInt(Math.floor(random() * Number(free))) % free;
  for (const { first, count } of gaps) {
    if (skip < count) return { subnet: subnetAt(pool, first + skip), from: 'random' };
    skip -= count;
  }
  return undefined;
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
