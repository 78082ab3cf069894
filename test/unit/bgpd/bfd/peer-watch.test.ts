// What bgpd does with what the BFD thread says, peer by peer; the thread is played.
// The real one is in test/topology/bgpd-bfd.test.ts.

import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import type { BfdReport, BfdWorkerEvent } from '../../../../bgpd/bfd/messages.ts';
import { PeerWatch, type WatchedPeer } from '../../../../bgpd/bfd/peer-watch.ts';
import { address } from '../../../../lib/net/address.ts';
import { Metrics } from '../../../../lib/run/status-server.ts';

const PEER = address('192.0.2.2');
const SEEN_UNIX_US = 1_700_000_000_000_000n;

/** What the thread says. */
let said: (event: BfdWorkerEvent) => void;
let peer: WatchedPeer;
let done: string[];

beforeEach(() => {
  peer = { name: 'node2', address: PEER, bfd: {}, established: true, keepsStale: false };
  done = [];
  const watch = new PeerWatch({
    settings: { enabled: true, intervalMs: 300, multiplier: 3, multihopLeastTtl: 245 },
    log: pino({ level: 'silent' }),
    metrics: new Metrics('bgpd'),
    peers: () => [peer],
    end: (name, kind, detail, atUnixUs) => done.push(`end ${name} ${kind} ${detail} ${atUnixUs === SEEN_UNIX_US}`),
    dial: (name) => done.push(`dial ${name}`),
    startThread: (_, take) => {
      said = take;
      return { say: () => undefined, ended: Promise.resolve() };
    },
  });
  watch.start(address('192.0.2.1'));
});

function goesDown(remoteIndependent: boolean): void {
  const states = { state: 'Down', remoteState: 'Down', diagnostic: 1 } as const;
  const numbers = { transmitIntervalMs: 300, detectionTimeMs: 900 };
  const remote = { remoteIndependent, remoteIsNew: false };
  const report: BfdReport = { peer: PEER, hops: 'single', ...states, ...remote, ...numbers };
  said({ type: 'changed', from: 'Up', report, detectedUnixUs: SEEN_UNIX_US });
}

test('BFD says Down: the session ends, with the time of the thread', () => {
  goesDown(false);
  expect(done).toEqual(['end node2 bfd-down detection time expired true']);
});

test('the peer restarts and its BFD with it (C bit clear): its stale routes stay', () => {
  peer = { ...peer, established: false, keepsStale: true };
  goesDown(false);
  expect(done).toEqual([]);
});

test('the peer restarts and its BFD, which does not share that fate (C bit set), says Down: its stale routes go', () => {
  peer = { ...peer, established: false, keepsStale: true };
  goesDown(true);
  expect(done).toEqual(['end node2 bfd-down detection time expired true']);
});

test('the C bit means nothing where no routes are kept', () => {
  peer = { ...peer, established: false };
  goesDown(true);
  expect(done).toEqual([]);
});

test('the process of the peer ended: the session ends as if its connection had, and only that', () => {
  const event = { type: 'ended', peer: PEER, detectedUnixUs: SEEN_UNIX_US } as const;
  said(event);
  peer = { ...peer, established: false, keepsStale: true };
  said(event);
  said({ ...event, peer: address('192.0.2.9') });
  expect(done).toEqual(['end node2 stream-ended the process of the peer ended true']);
});

test('carrier goes: the session ends, or the stale routes go; it is back: dialled at once', () => {
  const carrier = { type: 'carrier', peer: PEER, device: 'eth0', detectedUnixUs: SEEN_UNIX_US } as const;
  said({ ...carrier, up: false });
  peer = { ...peer, established: false, keepsStale: true };
  said({ ...carrier, up: false });
  said({ ...carrier, up: true });
  const end = 'end node2 link-down the link eth0 has no carrier true';
  expect(done).toEqual([end, end, 'dial node2']);
});
