// The loop of the batched driver: it runs to completion. Poll, read, transform, write; no event loop per packet.
//
// One round moves at most so many batches each way, so that neither direction starves the other. It sleeps in poll(2) only
// when both sides are empty, or spins for a while where it was told to; a command wakes it through an eventfd. The timeout
// of the poll bounds how long the process waits for this thread when it exits without closing.

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { POLL_IN, POLLFD, pollAt, readAt } from '../../lib/kernel/packet-syscalls.ts';
import { setTunPersistent } from '../../lib/kernel/tun-device.ts';
import { familyOf } from '../../lib/net/address.ts';
import { Arena } from './arena.ts';
import type { BatchedCommand } from './batched-messages.ts';
import { BatchedReceive } from './batched-receive.ts';
import { BatchedTransmit } from './batched-transmit.ts';
import type { PlaneConfig } from './data-plane.ts';
import { DeviceWriter } from './device-writer.ts';
import { FloodShield } from './flood-shield.ts';
import { ForwardingTable } from './forwarding-table.ts';
import { MessageBatch } from './message-batch.ts';
import { MessageSlots } from './message-slots.ts';
import type { Offload } from './offloads.ts';
import { kernelCalls } from './packet-calls.ts';
import { PlaneCore } from './plane-core.ts';
import { publishStats } from './shared-counters.ts';

const ARENA_BYTES = 3 * 1024 * 1024;
/** More of it for each socket that sends. */
const ARENA_BYTES_PER_SOCKET = 32 * 1024;
/** Batches per round and direction. */
const BATCHES_PER_ROUND = 4;
/** Rounds between two looks for commands while there is traffic. */
const ROUNDS_PER_LOOK = 16;
/** Commands per look: each has a few changes (change-outbox.ts), some ten microseconds of work. */
export const COMMANDS_PER_LOOK = 2;
const POLL_TIMEOUT_MS = 100;
const STATS_INTERVAL_MS = 50;
/** After so long without a packet, traffic has paused; and so often at most are counters told when there is none to move. */
const PAUSE_MS = 2;
/** Entries of the poll vector. */
const POLLED = { tun: 0, socket: 1, wake: 2, second: 3, count: 4 } as const;

export interface LoopDescriptors {
  readonly tun: number;
  /** The first one receives; all of them send. Of `ipip` both receive: IPv4 and IPv6 inside. */
  readonly sockets: readonly number[];
  /** Readable when there are commands on `port`. */
  readonly wake: number;
  readonly port: MessagePort;
}

export class BatchedLoop {
  readonly #table: ForwardingTable;
  readonly #core: PlaneCore;
  readonly #transmit: BatchedTransmit;
  readonly #receive: BatchedReceive;
  /** Of `ipip`, from the second socket. */
  readonly #receiveSecond: BatchedReceive | undefined;
  readonly #arena: Arena;
  readonly #stats: Float64Array;
  readonly #tun: number;
  readonly #busyPollMs: number;
  readonly #wakeFd: number;
  readonly #port: MessagePort;
  readonly #shield: FloodShield;
  readonly #pollAt: number;
  readonly #wakeAt: number;
  #publishedMs = 0;
  /** There was traffic since the counters were published. */
  #isStale = true;
  #isClosing = false;
  /** Commands were left for the next look. */
  #hasMore = false;

