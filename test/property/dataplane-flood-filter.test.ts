// The filter against floods drops nothing that the plane would take, and most of what it would not.
// The judge is slow-plane.ts; the filter runs in an interpreter. That the kernel takes it is in the topology tests.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { coverRanges } from '../../flanneld/dataplane/address-ranges.ts';
import type { PlaneMode } from '../../flanneld/dataplane/data-plane.ts';
import { floodFilter, RANGES_MAX, SAMPLED } from '../../flanneld/dataplane/flood-filter.ts';
import { ForwardingTable } from '../../flanneld/dataplane/forwarding-table.ts';
import { TableChanges } from '../../flanneld/dataplane/table-changes.ts';
import { IPV4, IPV4_LENGTH } from '../../lib/wire/ipv4.ts';
import { runFilter } from '../bpf-interpreter.ts';
import { diceOf, mutant, socketSeeds } from '../mutant-packets.ts';
import { slowFromSocket } from '../slow-plane.ts';
import { MTU_BYTES, peer } from '../unit/flanneld/dataplane/plane-fixture.ts';

const PACKETS = 15_000;
const SENDERS = [2, 2, 2, 3, 9];
const INNER_AT = { vxlan: 22, udp: 0 };
const UDP_HEADER = [0x21, 0x18, 0x21, 0x18, 0, 0, 0, 0];

/** `inside`: of the two sockets of ipip the one for this family. */
function filterOf(mode: PlaneMode, inside: 4 | 6 = 4): Uint8Array {
  const family = 4;
  const table = new ForwardingTable(peer(1).subnets);
  const changes = new TableChanges();
  for (const node of [2, 3]) table.apply(Int32Array.from(changes.setPeer(peer(node))));
  const ranges = {
    senders: coverRanges(table.senderRanges(family), RANGES_MAX),
    sources: coverRanges(table.sourceRanges(), RANGES_MAX),
  };
  const vxlan = { vni: 1, macHigh: 0x0e00, macLow: 0x00005501 };
  return floodFilter({
    family,
    ...ranges,
    mtuBytes: MTU_BYTES,
    ...(mode === 'vxlan' && { vxlan }),
    ...(mode === 'ipip' && { ipip: inside }),
  });
}

const outer4 = (sender: number): Uint8Array => Uint8Array.of(0x45, ...new Array<number>(11).fill(0), 192, 0, 2, sender);

test.each(['vxlan', 'udp'] as const)('%s: of what is nearly right', (mode) => {
  const program = filterOf(mode);
  const seeds = socketSeeds(mode);
  const seed = Date.now() % 1_000_000;
  const dice = diceOf(seed);
  let bad = 0;
  let caught = 0;
  for (let i = 0; i < PACKETS; i++) {
    const bytes = mutant(seeds, INNER_AT[mode], dice);
    const sender = SENDERS[dice(SENDERS.length)] as number;
    const verdict = slowFromSocket(mode, MTU_BYTES, sender, [...bytes], 0);
    const drops = runFilter(program, Uint8Array.of(...UDP_HEADER, ...bytes), outer4(sender), 1) === 0;
    if (drops && !('drop' in verdict)) {
      throw new Error(`seed ${seed}: drops from ${sender} what is good: ${Buffer.from(bytes).toString('hex')}`);
    }
    if (!('drop' in verdict)) continue;
    bad++;
    if (drops) caught++;
  }
  expect(bad).toBeGreaterThan(PACKETS / 5);
  expect(caught / bad).toBeGreaterThan(0.6);
});

