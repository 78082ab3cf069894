// Datagrams that are about to be sent: gathered from where their parts are, as few messages as the kernel allows, and then
// sent with one call.
//
// Consecutive datagrams of one size to one peer become one message with UDP_SEGMENT, whoever's they are; the last one may
// be shorter. Nothing is copied: the parts must stay where they are until `flush`. Order is kept.

import type { Family } from '../../lib/net/address.ts';
import { type Arena, CMSG, MMSGHDR, MSGHDR, vectorLength } from './arena.ts';
import { IP_TOS, IPV6_TCLASS, SOL_IP, SOL_IPV6, SOL_UDP, UDP_SEGMENT } from './offload-socket.ts';
import type { PacketCalls } from './packet-calls.ts';
import type { PlaneCounters } from './plane-counters.ts';
import { SOCKADDR_LENGTH } from './socket-address.ts';
import type { TableEntry } from './table-entry.ts';

/** What the kernel takes in one message: UDP_MAX_SEGMENTS, and the largest UDP payload less some room for options. */
export const MAX_SEGMENTS = 64;
const MAX_MESSAGE_BYTES = 65_000;
const MAX_MESSAGES = 64;
/** Datagrams of all messages together. */
export const BATCH_LIMIT = 256;
const PARTS = 2;
/** Control messages: sizeof(struct cmsghdr) + sizeof(u16) or sizeof(int), and the space that either takes. */
const SEGMENT_CONTROL = { length: 18, space: 24 } as const;
const TOS_CONTROL = { length: 20, space: 24 } as const;
const CONTROL_SPACE = SEGMENT_CONTROL.space + TOS_CONTROL.space;
const NAME_SPACE = 32;
const EIO = 5;
const EAGAIN = 11;
/** -errno that can mean "not with UDP_SEGMENT": EIO, EINVAL, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP. */
const SEGMENTATION_FAULTS: readonly number[] = [-EIO, -22, -90, -92, -95];

/** What is known of a message besides what the kernel reads. */
interface Pending {
  entry: TableEntry | undefined;
  tos: number;
  /** Size of its datagrams; the last one may be shorter. */
  size: number;
  packets: number;
  bytes: number;
  firstVector: number;
}

export class MessageBatch {
  readonly #arena: Arena;
  readonly #calls: PacketCalls;
  readonly #counters: PlaneCounters;
  readonly #socket: number;
  readonly #family: Family;
  /** Of each datagram, bytes before the frame that the counters are about. */
  readonly #headroom: number;
  readonly #messagesAt: number;
  readonly #vectorsAt: number;
  readonly #controlsAt: number;
  readonly #namesAt: number;
  readonly #pending: readonly Pending[];
  #maxSegments: number;
  #messages = 0;
  #datagrams = 0;
  #isClosed = true;

  constructor(
    arena: Arena,
    calls: PacketCalls,
    counters: PlaneCounters,
    options: { readonly socket: number; readonly family: Family; readonly headroom: number; readonly gso: boolean },
  ) {
    this.#arena = arena;
    this.#calls = calls;
    this.#counters = counters;
    this.#socket = options.socket;
    this.#family = options.family;
    this.#headroom = options.headroom;
    this.#maxSegments = options.gso ? MAX_SEGMENTS : 1;
    this.#messagesAt = arena.take(MAX_MESSAGES * MMSGHDR.length);
    this.#vectorsAt = arena.take(vectorLength(BATCH_LIMIT * PARTS));
    this.#controlsAt = arena.take(MAX_MESSAGES * CONTROL_SPACE);
    this.#namesAt = arena.take(MAX_MESSAGES * NAME_SPACE);
    const blank = { entry: undefined, tos: 0, size: 0, packets: 0, bytes: 0, firstVector: 0 };
    this.#pending = Array.from({ length: MAX_MESSAGES }, () => ({ ...blank }));
    for (let i = 0; i < MAX_MESSAGES; i++) this.#prepare(i);
  }

  /** Datagrams that wait. */
  get size(): number {
    return this.#datagrams;
  }