  constructor(
    config: PlaneConfig,
    { tun, sockets, wake, port }: LoopDescriptors,
    { offloads, busyPollUs }: { readonly offloads: ReadonlySet<Offload>; readonly busyPollUs: number },
    stats: Float64Array,
  ) {
    const [socket = -1, second = -1] = sockets;
    const isIpip = config.mode === 'ipip';
    this.#tun = tun;
    const arena = new Arena(ARENA_BYTES * (isIpip ? 2 : 1) + sockets.length * ARENA_BYTES_PER_SOCKET);
    this.#arena = arena;
    this.#table = new ForwardingTable(config.ownSubnets);
    this.#core = new PlaneCore(config, this.#table);
    const { counters, headroom } = this.#core;
    const has = { sendmmsg: offloads.has('sendmmsg'), recvmmsg: offloads.has('recvmmsg') };
    const calls = kernelCalls(has, (address, length) => arena.setInt32(address - arena.address(0), length));
    const writer = new DeviceWriter(arena, calls, counters, tun);
    const family = familyOf(config.localAddress);
    const gso = offloads.has('udp-segment');
    const batches = sockets.map(
      (fd) => new MessageBatch(arena, calls, counters, { socket: fd, family, headroom, gso }),
    );
    const out = { writer, batches, tun, byFamily: isIpip };
    this.#transmit = new BatchedTransmit(arena, calls, this.#core, out);
    const slots = new MessageSlots(arena, calls, socket);
    this.#receive = new BatchedReceive(arena, this.#core, slots, writer, offloads.has('uso'));
    if (isIpip) {
      const slotsOfSecond = new MessageSlots(arena, calls, second);
      this.#receiveSecond = new BatchedReceive(arena, this.#core, slotsOfSecond, writer, offloads.has('uso'));
    }
    this.#shield = new FloodShield(isIpip ? [socket, second] : [socket], config, this.#table, this.#core);
    this.#stats = stats;
    this.#busyPollMs = busyPollUs / 1000;
    this.#wakeFd = wake;
    this.#port = port;
    this.#wakeAt = arena.take(8);
    this.#pollAt = arena.take(POLLED.count * POLLFD.length);
    // Poll looks at no entry whose descriptor is below 0.
    for (const [i, fd] of [tun, socket, wake, isIpip ? second : -1].entries()) {
      arena.setInt32(this.#pollAt + i * POLLFD.length + POLLFD.fd, fd);
      arena.setUint16(this.#pollAt + i * POLLFD.length + POLLFD.events, POLL_IN);
    }
  }

  /** Until it is told to close. Throws where device or socket is gone. */
  run(): void {
    while (!this.#isClosing) {
      this.#wait();
      let canSend = this.#isReady(POLLED.tun);
      let canReceive = this.#isReady(POLLED.socket);
      let canReceiveSecond = this.#isReady(POLLED.second);
      for (let round = 0; (canSend || canReceive || canReceiveSecond) && round < ROUNDS_PER_LOOK; round++) {
        const nowMs = performance.now();
        this.#isStale = true;
        for (let i = 0; canSend && i < BATCHES_PER_ROUND; i++) canSend = this.#transmit.pump(nowMs);
        for (let i = 0; canReceive && i < BATCHES_PER_ROUND; i++) canReceive = this.#receive.pump();
        if (canReceiveSecond) canReceiveSecond = this.#receiveSecond?.pump() ?? false;
        if (nowMs - this.#publishedMs > STATS_INTERVAL_MS) this.#publish(nowMs);
      }
      if (this.#hasMore || this.#isReady(POLLED.wake)) this.#obey();
    }
  }

  /** Polls: at once, then for as long as it may spin, then asleep. */
  #wait(): void {
    const at = this.#arena.address(this.#pollAt);
    if (this.#hasMore) {
      pollAt(at, POLLED.count, 0);
      return;
    }
    if (this.#busyPollMs > 0) {
      const untilMs = performance.now() + this.#busyPollMs;
      do if (pollAt(at, POLLED.count, 0) > 0) return;
      while (performance.now() < untilMs);
    }
    // Telling takes as long as moving a packet: nothing that is there already waits for it, an answer above all.
    if (this.#isStale && performance.now() - this.#publishedMs > PAUSE_MS) {
      if (pollAt(at, POLLED.count, 0) > 0) return;
      this.#publish(performance.now());
    }
    // What was counted last is told as soon as the traffic pauses.
    const timeoutMs = this.#isStale ? PAUSE_MS : POLL_TIMEOUT_MS;
    if (pollAt(at, POLLED.count, timeoutMs) === 0 && (this.#isStale || this.#shield.isOn))
      this.#publish(performance.now());
  }

  /** Whether the last poll saw anything, an error included: the read will say which. */
  #isReady(entry: number): boolean {
    return this.#arena.uint16(this.#pollAt + entry * POLLFD.length + POLLFD.revents) !== 0;
  }

  #publish(nowMs: number): void {
    this.#publishedMs = nowMs;
    this.#isStale = false;
    this.#shield.watch(nowMs);
    publishStats(this.#core.counters, this.#table.peerCount, this.#table.prefixCount, this.#stats);
  }

  #obey(): void {
    // Before the commands: one that comes after the last was taken makes the descriptor readable again.
    readAt(this.#wakeFd, this.#arena.address(this.#wakeAt), 8);
    this.#hasMore = true;
    this.#isStale = true;
    for (let i = 0; i < COMMANDS_PER_LOOK && this.#hasMore; i++) {
      const received = receiveMessageOnPort(this.#port) as { readonly message: BatchedCommand } | undefined;
      if (received === undefined) this.#hasMore = false;
      else this.#apply(received.message);
    }
  }

  #apply(command: BatchedCommand): void {
    this.#shield.takeOff();
    switch (command.op) {
      case 'change-table':
        this.#table.apply(command.changes);
        break;
      case 'set-mtu':
        this.#core.setMtu(command.mtuBytes);
        break;
      case 'persist':
        setTunPersistent(this.#tun, true);
        break;
      case 'close':
        this.#isClosing = true;
    }
  }
}
