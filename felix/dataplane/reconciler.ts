// The loop that makes the kernel agree with the feed: list when in doubt, settle what is wanted, write the difference,
// repeat until nothing is left that can be done now. Not what is wanted (desired/), not what is known (kernel-mirror.ts).
//
// Two barriers before the first write: the feed in sync once, and the kernel listed. One pass at a time; whatever comes
// meanwhile asks for another. Refusals never stop a pass; a kernel that does not answer at all stops felix after a while.
//
// The confusing thing: notifications of the kernel, ours included, all end in `kick`. A pass that finds nothing to do
// writes nothing and costs nothing, so an echo of our own writes ends there.

import type { Cause } from '../../lib/feed/feed.ts';
import type { FeedChange } from '../../lib/feed/feed-view.ts';
import { type Kernel, KernelError, type KernelFailure, TABLE_MAIN } from '../../lib/kernel/kernel.ts';
import type { Family } from '../../lib/net/address.ts';
import { type Backoff, backoffDelayMs } from '../../lib/run/backoff.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { EXIT, ExitError, errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import { DesiredState } from '../desired/desired-state.ts';
import { LinkEntries } from '../desired/link-entries.ts';
import type { WantedRoutes } from '../desired/merged-feeds.ts';
import { applyStep, type StepResult } from './apply-step.ts';
import { KernelMirror, type KernelMirrorListener, type WriteKind } from './kernel-mirror.ts';
import type { Drift } from './kernel-table.ts';
import { PassRecord, type PassSummary } from './pass-record.ts';
import { type StepAtWork, Watchdog } from './watchdog.ts';

/** Least time between two listings, and as a multiple of their own: a link that flaps must not make felix only list. */
const LISTING_GAP_MS = 20;
const LISTING_GAP_FACTOR = 4;
const KERNEL_RETRY: Backoff = { firstMs: 100, capMs: 5_000 };
/** Calls in a row that fail as a whole before felix gives up and is started again. */
const KERNEL_FAILURES_MAX = 10;
/** Before the rule of the main table (32766). */
export const RULE_PRIORITY = 7_100;

export interface ReconcilerOptions {
  readonly kernel: Kernel;
  readonly view: WantedRoutes;
  readonly clock: Clock;
  readonly log: Logger;
  /** The routing table of our routes; the main one where it is absent. */
  readonly routeTable?: number;
  /** Of the rules that lead to that table. */
  readonly rulePriority?: number;
  /** RTAX_MTU of routes that lead to other nodes; absent: that of the device. */
  readonly routeMtuBytes?: number;
  /** Whether stale state must be kept: no deletions now. */
  readonly holdsDeletes: () => boolean;
  /** After each pass; with a summary where it wrote something. */
  readonly onPass: (summary: PassSummary | undefined) => void;
  /** Somebody else changed what is ours. */
  readonly onDrift: (drifts: readonly Drift[], kind: WriteKind) => void;
  /** felix cannot go on. */
  readonly fail: (error: unknown) => void;
}

/** For readiness and `/status`. */
export interface ReconcilerState {
  readonly kernelListed: boolean;
  /** The kernel was listed and answers; what it says is taken in within milliseconds. */
  readonly kernelInSync: boolean;
  /** A pass has ended with nothing left to do. */
  readonly firstCleanPass: boolean;
  readonly listings: number;
  readonly lastError: string | undefined;
  /** What is being done at this moment, and since when. */
  readonly step: StepAtWork | undefined;
}

