// The BFD state machine step by step, time as a number (RFC 5880 sections 6.2, 6.5 and 6.8).
// Two of them against each other over a bad link: test/property/bfd-pair.test.ts.

import { beforeEach, describe, expect, test } from 'vitest';
import { stepBfd } from '../../../../bgpd/bfd/session.ts';
import {
  type BfdEffect,
  type BfdEvent,
  type BfdSession,
  detectionTimeUs,
  initialBfdSession,
  nextBfdDeadlineMs,
  transmitIntervalUs,
} from '../../../../bgpd/bfd/session-state.ts';
import { BFD_DIAGNOSTIC, type BfdPacket, type BfdState } from '../../../../lib/wire/bfd.ts';

const OWN = 7;
const PEER = 9;

let session: BfdSession;
let nowMs: number;

beforeEach(() => {
  nowMs = 5_000;
  session = initialBfdSession({ transmitUs: 300_000, receiveUs: 300_000, multiplier: 3, discriminator: OWN }, 1, nowMs);
});

function give(event: BfdEvent): readonly BfdEffect[] {
  const { session: next, effects } = stepBfd(session, event, nowMs);
  session = next;
  return effects;
}

function packet(state: BfdState, change: Partial<BfdPacket> = {}): BfdEvent {
  const yourDiscriminator = state === 'Down' || state === 'AdminDown' ? 0 : OWN;
  const flags = { poll: false, final: false, independent: false, demand: false };
  const intervals = { desiredMinTxUs: 300_000, requiredMinRxUs: 300_000 };
  const numbers = { diagnostic: 0, multiplier: 3, myDiscriminator: PEER, yourDiscriminator };
  return { type: 'packet', packet: { state, ...flags, ...intervals, ...numbers, ...change } };
}

function sent(effects: readonly BfdEffect[]): readonly BfdPacket[] {
  return effects.flatMap((effect) => (effect.type === 'send' ? [effect.packet] : []));
}

function bringUp(change: Partial<BfdPacket> = {}): readonly BfdEffect[] {
  give(packet('Down', change));
  return give(packet('Init', change));
}

describe('the three-way handshake', () => {
  test('Down, Init, Up; each change is told at once', () => {
    expect(sent(give({ type: 'timer' }))).toMatchObject([{ state: 'Down', yourDiscriminator: 0, desiredMinTxUs: 1e6 }]);
    expect(sent(give(packet('Down')))).toMatchObject([{ state: 'Init', yourDiscriminator: PEER }]);
    const effects = give(packet('Init'));
    expect(effects[0]).toEqual({ type: 'changed', from: 'Init', to: 'Up' });
    expect(sent(effects)).toMatchObject([{ state: 'Up', poll: true, desiredMinTxUs: 300_000 }]);
  });

  test.each([
    ['Down', 'Up', 'Down'],
    ['Down', 'Init', 'Up'],
    ['Init', 'Down', 'Init'],
    ['Init', 'Up', 'Up'],
    ['Init', 'AdminDown', 'Down'],
    ['Up', 'Init', 'Up'],
    ['Up', 'Up', 'Up'],
    ['Up', 'Down', 'Down'],
    ['Up', 'AdminDown', 'Down'],
  ] as const)('in %s, %s comes: %s', (from, received, to) => {
    if (from !== 'Down') give(packet('Down'));
    if (from === 'Up') give(packet('Init'));
    expect(session.state).toBe(from);
    give(packet(received));
    expect(session.state).toBe(to);
    if (from !== 'Down' && to === 'Down') expect(session.diagnostic).toBe(BFD_DIAGNOSTIC.neighborSignaledDown);
  });
});

describe('intervals', () => {
  test('slow while not Up: never more often than once in 750 ms', () => {
    for (let count = 0; count < 50; count++) {
      const beforeMs = nowMs;
      nowMs = session.transmitAtMs ?? Number.NaN;
      expect(sent(give({ type: 'timer' }))).toHaveLength(1);
      if (count > 0) expect(nowMs - beforeMs).toBeGreaterThanOrEqual(750);
      expect(nowMs - beforeMs).toBeLessThanOrEqual(1_000);
    }
  });

  test.each([
    [3, 0.75, 1],
    [1, 0.75, 0.9],
  ])('Up with multiplier %i: %f to %f of the interval', (multiplier, least, most) => {
    session = initialBfdSession({ transmitUs: 100_000, receiveUs: 100_000, multiplier, discriminator: OWN }, 1, nowMs);
    bringUp({ requiredMinRxUs: 50_000 });
    const shares: number[] = [];
    for (let count = 0; count < 300; count++) {
      const beforeMs = nowMs;
      give(packet('Up', { requiredMinRxUs: 50_000 }));
      nowMs = session.transmitAtMs ?? Number.NaN;
      give({ type: 'timer' });
      shares.push((nowMs - beforeMs) / 100);
    }
    expect(Math.min(...shares)).toBeGreaterThanOrEqual(least - 1e-9);
    expect(Math.max(...shares)).toBeLessThanOrEqual(most + 1e-9);
    expect(Math.max(...shares) - Math.min(...shares)).toBeGreaterThan((most - least) * 0.9);
  });

  test('the slower side decides, in each direction by itself', () => {
    bringUp({ requiredMinRxUs: 2_000_000, desiredMinTxUs: 700_000, multiplier: 5 });
    expect(detectionTimeUs(session)).toBe(3_500_000);
    expect(session.detectAtMs).toBe(nowMs + 3_500);
    expect((session.transmitAtMs ?? 0) - nowMs).toBeGreaterThanOrEqual(1_500);
    // It wants packets faster: the next one does not wait for the old interval.
    give(packet('Up', { requiredMinRxUs: 100_000 }));
    expect((session.transmitAtMs ?? 0) - nowMs).toBeLessThanOrEqual(300);
  });

  test('a peer that wants none gets none, but its Poll is answered', () => {
    bringUp();
    give(packet('Up', { requiredMinRxUs: 0 }));
    expect(session.transmitAtMs).toBeUndefined();
    expect(sent(give(packet('Up', { requiredMinRxUs: 0, poll: true })))).toMatchObject([{ final: true, poll: false }]);
    expect(session.transmitAtMs).toBeUndefined();
    // When it dies, the session begins anew and may speak.
    nowMs = nextBfdDeadlineMs(session) ?? Number.NaN;
    expect(sent(give({ type: 'timer' }))).toMatchObject([{ state: 'Down' }]);
    expect(session.transmitAtMs).toBeDefined();
  });

  test('demand mode of the peer stops the periodic packets while both are Up', () => {
    bringUp();
    give(packet('Up', { demand: true, final: true }));
    expect(session.transmitAtMs).toBeUndefined();
    give(packet('Up'));
    expect(session.transmitAtMs).toBeDefined();
  });
});

