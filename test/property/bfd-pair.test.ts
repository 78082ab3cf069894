// Two BFD engines over a virtual link that loses, delays and cuts, in virtual time.
//
// What must hold whatever the seed: a link without loss brings both Up and keeps them Up; a cut is seen within the
// detection time and not before the last packet but one could have been late; after any trouble both come Up again.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BfdEngine } from '../../bgpd/bfd/engine.ts';
import type { BfdReport } from '../../bgpd/bfd/messages.ts';
import { type Address, address } from '../../lib/net/address.ts';
import type { BfdState } from '../../lib/wire/bfd.ts';
import { FakeClock } from '../fakes/fake-clock.ts';

const A = address('10.0.0.1');
const B = address('10.0.0.2');
/** Handshake in slow packets, one of them lost in each step. */
const UP_WITHIN_MS = 5_000;

interface Change {
  readonly atMs: number;
  readonly from: BfdState;
  readonly report: BfdReport;
}

class End {
  readonly engine: BfdEngine;
  readonly changes: Change[] = [];
  negotiated: BfdReport | undefined;

  constructor(link: Link, own: Address, intervalMs: number, multiplier: number) {
    const { clock } = link;
    this.engine = new BfdEngine({
      intervalMs,
      multiplier,
      clock,
      send: (peer, _, bytes) => link.carry(own, peer, Uint8Array.from(bytes)),
      changed: (from, report) => this.changes.push({ atMs: clock.monotonicMs(), from, report }),
      negotiated: (report) => {
        this.negotiated = report;
      },
      afterReading: (callback) => void clock.after(0, callback),
      random: () => link.random(),
    });
  }

  get state(): BfdState {
    return this.changes.at(-1)?.report.state ?? 'Down';
  }
}

