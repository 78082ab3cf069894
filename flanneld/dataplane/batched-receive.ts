// The receiving half of the batched driver: datagrams from the socket, frames to the device.
//
// UDP_GRO gives up to 64 datagrams at once; the TCP segments inside that follow on one another go to the device as one
// large packet, gathered from where they are. Order within a message is kept, so order within a flow is.
//
// The confusing thing: the size that the kernel tells with a message is not always that of datagrams in it. Where a
// VXLAN device of the kernel on the same machine left a large TCP packet to be cut, it is that packet's segment size and
// the message is one datagram. The inner length field tells the two apart.

import { receiveMessageAt } from '../../lib/kernel/packet-syscalls.ts';
import { readU16, writeU16 } from '../../lib/wire/bytes.ts';
import { foldSum } from '../../lib/wire/checksum.ts';
import { ETHERNET, ETHERNET_LENGTH, ETHERTYPE } from '../../lib/wire/ethernet.ts';
import { IPV4, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { TCP } from '../../lib/wire/tcp.ts';
import { VIRTIO_NET_GSO, VIRTIO_NET_LENGTH, writeVirtioNet } from '../../lib/wire/virtio-net.ts';
import { type Arena, CMSG, MSGHDR, vectorLength } from './arena.ts';
import type { DeviceWriter } from './device-writer.ts';
import { addressOfSocketAddress, SOCKADDR_LENGTH, SOL_UDP, UDP_GRO } from './offload-socket.ts';
import { finishChecksum, mayRenewChecksum } from './offloaded-checksum.ts';
import type { PlaneCore } from './plane-core.ts';
import { COALESCE_LIMIT, TcpCoalescer } from './tcp-coalescer.ts';
import { TcpSegmenter } from './tcp-segmenter.ts';

const MESSAGE_BYTES = 65_536;
const CONTROL_BYTES = 64;
/** A control message with an int. */
const GRO_CONTROL_LENGTH = 20;
/** virtio-net, Ethernet, IP and TCP headers of a merged packet. */
const HEAD_BYTES = 192;
const EAGAIN = 11;
const EINTR = 4;
/** Senders whose text form is kept. */
const SENDER_CACHE_LIMIT = 10_000;

export class BatchedReceive {
  readonly #arena: Arena;
  readonly #core: PlaneCore;
  readonly #writer: DeviceWriter;
  readonly #socket: number;
  readonly #linkLength: number;
  readonly #coalescer = new TcpCoalescer();
  readonly #segmenter = new TcpSegmenter();
  readonly #senders = new Map<number, string>();
  readonly #dataAt: number;
  readonly #headAt: number;
  readonly #messageAt: number;
  readonly #vectorAt: number;
  readonly #partsAt: number;
  readonly #controlAt: number;
  readonly #nameAt: number;
  /** Where the first frame of the run begins, and its length. */
  #runAt = 0;
  #runLength = 0;

  constructor(arena: Arena, core: PlaneCore, writer: DeviceWriter, socket: number) {
    this.#arena = arena;
    this.#core = core;
    this.#writer = writer;
    this.#socket = socket;
    this.#linkLength = core.headroom === 0 ? 0 : ETHERNET_LENGTH;
    this.#dataAt = arena.take(MESSAGE_BYTES);
    this.#headAt = arena.take(HEAD_BYTES);
    this.#messageAt = arena.take(MSGHDR.length);
    this.#vectorAt = arena.take(vectorLength(1));
    this.#partsAt = arena.take(vectorLength(COALESCE_LIMIT + 1));
    this.#controlAt = arena.take(CONTROL_BYTES);
    this.#nameAt = arena.take(SOCKADDR_LENGTH[6]);
    arena.setVector(this.#vectorAt, 0, this.#dataAt, MESSAGE_BYTES);
    arena.setWord(this.#messageAt + MSGHDR.name, arena.address(this.#nameAt));
    arena.setWord(this.#messageAt + MSGHDR.vector, arena.address(this.#vectorAt));
    arena.setWord(this.#messageAt + MSGHDR.vectorCount, 1);
    arena.setWord(this.#messageAt + MSGHDR.control, arena.address(this.#controlAt));
  }

  /** Moves at most one message. False where there is none; throws where socket or device is gone. */
  pump(): boolean {
    const arena = this.#arena;
    arena.setInt32(this.#messageAt + MSGHDR.nameLength, SOCKADDR_LENGTH[6]);
    arena.setWord(this.#messageAt + MSGHDR.controlLength, CONTROL_BYTES);
    const length = receiveMessageAt(this.#socket, arena.address(this.#messageAt), 0);
    if (length < 0) {
      if (length === -EAGAIN || length === -EINTR) return false;
      throw new Error(`receiving failed: errno ${-length}`);
    }
    const sender = this.#sender();
    const size = this.#datagramSize(length);
    const end = this.#dataAt + length;
    let at = this.#dataAt;
    do {
      this.#datagram(sender, at, Math.min(size, end - at));
      at += size;
    } while (at < end);
    this.#flush();
    return true;
  }

  #datagram(sender: string, at: number, length: number): void {
    const core = this.#core;
    const { bytes } = this.#arena;
    if (core.fromSocket(sender, bytes, at, length) !== undefined) return;
    const { frameAt, frameLength, oversize } = core;
    const inner = frameAt + this.#linkLength;
    if (oversize !== undefined) {
      this.#flush();
      this.#writeOversize(oversize, frameAt, frameLength);
      return;
    }
    const family = (bytes[inner] as number) >> 4;
    const isIp = (family === 4 || family === 6) && !this.#isArp(frameAt);
    if (isIp && this.#coalescer.add(family, inner)) return;
    this.#flush();
    if (isIp && this.#coalescer.begin(family, bytes, inner)) {
      this.#runAt = frameAt;
      this.#runLength = frameLength;
      return;
    }
    this.#writer.writeFrame(frameAt, frameLength);
  }

  /** Writes the run that has gathered, if any. */
  #flush(): void {
    const run = this.#coalescer;
    if (run.count === 1) this.#writer.writeFrame(this.#runAt, this.#runLength);
    else if (run.count > 1) this.#writeRun();
    run.count = 0;
  }

  #writeRun(): void {
    const run = this.#coalescer;
    const arena = this.#arena;
    const link = this.#linkLength;
    const frame = this.#headAt + VIRTIO_NET_LENGTH;
    arena.bytes.copyWithin(frame, this.#runAt, this.#runAt + link);
    run.writeHead(arena.bytes, frame + link);
    this.#writeVirtioNet(run.family, link + run.ipHeaderLength, link + run.headerLength, run.segmentBytes);
    arena.setVector(this.#partsAt, 0, this.#headAt, VIRTIO_NET_LENGTH + link + run.headerLength);
    let total = 0;
    for (let i = 0; i < run.count; i++) {
      const length = run.payloadLength[i] as number;
      arena.setVector(this.#partsAt, i + 1, run.payloadAt[i] as number, length);
      total += length;
    }
    const taken = this.#writer.writeParts(this.#partsAt, run.count + 1);
    this.#writer.count(taken, run.count, total + run.count * (link + run.headerLength));
  }

  /** A packet above the MTU goes to the kernel as one that is to be cut; what cannot be cut goes as it is. */
  #writeOversize(family: 4 | 6, at: number, length: number): void {
    const { bytes } = this.#arena;
    const link = this.#linkLength;
    const mtuBytes = this.#core.mtuBytes;
    const inner = at + link;
    if (!this.#segmenter.begin(family, bytes, inner, mtuBytes) || !mayRenewChecksum(family, bytes, inner)) {
      finishChecksum(family, bytes, inner);
      this.#writer.writeFrame(at, length);
      return;
    }
    const { headerLength, ipHeaderLength, totalLength } = this.#segmenter;
    const pseudo = pseudoHeaderSum(family, bytes, inner, PROTOCOL.tcp, totalLength - ipHeaderLength);
    writeU16(bytes, inner + ipHeaderLength + TCP.checksum, foldSum(pseudo));
    this.#writeVirtioNet(family, link + ipHeaderLength, link + headerLength, mtuBytes - headerLength);
    this.#arena.setVector(this.#partsAt, 0, this.#headAt, VIRTIO_NET_LENGTH);
    this.#arena.setVector(this.#partsAt, 1, at, link + totalLength);
    // Counted as what it is cut into.
    const packets = Math.ceil((totalLength - headerLength) / (mtuBytes - headerLength));
    const repeated = (packets - 1) * (link + headerLength);
    this.#writer.count(this.#writer.writeParts(this.#partsAt, 2), packets, link + totalLength + repeated);
  }

  #writeVirtioNet(family: 4 | 6, checksumStart: number, headerLength: number, gsoSize: number): void {
    const gsoType = family === 4 ? VIRTIO_NET_GSO.tcp4 : VIRTIO_NET_GSO.tcp6;
    const header = { gsoType, gsoSize, headerLength, checksumStart, checksumOffset: TCP.checksum };
    writeVirtioNet(header, this.#arena.bytes, this.#headAt);
  }

  /** The text form of the address that the message came from. */
  #sender(): string {
    const { bytes } = this.#arena;
    // IPv6 addresses are hashed into the key, and compared by text: a collision only costs the conversion.
    const key = this.#arena.int32(this.#nameAt + 4);
    const isV4 = this.#arena.uint16(this.#nameAt) === 2;
    const known = isV4 ? this.#senders.get(key) : undefined;
    if (known !== undefined) return known;
    const text = addressOfSocketAddress(bytes, this.#nameAt) ?? '';
    if (isV4 && this.#senders.size < SENDER_CACHE_LIMIT) this.#senders.set(key, text);
    return text;
  }

  /** Length of the datagrams in the message of `length` bytes; at least 1. */
  #datagramSize(length: number): number {
    const arena = this.#arena;
    const controlLength = arena.int32(this.#messageAt + MSGHDR.controlLength);
    if (controlLength < GRO_CONTROL_LENGTH) return Math.max(1, length);
    if (arena.int32(this.#controlAt + CMSG.level) !== SOL_UDP || arena.int32(this.#controlAt + CMSG.type) !== UDP_GRO) {
      return Math.max(1, length);
    }
    const told = arena.int32(this.#controlAt + CMSG.data);
    return told < 1 || told >= length || this.#firstLength(length) > told ? Math.max(1, length) : told;
  }

  /** What the first inner packet says of its own length, with everything before it; 0 where it is no IP packet. */
  #firstLength(length: number): number {
    const { bytes } = this.#arena;
    const before = this.#core.headroom + this.#linkLength;
    if (length < before + 40) return 0;
    const version = (bytes[this.#dataAt + before] as number) >> 4;
    if (version === 4) return before + readU16(bytes, this.#dataAt + before + IPV4.totalLength);
    return version === 6 ? before + ipv6TotalLength(bytes, this.#dataAt + before) : 0;
  }

  #isArp(frameAt: number): boolean {
    return this.#linkLength > 0 && readU16(this.#arena.bytes, frameAt + ETHERNET.type) === ETHERTYPE.arp;
  }
}
