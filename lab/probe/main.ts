// A probe: one process in a pod, which sends numbered packets to other pods and remembers what it hears from them.
//
// Orders come on standard input, see probe-messages.ts. Packets are the thread's affair (packet-worker.ts), streams are
// here. It ends when its input ends, so that nothing is left of a lab that was killed.

import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { runMain } from '../../lib/run/lifecycle.ts';
import { CONTROL, PHASE, type WorkerInput } from './packet-control.ts';
import { type ProbeOrder, type ProbeReport, probeOrderSchema } from './probe-messages.ts';
import { StreamReceiver, startStream } from './tcp-stream.ts';

const LIVE_MS = 250;

await runMain(async () => {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  const order = probeOrderSchema.parse(JSON.parse(String(first.value)));
  const words = new Int32Array(new SharedArrayBuffer(4 * CONTROL.length));
  const streams = new StreamReceiver();
  const packets = await startPackets(order, words);
  const stops = order.tcp.map(startStream);
  say({ ready: true });
  const before = process.cpuUsage();
  const live = setInterval(() => {
    say({ live: { sent: Atomics.load(words, CONTROL.sent), heard: Atomics.load(words, CONTROL.heard) } });
  }, LIVE_MS);
  for (let line = await lines.next(); line.done !== true && line.value !== 'stop'; line = await lines.next()) {
    if (line.value === 'quiet') Atomics.store(words, CONTROL.phase, PHASE.quiet);
  }
  Atomics.store(words, CONTROL.phase, PHASE.stop);
  clearInterval(live);
  for (const stop of stops) stop();
  const { user, system } = process.cpuUsage(before);
  const report = { ...(await packets.report), tcp: [...streams.heard()], cpuUs: user + system };
  process.stdout.write(`${JSON.stringify({ report })}\n`, () => process.exit(0));
});

type PacketReport = Omit<ProbeReport, 'tcp' | 'cpuUs'>;

/** Resolves once the thread runs, with the promise of its report. */
function startPackets(order: ProbeOrder, words: Int32Array): Promise<{ readonly report: Promise<PacketReport> }> {
  const workerData: WorkerInput = { flows: order.udp, control: words.buffer as SharedArrayBuffer };
  const worker = new Worker(new URL('./packet-worker.js', import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    let finish: (report: PacketReport) => void = () => undefined;
    const report = new Promise<PacketReport>((done) => {
      finish = done;
    });
    worker.once('error', reject);
    worker.on('message', (message: 'ready' | PacketReport) => {
      if (message !== 'ready') finish(message);
      // Wrapped, or the report would be waited for here.
      else resolve({ report });
    });
  });
}

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
