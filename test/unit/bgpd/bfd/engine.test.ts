// All sessions of a node together: whose packet it is, late timers, peers that come and go.
// What one session does with a packet is in session.test.ts.

import { beforeEach, expect, test } from 'vitest';
import { BfdEngine } from '../../../../bgpd/bfd/engine.ts';
import type { BfdReport } from '../../../../bgpd/bfd/messages.ts';
import { type Address, address } from '../../../../lib/net/address.ts';
import { BFD_LENGTH, type BfdPacket, type BfdState, decodeBfd, writeBfd } from '../../../../lib/wire/bfd.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const A = address('192.0.2.1');
const B = address('2001:db8::2');

let clock: FakeClock;
let engine: BfdEngine;
let sent: { readonly peer: Address; readonly packet: BfdPacket }[];
let changes: { readonly from: BfdState; readonly report: BfdReport }[];
/** What lies in the socket, unread. */
let unread: Uint8Array[];

beforeEach(() => {
  clock = new FakeClock();
  sent = [];
  changes = [];
  unread = [];
  let numbers = 0;
  engine = new BfdEngine({
    intervalMs: 100,
    multiplier: 3,
    clock,
    send: (peer, bytes) => sent.push({ peer, packet: decodeBfd(bytes) as BfdPacket }),
    changed: (from, report) => changes.push({ from, report }),
    negotiated: () => undefined,
    afterReading: (callback) =>
      void clock.after(0, () => {
        const next = unread.shift();
        if (next !== undefined) engine.receive(A, next);
        callback();
      }),
    random: () => (numbers = (numbers + 0.317) % 1),
  });
});

function bytesOf(state: BfdState, yourDiscriminator: number): Uint8Array {
  const bytes = new Uint8Array(BFD_LENGTH);
  const flags = { poll: false, final: false, independent: false, demand: false };
  const numbers = { diagnostic: 0, multiplier: 3, myDiscriminator: 5, yourDiscriminator };
  writeBfd({ state, ...flags, ...numbers, desiredMinTxUs: 100_000, requiredMinRxUs: 100_000 }, bytes);
  return bytes;
}

function discriminatorFor(peer: Address): number {
  return sent.find((each) => each.peer === peer)?.packet.myDiscriminator ?? 0;
}

function bringUp(peer: Address): void {
  engine.receive(peer, bytesOf('Down', 0));
  engine.receive(peer, bytesOf('Init', discriminatorFor(peer)));
}

test('each peer has a session and a discriminator of its own; a packet goes to the one that it names', () => {
  engine.setPeers([A, B]);
  expect(discriminatorFor(A)).not.toBe(discriminatorFor(B));
  bringUp(A);
  expect(changes.map(({ report }) => [report.peer, report.state])).toEqual([
    [A, 'Init'],
    [A, 'Up'],
  ]);
});

test('malformed, of a stranger, or with the discriminator of another session: discarded and counted', () => {
  engine.setPeers([A, B]);
  engine.receive(A, new Uint8Array(3));
  engine.receive(address('192.0.2.9'), bytesOf('Down', 0));
  engine.receive(A, bytesOf('Init', discriminatorFor(B)));
  expect(engine.counts).toMatchObject({ received: 3, discarded: 3 });
  expect(changes).toEqual([]);
});

test('silence is seen when the detection time is over', () => {
  engine.setPeers([A]);
  bringUp(A);
  clock.advance(299);
  expect(changes.at(-1)?.report.state).toBe('Up');
  clock.advance(2);
  expect(changes.at(-1)).toMatchObject({ from: 'Up', report: { state: 'Down', diagnostic: 1 } });
});

test('the thread stood still: what arrived meanwhile counts before the verdict', () => {
  engine.setPeers([A]);
  bringUp(A);
  clock.stall(1_000);
  unread.push(bytesOf('Up', discriminatorFor(A)), bytesOf('Up', discriminatorFor(A)));
  clock.advance(10);
  expect(changes.at(-1)?.report.state).toBe('Up');
  clock.advance(290);
  expect(changes.at(-1)?.report.state).toBe('Down');
});

test('a peer that is dropped is told so, and its packets are a stranger from then on', () => {
  engine.setPeers([A]);
  bringUp(A);
  engine.setPeers([]);
  expect(sent.at(-1)?.packet).toMatchObject({ state: 'AdminDown', diagnostic: 7 });
  const before = sent.length;
  engine.receive(A, bytesOf('Up', discriminatorFor(A)));
  clock.advance(10_000);
  expect([sent.length, engine.counts.discarded, clock.pending]).toEqual([before, 1, 0]);
});
