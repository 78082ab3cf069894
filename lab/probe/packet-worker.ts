// The thread of a probe that sends and hears packets: one loop that waits for a tick or a packet, and no event loop.
//
// It takes part in the real-time class where it may: else a busy machine would stop the probe, and the probe would tell
// of its own pauses. It works some ten microseconds a tick. A tick that comes too late is not made up for: a burst would
// be another traffic than the one that was asked for; it is counted.

import { parentPort, workerData } from 'node:worker_threads';
import { openDatagramSocket } from '../../lib/kernel/datagram-socket.ts';
import { addressOf, POLL_IN, POLLFD, pollAt } from '../../lib/kernel/packet-syscalls.ts';
import { openRawSocket, rawSocketAddress, receiveRaw, sendRaw } from '../../lib/kernel/raw-socket.ts';
import { attachFilter } from '../../lib/kernel/syscalls.ts';
import { makeThreadRealTime } from '../../lib/kernel/thread-priority.ts';
import { type Address, address, addressBytes } from '../../lib/net/address.ts';
import { monotonicUs } from '../../lib/run/event-ring.ts';
import { CONTROL, PHASE, type WorkerInput } from './packet-control.ts';
import { HeardList, SentList } from './probe-lists.ts';
import { type ProbeFlow, type SentFlow, UDP_PORT } from './probe-messages.ts';
import { decodePacket, encodePacket, PACKET_LENGTH } from './probe-packet.ts';
import { openTickTimer, takeTicks } from './tick-timer.ts';

const TICK_US = 1_000;
/** A tick that is so much before its time is that tick. */
const EARLY_US = 250;
const IPPROTO_UDP = 17;
const BUFFER_BYTES = 4 << 20;
const ANY: Address = address('0.0.0.0');
/** BPF "return 0": the socket exists, so that nobody is told that the port is closed, and takes nothing. */
const TAKE_NOTHING = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);
/** Packets taken between two looks at the timer. */
const BATCH = 64;

const OUT = new Uint8Array(PACKET_LENGTH);
const OUT_VIEW = new DataView(OUT.buffer);
const IN = new Uint8Array(2_048);
const IN_VIEW = new DataView(IN.buffer);

interface Sending {
  readonly flow: ProbeFlow;
  readonly to: Uint8Array;
  readonly sent: SentList;
  readonly offsetUs: number;
  /** 0 before the first tick. */
  dueUs: number;
  refused: number;
  ticks: number;
  lateTicks: number;
  worstLateUs: number;
}

const { flows, control } = workerData as WorkerInput;
const words = new Int32Array(control);
makeThreadRealTime();
const heard = new HeardList();
const raw = opened('a raw socket', openRawSocket(IPPROTO_UDP, addressBytes(ANY), BUFFER_BYTES));
attachFilter(opened('the UDP port', openDatagramSocket(ANY, UDP_PORT, 0)), TAKE_NOTHING);
const timer = opened('a timer', openTickTimer(TICK_US));
const sendings = flows.map(sendingOf);
loop();
const sent = sendings.map(({ flow, sent: list, refused, ticks, lateTicks, worstLateUs }): SentFlow => {
  return { id: flow.id, sentUs: list.text(), refused, ticks, lateTicks, worstLateUs };
});
parentPort?.postMessage({ sent, heard: heard.texts(), unrecorded: heard.unrecorded });

function loop(): void {
  const entries = new Uint8Array(2 * POLLFD.length);
  const view = new DataView(entries.buffer);
  for (const [at, fd] of [raw, timer].entries()) {
    view.setInt32(at * POLLFD.length + POLLFD.fd, fd, true);
    view.setInt16(at * POLLFD.length + POLLFD.events, POLL_IN, true);
  }
  const entriesAt = addressOf(entries);
  parentPort?.postMessage('ready');
  for (;;) {
    const phase = Atomics.load(words, CONTROL.phase);
    if (phase === PHASE.stop) return;
    pollAt(entriesAt, 2, 100);
    if (view.getInt16(POLLFD.revents, true) !== 0) hear();
    if (view.getInt16(POLLFD.length + POLLFD.revents, true) === 0) continue;
    takeTicks(timer);
    if (phase === PHASE.run) send(monotonicUs());
  }
}

function send(nowUs: number): void {
  for (const sending of sendings) {
    // Flows begin a tick apart, so that they do not all leave at one.
    sending.dueUs ||= nowUs + sending.offsetUs;
    if (nowUs < sending.dueUs - EARLY_US || sending.sent.isFull) continue;
    const { flow, to } = sending;
    const lateUs = Math.max(0, nowUs - sending.dueUs);
    const missed = Math.floor(lateUs / flow.intervalUs);
    sending.ticks += missed + 1;
    sending.lateTicks += missed + (lateUs - missed * flow.intervalUs > flow.intervalUs / 2 ? 1 : 0);
    sending.worstLateUs = Math.max(sending.worstLateUs, lateUs);
    sending.dueUs += (missed + 1) * flow.intervalUs;
    const sentUs = monotonicUs();
    encodePacket(OUT_VIEW, UDP_PORT, flow.id, sending.sent.count, sentUs);
    sending.sent.add(sentUs);
    if (sendRaw(raw, OUT, to) < 0) sending.refused++;
    Atomics.add(words, CONTROL.sent, 1);
  }
}

function hear(): void {
  for (let i = 0; i < BATCH; i++) {
    const length = receiveRaw(raw, IN);
    if (length < 0) return;
    const packet = decodePacket(IN_VIEW, length, UDP_PORT);
    if (packet === undefined) continue;
    heard.add(packet.flow, packet.seq, monotonicUs(), packet.ttl);
    Atomics.add(words, CONTROL.heard, 1);
  }
}

function sendingOf(flow: ProbeFlow, index: number): Sending {
  const to = rawSocketAddress(addressBytes(address(flow.to)));
  const offsetUs = (index * TICK_US) % flow.intervalUs;
  return { flow, to, sent: new SentList(), offsetUs, dueUs: 0, refused: 0, ticks: 0, lateTicks: 0, worstLateUs: 0 };
}

function opened(what: string, fd: number): number {
  if (fd < 0) throw new Error(`the probe cannot open ${what}: errno ${-fd}`);
  return fd;
}
