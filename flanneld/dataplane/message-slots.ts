// Room for received messages, and the calls that fill it: several at a time where messages are small.
//
// UDP_GRO gives up to 64 datagrams as one message, so that every slot must be large. While such messages come, one is
// received at a time, into memory that is warm; while small ones come, as many as there are.
//
// The confusing thing: the size that the kernel tells with a message is not always that of datagrams in it. Where a
// VXLAN device of the kernel on the same machine left a large TCP packet to be cut, it is that packet's segment size and
// the message is one datagram: see `BatchedReceive`.

import type { Family } from '../../lib/net/address.ts';
import { type Arena, CMSG, MMSGHDR, MSGHDR, vectorLength } from './arena.ts';
import { IP_TOS, IPV6_TCLASS, SOL_IP, SOL_IPV6, SOL_UDP, UDP_GRO } from './offload-socket.ts';
import type { PacketCalls } from './packet-calls.ts';
import { AF_INET, SOCKADDR, SOCKADDR_LENGTH } from './socket-address.ts';

const SLOTS = 32;
const MESSAGE_BYTES = 65_536;
/** Slots are apart by a little more than their size, or the first bytes of all would compete for the same cache lines. */
const SLOT_BYTES = MESSAGE_BYTES + 2_048 + 64;
const CONTROL_BYTES = 128;
const NAME_BYTES = 32;
/** A message above this is one of many datagrams. */
const SMALL_BYTES = 4_096;
/** A control message with an int, and with a byte (IP_TOS). */
const CONTROL_HEADER_BYTES = 16;
const EAGAIN = 11;
const EINTR = 4;

export class MessageSlots {
  /** Of the message that `open` was called for. */
  at = 0;
  length = 0;
  /** Where the address that it came from is. */
  senderAt = 0;
  senderFamily: Family = 4;
  /** Size that UDP_GRO told, 0 for none. */
  groSize = 0;
  /** DSCP and ECN of the outer header. */
  tos = 0;
  readonly #arena: Arena;
  readonly #calls: PacketCalls;
  readonly #socket: number;
  readonly #messagesAt: number;
  readonly #vectorsAt: number;
  readonly #controlsAt: number;
  readonly #namesAt: number;
  readonly #dataAt: number;
  #wanted = 1;
  /** Messages of the last call. */
  #used = 0;
  #hasMore = false;

  constructor(arena: Arena, calls: PacketCalls, socket: number) {
    this.#arena = arena;
    this.#calls = calls;
    this.#socket = socket;
    this.#messagesAt = arena.take(SLOTS * MMSGHDR.length);
    this.#vectorsAt = arena.take(vectorLength(SLOTS));
    this.#controlsAt = arena.take(SLOTS * CONTROL_BYTES);
    this.#namesAt = arena.take(SLOTS * NAME_BYTES);
    this.#dataAt = arena.take(SLOTS * SLOT_BYTES);
    for (let i = 0; i < SLOTS; i++) {
      const message = this.#messagesAt + i * MMSGHDR.length;
      arena.setVector(this.#vectorsAt, i, this.#dataAt + i * SLOT_BYTES, MESSAGE_BYTES);
      arena.setWord(message + MSGHDR.name, arena.address(this.#namesAt + i * NAME_BYTES));
      arena.setWord(message + MSGHDR.vector, arena.address(this.#vectorsAt + vectorLength(i)));
      arena.setWord(message + MSGHDR.vectorCount, 1);
      arena.setWord(message + MSGHDR.control, arena.address(this.#controlsAt + i * CONTROL_BYTES));
      this.#clear(i);
    }
  }

  /** Receives what there is: how many messages, 0 for none. What the last call received is gone. Throws where it fails. */
  receive(): number {
    const arena = this.#arena;
    const wanted = this.#wanted;
    // The kernel wrote how much it filled in.
    for (let i = 0; i < this.#used; i++) this.#clear(i);
    this.#used = 0;
    const received = this.#calls.receiveMessages(this.#socket, arena.address(this.#messagesAt), wanted);
    if (received < 0) {
      if (received === -EAGAIN || received === -EINTR) return 0;
      throw new Error(`receiving failed: errno ${-received}`);
    }
    this.#used = received;
    this.#hasMore = received === wanted;
    let isSmall = received > 0;
    for (let i = 0; i < received && isSmall; i++) isSmall = this.#lengthOf(i) <= SMALL_BYTES;
    this.#wanted = isSmall ? SLOTS : 1;
    return received;
  }

  /** Whether the last call may have left some. */
  get hasMore(): boolean {
    return this.#used > 0 && this.#hasMore;
  }

  /** Reads message `index` of what was received into the fields. */
  open(index: number): void {
    const arena = this.#arena;
    this.at = this.#dataAt + index * SLOT_BYTES;
    this.length = this.#lengthOf(index);
    this.groSize = 0;
    this.tos = 0;
    const name = this.#namesAt + index * NAME_BYTES;
    this.senderFamily = arena.uint16(name) === AF_INET ? 4 : 6;
    this.senderAt = name + (this.senderFamily === 4 ? SOCKADDR.address4 : SOCKADDR.address6);
    const used = arena.int32(this.#messagesAt + index * MMSGHDR.length + MSGHDR.controlLength);
    const start = this.#controlsAt + index * CONTROL_BYTES;
    let at = start;
    while (at + CONTROL_HEADER_BYTES < start + used) {
      const size = arena.int32(at + CMSG.size);
      if (size <= CONTROL_HEADER_BYTES) break;
      this.#readControl(at);
      at += (size + 7) & ~7;
    }
  }

  #clear(index: number): void {
    const message = this.#messagesAt + index * MMSGHDR.length;
    this.#arena.setInt32(message + MSGHDR.nameLength, SOCKADDR_LENGTH[6]);
    this.#arena.setInt32(message + MSGHDR.controlLength, CONTROL_BYTES);
  }

  #readControl(at: number): void {
    const arena = this.#arena;
    const level = arena.int32(at + CMSG.level);
    const type = arena.int32(at + CMSG.type);
    if (level === SOL_UDP && type === UDP_GRO) this.groSize = arena.int32(at + CMSG.data);
    else if (level === SOL_IP && type === IP_TOS) this.tos = arena.bytes[at + CMSG.data] as number;
    else if (level === SOL_IPV6 && type === IPV6_TCLASS) this.tos = arena.int32(at + CMSG.data) & 0xff;
  }

  #lengthOf(index: number): number {
    return this.#arena.int32(this.#messagesAt + index * MMSGHDR.length + MMSGHDR.done);
  }
}