test('ipip: of what is nearly right, at the socket that the protocol says', () => {
  const programs = { 4: filterOf('ipip', 4), 41: filterOf('ipip', 6) };
  const seeds = socketSeeds('ipip');
  const seed = Date.now() % 1_000_000;
  const dice = diceOf(seed);
  const bad = { 4: 0, 41: 0 };
  const caught = { 4: 0, 41: 0 };
  for (let i = 0; i < PACKETS; i++) {
    const bytes = mutant(seeds, IPV4_LENGTH, dice);
    const protocol = bytes[IPV4.protocol];
    // The kernel hands over nothing else, and nothing without a whole outer header.
    if ((protocol !== 4 && protocol !== 41) || bytes.length < IPV4_LENGTH) continue;
    const sender = SENDERS[dice(SENDERS.length)] as number;
    bytes.set([192, 0, 2, sender], IPV4.source);
    const verdict = slowFromSocket('ipip', MTU_BYTES, sender, [...bytes], 0);
    const drops = runFilter(programs[protocol], bytes, bytes, 1) === 0;
    if (drops && !('drop' in verdict)) {
      throw new Error(`seed ${seed}: drops from ${sender} what is good: ${Buffer.from(bytes).toString('hex')}`);
    }
    if (!('drop' in verdict)) continue;
    bad[protocol]++;
    if (drops) caught[protocol]++;
  }
  expect(Math.min(bad[4], bad[41])).toBeGreaterThan(PACKETS / 20);
  expect(caught[4] / bad[4]).toBeGreaterThan(0.6);
  // Inner IPv6 sources are looked at by the plane alone.
  expect(caught[41] / bad[41]).toBeGreaterThan(0.35);
});

test('one bad datagram of 512 passes, so that the plane can say why it is bad', () => {
  const program = filterOf('vxlan');
  const kept = Array.from({ length: 4 * SAMPLED }, (_, random) =>
    runFilter(program, Uint8Array.of(...UDP_HEADER, 1, 2, 3), outer4(9), random),
  );
  expect(kept.filter((length) => length > 0)).toHaveLength(4);
});

test('what is longer than one datagram passes, but from a stranger', () => {
  const program = filterOf('vxlan');
  const joined = new Uint8Array(3 * MTU_BYTES);
  expect(runFilter(program, joined, outer4(2), 1)).toBeGreaterThan(0);
  expect(runFilter(program, joined, outer4(9), 1)).toBe(0);
});

test('over IPv6 it knows senders by the end of their address; nobody is known where there is no peer', () => {
  const senders = [{ first: 0x10002, last: 0x10005 }];
  const program = floodFilter({ family: 6, senders, sources: [], mtuBytes: MTU_BYTES });
  const outer = (last: number): Uint8Array => Uint8Array.of(0x60, ...new Array<number>(19).fill(7), 0, 1, 0, last);
  const inner = socketSeeds('udp').find((packet) => packet[0] === 0x60) as Uint8Array;
  const passes = [1, 2, 5, 6].map(
    (last) => runFilter(program, Uint8Array.of(...UDP_HEADER, ...inner), outer(last), 1) > 0,
  );
  expect(passes).toEqual([false, true, true, false]);
});

test('few ranges cover all of many, in order, and are exact where few are enough', () => {
  const range = fc.tuple(fc.nat(2 ** 32 - 1), fc.nat(2 ** 20)).map(([first, length]) => {
    return { first, last: Math.min(first + length, 2 ** 32 - 1) };
  });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 300 }), fc.integer({ min: 1, max: 40 }), (ranges, limit) => {
      const cover = coverRanges(ranges, limit);
      expect(cover.length).toBeLessThanOrEqual(limit);
      for (const [i, { first, last }] of cover.entries()) {
        expect(first).toBeLessThanOrEqual(last);
        if (i > 0) expect(first).toBeGreaterThan((cover[i - 1]?.last ?? 0) + 1);
        // Both ends are ends of something that was asked for.
        expect([ranges.some((each) => each.first === first), ranges.some((each) => each.last === last)]).toEqual([
          true,
          true,
        ]);
      }
      for (const { first, last } of ranges) {
        expect(cover.some((each) => each.first <= first && last <= each.last)).toBe(true);
      }
    }),
  );
});
