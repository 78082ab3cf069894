// How many prefixes a peer may announce, and what follows where they are more. Pure; `block` is enforced by the RIB, which
// refuses what is new beyond the limit.

import { type Notification, notification } from './session/notification.ts';

/** What a peer may announce at most, and what happens beyond. */
export interface PrefixLimit {
  readonly max: number;
  /** A warning is logged from this part of it on. */
  readonly warnPercent: number;
  /** `warn`: nothing but that. `block`: what is new is refused. `restart`: the session ends and stays so for a while. */
  readonly action: 'warn' | 'block' | 'restart';
  readonly restartSeconds: number;
}

/** What `received` prefixes mean: a warning is due; the session is to end with this notification. */
export function lookAtLimit(
  { max, warnPercent, action }: PrefixLimit,
  received: number,
): { readonly isNear: boolean; readonly end: Notification | undefined } {
  const isNear = received * 100 >= max * warnPercent;
  if (received <= max || action !== 'restart') return { isNear, end: undefined };
  return { isNear, end: notification('prefixLimitReached', `${received} prefixes: at most ${max}`) };
}
