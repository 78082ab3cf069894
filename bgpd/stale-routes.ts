// The helper's side of graceful restart (RFC 4724 section 4.2, RFC 8538) and of its long-lived form (RFC 9494 section 4.2):
// whether routes outlive a session, and how long.
//
//   session ends ──keeps?──▶ stale ──restart time of that peer──▶ long-lived stale ──stale time of that family──▶ dropped
//                              │ session again                      │ session again       (0: dropped at once)
//                              └─▶ refreshed ──END-OF-RIB per family, or STALE_PATH_MS──▶ the rest dropped
//
// Each peer has a timer of its own, and each of its families once it is long-lived, so that one that is dead delays nobody.
// The RIB holds the routes; here is only time.

import type { Family } from '../lib/net/address.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Open } from './session/message.ts';
import { isNotification, type NOTIFICATION, type Notification } from './session/notification.ts';

/** How long a peer that came back may take for its first complete table. */
export const STALE_PATH_MS = 120_000;

/** Ends that mean it: the routes must go. A hold timer, a broken connection or a reset may be a restart. */
const FOR_GOOD: readonly (keyof typeof NOTIFICATION)[] = [
  'prefixLimitReached',
  'administrativeShutdown',
  'peerDeconfigured',
  'connectionRejected',
  'hardReset',
  'bfdDown',
];

export interface StaleRoutesOptions {
  readonly clock: Clock;
  /** The stale routes of these families are to go. */
  readonly drop: (peer: string, families: readonly Family[], why: string) => void;
  /** The stale routes of these families are long-lived from now on. */
  readonly keepLong: (peer: string, families: readonly Family[]) => void;
}

/** What outlives a session. */
export interface Keeping {
  readonly families: readonly Family[];
  /** Until the peer must be back; 0 where only its long-lived families are kept. */
  readonly seconds: number;
  /** Families that are kept beyond that, and how long. */
  readonly longSeconds: ReadonlyMap<Family, number>;
}

interface Kept {
  /** Of the last session, or of one before it whose long-lived routes were not refreshed since. */
  families: Set<Family>;
  longSeconds: ReadonlyMap<Family, number>;
  /** By family, how to stop the time of its long-lived routes. */
  readonly longLived: Map<Family, () => void>;
  cancelTimer: () => void;
}

export class StaleRoutes {
  readonly #options: StaleRoutesOptions;
  readonly #kept = new Map<string, Kept>();

  constructor(options: StaleRoutesOptions) {
    this.#options = options;
  }