describe('other intervals while Up (section 6.8.3)', () => {
  const FINAL = { final: true };

  beforeEach(() => {
    bringUp();
    give(packet('Up', FINAL));
  });

  function configure(transmitUs: number, receiveUs: number, multiplier = 3): readonly BfdPacket[] {
    return sent(give({ type: 'configure', timings: { transmitUs, receiveUs, multiplier } }));
  }

  test('they are told at once, with a Poll; the same ones are no news', () => {
    const [told] = configure(50_000, 100_000, 5);
    expect(told).toMatchObject({ poll: true, desiredMinTxUs: 50_000, requiredMinRxUs: 100_000, multiplier: 5 });
    give(packet('Up', FINAL));
    expect(session.polling).toBe(false);
    expect(configure(50_000, 100_000, 5)).toEqual([]);
  });

  test('slower packets only after the Final: the peer counts by the old interval until then', () => {
    configure(1_000_000, 300_000);
    expect(transmitIntervalUs(session)).toBe(300_000);
    give(packet('Up'));
    expect(transmitIntervalUs(session)).toBe(300_000);
    give(packet('Up', FINAL));
    expect(transmitIntervalUs(session)).toBe(1_000_000);
  });

  test('a shorter detection time only after the Final: the peer sends at the old interval until then', () => {
    give(packet('Up', { desiredMinTxUs: 50_000 }));
    configure(300_000, 50_000);
    expect(detectionTimeUs(session)).toBe(900_000);
    give(packet('Up', { desiredMinTxUs: 50_000, final: true }));
    expect(detectionTimeUs(session)).toBe(150_000);
  });

  test('a longer detection time at once, for the silence of now too: the peer may slow down when it hears', () => {
    configure(300_000, 2_000_000);
    expect(detectionTimeUs(session)).toBe(6_000_000);
    expect(session.detectAtMs).toBe(nowMs + 6_000);
  });

  test('while not Up they are in force at once, and packets stay slow', () => {
    give(packet('Down'));
    expect(configure(50_000, 50_000)).toEqual([]);
    expect([transmitIntervalUs(session), detectionTimeUs(session)]).toEqual([1_000_000, 900_000]);
  });
});

describe('Poll Sequence', () => {
  test('the change of interval is polled until Final comes', () => {
    expect(sent(bringUp())).toMatchObject([{ poll: true }]);
    nowMs = session.transmitAtMs ?? Number.NaN;
    expect(sent(give({ type: 'timer' }))).toMatchObject([{ poll: true }]);
    give(packet('Up', { final: true }));
    nowMs = session.transmitAtMs ?? Number.NaN;
    expect(sent(give({ type: 'timer' }))).toMatchObject([{ poll: false }]);
  });

  test('a Poll is answered with Final at once, never with both bits', () => {
    bringUp();
    expect(sent(give(packet('Up', { poll: true })))).toMatchObject([{ final: true, poll: false }]);
  });
});

describe('silence', () => {
  test('Up: down after exactly the detection time, and what the peer said is forgotten', () => {
    bringUp();
    nowMs += 899;
    give({ type: 'timer' });
    expect(session.state).toBe('Up');
    nowMs += 1;
    const effects = give({ type: 'timer' });
    expect(effects[0]).toEqual({ type: 'changed', from: 'Up', to: 'Down' });
    expect(sent(effects)[0]).toMatchObject({
      state: 'Down',
      diagnostic: BFD_DIAGNOSTIC.detectionTimeExpired,
      yourDiscriminator: 0,
      desiredMinTxUs: 1_000_000,
    });
  });

  test('each packet puts it off', () => {
    bringUp();
    for (let count = 0; count < 20; count++) {
      nowMs += 899;
      give(packet('Up'));
    }
    expect(session.state).toBe('Up');
  });

  test('Down: the discriminator of a peer that went silent is forgotten', () => {
    bringUp();
    give(packet('Down'));
    expect(session.remoteDiscriminator).toBe(PEER);
    nowMs += 900;
    give({ type: 'timer' });
    expect(session.remoteDiscriminator).toBe(0);
  });
});

describe('administrative', () => {
  test('disabled: told at once with its diagnostic, deaf, silent on Poll; enabled: Down', () => {
    bringUp();
    const effects = give({ type: 'disable' });
    expect(sent(effects)).toMatchObject([{ state: 'AdminDown', diagnostic: BFD_DIAGNOSTIC.administrativelyDown }]);
    expect(give(packet('Up', { poll: true }))).toEqual([]);
    expect(session.state).toBe('AdminDown');
    give({ type: 'enable' });
    expect(session).toMatchObject({ state: 'Down', diagnostic: BFD_DIAGNOSTIC.none });
  });
});
