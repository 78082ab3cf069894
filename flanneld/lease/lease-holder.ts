// Keeps the node's lease: renews it by compare-and-swap, takes it back when it is lost, notices when another has it.
//
//            due                    revision moved                gone               another node's
//   held ----------> renew (CAS) ------------------> look at it --------> take it back   |
//    ^                  | done                          | ours: adopt        | done      v
//    +------------------+-------------------------------+--------------------+        conflict: the end
//
// Losing the lease never stops traffic: the subnet is still ours until somebody else really has it. Where another node's
// lease appears in its place it is looked at twice: etcd restored from an old copy shows leases that their nodes, when
// they see them, remove. One loop does everything in order; events of the watch only wake it.

import { prefixesOverlap } from '../../lib/net/prefix.ts';
import type { Entry, RegistryEvent } from '../../lib/registry/registry.ts';
import { RegistryError } from '../../lib/registry/registry.ts';
import { type Backoff, backoffDelayMs } from '../../lib/run/backoff.ts';
import { pause } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import { isMilestone } from '../persist.ts';
import { type HeldLease, type LeaseTerms, readLeases, writeLease } from './acquire-lease.ts';
import { decodeLease, decodeReservation, isLeaseFault, type Lease, leaseFolder, leaseSubnets } from './lease.ts';
import { LeaseConflict } from './lease-conflict.ts';
import { isOwnLease } from './pick-subnet.ts';

const RETRY: Backoff = { firstMs: 500, capMs: 30_000 };
/** Shortest time between two corrections of an edited lease. */
const REWRITE_MS = 1_000;
/** Between the first sight of another node's lease in place of ours and the last. */
const CONFLICT_MS = 2_000;
const DAY_MS = 86_400_000;

export interface LeaseCounts {
  readonly renewals: number;
  /** Attempts that etcd did not answer. */
  readonly failures: number;
  /** Times that the lease was gone and was taken back. */
  readonly retaken: number;
  /** Times that a hand had edited it and it was written again. */
  readonly rewritten: number;
}

export class LeaseHolder {
  readonly #terms: LeaseTerms;
  readonly #marginMs: number;
  #held: HeldLease;
  #renewAtMs = 0;
  /** Attributes changed after those of the last write were taken. */
  #isStale = false;
  /** The entry may not be what we wrote: look before anything else. */
  #suspect = false;
  #wake: () => void = () => undefined;
  #expiryTold = false;
  #rewrittenAtMs = Number.NEGATIVE_INFINITY;
  #writtenAtMs: number;
  #conflictAtMs: number | undefined;
  /** Other leases of this node: an older copy of etcd came back with them. */
  readonly #strays = new Map<string, Entry>();
  readonly #counts = { renewals: 0, failures: 0, retaken: 0, rewritten: 0 };

  /** `renewMarginSeconds` before the end is when it is renewed, but not before half of its time. */
  constructor(terms: LeaseTerms, held: HeldLease, renewMarginSeconds: number) {
    this.#terms = terms;
    this.#marginMs = Math.min(renewMarginSeconds, terms.ttlSeconds / 2) * 1000;
    this.#held = held;
    this.#writtenAtMs = terms.clock.monotonicMs();
    this.#adopt(held);
  }

  get lease(): Lease {
    return this.#held.lease;
  }

