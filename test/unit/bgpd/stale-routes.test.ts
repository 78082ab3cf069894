// How long routes outlive a session, peer by peer, in virtual time; and which ends of a session keep any.
//
// The first half is about time (StaleRoutes), the second about the decision (keptAfter).

import { beforeEach, describe, expect, test } from 'vitest';
import type { LongLivedFamily, Open } from '../../../bgpd/session/message.ts';
import { notification } from '../../../bgpd/session/notification.ts';
import { keptAfter, STALE_PATH_MS, StaleRoutes } from '../../../bgpd/stale-routes.ts';
import { address, type Family } from '../../../lib/net/address.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const GRACEFUL = {
  restarted: false,
  restartTimeSeconds: 60,
  families: [4, 6],
  preserved: [4, 6],
  notification: true,
} as const;

const LONG_FAMILIES = [
  { family: 4, preserved: true, staleSeconds: 100 },
  { family: 6, preserved: true, staleSeconds: 30 },
] as const;

let clock: FakeClock;
let dropped: string[];
let kept: string[];
let stale: StaleRoutes;

beforeEach(() => {
  clock = new FakeClock();
  dropped = [];
  kept = [];
  stale = new StaleRoutes({
    clock,
    drop: (peer, families) => dropped.push(`${peer} ${families.join()}`),
    keepLong: (peer, families) => kept.push(`${peer} ${families.join()}`),
  });
});

describe('how long', () => {
  test('each peer has its own time', () => {
    keep('a', [4], 10);
    keep('b', [4], 60);
    clock.advance(10_000);
    expect(dropped).toEqual(['a 4']);
    clock.advance(50_000);
    expect(dropped).toEqual(['a 4', 'b 4']);
  });

  test('back in time: the rest goes at END-OF-RIB, family by family', () => {
    keep('a', [4, 6], 10);
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
    keep('a', [4, 6], 10);
    stale.back('a', openOf({ ...GRACEFUL, preserved: [4] }));
    expect(dropped).toEqual(['a 6']);
    keep('b', [4, 6], 10);
    stale.back('b', openOf({ ...GRACEFUL, families: [6] }));
    expect(dropped).toEqual(['a 6', 'b 4']);
    keep('c', [4, 6], 10);
    stale.back('c', openOf(undefined));
    expect(dropped.at(-1)).toBe('c 4,6');
  });

  test('an END-OF-RIB that never comes is not waited for for ever', () => {
    keep('a', [4], 10);
    stale.back('a', openOf(GRACEFUL));
    clock.advance(STALE_PATH_MS);
    expect(dropped).toEqual(['a 4']);
  });

  test('an end for good drops at once, and once', () => {
    keep('a', [4], 10);
    stale.end('a', 'dead');
    stale.end('a', 'dead');
    clock.advance(10_000);
    expect(dropped).toEqual(['a 4']);
  });
});

describe('long-lived (RFC 9494)', () => {
  const LONG = { 4: 100, 6: 30 } as const;

  test('after the restart time each family has its own; one without any is dropped', () => {
    keep('a', [4, 6], 10, LONG);
    keep('b', [4, 6], 10, { 6: 30 });
    clock.advance(10_000);
    expect([kept, dropped]).toEqual([['a 4,6', 'b 6'], ['b 4']]);
    expect(stale.longLived('a')).toEqual([4, 6]);
    clock.advance(30_000);
    expect(dropped).toEqual(['b 4', 'a 6', 'b 6']);
    clock.advance(70_000);
    expect(dropped.at(-1)).toBe('a 4');
    expect(stale.families('a')).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  test('without a restart time it begins at once', () => {
    keep('a', [4], 0, LONG);
    expect(kept).toEqual(['a 4']);
  });

  test('back before it began: it never begins', () => {
    keep('a', [4], 10, LONG);
    clock.advance(9_999);
    stale.back('a', openOf(GRACEFUL, LONG_FAMILIES));
    stale.complete('a', 4);
    clock.advance(1_000_000);
    expect([kept, dropped]).toEqual([[], ['a 4']]);
    expect(clock.pending).toBe(0);
  });

  test('back while it lasts: the rest goes at END-OF-RIB', () => {
    keep('a', [4, 6], 10, LONG);
    clock.advance(11_000);
    stale.back('a', openOf(GRACEFUL, LONG_FAMILIES));
    expect(dropped).toEqual([]);
    stale.complete('a', 4);
    stale.complete('a', 6);
    expect(dropped).toEqual(['a 4', 'a 6']);
    expect(clock.pending).toBe(0);
  });

  test('back without the capability, or without having preserved a family: that goes at once', () => {
    for (const name of ['a', 'b']) keep(name, [4, 6], 10, LONG);
    clock.advance(11_000);
    stale.back('a', openOf(GRACEFUL));
    stale.back(
      'b',
      openOf(GRACEFUL, [
        { family: 4, preserved: true, staleSeconds: 1 },
        { ...LONG_FAMILIES[1], preserved: false },
      ]),
    );
    expect(dropped).toEqual(['a 4,6', 'b 6']);
  });

  test('back and away again without END-OF-RIB: the time that it had goes on', () => {
    keep('a', [4], 10, LONG);
    clock.advance(60_000);
    stale.back('a', openOf(GRACEFUL, LONG_FAMILIES));
    keep('a', [4], 10, LONG);
    expect(kept).toEqual(['a 4', 'a 4']);
    clock.advance(49_999);
    expect(dropped).toEqual([]);
    clock.advance(1);
    expect(dropped).toEqual(['a 4']);
  });

  test('an end for good ends it', () => {
    keep('a', [4], 0, LONG);
    stale.end('a', 'dead');
    expect(dropped).toEqual(['a 4']);
    expect(clock.pending).toBe(0);
  });

  test('both must offer it, and graceful restart too', () => {
    const [able, plain] = [openOf(GRACEFUL, LONG_FAMILIES), openOf(GRACEFUL)];
    const seconds = (own: Open, peer: Open) => [...keptAfter(own, peer, undefined, true).longSeconds.values()];
    expect(seconds(able, able)).toEqual([100, 30]);
    expect(seconds(plain, able)).toEqual([]);
    expect(seconds(able, plain)).toEqual([]);
    expect(seconds(able, openOf(undefined, LONG_FAMILIES))).toEqual([]);
    const atOnce = openOf({ ...GRACEFUL, restartTimeSeconds: 0 }, LONG_FAMILIES.slice(0, 1));
    expect(keptAfter(able, atOnce, undefined, true)).toMatchObject({ families: [4], seconds: 0 });
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

function openOf(
  gracefulRestart: Open['capabilities']['gracefulRestart'],
  longLived?: readonly LongLivedFamily[],
): Open {
  const capabilities = {
    families: [4, 6],
    routeRefresh: true,
    ...(gracefulRestart && { gracefulRestart }),
    ...(longLived && { longLived }),
  } as const;
  return { version: 1, asn: 64_512, holdTimeSeconds: 9, routerId: address('10.0.0.1'), node: 'a', capabilities };
}

function keep(
  peer: string,
  families: readonly Family[],
  seconds: number,
  long: Readonly<Partial<Record<Family, number>>> = {},
): void {
  const longSeconds = new Map(Object.entries(long).map(([family, value]) => [Number(family) as Family, value]));
  stale.keep(peer, { families, seconds, longSeconds });
}
