// The batched driver's system calls over queues in memory: frames and messages to read, and what was sent and written.
// It reads the structures in the arena as the kernel does (struct mmsghdr, iovec, cmsghdr), and cuts what has UDP_SEGMENT.

import type { Arena } from '../../flanneld/dataplane/arena.ts';
import type { PacketCalls } from '../../flanneld/dataplane/packet-calls.ts';

const EAGAIN = -11;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

export interface SentMessage {
  readonly fd: number;
  readonly datagrams: readonly Uint8Array[];
  /** 0 where it has no UDP_SEGMENT. */
  readonly segmentSize: number;
  readonly tos: number;
  /** IPv4 address and port. */
  readonly to: string;
}

export interface ArrivingMessage {
  readonly from: readonly number[];
  readonly bytes: Uint8Array;
  readonly groSize?: number;
  readonly tos?: number;
}

export class FakePacketCalls implements PacketCalls {
  /** Virtio-net header and frame each. */
  readonly frames: Uint8Array[] = [];
  readonly messages: ArrivingMessage[] = [];
  readonly sent: SentMessage[] = [];
  readonly written: Uint8Array[] = [];
  /** What the next messages to be sent meet, one each: 0 for success, or -errno. */
  readonly sendFaults: number[] = [];
  readonly counts = { read: 0, write: 0, send: 0, receive: 0 };
  writeResult: number | undefined;
  readonly #arena: Arena;
  readonly #view: DataView;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#view = new DataView(arena.bytes.buffer);
  }

  read(_fd: number, address: number, length: number): number {
    this.counts.read++;
    const frame = this.frames.shift();
    if (frame === undefined) return EAGAIN;
    const taken = frame.subarray(0, length);
    this.#arena.bytes.set(taken, this.#at(address));
    return taken.length;
  }

  writeVector(_fd: number, address: number, count: number): number {
    this.counts.write++;
    if (this.writeResult !== undefined) return this.writeResult;
    const bytes = this.#gather(this.#at(address), count);
    this.written.push(bytes);
    return bytes.length;
  }

  sendMessages(fd: number, address: number, count: number): number {
    this.counts.send++;
    for (let i = 0; i < count; i++) {
      const fault = this.sendFaults.shift() ?? 0;
      if (fault !== 0 && i === 0) return fault;
      if (fault !== 0) {
        // The kernel tells of it when it is the first one.
        this.sendFaults.unshift(fault);
        return i;
      }
      this.sent.push(this.#message(fd, this.#at(address) + i * 64));
    }
    return count;
  }

  receiveMessages(_fd: number, address: number, count: number): number {
    this.counts.receive++;
    if (this.messages.length === 0) return EAGAIN;
    let filled = 0;
    for (; filled < count && this.messages.length > 0; filled++) {
      this.#deliver(this.messages.shift() as ArrivingMessage, this.#at(address) + filled * 64);
    }
    return filled;
  }

  #deliver({ from, bytes, groSize, tos }: ArrivingMessage, header: number): void {
    const view = this.#view;
    const name = this.#pointer(header);
    view.setUint16(name, 2, true);
    this.#arena.bytes.set(from, name + 4);
    this.#arena.bytes.set(bytes, this.#pointer(this.#pointer(header + 16)));
    view.setUint32(header + 56, bytes.length, true);
    const start = this.#pointer(header + 32);
    let at = start;
    const control = (level: number, type: number, value: number, length: number): void => {
      view.setBigUint64(at, BigInt(length), true);
      view.setInt32(at + 8, level, true);
      view.setInt32(at + 12, type, true);
      view.setInt32(at + 16, value, true);
      at += 24;
    };
    // IP_TOS comes as one byte.
    if (tos !== undefined) control(0, 1, tos, 17);
    if (groSize !== undefined) control(SOL_UDP, UDP_GRO, groSize, 20);
    view.setBigUint64(header + 40, BigInt(at - start), true);
  }

  #message(fd: number, header: number): SentMessage {
    const view = this.#view;
    const name = this.#pointer(header);
    const bytes = this.#gather(this.#pointer(header + 16), Number(view.getBigUint64(header + 24, true)));
    const control = this.#pointer(header + 32);
    const end = control + Number(view.getBigUint64(header + 40, true));
    let segmentSize = 0;
    let tos = 0;
    for (let at = control; at < end; at += (Number(view.getBigUint64(at, true)) + 7) & ~7) {
      const [level, type] = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
      if (level === SOL_UDP && type === UDP_SEGMENT) segmentSize = view.getUint16(at + 16, true);
      else if (level === 0 && type === 1) tos = view.getInt32(at + 16, true);
      else throw new Error(`unknown control message ${level} ${type}`);
    }
    const size = segmentSize || bytes.length;
    const datagrams: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size) datagrams.push(bytes.slice(at, at + size));
    const address = this.#arena.bytes.subarray(name + 4, name + 8).join('.');
    return { fd, datagrams, segmentSize, tos, to: `${address}:${view.getUint16(name + 2)}` };
  }

  #gather(vector: number, count: number): Uint8Array {
    const parts: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = this.#pointer(vector + i * 16);
      const length = Number(this.#view.getBigUint64(vector + i * 16 + 8, true));
      parts.push(...this.#arena.bytes.subarray(at, at + length));
    }
    return Uint8Array.from(parts);
  }

  #pointer(at: number): number {
    return this.#at(Number(this.#view.getBigUint64(at, true)));
  }

  #at(address: number): number {
    return address - this.#arena.address(0);
  }
}