  /**
   * Adds the datagram that is made of two parts, either of which may be empty. `tos` is for the outer header. Flushes
   * before where there is no room.
   */
  add(entry: TableEntry, tos: number, headAt: number, headLength: number, tailAt: number, tailLength: number): void {
    if (entry.family !== this.#family) {
      this.#counters.drop('tx-send-failed');
      return;
    }
    if (this.#datagrams === BATCH_LIMIT) this.flush();
    const size = headLength + tailLength;
    let pending = this.#pending[this.#messages - 1] as Pending;
    if (this.#isClosed || !this.#continues(pending, entry, tos, size)) {
      if (this.#messages === MAX_MESSAGES) this.flush();
      pending = this.#begin(entry, tos, size);
    }
    const vector = this.#datagrams * PARTS;
    this.#arena.setVector(this.#vectorsAt, vector, headAt, headLength);
    this.#arena.setVector(this.#vectorsAt, vector + 1, tailAt, tailLength);
    this.#datagrams++;
    pending.packets++;
    pending.bytes += size;
    this.#isClosed = size < pending.size || pending.packets === this.#maxSegments;
  }

  /** Sends all that waits. What the kernel refuses is counted and forgotten. */
  flush(): void {
    if (this.#messages === 0) return;
    for (let i = 0; i < this.#messages; i++) this.#finish(i);
    let at = 0;
    while (at < this.#messages) {
      const sent = this.#calls.sendMessages(this.#socket, this.#addressOf(at), this.#messages - at);
      for (const end = at + sent; at < end; at++) this.#count(at);
      // A call that sent some says of the next only that it ended there: the next call tells why.
      if (sent <= 0) this.#refused(at++, sent);
    }
    this.#messages = 0;
    this.#datagrams = 0;
    this.#isClosed = true;
  }

  #continues(pending: Pending, entry: TableEntry, tos: number, size: number): boolean {
    return (
      pending.entry === entry &&
      pending.tos === tos &&
      size <= pending.size &&
      pending.bytes + size <= MAX_MESSAGE_BYTES
    );
  }

  #begin(entry: TableEntry, tos: number, size: number): Pending {
    const index = this.#messages++;
    const pending = this.#pending[index] as Pending;
    this.#arena.bytes.set(entry.name, this.#namesAt + index * NAME_SPACE);
    pending.entry = entry;
    pending.tos = tos;
    pending.size = size;
    pending.packets = 0;
    pending.bytes = 0;
    pending.firstVector = this.#datagrams * PARTS;
    return pending;
  }

  /** What stays as it is in message `index`. */
  #prepare(index: number): void {
    const arena = this.#arena;
    const message = this.#messagesAt + index * MMSGHDR.length;
    arena.setWord(message + MSGHDR.name, arena.address(this.#namesAt + index * NAME_SPACE));
    arena.setInt32(message + MSGHDR.nameLength, SOCKADDR_LENGTH[this.#family]);
    arena.setWord(message + MSGHDR.control, arena.address(this.#controlsAt + index * CONTROL_SPACE));
  }

  #finish(index: number): void {
    const { firstVector, packets, size, tos } = this.#pending[index] as Pending;
    const arena = this.#arena;
    const message = this.#messagesAt + index * MMSGHDR.length;
    arena.setWord(message + MSGHDR.vector, arena.address(this.#vectorsAt + vectorLength(firstVector)));
    arena.setWord(message + MSGHDR.vectorCount, packets * PARTS);
    const start = this.#controlsAt + index * CONTROL_SPACE;
    let at = start;
    if (packets > 1) {
      this.#control(at, SEGMENT_CONTROL.length, SOL_UDP, UDP_SEGMENT);
      arena.setUint16(at + CMSG.data, size);
      at += SEGMENT_CONTROL.space;
    }
    if (tos !== 0) {
      const isV4 = this.#family === 4;
      this.#control(at, TOS_CONTROL.length, isV4 ? SOL_IP : SOL_IPV6, isV4 ? IP_TOS : IPV6_TCLASS);
      arena.setInt32(at + CMSG.data, tos);
      at += TOS_CONTROL.space;
    }
    arena.setWord(message + MSGHDR.controlLength, at - start);
  }

  #control(at: number, length: number, level: number, type: number): void {
    this.#arena.setWord(at + CMSG.size, length);
    this.#arena.setInt32(at + CMSG.level, level);
    this.#arena.setInt32(at + CMSG.type, type);
  }

  #refused(index: number, code: number): void {
    const { packets } = this.#pending[index] as Pending;
    if (packets > 1 && SEGMENTATION_FAULTS.includes(code)) {
      // EIO: the route's device can do no checksums, or something transforms its packets. It will not change its mind.
      if (code === -EIO) this.#maxSegments = 1;
      this.#sendSingly(index);
    } else {
      this.#counters.drop(code === -EAGAIN ? 'tx-queue-full' : 'tx-send-failed', packets);
    }
  }

  /** Sends each datagram of a message by itself: the kernel then fragments what is larger than the underlay takes. */
  #sendSingly(index: number): void {
    const arena = this.#arena;
    const { packets, firstVector, tos, size, bytes } = this.#pending[index] as Pending;
    const pending = this.#pending[index] as Pending;
    for (let i = 0; i < packets; i++) {
      pending.packets = 1;
      pending.bytes = i === packets - 1 ? bytes - i * size : size;
      pending.firstVector = firstVector + i * PARTS;
      pending.tos = tos;
      this.#finish(index);
      const code = this.#calls.sendMessages(this.#socket, this.#addressOf(index), 1);
      if (code === 1) this.#count(index);
      else this.#counters.drop(code === -EAGAIN ? 'tx-queue-full' : 'tx-send-failed');
    }
    arena.setWord(this.#messagesAt + index * MMSGHDR.length + MSGHDR.controlLength, 0);
  }

  #count(index: number): void {
    const { packets, bytes } = this.#pending[index] as Pending;
    const { tx } = this.#counters;
    tx.packets += packets;
    tx.bytes += bytes - packets * this.#headroom;
  }

  #addressOf(index: number): number {
    return this.#arena.address(this.#messagesAt + index * MMSGHDR.length);
  }
}