  get counts(): LeaseCounts {
    return { ...this.#counts };
  }

  /** Seconds until etcd drops the lease unless it is renewed; below 0 where it has; `undefined` for a reservation. */
  get secondsLeft(): number | undefined {
    const { expiresAtMs } = this.#held;
    return expiresAtMs === undefined ? undefined : (expiresAtMs - this.#terms.clock.monotonicMs()) / 1000;
  }

  /** Seconds since etcd last said that the lease is ours. */
  get secondsSinceWrite(): number {
    return (this.#terms.clock.monotonicMs() - this.#writtenAtMs) / 1000;
  }

  /** Seconds for which another node's lease has stood in place of ours; `undefined` where none does. */
  get secondsInConflict(): number | undefined {
    return this.#conflictAtMs && (this.#terms.clock.monotonicMs() - this.#conflictAtMs) / 1000;
  }

  /** Shows it what the watch of the lease folder says. */
  observe(event: RegistryEvent): void {
    this.#noteStrays(event);
    const { key, modRevision } = this.#held.entry;
    const moved =
      (event.type === 'put' && event.entry.key === key && event.entry.modRevision !== modRevision) ||
      (event.type === 'delete' && event.key === key && event.revision > modRevision) ||
      (event.type === 'snapshot' &&
        event.snapshot.entries.find((entry) => entry.key === key)?.modRevision !== modRevision);
    if (!moved) return;
    this.#suspect = true;
    this.#wake();
  }

  /** Writes the lease again now: its attributes changed. */
  refresh(): void {
    this.#isStale = true;
    this.#renewAtMs = 0;
    this.#wake();
  }

  /** The machine slept: the lease did not. */
  slept(durationMs: number): void {
    const { expiresAtMs } = this.#held;
    if (expiresAtMs !== undefined) this.#held = { ...this.#held, expiresAtMs: expiresAtMs - durationMs };
    this.#renewAtMs -= durationMs;
    this.#suspect = true;
    this.#wake();
  }

  /** Gives the lease back; a reservation stays. False where etcd did not take it. Call it when `hold` is over. */
  async release(): Promise<boolean> {
    const { lease, entry } = this.#held;
    if (entry.leaseId === undefined) return true;
    try {
      const released = await this.#terms.registry.delete(entry.key, entry.modRevision);
      this.#terms.log.info({ subnet: lease.subnet, released }, 'lease given back');
      return released;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      this.#terms.log.warn({ subnet: lease.subnet, reason: errorText(error) }, 'the lease could not be given back');
      return false;
    }
  }

  /** Holds the lease until `signal` aborts; then resolves. Rejects with `LeaseConflict` once another node has the subnet. */
  async hold(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        await this.#step();
        failures = 0;
        if (!this.#suspect) await this.#sleepUntil(this.#renewAtMs, signal);
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        this.#counts.failures++;
        failures++;
        const reason = errorText(error);
        if (isMilestone(failures)) this.#terms.log.warn({ failures, reason }, 'the lease cannot be renewed now');
        this.#tellExpiry();
        const cap = Math.min(RETRY.capMs, Math.max(RETRY.firstMs, this.#terms.ttlSeconds * 100));
        const delayMs = backoffDelayMs({ ...RETRY, capMs: cap }, failures - 1);
        await this.#sleepUntil(this.#terms.clock.monotonicMs() + delayMs, signal);
      }
    }
  }

  async #step(): Promise<void> {
    if (this.#suspect) return await this.#look();
    await this.#dropStrays();
    if (this.#terms.clock.monotonicMs() < this.#renewAtMs) return;
    const { lease, entry } = this.#held;
    const renewed = await this.#write(entry);
    if (renewed === undefined) {
      this.#suspect = true;
      return;
    }
    this.#adopt(renewed);
    this.#counts.renewals++;
    this.#terms.log.debug({ subnet: lease.subnet, secondsLeft: this.secondsLeft }, 'lease renewed');
  }

  /** The entry is not as we left it: whose is it? */
  async #look(): Promise<void> {
    const { registry, clock, log } = this.#terms;
    const { lease, entry } = this.#held;
    // Events that come from here on make it suspect again.
    this.#suspect = false;
    try {
      const found = await registry.get(entry.key);
      if (found === undefined) return await this.#retake();
      if (found.modRevision === this.#held.entry.modRevision) return;
      const decoded = decodeLease(found.key, found.value);
      const other = isLeaseFault(decoded) ? reservedFor(found) : decoded;
      if (other !== undefined && !this.#isThisNode(other)) return await this.#contest(other);
      this.#conflictAtMs = undefined;
      if (found.value === entry.value && found.leaseId !== undefined) {
        // Our own write, whose answer got lost.
        const secondsLeft = (await registry.secondsLeft(found)) ?? 0;
        this.#adopt({ ...this.#held, entry: found, expiresAtMs: clock.monotonicMs() + secondsLeft * 1000 });
        return;
      }
      // A hand edited it. Where two daemons of one node edit each other's, they do so at a walking pace.
      await pause(clock, Math.max(0, this.#rewrittenAtMs + REWRITE_MS - clock.monotonicMs()));
      this.#rewrittenAtMs = clock.monotonicMs();
      log.warn({ subnet: lease.subnet, found: found.value }, 'the lease was edited in etcd: writing it again');
      const rewritten = await this.#write(found);
      if (rewritten === undefined) this.#suspect = true;
      else {
        this.#adopt(rewritten);
        this.#counts.rewritten++;
      }
    } catch (error) {
      this.#suspect = true;
      throw error;
    }
  }

  async #retake(): Promise<void> {
    const { registry, log, etcdPrefix } = this.#terms;
    const { lease } = this.#held;
    const { entries } = await registry.list(leaseFolder(etcdPrefix));
    const ours = leaseSubnets(lease);
    for (const other of readLeases(entries)) {
      if (isOwnLease(other, this.#terms)) continue;
      if (leaseSubnets(other).some((subnet) => ours.some((own) => prefixesOverlap(own, subnet)))) {
        return await this.#contest(other);
      }
    }
    this.#conflictAtMs = undefined;
    const retaken = await this.#write({ absent: true });
    if (retaken === undefined) {
      this.#suspect = true;
      return;
    }
    this.#adopt(retaken);
    this.#counts.retaken++;
    log.warn({ subnet: lease.subnet }, 'the lease had gone from etcd: took the same subnet back');
  }

  /** Another node's lease stands where ours should: the end of ours, unless it is gone when looked at again. */
  async #contest(other: Lease): Promise<void> {
    const { clock, log } = this.#terms;
    const conflict = new LeaseConflict(this.lease, other);
    const nowMs = clock.monotonicMs();
    this.#conflictAtMs ??= nowMs;
    if (nowMs - this.#conflictAtMs >= CONFLICT_MS) throw conflict;
    if (nowMs === this.#conflictAtMs) log.warn({ reason: conflict.message }, 'conflict: looking again in a moment');
    this.#suspect = true;
    await pause(clock, CONFLICT_MS / 4);
  }

  /** Notes what this node has in etcd beside its lease: nothing holds such subnets, they only keep others out. */
  #noteStrays(event: RegistryEvent): void {
    if (event.type === 'delete') this.#strays.delete(event.key);
    if (event.type !== 'put' && event.type !== 'snapshot') return;
    for (const entry of event.type === 'put' ? [event.entry] : event.snapshot.entries) {
      if (entry.key === this.#held.entry.key || entry.leaseId === undefined) continue;
      // Reading all of a long list only where the name is in it.
      const decoded = entry.value.includes(this.#terms.nodeName) ? decodeLease(entry.key, entry.value) : undefined;
      if (decoded === undefined || isLeaseFault(decoded) || !this.#isThisNode(decoded)) continue;
      this.#strays.set(entry.key, entry);
      this.#wake();
    }
  }

  async #dropStrays(): Promise<void> {
    for (const { key, modRevision } of [...this.#strays.values()]) {
      const dropped = await this.#terms.registry.delete(key, modRevision);
      this.#strays.delete(key);
      if (dropped) this.#terms.log.warn({ key }, 'removed an older lease of this node that came back in etcd');
    }
  }

  /** The same name at the same address, that of our last record or of now: this node and no namesake. */
  #isThisNode(found: Lease): boolean {
    if (!isOwnLease(found, this.#terms)) return false;
    const { publicIp, publicIp6 } = this.lease;
    const known: readonly (string | undefined)[] = [...this.#terms.publicIps, publicIp, publicIp6];
    const named = [found.publicIp, found.publicIp6].filter((ip) => ip !== undefined);
    // A reservation for this node's name names no address.
    return named.length === 0 || named.some((ip) => known.includes(ip));
  }

  #adopt(held: HeldLease): void {
    this.#held = held;
    this.#writtenAtMs = this.#terms.clock.monotonicMs();
    this.#conflictAtMs = undefined;
    this.#expiryTold = false;
    const { expiresAtMs } = held;
    // Up to a quarter of the margin earlier, so that nodes which started together do not renew together.
    const jitterMs = (this.#terms.random ?? Math.random)() * (this.#marginMs / 4);
    this.#renewAtMs = expiresAtMs === undefined ? Number.POSITIVE_INFINITY : expiresAtMs - this.#marginMs - jitterMs;
    if (this.#isStale) this.#renewAtMs = 0;
  }

  /** Writes the lease with the attributes of now; those that change until the answer is here are written next. */
  async #write(expected: Parameters<typeof writeLease>[3]): Promise<HeldLease | undefined> {
    const { lease } = this.#held;
    const wasStale = this.#isStale;
    this.#isStale = false;
    let written: HeldLease | undefined;
    try {
      written = await writeLease(this.#terms, lease, lease, expected);
    } finally {
      if (written === undefined) this.#isStale ||= wasStale;
    }
    return written;
  }

  #tellExpiry(): void {
    if (this.#expiryTold || (this.secondsLeft ?? 1) > 0) return;
    this.#expiryTold = true;
    this.#terms.log.error(
      { subnet: this.lease.subnet },
      'the lease has run out while etcd is away: forwarding goes on, the subnet is taken back when etcd answers',
    );
  }

  /** Until that time, a wake-up, or the signal. */
  #sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const delayMs = atMs - this.#terms.clock.monotonicMs();
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        this.#wake = () => undefined;
        resolve();
      };
      // A timer of more than 2^31 ms fires at once in Node: days are slept in parts.
      const cancel = this.#terms.clock.after(Math.min(Math.max(0, delayMs), DAY_MS), done);
      signal.addEventListener('abort', done, { once: true });
      this.#wake = done;
      if (signal.aborted) done();
    });
  }
}

function reservedFor({ key, value }: Entry): Lease | undefined {
  const reservation = decodeReservation(key, value);
  return reservation && { ...reservation, backendType: '' };
}
