// How long routes outlive a session, peer by peer, in virtual time; and which ends of a session keep any.
//
// The first half is about time (StaleRoutes), the second about the decision (keptAfter).

import { beforeEach, describe, expect, test } from 'vitest';
import type { Open } from '../../../bgpd/session/message.ts';
import { notification } from '../../../bgpd/session/notification.ts';
import { keptAfter, STALE_PATH_MS, StaleRoutes } from '../../../bgpd/stale-routes.ts';
import { address } from '../../../lib/net/address.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const GRACEFUL = {
  restarted: false,
  restartTimeSeconds: 60,
  families: [4, 6],
  preserved: [4, 6],
  notification: true,
} as const;

let clock: FakeClock;
let dropped: string[];
let stale: StaleRoutes;

beforeEach(() => {
  clock = new FakeClock();
  dropped = [];
  stale = new StaleRoutes({ clock, drop: (peer, families) => dropped.push(`${peer} ${families.join()}`) });
});

describe('how long', () => {
  test('each peer has its own time', () => {
    stale.keep('a', [4], 10);
    stale.keep('b', [4], 60);
    clock.advance(10_000);
    expect(dropped).toEqual(['a 4']);
    clock.advance(50_000);
    expect(dropped).toEqual(['a 4', 'b 4']);
  });

  test('back in time: the rest goes at END-OF-RIB, family by family', () => {
    stale.keep('a', [4, 6], 10);
    stale.back('a', openOf(GRACEFUL));
    clock.advance(20_000);
    stale.complete('a', 6);
    expect(stale.families('a')).toEqual([4]);
    stale.complete('a', 4);
    expect(dropped).toEqual(['a 6', 'a 4']);
    clock.advance(STALE_PATH_MS);
    expect(dropped).toHaveLength(2);
  });

  test('a family that was not preserved, or will have no END-OF-RIB, goes when the peer is back', () => {
    stale.keep('a', [4, 6], 10);
    stale.back('a', openOf({ ...GRACEFUL, preserved: [4] }));
    expect(dropped).toEqual(['a 6']);
    stale.keep('b', [4, 6], 10);
    stale.back('b', openOf({ ...GRACEFUL, families: [6] }));
    expect(dropped).toEqual(['a 6', 'b 4']);
    stale.keep('c', [4, 6], 10);
    stale.back('c', openOf(undefined));
    expect(dropped.at(-1)).toBe('c 4,6');
  });

  test('an END-OF-RIB that never comes is not waited for for ever', () => {
    stale.keep('a', [4], 10);
    stale.back('a', openOf(GRACEFUL));
    clock.advance(STALE_PATH_MS);
    expect(dropped).toEqual(['a 4']);
  });

  test('an end for good drops at once, and once', () => {
    stale.keep('a', [4], 10);
    stale.end('a', 'dead');
    stale.end('a', 'dead');
    clock.advance(10_000);
    expect(dropped).toEqual(['a 4']);
  });
});

describe('which ends of a session keep routes', () => {
  test.each([
    ['the connection broke', undefined, 60],
    ['hold timer', notification('holdTimerExpired'), 60],
    ['administrative reset', notification('administrativeReset'), 60],
    ['administrative shutdown', notification('administrativeShutdown'), 0],
    ['hard reset', notification('hardReset'), 0],
    ['BFD down', notification('bfdDown'), 0],
    ['prefix limit', notification('prefixLimitReached'), 0],
  ] as const)('%s', (_, why, seconds) => {
    expect(keptAfter(openOf(GRACEFUL), openOf(GRACEFUL), why, true).seconds).toBe(seconds);
  });

  test.each([
    ['the connection broke', undefined, 0],
    ['hold timer', notification('holdTimerExpired'), 0],
    ['administrative reset', notification('administrativeReset'), 60],
    ['administrative shutdown', notification('administrativeShutdown'), 0],
  ] as const)('only what was announced: %s', (_, why, seconds) => {
    expect(keptAfter(openOf(GRACEFUL), openOf(GRACEFUL), why, false).seconds).toBe(seconds);
  });

  test('both must take part, and both for a NOTIFICATION (the N bit)', () => {
    const silent = openOf({ ...GRACEFUL, notification: false });
    expect(keptAfter(openOf(undefined), openOf(GRACEFUL), undefined, true).seconds).toBe(0);
    expect(keptAfter(openOf(GRACEFUL), openOf(undefined), undefined, true).seconds).toBe(0);
    expect(keptAfter(openOf(GRACEFUL), silent, undefined, true).seconds).toBe(60);
    expect(keptAfter(openOf(GRACEFUL), silent, notification('holdTimerExpired'), true).seconds).toBe(0);
  });
});

function openOf(gracefulRestart: Open['capabilities']['gracefulRestart']): Open {
  const capabilities = { families: [4, 6], routeRefresh: true, ...(gracefulRestart && { gracefulRestart }) } as const;
  return { version: 1, asn: 64_512, holdTimeSeconds: 9, routerId: address('10.0.0.1'), node: 'a', capabilities };
}
