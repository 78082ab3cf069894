// All sessions of a node together: whose packet it is, late timers, peers that come and go.
// What one session does with a packet is in session.test.ts.

import { beforeEach, expect, test } from 'vitest';
import { BfdEngine } from '../../../../bgpd/bfd/engine.ts';
import type { BfdHops, BfdReport } from '../../../../bgpd/bfd/messages.ts';
import { type Address, address } from '../../../../lib/net/address.ts';
import { BFD_LENGTH, type BfdPacket, type BfdState, decodeBfd, writeBfd } from '../../../../lib/wire/bfd.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const A = address('192.0.2.1');
const B = address('2001:db8::2');

let clock: FakeClock;
let engine: BfdEngine;
let sent: { readonly peer: Address; readonly hops: BfdHops; readonly packet: BfdPacket }[];
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
    send: (peer, hops, bytes) => sent.push({ peer, hops, packet: decodeBfd(bytes) as BfdPacket }),
    changed: (from, report) => changes.push({ from, report }),
    negotiated: () => undefined,
    afterReading: (callback) =>
      void clock.after(0, () => {
        const next = unread.shift();
        if (next !== undefined) engine.receive(A, 'single', next);
        callback();
      }),
    random: () => (numbers = (numbers + 0.317) % 1),
  });
});

function single(...peers: readonly Address[]): Map<Address, BfdHops> {
  return new Map(peers.map((peer) => [peer, 'single']));
}

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
  engine.receive(peer, 'single', bytesOf('Down', 0));
  engine.receive(peer, 'single', bytesOf('Init', discriminatorFor(peer)));
}

test('each peer has a session and a discriminator of its own; a packet goes to the one that it names', () => {
  engine.setPeers(single(A, B));
  expect(discriminatorFor(A)).not.toBe(discriminatorFor(B));
  bringUp(A);
  expect(changes.map(({ report }) => [report.peer, report.state])).toEqual([
    [A, 'Init'],
    [A, 'Up'],
  ]);
});

test('malformed, of a stranger, or with the discriminator of another session: discarded and counted', () => {
  engine.setPeers(single(A, B));
  engine.receive(A, 'single', new Uint8Array(3));
  engine.receive(address('192.0.2.9'), 'single', bytesOf('Down', 0));
  engine.receive(A, 'single', bytesOf('Init', discriminatorFor(B)));
  expect(engine.counts).toMatchObject({ received: 3, discarded: 3 });
  expect(changes).toEqual([]);
});

test('silence is seen when the detection time is over', () => {
  engine.setPeers(single(A));
  bringUp(A);
  clock.advance(299);
  expect(changes.at(-1)?.report.state).toBe('Up');
  clock.advance(2);
  expect(changes.at(-1)).toMatchObject({ from: 'Up', report: { state: 'Down', diagnostic: 1 } });
});

test('the thread stood still: what arrived meanwhile counts before the verdict', () => {
  engine.setPeers(single(A));
  bringUp(A);
  clock.stall(1_000);
  unread.push(bytesOf('Up', discriminatorFor(A)), bytesOf('Up', discriminatorFor(A)));
  clock.advance(10);
  expect(changes.at(-1)?.report.state).toBe('Up');
  clock.advance(290);
  expect(changes.at(-1)?.report.state).toBe('Down');
});

test('a peer that is dropped is told so, and its packets are a stranger from then on', () => {
  engine.setPeers(single(A));
  bringUp(A);
  engine.setPeers(single());
  expect(sent.at(-1)?.packet).toMatchObject({ state: 'AdminDown', diagnostic: 7 });
  const before = sent.length;
  engine.receive(A, 'single', bytesOf('Up', discriminatorFor(A)));
  clock.advance(10_000);
  expect([sent.length, engine.counts.discarded, clock.pending]).toEqual([before, 1, 0]);
});

test('a packet to the port of the other kind is for no session', () => {
  engine.setPeers(new Map([[A, 'multi']]));
  engine.receive(A, 'single', bytesOf('Down', 0));
  engine.receive(A, 'single', bytesOf('Init', discriminatorFor(A)));
  expect([engine.counts.discarded, changes]).toEqual([2, []]);
  engine.receive(A, 'multi', bytesOf('Down', 0));
  expect(changes.at(-1)?.report).toMatchObject({ hops: 'multi', state: 'Init' });
  expect(new Set(sent.map(({ hops }) => hops))).toEqual(new Set(['multi']));
});

test('the way to a peer is of another kind now: a session that is Up stays, one that is not begins anew', () => {
  engine.setPeers(single(A, B));
  bringUp(A);
  engine.setPeers(
    new Map([
      [A, 'multi'],
      [B, 'multi'],
    ]),
  );
  engine.receive(A, 'single', bytesOf('Up', discriminatorFor(A)));
  expect([engine.isUp(A), engine.isUp(B)]).toEqual([true, false]);
  expect(sent.findLast(({ peer }) => peer === A)?.hops).toBe('single');
  expect(sent.findLast(({ peer }) => peer === B)).toMatchObject({ hops: 'multi', packet: { state: 'Down' } });
});

test('a peer that began anew says Down, and that it knows nothing of us', () => {
  engine.setPeers(single(A));
  bringUp(A);
  engine.receive(A, 'single', bytesOf('Down', 0));
  expect(changes.at(-1)).toMatchObject({ from: 'Up', report: { state: 'Down', remoteIsNew: true } });
  bringUp(A);
  engine.receive(A, 'single', bytesOf('Down', discriminatorFor(A)));
  expect(changes.at(-1)).toMatchObject({ from: 'Up', report: { state: 'Down', remoteIsNew: false } });
});
