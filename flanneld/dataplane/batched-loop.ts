// The loop of the batched driver: it runs to completion. Poll, read, transform, write; no event loop per packet.
//
// One round moves at most so many frames each way, so that neither direction starves the other, then looks for commands.
// It sleeps in poll(2) only when both sides are empty; a command wakes it through an eventfd. The timeout of the poll
// bounds how long the process waits for this thread when it exits without closing.

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { POLL_IN, POLLFD, pollAt, readAt } from '../../lib/kernel/packet-syscalls.ts';
import { familyOf } from '../../lib/net/address.ts';
import { Arena } from './arena.ts';
import type { BatchedCommand } from './batched-messages.ts';
import { BatchedReceive } from './batched-receive.ts';
import { BatchedTransmit } from './batched-transmit.ts';
import type { PlaneConfig } from './data-plane.ts';
import { DeviceWriter } from './device-writer.ts';
import { ForwardingTable } from './forwarding-table.ts';
import { PlaneCore } from './plane-core.ts';
import { publishStats } from './shared-counters.ts';

const ARENA_BYTES = 256 * 1024;
/** Frames and messages per round and direction. */
const ROUND = 16;
/** Rounds between two looks for commands while there is traffic. */
const ROUNDS_PER_COMMANDS = 8;
/** Commands per look: each is some ten microseconds of work, all of them together well below a millisecond. */
export const COMMANDS_PER_LOOK = 16;
const POLL_TIMEOUT_MS = 100;
const STATS_INTERVAL_MS = 50;

export interface LoopDescriptors {
  readonly tun: number;
  readonly socket: number;
  /** Readable when there are commands on `port`. */
  readonly wake: number;
  readonly port: MessagePort;
}

export class BatchedLoop {
  readonly #table: ForwardingTable;
  readonly #core: PlaneCore;
  readonly #transmit: BatchedTransmit;
  readonly #receive: BatchedReceive;
  readonly #arena = new Arena(ARENA_BYTES);
  readonly #stats: Float64Array;
  readonly #wakeFd: number;
  readonly #port: MessagePort;
  readonly #pollAt: number;
  readonly #wakeAt: number;
  #publishedMs = 0;
  #isClosing = false;
  /** Commands were left for the next look. */
  #hasMore = false;

  constructor(config: PlaneConfig, { tun, socket, wake, port }: LoopDescriptors, stats: Float64Array) {
    this.#table = new ForwardingTable(config.ownSubnets);
    this.#core = new PlaneCore(config, this.#table);
    const writer = new DeviceWriter(this.#arena, this.#core.counters, tun);
    const family = familyOf(config.localAddress);
    this.#transmit = new BatchedTransmit(this.#arena, this.#core, writer, tun, socket, family);
    this.#receive = new BatchedReceive(this.#arena, this.#core, writer, socket);
    this.#stats = stats;
    this.#wakeFd = wake;
    this.#port = port;
    this.#wakeAt = this.#arena.take(8);
    const polled = [tun, socket, wake];
    this.#pollAt = this.#arena.take(polled.length * POLLFD.length);
    for (const [i, fd] of polled.entries()) {
      this.#arena.setInt32(this.#pollAt + i * POLLFD.length + POLLFD.fd, fd);
      this.#arena.setUint16(this.#pollAt + i * POLLFD.length + POLLFD.events, POLL_IN);
    }
  }

  /** Until it is told to close. Throws where device or socket is gone. */
  run(): void {
    for (;;) {
      pollAt(this.#arena.address(this.#pollAt), 3, this.#hasMore ? 0 : POLL_TIMEOUT_MS);
      let moved = true;
      while (moved) {
        for (let i = 0; i < ROUNDS_PER_COMMANDS && moved; i++) moved = this.#round();
        this.#obey();
        if (this.#isClosing) return;
      }
    }
  }

  #round(): boolean {
    const nowMs = performance.now();
    let moved = false;
    for (let i = 0; i < ROUND && this.#transmit.pump(nowMs); i++) moved = true;
    for (let i = 0; i < ROUND && this.#receive.pump(); i++) moved = true;
    if (!moved || nowMs - this.#publishedMs > STATS_INTERVAL_MS) this.#publish(nowMs);
    return moved;
  }

  #publish(nowMs: number): void {
    this.#publishedMs = nowMs;
    const { peerCount: peers, prefixCount: prefixes } = this.#table;
    publishStats({ ...this.#core.counters.snapshot(), peers, prefixes }, this.#stats);
  }

  #obey(): void {
    // Before the commands: one that comes after the last was taken makes the descriptor readable again.
    readAt(this.#wakeFd, this.#arena.address(this.#wakeAt), 8);
    this.#hasMore = true;
    for (let i = 0; i < COMMANDS_PER_LOOK && this.#hasMore; i++) {
      const received = receiveMessageOnPort(this.#port) as { readonly message: BatchedCommand } | undefined;
      if (received === undefined) this.#hasMore = false;
      else this.#apply(received.message);
    }
  }

  #apply(command: BatchedCommand): void {
    switch (command.op) {
      case 'set-peer':
        this.#table.set(command.peer);
        break;
      case 'remove-peer':
        this.#table.remove(command.node);
        break;
      case 'set-routes':
        for (const route of command.routes) this.#table.setRoute(route);
        break;
      case 'set-mtu':
        this.#core.setMtu(command.mtuBytes);
        break;
      case 'close':
        this.#isClosing = true;
    }
  }
}