  /** Families of which a peer's routes are kept now. */
  families(peer: string): readonly Family[] {
    return [...(this.#kept.get(peer)?.families ?? [])].sort((a, b) => a - b);
  }

  /** Of these, the ones whose routes are long-lived. */
  longLived(peer: string): readonly Family[] {
    return [...(this.#kept.get(peer)?.longLived.keys() ?? [])].sort((a, b) => a - b);
  }

  /**
   * The session ended: keeps these families for their time, or until the peer is back. A family whose routes are long-lived
   * since before, and were not refreshed, keeps the time that it had (RFC 9494 section 4.2), for what is new as well.
   */
  keep(peer: string, { families, seconds, longSeconds }: Keeping): void {
    const before = this.#kept.get(peer);
    const longLived = before?.longLived ?? new Map<Family, () => void>();
    before?.cancelTimer();
    for (const [family, cancel] of longLived) {
      if (families.includes(family)) continue;
      cancel();
      longLived.delete(family);
    }
    if (families.length === 0) {
      this.#kept.delete(peer);
      return;
    }
    const kept: Kept = { families: new Set(families), longSeconds, longLived, cancelTimer: () => undefined };
    this.#kept.set(peer, kept);
    if (longLived.size > 0) this.#options.keepLong(peer, [...longLived.keys()]);
    if (families.every((family) => longLived.has(family))) return;
    const over = (): void => this.#outlast(peer, kept, `did not come back within ${seconds} s`);
    if (seconds === 0) over();
    else kept.cancelTimer = this.#options.clock.after(seconds * 1_000, over);
  }

  /** The peer is back: what it did not preserve goes now, the rest when its END-OF-RIB is in (RFC 4724 section 4.2). */
  back(peer: string, { capabilities }: Open): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined) return;
    const promised = capabilities.gracefulRestart;
    const lives = (family: Family): boolean => {
      if (promised?.families.includes(family) !== true) return false;
      if (!kept.longLived.has(family)) return promised.preserved.includes(family);
      return capabilities.longLived?.some((each) => each.family === family && each.preserved) === true;
    };
    const gone = [...kept.families].filter((family) => !lives(family));
    kept.cancelTimer();
    kept.cancelTimer = this.#options.clock.after(STALE_PATH_MS, () =>
      this.end(peer, 'did not send its whole table in time'),
    );
    for (const family of gone) this.#forget(peer, kept, family);
    if (gone.length > 0) this.#options.drop(peer, gone, 'was not preserved');
  }

  /** END-OF-RIB: what the peer did not send again is gone. */
  complete(peer: string, family: Family): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined || !kept.families.has(family)) return;
    this.#forget(peer, kept, family);
    this.#options.drop(peer, [family], 'was not sent again');
  }

  /** Nothing is to be kept any more: the peer is gone for good, or its node is known to be dead. */
  end(peer: string, why: string): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined) return;
    const families = this.families(peer);
    for (const family of families) this.#forget(peer, kept, family);
    this.#options.drop(peer, families, why);
  }

  /** Stops the timers; nothing is dropped. */
  stop(): void {
    for (const { cancelTimer, longLived } of this.#kept.values()) {
      cancelTimer();
      for (const cancel of longLived.values()) cancel();
    }
    this.#kept.clear();
  }

  /** The restart time is up: what may be is kept on, the rest is dropped. */
  #outlast(peer: string, kept: Kept, why: string): void {
    const waiting = [...kept.families].filter((family) => !kept.longLived.has(family));
    const on = waiting.filter((family) => (kept.longSeconds.get(family) ?? 0) > 0);
    for (const family of on) {
      const seconds = kept.longSeconds.get(family) ?? 0;
      const cancel = this.#options.clock.after(seconds * 1_000, () => {
        this.#forget(peer, kept, family);
        this.#options.drop(peer, [family], `was stale for ${seconds} s`);
      });
      kept.longLived.set(family, cancel);
    }
    const gone = waiting.filter((family) => !on.includes(family));
    for (const family of gone) this.#forget(peer, kept, family);
    if (on.length > 0) this.#options.keepLong(peer, on);
    if (gone.length > 0) this.#options.drop(peer, gone, why);
  }

  #forget(peer: string, kept: Kept, family: Family): void {
    kept.longLived.get(family)?.();
    kept.longLived.delete(family);
    kept.families.delete(family);
    if (kept.families.size > 0) return;
    kept.cancelTimer();
    if (this.#kept.get(peer) === kept) this.#kept.delete(peer);
  }
}

/**
 * Families whose routes outlive a session that ended like this, and for how long: what the peer promised in its OPEN, if
 * this node takes part. A NOTIFICATION keeps routes only where both said so, and never one that means it (RFC 8538).
 * Without `afterCrash` only a restart that the peer announced keeps them: a broken connection may be a dead node.
 */
export function keptAfter(
  own: Open,
  peer: Open | undefined,
  why: Notification | undefined,
  afterCrash: boolean,
): Keeping {
  const none: Keeping = { families: [], seconds: 0, longSeconds: new Map() };
  const ours = own.capabilities.gracefulRestart;
  const theirs = peer?.capabilities.gracefulRestart;
  if (ours === undefined || theirs === undefined) return none;
  if (!afterCrash && (why === undefined || !isNotification(why, 'administrativeReset'))) return none;
  if (why !== undefined) {
    const forGood = FOR_GOOD.some((kind) => isNotification(why, kind));
    if (forGood || !ours.notification || !theirs.notification) return none;
  }
  const common = theirs.families.filter((family) => own.capabilities.families.includes(family));
  const long = own.capabilities.longLived === undefined ? [] : (peer?.capabilities.longLived ?? []);
  const longSeconds = new Map(
    long.flatMap(({ family, staleSeconds }) => (staleSeconds > 0 ? [[family, staleSeconds] as const] : [])),
  );
  const seconds = theirs.restartTimeSeconds;
  const families = common.filter((family) => seconds > 0 || longSeconds.has(family));
  return { families, seconds, longSeconds };
}
