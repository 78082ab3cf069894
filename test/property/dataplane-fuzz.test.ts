// Whatever comes from the device or the socket, nothing throws, every packet is accounted for, and what is forwarded was
// allowed to be. The judge of "allowed" is written here anew, without the plane's code.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hexVector } from '../hex-vector.ts';
import { tcpPacket, udpPacket } from '../inner-packets.ts';
import {
  type Fixture,
  frameOf,
  makePlane,
  overlay4,
  overlay6,
  underlay,
  vxlanOf,
} from '../unit/flanneld/dataplane/plane-fixture.ts';

const between = (from: number, to: number) => ({ source: overlay4(from, 2), destination: overlay4(to, 2) });
const between6 = (from: number, to: number) => ({ source: overlay6(from, 2), destination: overlay6(to, 2) });

function packetsFor(from: number, to: number): Uint8Array[] {
  return [
    udpPacket(between(from, to), [1, 2, 3]),
    tcpPacket(between(from, to), { data: new Array<number>(2000).fill(5) }),
    udpPacket(between6(from, to)),
    tcpPacket(between6(from, to), { data: new Array<number>(1600).fill(5) }),
    hexVector('ipv4-options'),
    hexVector('ipv6-later-fragment'),
    hexVector('icmp-time-exceeded'),
  ];
}

/** Seeds that are valid, so that a mutation gets past the first check. */
const seeds = (mode: 'vxlan' | 'udp', from: number, to: number): Uint8Array[] => {
  if (mode === 'udp') return packetsFor(from, to);
  return [
    ...packetsFor(from, to).map((packet) => frameOf(to, from, packet)),
    frameOf(to, from, hexVector('arp-request'), 0x0806),
  ];
};

/** A few bytes changed, biased towards the headers, then perhaps cut or grown. */
function mutated(from: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(
    fc.oneof(fc.nat(63), fc.nat(2100)),
    fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x45, 0x60, 255)),
  );
  const length = fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat(2200) });
  return fc
    .tuple(fc.constantFrom(...from), fc.array(change, { maxLength: 4 }), length)
    .map(([seed, changes, newLength]) => {
      const bytes = new Uint8Array(newLength ?? seed.length);
      bytes.set(seed.subarray(0, bytes.length));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });
}

function accounted({ plane }: Fixture): number {
  const { tx, rx, drops } = plane.stats();
  return tx.packets + rx.packets + Object.values(drops).reduce((a, b) => a + b, 0);
}

/** The node to which an inner source address belongs, 0 for none: 10.55.<n>.x or fd55:<n>::. */
function nodeOfSource(packet: Uint8Array): number {
  if ((packet[0] as number) >> 4 === 4) return packet[12] === 10 && packet[13] === 55 ? (packet[14] as number) : 0;
  const isOurs = packet[8] === 0xfd && packet[9] === 0x55 && packet[10] === 0;
  return isOurs ? (packet[11] as number) : 0;
}

for (const mode of ['vxlan', 'udp'] as const) {
  test(`${mode}: whatever the socket hands over`, () => {
    const datagrams = seeds(mode, 2, 1).map((seed) => (mode === 'udp' ? seed : vxlanOf(seed)));
    const sender = fc.constantFrom(1, 2, 3, 9);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(sender, fc.oneof(mutated(datagrams), fc.uint8Array({ maxLength: 80 }))), { minLength: 1 }),
        (all) => {
          const fixture = makePlane(mode);
          for (const [node, datagram] of all) {
            const before = fixture.io.written.length;
            fixture.io.datagram(underlay(node), datagram);
            for (const frame of fixture.io.written.slice(before)) {
              expect([2, 3]).toContain(node);
              if (mode === 'vxlan') {
                expect((datagram[0] as number) & 8).toBe(8);
                expect([datagram[4], datagram[5], datagram[6]]).toEqual([0, 0, 1]);
                expect([...frame.subarray(0, 6)]).toEqual([0x0e, 0, 0, 0, 0x55, 1]);
                if (frame[12] === 8 && frame[13] === 6) continue;
              }
              const packet = mode === 'vxlan' ? frame.subarray(14) : frame;
              expect(nodeOfSource(packet)).toBe(node);
              expect(packet[(packet[0] as number) >> 4 === 4 ? 8 : 7]).not.toBe(0);
            }
            expect(fixture.io.sent).toEqual([]);
          }
          expect(accounted(fixture)).toBeGreaterThanOrEqual(all.length);
        },
      ),
      { numRuns: 300 },
    );
  });

  test(`${mode}: whatever the device hands over`, () => {
    const frames = seeds(mode, 1, 2);
    fc.assert(
      fc.property(fc.array(fc.oneof(mutated(frames), fc.uint8Array({ maxLength: 80 })), { minLength: 1 }), (all) => {
        const fixture = makePlane(mode);
        for (const frame of all) {
          const before = fixture.io.sent.length;
          fixture.io.frame(frame);
          for (const { to, bytes } of fixture.io.sent.slice(before)) {
            const inner = mode === 'vxlan' ? bytes.subarray(8) : bytes;
            expect(inner).toEqual(frame);
            if (mode === 'vxlan') {
              expect([...bytes.subarray(0, 8)]).toEqual([8, 0, 0, 0, 0, 0, 1, 0]);
              expect([...frame.subarray(0, 6)]).toEqual([0x0e, 0, 0, 0, 0x55, Number(to.at(-1))]);
            }
          }
        }
        expect(accounted(fixture)).toBe(all.length);
        // Answers are errors about what was dropped, never more than one each.
        expect(fixture.io.written.length).toBeLessThanOrEqual(all.length - fixture.io.sent.length);
      }),
      { numRuns: 300 },
    );
  });
}
