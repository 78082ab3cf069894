// The BFD thread of a simulated node: production's engine, with datagrams and a clock of the simulator. It stands where
// bgpd/bfd/worker.ts stands in a real node, and is not touched by what stalls the rest of the process.

import { BfdEngine } from '../../bgpd/bfd/engine.ts';
import type { StartBfdThread } from '../../bgpd/bfd/liveness.ts';
import type { BfdWorkerEvent } from '../../bgpd/bfd/messages.ts';
import type { Address } from '../../lib/net/address.ts';
import type { SimNetwork } from './network.ts';
import { clockOf, SimProcess, type Skew, TURN_MS } from './virtual-time.ts';

/** The simulated network is one link; its loss of carrier is not simulated. */
const HOPS = 'single';

export interface SimThread {
  readonly start: StartBfdThread;
  /** The process is no more, and this thread of it. */
  kill(): void;
}

/** Makes the threads of one process. */
export function bfdThreads(network: SimNetwork, main: SimProcess, skew: Skew): SimThread {
  const { time, random } = network.options;
  let thread: SimProcess | undefined;
  const start: StartBfdThread = ({ address, intervalMs, multiplier }, take) => {
    thread?.kill();
    const own = new SimProcess(time);
    thread = own;
    const clock = clockOf(time, own, skew, { awaits: false, turnMs: TURN_MS });
    const say = (event: BfdWorkerEvent): void =>
      void time.at(time.nowMs, () => main.run(() => take(event), false), true);
    const engine = new BfdEngine({
      intervalMs,
      multiplier,
      clock,
      send: (peer, _hops, bytes) => network.datagram(address, peer, Uint8Array.from(bytes)),
      changed: (from, report) => say({ type: 'changed', from, report, detectedUnixUs: clock.unixMicros() }),
      negotiated: (report) => say({ type: 'negotiated', report }),
      afterReading: (callback) => void time.at(time.nowMs + TURN_MS, callback),
      random: random.next,
    });
    const receive = (from: Address, bytes: Uint8Array): void => engine.receive(from, HOPS, bytes);
    network.bind(address, { process: own, receive });
    say({ type: 'opened' });
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    return {
      ended,
      say: (command) =>
        void time.at(
          time.nowMs,
          () => {
            if (!own.alive) return;
            if (command.type === 'peers') engine.setTimings(command.timings);
            const offering = command.type === 'peers' ? command.offering : [];
            engine.setPeers(new Map(offering.map((peer) => [peer, HOPS])));
            if (command.type === 'peers') return;
            own.kill();
            end();
          },
          true,
        ),
    };
  };
  return { start, kill: () => thread?.kill() };
}
