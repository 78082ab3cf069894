// The helper's side of graceful restart (RFC 4724 section 4.2, RFC 8538): whether routes outlive a session, and how long.
//
//   session ends ──keeps?──▶ stale ──restart time of that peer──▶ dropped
//                              │ session again
//                              └─▶ refreshed ──END-OF-RIB per family, or STALE_PATH_MS──▶ the rest dropped
//
// Each peer has a timer of its own, so that one that is dead delays nobody. The RIB holds the routes; here is only time.

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
}

interface Kept {
  families: ReadonlySet<Family>;
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
    return [...(this.#kept.get(peer)?.families ?? [])];
  }

  /** The session ended: keeps these families for `seconds`, or until the peer is back. */
  keep(peer: string, families: readonly Family[], seconds: number): void {
    this.#kept.get(peer)?.cancelTimer();
    this.#kept.delete(peer);
    if (families.length === 0) return;
    this.#set(peer, families, seconds * 1_000, `did not come back within ${seconds} s`);
  }

  /** The peer is back: what it did not preserve goes now, the rest when its END-OF-RIB is in (RFC 4724 section 4.2). */
  back(peer: string, open: Open): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined) return;
    kept.cancelTimer();
    const promised = open.capabilities.gracefulRestart;
    const lives = (family: Family): boolean =>
      promised?.preserved.includes(family) === true && promised.families.includes(family);
    const gone = [...kept.families].filter((family) => !lives(family));
    this.#set(peer, [...kept.families].filter(lives), STALE_PATH_MS, 'did not send its whole table in time');
    if (gone.length > 0) this.#options.drop(peer, gone, 'was not preserved');
  }

  /** END-OF-RIB: what the peer did not send again is gone. */
  complete(peer: string, family: Family): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined || !kept.families.has(family)) return;
    kept.families = new Set([...kept.families].filter((each) => each !== family));
    if (kept.families.size === 0) this.#forget(peer, kept);
    this.#options.drop(peer, [family], 'was not sent again');
  }

  /** Nothing is to be kept any more: the peer is gone for good, or its node is known to be dead. */
  end(peer: string, why: string): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined) return;
    this.#forget(peer, kept);
    this.#options.drop(peer, [...kept.families], why);
  }

  /** Stops the timers; nothing is dropped. */
  stop(): void {
    for (const { cancelTimer } of this.#kept.values()) cancelTimer();
    this.#kept.clear();
  }

  #set(peer: string, families: readonly Family[], delayMs: number, why: string): void {
    if (families.length === 0) {
      this.#kept.delete(peer);
      return;
    }
    const cancelTimer = this.#options.clock.after(delayMs, () => this.end(peer, why));
    this.#kept.set(peer, { families: new Set(families), cancelTimer });
  }

  #forget(peer: string, kept: Kept): void {
    kept.cancelTimer();
    this.#kept.delete(peer);
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
): { readonly families: readonly Family[]; readonly seconds: number } {
  const none = { families: [], seconds: 0 };
  const ours = own.capabilities.gracefulRestart;
  const theirs = peer?.capabilities.gracefulRestart;
  if (ours === undefined || theirs === undefined || theirs.restartTimeSeconds === 0) return none;
  if (!afterCrash && (why === undefined || !isNotification(why, 'administrativeReset'))) return none;
  if (why !== undefined) {
    const forGood = FOR_GOOD.some((kind) => isNotification(why, kind));
    if (forGood || !ours.notification || !theirs.notification) return none;
  }
  const families = theirs.families.filter((family) => own.capabilities.families.includes(family));
  return { families, seconds: theirs.restartTimeSeconds };
}
