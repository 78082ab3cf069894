// The plane against slow-plane.ts on hundreds of thousands of packets that are nearly right: the same verdict, the same
// bytes, an ICMP answer exactly where one is due; no throw, no growth, every reason to drop seen.
//
// GINGHAM_FUZZ=1000000 takes that many packets; GINGHAM_FUZZ_SEED repeats a run. Both are in the name of a failure.

import { expect, test } from 'vitest';
import { DROP_REASONS, type DropReason, type PlaneMode } from '../../flanneld/dataplane/data-plane.ts';
import { type Dice, deviceSeeds, diceOf, mutant, socketSeeds } from '../mutant-packets.ts';
import { isAnswerTo, type SlowVerdict, slowFromDevice, slowFromSocket } from '../slow-plane.ts';
import { type Fixture, MTU_BYTES, makePlane, underlay } from '../unit/flanneld/dataplane/plane-fixture.ts';

const PACKETS = Number(process.env['GINGHAM_FUZZ'] ?? 180_000);
const SEED = Number(process.env['GINGHAM_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
const MODES = ['vxlan', 'udp', 'ipip'] as const;
/** Where the IP packet begins in what device and socket hand over. */
const INNER_AT = { vxlan: { device: 14, socket: 22 }, udp: { device: 0, socket: 0 }, ipip: { device: 0, socket: 20 } };
const SENDERS = [2, 2, 2, 2, 2, 2, 3, 9];
const GROWTH_MAX_BYTES = 32 * 1024 * 1024;
/** What only a driver or the kernel can cause; see the topology tests. */
const OF_DRIVERS: readonly DropReason[] = ['tx-queue-full', 'tx-send-failed', 'rx-device-refused', 'rx-socket'];

const seen = new Map<PlaneMode, Set<string>>();

/** Throws with the seed where the plane and the reference disagree. */
function agree(mode: PlaneMode, dice: Dice, packets: number): Fixture {
  const fixture = makePlane(mode);
  const { io, plane } = fixture;
  const reasons = new Set<string>();
  seen.set(mode, reasons);
  const seeds = { device: deviceSeeds(mode), socket: socketSeeds(mode) };
  let before: Readonly<Record<string, number>> = plane.stats().drops;
  for (let i = 0; i < packets; i++) {
    const side = dice(2) === 0 ? 'device' : 'socket';
    const bytes = mutant(seeds[side], INNER_AT[mode][side], dice);
    const sender = SENDERS[dice(SENDERS.length)] as number;
    let expected: SlowVerdict;
    if (side === 'device') {
      expected = slowFromDevice(mode, MTU_BYTES, [...bytes]);
      fixture.advance(2);
      io.frame(bytes);
    } else {
      expected = slowFromSocket(mode, MTU_BYTES, sender, [...bytes], 0);
      io.datagram(underlay(sender), bytes);
    }
    const { drops } = plane.stats();
    const dropped = Object.keys(drops).filter((reason) => drops[reason as DropReason] !== before[reason]);
    before = drops;
    for (const reason of dropped) reasons.add(reason);
    const problem = disagreement(expected, dropped, io, bytes, mode === 'vxlan' ? 14 : 0);
    if (problem !== undefined) {
      throw new Error(
        `${mode} seed ${SEED} packet ${i} from the ${side} (${sender}): ${problem}, expected ${JSON.stringify(expected)} for ${Buffer.from(bytes).toString('hex')}`,
      );
    }
    io.sent.length = 0;
    io.written.length = 0;
  }
  return fixture;
}

function disagreement(
  expected: SlowVerdict,
  dropped: readonly string[],
  { sent, written }: Fixture['io'],
  culprit: Uint8Array,
  linkHeaderLength: number,
): string | undefined {
  if ('drop' in expected) {
    if (String(dropped) !== expected.drop) return `dropped as ${dropped.join(', ') || 'nothing'}`;
    if (sent.length > 0) return 'sent what was dropped';
    if (written.length !== (expected.answered === true ? 1 : 0)) return `${written.length} answers`;
    const [answer] = written;
    if (answer === undefined) return undefined;
    const [about, quoted] = [answer, culprit].map((bytes) => [...bytes.subarray(linkHeaderLength)]) as [
      number[],
      number[],
    ];
    return isAnswerTo(about, quoted) ? undefined : 'the answer is not right';
  }
  if (dropped.length > 0) return `dropped as ${dropped.join(', ')}`;
  if ('node' in expected) {
    const [datagram, second] = sent;
    if (datagram === undefined || second !== undefined || written.length > 0) return 'not sent, or not that alone';
    if (datagram.to !== underlay(expected.node) || datagram.outerTos !== expected.tos) return 'sent elsewhere';
    return String(datagram.bytes) === String(expected.datagram) ? undefined : 'other bytes sent';
  }
  if (sent.length > 0) return 'sent back';
  if (expected.cut) return written.length > 0 ? undefined : 'not written';
  return written.length === 1 && String(written[0]) === String(expected.frame) ? undefined : 'other bytes written';
}

test.each(MODES)('%s: the fast plane and the slow one agree', { timeout: 600_000 }, (mode) => {
  agree(mode, diceOf(SEED), 2_000);
  const heapBefore = process.memoryUsage();
  const { plane, failures } = agree(mode, diceOf(SEED + 1), Math.ceil(PACKETS / MODES.length));
  const { peers, prefixes, tx, rx } = plane.stats();
  expect([peers, prefixes, failures]).toEqual([2, 6, []]);
  // Both directions forward too: a plane that drops everything would agree with nothing of this.
  expect(Math.min(tx.packets, rx.packets)).toBeGreaterThan(PACKETS / MODES.length / 20);
  expect(process.memoryUsage().arrayBuffers - heapBefore.arrayBuffers).toBeLessThan(GROWTH_MAX_BYTES);
});

test(`every reason to drop was seen (seed ${SEED}, ${PACKETS} packets)`, () => {
  const all = new Set(MODES.flatMap((mode) => [...(seen.get(mode) ?? [])]));
  const missing = Object.keys(DROP_REASONS).filter((reason) => !all.has(reason));
  expect(missing.sort()).toEqual([...OF_DRIVERS].sort());
});
