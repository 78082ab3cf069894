// Two sessions face to face in virtual time: both dial, with any latency, and connections break, die silently, and nodes
// crash and restart. Whatever happens, when it stops they agree on one connection and keep it.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Accept } from '../../bgpd/session/connection.ts';
import type { Open } from '../../bgpd/session/message.ts';
import { notification } from '../../bgpd/session/notification.ts';
import { Peer, type PeerOwner } from '../../bgpd/session/peer.ts';
import { SESSION_TIMES } from '../../bgpd/session/session-state.ts';
import { type Address, address } from '../../lib/net/address.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { FakeNetwork } from '../fakes/fake-network.ts';

/** After the last fault: two hold times, the longest back-off, an OPEN that never comes, and some round trips. */
const SETTLE_MS = 2 * 9_000 + SESSION_TIMES.connectRetry.capMs + SESSION_TIMES.openMs + 5_000;

/** One node with one peer; a crash replaces everything but the counters. */
class Side {
  readonly #clock: FakeClock;
  readonly #network: FakeNetwork;
  readonly #name: string;
  readonly #address: Address;
  peer: Peer | undefined;
  ups = 0;
  downs = 0;

  constructor(clock: FakeClock, network: FakeNetwork, name: string, at: string) {
    this.#clock = clock;
    this.#network = network;
    this.#name = name;
    this.#address = address(at);
  }

  get endpoint() {
    return { address: this.#address, port: 1790 };
  }

  get open(): Open {
    return {
      version: 1,
      asn: 64_512,
      holdTimeSeconds: 9,
      routerId: this.#address,
      node: this.#name,
      capabilities: { families: [4], routeRefresh: false },
    };
  }

  start(other: Side, seed: number): void {
    const owner: PeerOwner = {
      up: () => {
        this.ups++;
      },
      down: () => {
        this.downs++;
      },
      received: () => undefined,
      pull: () => undefined,
      sent: () => undefined,
      failed: () => undefined,
      stateChanged: () => undefined,
    };
    const peer = new Peer({
      config: { open: this.open, peer: { node: other.#name }, times: SESSION_TIMES },
      endpoint: other.endpoint,
      dialler: this.#network.dialler(),
      clock: this.#clock,
      owner,
      seed,
    });
    const accept: Accept = (open, connection) => peer.accept(open, connection);
    this.#network.listen(this.endpoint, accept);
    this.peer = peer;
    peer.start();
  }

  /** The process is gone; its kernel ends the connections. */
  crash(): void {
    this.#network.stopListening(this.endpoint);
    // A crashed process says nothing: its stop must not reach anybody.
    this.#network.silence();
    this.peer?.stop(notification('administrativeShutdown'));
    this.peer = undefined;
  }
}

const fault = fc.record({
  afterMs: fc.integer({ min: 0, max: 20_000 }),
  type: fc.constantFrom('break', 'silence', 'crash-a', 'crash-b'),
  downMs: fc.integer({ min: 0, max: 3_000 }),
});

test('two that dial each other get one session, and it never flaps', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 0, max: 600 }),
      fc.boolean(),
      (latencies, delayMs, swap) => {
        const { clock, a, b } = pair(latencies);
        const [first, second] = swap ? [b, a] : [a, b];
        first.start(second, 1);
        clock.advance(delayMs);
        second.start(first, 2);
        clock.advance(SETTLE_MS + 60_000);
        expect([a.peer?.established, b.peer?.established]).toEqual([true, true]);
        expect([a.ups, b.ups, a.downs, b.downs]).toEqual([1, 1, 0, 0]);
      },
    ),
    { numRuns: 150 },
  );
});

test('after any faults they are established again, on one connection, and stay so', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 20 }),
      fc.array(fault, { maxLength: 8 }),
      (latencies, faults) => {
        const { clock, network, a, b } = pair(latencies);
        a.start(b, 1);
        b.start(a, 2);
        for (const { afterMs, type, downMs } of faults) {
          clock.advance(afterMs);
          if (type === 'break') network.breakAll();
          if (type === 'silence') network.silence();
          const crashed = type === 'crash-a' ? a : type === 'crash-b' ? b : undefined;
          if (crashed === undefined) continue;
          crashed.crash();
          clock.advance(downMs);
          crashed.start(crashed === a ? b : a, afterMs);
        }
        clock.advance(SETTLE_MS);
        expect([a.peer?.established, b.peer?.established]).toEqual([true, true]);
        const { ups, downs } = a;
        clock.advance(120_000);
        expect([a.ups, a.downs, a.peer?.established, b.peer?.established]).toEqual([ups, downs, true, true]);
        expect(network.standing).toBe(1);
      },
    ),
    { numRuns: 150 },
  );
});

function pair(latencies: readonly number[]) {
  const clock = new FakeClock();
  let next = 0;
  const network = new FakeNetwork(clock, () => latencies[next++ % latencies.length] as number);
  const a = new Side(clock, network, 'a', '10.0.0.1');
  const b = new Side(clock, network, 'b', '10.0.0.2');
  return { clock, network, a, b };
}