export class Reconciler {
  readonly mirror: KernelMirror;
  readonly desired: DesiredState;
  readonly #linkEntries: LinkEntries;
  readonly #options: ReconcilerOptions;
  readonly #record: PassRecord;
  readonly #watchdog: Watchdog;
  #feedWasInSync = false;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #waysChanged = false;
  /** A listing that was asked for does not wait for the gap. */
  #listNow = false;
  #firstCleanPass = false;
  #kernelFailures = 0;
  /** After a failed call: nothing is tried before the timer. */
  #pausing = false;
  #lastError: string | undefined;
  #cancelTimer: () => void = () => undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#record = new PassRecord(options.clock);
    // A kernel that does not answer: felix ends, and is started again.
    this.#watchdog = new Watchdog(options.clock, (error) => {
      this.#lastError = error.message;
      options.fail(error);
    });
    const { routeTable = TABLE_MAIN, routeMtuBytes } = options;
    const listener: KernelMirrorListener = {
      linksChanged: (names, listed) => this.#linksChanged(names, listed),
      drifted: (drifts, kind) => options.onDrift(drifts, kind),
      waysChanged: () => {
        this.#waysChanged = true;
      },
      news: () => this.kick(),
    };
    this.mirror = new KernelMirror(options.kernel, options.clock, listener, routeTable);
    this.#linkEntries = new LinkEntries(options.view, this.mirror.links);
    this.desired = new DesiredState({
      view: options.view,
      links: this.mirror.links,
      routes: this.mirror.routes.table.tracker,
      nexthops: this.mirror.nexthops.table.tracker,
      isForeignNexthop: (id) => this.mirror.nexthops.isForeign(id),
      every: { table: routeTable, ...(routeMtuBytes !== undefined && { mtuBytes: routeMtuBytes }) },
    });
  }

  state(): ReconcilerState {
    return {
      kernelListed: this.mirror.isListed,
      kernelInSync: this.mirror.isListed && this.#kernelFailures === 0,
      firstCleanPass: this.#firstCleanPass,
      listings: this.mirror.listings,
      lastError: this.#lastError,
      step: this.#watchdog.at,
    };
  }

  /** Number of objects that the kernel refuses at present. */
  refusedCount(): number {
    return Object.values(this.mirror.tables()).reduce((sum, table) => sum + table.currentRefusals().size, 0);
  }

  /** The feed changed, because of `cause` where it says so. */
  feedChanged(change: FeedChange, cause: Cause | undefined): void {
    this.desired.feedChanged(change);
    this.#linkEntries.groupsChanged(change.groups);
    if (cause !== undefined) this.#record.caused(cause);
    this.kick();
  }

  /** The feed has brought its in-sync marker: the first one opens the barrier. */
  feedInSync(): void {
    this.#feedWasInSync = true;
    this.kick();
  }

  /** List the kernel again, whether there is doubt or not. */
  resync(): void {
    this.#listNow = true;
    this.mirror.doubt();
    this.kick();
  }

  /** There may be work. */
  kick(): void {
    if (this.#stopped) return;
    this.#again = true;
    if (!this.#pausing) this.#running ??= this.#run();
  }

  /** Waits for the pass that is under way and starts no other. What is in the kernel stays. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.#running;
    this.mirror.close();
  }

  async #run(): Promise<void> {
    // All that comes in this turn of the event loop is one pass.
    await new Promise(setImmediate);
    while (this.#again && !this.#stopped && !this.#pausing) {
      this.#again = false;
      this.#cancelTimer();
      try {
        await this.#pass();
        this.#kernelFailures = 0;
        this.#setTimer(this.#nextWorkAtMs());
      } catch (error) {
        this.#kernelFailed(error);
      }
    }
    this.#running = undefined;
  }

  async #pass(): Promise<void> {
    if (this.#listingIsDue()) await this.#list();
    if (!this.mirror.isListed || !this.#feedWasInSync) return;
    this.#record.begin();
    for (;;) {
      if (this.#stopped) return;
      if (this.#listingIsDue()) await this.#list();
      await this.#watchdog.watch('settle', () => this.#settle());
      const mayDelete = !this.#options.holdsDeletes();
      const step = await this.#watchdog.watch('write', () => applyStep(this.#options.kernel, this.mirror, mayDelete));
      if (step === undefined) break;
      this.#took(step);
    }
    const refused = this.refusedCount();
    this.#firstCleanPass ||= refused === 0 && !this.mirror.needsListing;
    this.#options.onPass(this.#record.end(refused));
  }

  async #list(): Promise<void> {
    const wasListed = this.mirror.isListed;
    this.#listNow = false;
    await this.#watchdog.watch('list', () => this.mirror.list());
    if (wasListed) return;
    this.desired.useNexthopObjects(this.mirror.hasNexthopObjects);
    const { log } = this.#options;
    if (this.mirror.hasNexthopObjects) log.info('routes point at nexthop objects');
    else
      log.warn('this kernel has no nexthop objects (Linux 5.3): plain routes, each rewritten when a next hop changes');
  }

  /** Works off what was marked, and asks the kernel about gateways without a device. */
  async #settle(): Promise<void> {
    const { desired } = this;
    if (this.#waysChanged) {
      this.#waysChanged = false;
      await this.#findGateways([...desired.gateways]);
    }
    desired.settle();
    while (desired.unknownGateways.size > 0) {
      await this.#findGateways([...desired.unknownGateways]);
      desired.settle();
    }
    this.#wantRules();
    const onLinks = this.#linkEntries.settle();
    if (onLinks === undefined) return;
    this.mirror.neighbours.want(onLinks.neighbours);
    this.mirror.addresses.want(onLinks.addresses);
  }

  /** A table of our own is looked into by a rule for each family that has routes. */
  #wantRules(): void {
    const { routeTable: table = TABLE_MAIN, rulePriority: priority = RULE_PRIORITY } = this.#options;
    const families = new Set<Family>();
    if (table !== TABLE_MAIN) for (const { family } of this.desired.plans()) families.add(family);
    for (const family of [4, 6] as const) {
      this.mirror.rules.want(family, families.has(family) ? { table, priority } : undefined);
    }
  }

  async #findGateways(gateways: Parameters<Kernel['routeTo']>[0][]): Promise<void> {
    for (const gateway of gateways) {
      this.desired.setGatewayLink(gateway, (await this.#options.kernel.routeTo(gateway))?.linkIndex);
    }
  }

  #took(step: StepResult): void {
    this.#record.took(step);
    for (const { id, refused } of step.hops) this.desired.setHopRefused(id, refused);
    const [first] = step.refused;
    if (first === undefined) return;
    const { failure } = first;
    this.#lastError = failureText(failure);
    this.#options.log.warn(
      { refused: step.refused.length, what: failure.what, code: failure.code, reason: failure.message },
      'the kernel refused writes; the first of them is named',
    );
    if (failure.code === 'EPERM') throw new KernelError('permission', failureText(failure));
    // A refusal that is new may come from a state that is not what is believed.
    const { retries } = this.mirror.tables()[step.kind];
    if (retries.refusals.get(first.key as never)?.attempts === 1) this.mirror.doubt();
  }

  #linksChanged(names: readonly string[], listed: boolean): void {
    const usesDevice = names.some((name) => this.desired.usesDevice(name));
    if (!this.#linkEntries.linksChanged(names) && !usesDevice) return;
    if (usesDevice) this.desired.linksChanged();
    // Whatever led there may be gone without a word; a listing of links is followed by one of all the rest.
    if (!listed) this.mirror.doubt();
  }

  #listingIsDue(): boolean {
    if (this.#listNow) return true;
    return this.mirror.needsListing && this.#options.clock.monotonicMs() >= this.#listingAllowedAtMs();
  }

  #listingAllowedAtMs(): number {
    const { listedAtMs, listingMs } = this.mirror;
    if (listedAtMs === undefined) return 0;
    return listedAtMs + Math.max(LISTING_GAP_MS, listingMs * LISTING_GAP_FACTOR);
  }

  #nextWorkAtMs(): number {
    const nowMs = this.#options.clock.monotonicMs();
    return Math.min(
      this.mirror.needsListing ? this.#listingAllowedAtMs() : this.mirror.overdueAtMs,
      ...Object.values(this.mirror.tables()).map(({ retries }) => retries.nextAtMs(nowMs) ?? Number.POSITIVE_INFINITY),
    );
  }

  #setTimer(atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY || this.#stopped) return;
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(Math.max(1, atMs - clock.monotonicMs()), () => {
      this.#pausing = false;
      this.kick();
    });
  }

  #kernelFailed(error: unknown): void {
    const { log, fail, clock } = this.#options;
    this.#lastError = errorText(error);
    if (!(error instanceof KernelError)) {
      this.#stopped = true;
      fail(error);
      return;
    }
    if (error.code === 'permission') {
      this.#stopped = true;
      const advice = 'felix writes routes: it needs the capability NET_ADMIN in its network namespace';
      fail(new ExitError(EXIT.environment, advice, { cause: error }));
      return;
    }
    this.#kernelFailures++;
    this.mirror.doubt();
    log.warn({ err: error, failures: this.#kernelFailures }, 'the kernel did not answer as it must');
    if (this.#kernelFailures >= KERNEL_FAILURES_MAX) {
      this.#stopped = true;
      fail(new Error(`the kernel failed ${KERNEL_FAILURES_MAX} times in a row`, { cause: error }));
      return;
    }
    this.#pausing = true;
    this.#setTimer(clock.monotonicMs() + backoffDelayMs(KERNEL_RETRY, this.#kernelFailures - 1));
  }
}

function failureText({ what, code, message }: KernelFailure): string {
  return message === undefined ? `${what}: ${code}` : `${what}: ${code} (${message})`;
}