class Link {
  readonly clock = new FakeClock();
  readonly ends = new Map<Address, End>();
  loss = 0;
  delayMs = 1;
  cut = false;
  losesNext = false;
  /** A later packet may overtake an earlier one. */
  reorders = false;
  readonly #lastAtMs = new Map<Address, number>();
  #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  random(): number {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#seed / 2 ** 32;
  }

  carry(from: Address, to: Address, bytes: Uint8Array): void {
    if (this.losesNext) {
      this.losesNext = false;
      return;
    }
    if (this.cut || this.random() < this.loss) return;
    const nowMs = this.clock.monotonicMs();
    const atMs = Math.max(nowMs + this.delayMs * this.random(), this.reorders ? 0 : (this.#lastAtMs.get(to) ?? 0));
    this.#lastAtMs.set(to, atMs);
    this.clock.after(atMs - nowMs, () => this.ends.get(to)?.engine.receive(from, 'single', bytes));
  }

  join(own: Address, peer: Address, intervalMs: number, multiplier: number): End {
    const end = new End(this, own, intervalMs, multiplier);
    this.ends.set(own, end);
    end.engine.setPeers(new Map([[peer, 'single']]));
    return end;
  }
}

const side = fc.record({
  intervalMs: fc.constantFrom(10, 50, 100, 300, 1_000, 2_500),
  multiplier: fc.integer({ min: 2, max: 5 }),
});
const seeds = fc.integer({ min: 0, max: 2 ** 31 });

test('a sound link: Up once, and a cut is seen within the detection time, by both', () => {
  fc.assert(
    fc.property(seeds, side, side, fc.integer({ min: 0, max: 3_000 }), (seed, forA, forB, extraMs) => {
      const link = new Link(seed);
      const a = link.join(A, B, forA.intervalMs, forA.multiplier);
      const b = link.join(B, A, forB.intervalMs, forB.multiplier);
      link.clock.advance(UP_WITHIN_MS + 2 * Math.max(forA.intervalMs, forB.intervalMs) + 10_000 + extraMs);
      expect([a.state, b.state]).toEqual(['Up', 'Up']);
      expect([a, b].map(({ changes }) => changes.filter(({ from }) => from === 'Up').length)).toEqual([0, 0]);
      link.cut = true;
      const cutAtMs = link.clock.monotonicMs();
      const intervalMs = Math.max(forA.intervalMs, forB.intervalMs);
      link.clock.advance(intervalMs * 5 + 100);
      for (const [end, peer] of [
        [a, forB],
        [b, forA],
      ] as const) {
        expect(end.state).toBe('Down');
        const tookMs = (end.changes.at(-1)?.atMs ?? Number.NaN) - cutAtMs;
        expect(tookMs).toBeLessThanOrEqual(peer.multiplier * intervalMs + link.delayMs + 1);
        expect(tookMs).toBeGreaterThanOrEqual((peer.multiplier - 1) * intervalMs - link.delayMs - 1);
      }
    }),
    { numRuns: 300 },
  );
});

test('other timings at either end, the packet that tells of them lost: nothing goes down, and they are in force in the end', () => {
  const intervals = fc.constantFrom(10, 50, 100, 300, 1_000, 2_500);
  const timings = fc.record({
    transmitMs: intervals,
    receiveMs: intervals,
    multiplier: fc.integer({ min: 3, max: 5 }),
  });
  const changes = fc.array(fc.record({ ofA: fc.boolean(), timings, forMs: fc.integer({ min: 8_000, max: 12_000 }) }), {
    minLength: 1,
    maxLength: 8,
  });
  const steadySide = side.map(({ intervalMs }) => ({ intervalMs, multiplier: 3 }));
  fc.assert(
    fc.property(seeds, steadySide, steadySide, changes, (seed, forA, forB, all) => {
      const link = new Link(seed);
      const a = link.join(A, B, forA.intervalMs, forA.multiplier);
      const b = link.join(B, A, forB.intervalMs, forB.multiplier);
      link.clock.advance(UP_WITHIN_MS + 20_000);
      for (const { ofA, timings: own, forMs } of all) {
        link.losesNext = true;
        if (ofA) a.engine.setTimings(new Map([[B, own]]));
        else b.engine.setTimings(new Map([[A, own]]));
        link.clock.advance(forMs);
      }
      link.clock.advance(20_000);
      expect(
        [a, b].map(({ state, changes: seen }) => [state, seen.filter(({ from }) => from === 'Up').length]),
      ).toEqual([
        ['Up', 0],
        ['Up', 0],
      ]);
      const lastOf = (ofA: boolean, { intervalMs, multiplier }: { intervalMs: number; multiplier: number }) =>
        all.findLast((each) => each.ofA === ofA)?.timings ?? {
          transmitMs: intervalMs,
          receiveMs: intervalMs,
          multiplier,
        };
      const [ownA, ownB] = [lastOf(true, forA), lastOf(false, forB)];
      const detectionMs = (own: typeof ownA, peer: typeof ownA): number =>
        peer.multiplier * Math.max(own.receiveMs, peer.transmitMs);
      expect([a, b].map(({ negotiated }) => negotiated?.detectionTimeMs)).toEqual([
        detectionMs(ownA, ownB),
        detectionMs(ownB, ownA),
      ]);
    }),
    { numRuns: 100 },
  );
});

test('loss, delay and cuts: both are Up again once they are over', () => {
  const trouble = fc.record({
    loss: fc.constantFrom(0, 0.05, 0.3, 0.8),
    delayMs: fc.constantFrom(1, 30, 400),
    cut: fc.boolean(),
    reorders: fc.boolean(),
    forMs: fc.integer({ min: 1, max: 8_000 }),
  });
  fc.assert(
    fc.property(seeds, side, side, fc.array(trouble, { maxLength: 8 }), (seed, forA, forB, troubles) => {
      const link = new Link(seed);
      const a = link.join(A, B, forA.intervalMs, forA.multiplier);
      const b = link.join(B, A, forB.intervalMs, forB.multiplier);
      for (const { forMs, ...state } of troubles) {
        Object.assign(link, state);
        link.clock.advance(forMs);
      }
      Object.assign(link, { loss: 0, delayMs: 1, cut: false, reorders: false });
      link.clock.advance(2_500 * 5 + UP_WITHIN_MS + 10_000);
      expect([a.state, b.state]).toEqual(['Up', 'Up']);
    }),
    { numRuns: 300 },
  );
});

test('one end starts anew: seen, and Up again with its new discriminator', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 0, max: 4_000 }), (seed, awayMs) => {
      const link = new Link(seed);
      const a = link.join(A, B, 300, 3);
      link.join(B, A, 300, 3);
      link.clock.advance(UP_WITHIN_MS);
      expect(a.state).toBe('Up');
      link.ends.get(B)?.engine.setPeers(new Map());
      expect(link.clock.pending).toBeGreaterThan(0);
      link.clock.advance(awayMs);
      expect(a.state).not.toBe(awayMs > 2 ? 'Up' : 'AdminDown');
      const again = link.join(B, A, 300, 3);
      link.clock.advance(UP_WITHIN_MS + 3_000);
      expect([a.state, again.state]).toEqual(['Up', 'Up']);
    }),
  );
});
