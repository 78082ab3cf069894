// Keeps the node's lease: renews it by compare-and-swap, takes it back when it is lost, notices when another has it.
//
//            due                    revision moved                gone               another node's
//   held ----------> renew (CAS) ------------------> look at it --------> take it back   |
//    ^                  | done                          | ours: adopt        | done      v
//    +------------------+-------------------------------+--------------------+        conflict: the end
//
// Losing the lease never stops traffic: the subnet is still ours until somebody else really has it. One loop does
// everything in order; events of the watch only wake it.

import { prefixesOverlap } from '../../lib/net/prefix.ts';
import type { RegistryEvent } from '../../lib/registry/registry.ts';
import { RegistryError } from '../../lib/registry/registry.ts';
import { type Backoff, backoffDelayMs } from '../../lib/run/backoff.ts';
import { pause } from '../../lib/run/clock.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import { isMilestone } from '../persist.ts';
import { type HeldLease, type LeaseTerms, writeLease } from './acquire-lease.ts';
import { decodeLease, isLeaseFault, type Lease, leaseFolder, leaseSubnets } from './lease.ts';
import { isOwnLease } from './pick-subnet.ts';

const RETRY: Backoff = { firstMs: 500, capMs: 30_000 };
/** Shortest time between two corrections of an edited lease. */
const REWRITE_MS = 1_000;
const DAY_MS = 86_400_000;

export interface LeaseCounts {
  readonly renewals: number;
  /** Attempts that etcd did not answer. */
  readonly failures: number;
  /** Times that the lease was gone and was taken back. */
  readonly retaken: number;
}

export class LeaseHolder {
  readonly #terms: LeaseTerms;
  readonly #marginMs: number;
  #held: HeldLease;
  #renewAtMs = 0;
  /** The entry may not be what we wrote: look before anything else. */
  #suspect = false;
  #wake: () => void = () => undefined;
  #expiryTold = false;
  #rewrittenAtMs = Number.NEGATIVE_INFINITY;
  readonly #counts = { renewals: 0, failures: 0, retaken: 0 };

  /** `renewMarginSeconds` before the end is when it is renewed, but not before half of its time. */
  constructor(terms: LeaseTerms, held: HeldLease, renewMarginSeconds: number) {
    this.#terms = terms;
    this.#marginMs = Math.min(renewMarginSeconds, terms.ttlSeconds / 2) * 1000;
    this.#held = held;
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

  /** Shows it what the watch of the lease folder says. */
  observe(event: RegistryEvent): void {
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
    this.#renewAtMs = 0;
    this.#wake();
  }

  /** Holds the lease until `signal` aborts; then resolves. Rejects with `ExitError` (conflict) once another node has the subnet. */
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
    if (this.#terms.clock.monotonicMs() < this.#renewAtMs) return;
    const { lease, entry } = this.#held;
    const renewed = await writeLease(this.#terms, lease, lease, entry);
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
      if (!isLeaseFault(decoded) && !this.#isThisNode(decoded)) throw conflict(lease, decoded);
      if (found.value === entry.value && found.leaseId !== undefined) {
        // Our own write, whose answer got lost.
        const secondsLeft = (await registry.secondsLeft(found)) ?? 0;
        this.#adopt({ lease, entry: found, expiresAtMs: clock.monotonicMs() + secondsLeft * 1000 });
        return;
      }
      // A hand edited it. Where two daemons of one node edit each other's, they do so at a walking pace.
      await pause(clock, Math.max(0, this.#rewrittenAtMs + REWRITE_MS - clock.monotonicMs()));
      this.#rewrittenAtMs = clock.monotonicMs();
      log.warn({ subnet: lease.subnet, found: found.value }, 'the lease was edited in etcd: writing it again');
      const rewritten = await writeLease(this.#terms, lease, lease, found);
      if (rewritten === undefined) this.#suspect = true;
      else this.#adopt(rewritten);
    } catch (error) {
      this.#suspect = true;
      throw error;
    }
  }

  async #retake(): Promise<void> {
    const { registry, log, etcdPrefix } = this.#terms;
    const { lease } = this.#held;
    const { entries } = await registry.list(leaseFolder(etcdPrefix));
    for (const { key, value } of entries) {
      const other = decodeLease(key, value);
      if (isLeaseFault(other) || isOwnLease(other, this.#terms)) continue;
      const ours = leaseSubnets(lease);
      if (leaseSubnets(other).some((subnet) => ours.some((own) => prefixesOverlap(own, subnet)))) {
        throw conflict(lease, other);
      }
    }
    const retaken = await writeLease(this.#terms, lease, lease, { absent: true });
    if (retaken === undefined) {
      this.#suspect = true;
      return;
    }
    this.#adopt(retaken);
    this.#counts.retaken++;
    log.warn({ subnet: lease.subnet }, 'the lease had gone from etcd: took the same subnet back');
  }

  /** The same name at the same address: this node and no namesake. */
  #isThisNode(found: Lease): boolean {
    if (!isOwnLease(found, this.#terms)) return false;
    return [found.publicIp, found.publicIp6].some((ip) => ip !== undefined && this.#terms.publicIps.includes(ip));
  }

  #adopt(held: HeldLease): void {
    this.#held = held;
    this.#expiryTold = false;
    const { expiresAtMs } = held;
    // Up to a quarter of the margin earlier, so that nodes which started together do not renew together.
    const jitterMs = (this.#terms.random ?? Math.random)() * (this.#marginMs / 4);
    this.#renewAtMs = expiresAtMs === undefined ? Number.POSITIVE_INFINITY : expiresAtMs - this.#marginMs - jitterMs;
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

function conflict(lease: Lease, other: Lease): ExitError {
  const address = other.publicIp ?? other.publicIp6;
  const holder =
    other.nodeName === lease.nodeName
      ? `another node that also calls itself ${lease.nodeName} (at ${address}): give each its own --node-name`
      : `node ${other.nodeName || '(unnamed)'} at ${address}`;
  return new ExitError(
    EXIT.conflict,
    `the subnet ${leaseSubnets(lease).join(' and ')} of this node is held by ${holder} (${other.key})`,
  );
}
