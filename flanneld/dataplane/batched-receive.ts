// The receiving half of the batched driver: datagrams from the socket, frames to the device.
//
// Messages hold up to 64 datagrams each (UDP_GRO). TCP segments that follow on one another, and UDP datagrams of one flow
// where the device takes them, go to the device as one large packet, gathered from where they are. Order is kept: what
// does not continue a run ends it first.

import { readU16, writeU16 } from '../../lib/wire/bytes.ts';
import { foldSum } from '../../lib/wire/checksum.ts';
import { ETHERNET, ETHERNET_LENGTH, ETHERTYPE } from '../../lib/wire/ethernet.ts';
import { IPV4, PROTOCOL } from '../../lib/wire/ipv4.ts';
import { IPV6, ipv6TotalLength } from '../../lib/wire/ipv6.ts';
import { pseudoHeaderSum } from '../../lib/wire/pseudo-header.ts';
import { TCP } from '../../lib/wire/tcp.ts';
import { UDP } from '../../lib/wire/udp.ts';
import { VIRTIO_NET_GSO, VIRTIO_NET_LENGTH, writeVirtioNet } from '../../lib/wire/virtio-net.ts';
import { type Arena, vectorLength } from './arena.ts';
import type { DeviceWriter } from './device-writer.ts';
import type { MessageSlots } from './message-slots.ts';
import { finishChecksum, mayRenewChecksum } from './offloaded-checksum.ts';
import type { PlaneCore } from './plane-core.ts';
import { COALESCE_LIMIT, TcpCoalescer } from './tcp-coalescer.ts';
import { TcpSegmenter } from './tcp-segmenter.ts';
import { UdpCoalescer } from './udp-coalescer.ts';

/** virtio-net, Ethernet, IP and TCP headers of a merged packet. */
const HEAD_BYTES = 192;

export class BatchedReceive {
  readonly #arena: Arena;
  readonly #core: PlaneCore;
  readonly #slots: MessageSlots;
  readonly #writer: DeviceWriter;
  readonly #mergesUdp: boolean;
  readonly #linkLength: number;
  readonly #tcp = new TcpCoalescer();
  readonly #udp = new UdpCoalescer();
  readonly #segmenter = new TcpSegmenter();
  readonly #headAt: number;
  readonly #partsAt: number;
  /** The run that gathers; its `count` is 0 where there is none. */
  #run: TcpCoalescer | UdpCoalescer = this.#tcp;
  /** Where the first frame of the run begins, and its length. */
  #runAt = 0;
  #runLength = 0;

  /** `mergesUdp`: the device takes large UDP packets. */
  constructor(arena: Arena, core: PlaneCore, slots: MessageSlots, writer: DeviceWriter, mergesUdp: boolean) {
    this.#arena = arena;
    this.#core = core;
    this.#slots = slots;
    this.#writer = writer;
    this.#mergesUdp = mergesUdp;
    this.#linkLength = core.headroom === 0 ? 0 : ETHERNET_LENGTH;
    this.#headAt = arena.take(HEAD_BYTES);
    this.#partsAt = arena.take(vectorLength(COALESCE_LIMIT + 1));
  }

  /** Moves one batch. True where the socket may have more; throws where socket or device is gone. */
  pump(): boolean {
    const slots = this.#slots;
    const received = slots.receive();
    for (let i = 0; i < received; i++) {
      slots.open(i);
      this.#message();
    }
    // The memory is used again by the next batch.
    this.#flush();
    return slots.hasMore;
  }

  #message(): void {
    const { at, length, senderFamily, senderAt, tos } = this.#slots;
    const sender = this.#core.findSender(senderFamily, this.#arena.bytes, senderAt);
    const size = this.#datagramSize();
    const end = at + length;
    let datagramAt = at;
    do {
      const datagramLength = end - datagramAt;
      this.#datagram(sender, tos, datagramAt, Math.min(datagramLength, size));
      datagramAt += size;
    } while (datagramAt < end);
  }

  #datagram(sender: number, tos: number, at: number, length: number): void {
    const core = this.#core;
    const { bytes } = this.#arena;
    if (core.fromSocket(sender, bytes, at, length, tos) !== undefined) return;
    const { frameAt, frameLength, oversize } = core;
    const inner = frameAt + this.#linkLength;
    if (oversize !== undefined) {
      this.#flush();
      this.#writeOversize(oversize, frameAt, frameLength);
      return;
    }
    const family = (bytes[inner] as number) >> 4;
    const isIp = (family === 4 || family === 6) && !this.#isArp(frameAt);
    if (isIp && this.#run.add(family, inner)) return;
    this.#flush();
    if (isIp && this.#begins(family, inner)) {
      this.#runAt = frameAt;
      this.#runLength = frameLength;
      return;
    }
    this.#writer.writeFrame(frameAt, frameLength);
  }

  #begins(family: 4 | 6, inner: number): boolean {
    const { bytes } = this.#arena;
    const protocol = bytes[inner + (family === 4 ? IPV4.protocol : IPV6.nextHeader)];
    if (protocol === PROTOCOL.tcp) this.#run = this.#tcp;
    else if (protocol === PROTOCOL.udp && this.#mergesUdp) this.#run = this.#udp;
    else return false;
    return this.#run.begin(family, bytes, inner);
  }

  /** Writes the run that has gathered, if any. */
  #flush(): void {
    const run = this.#run;
    if (run.count === 1) this.#writer.writeFrame(this.#runAt, this.#runLength);
    else if (run.count > 1) this.#writeRun();
    run.count = 0;
  }

  #writeRun(): void {
    const run = this.#run;
    const arena = this.#arena;
    const link = this.#linkLength;
    const frame = this.#headAt + VIRTIO_NET_LENGTH;
    arena.bytes.copyWithin(frame, this.#runAt, this.#runAt + link);
    run.writeHead(arena.bytes, frame + link);
    const isUdp = run === this.#udp;
    const tcpType = run.family === 4 ? VIRTIO_NET_GSO.tcp4 : VIRTIO_NET_GSO.tcp6;
    this.#writeVirtioNet(
      isUdp ? VIRTIO_NET_GSO.udp : tcpType,
      isUdp ? UDP.checksum : TCP.checksum,
      link + run.ipHeaderLength,
      link + run.headerLength,
      run.segmentBytes,
    );
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
    const gsoType = family === 4 ? VIRTIO_NET_GSO.tcp4 : VIRTIO_NET_GSO.tcp6;
    this.#writeVirtioNet(gsoType, TCP.checksum, link + ipHeaderLength, link + headerLength, mtuBytes - headerLength);
    this.#arena.setVector(this.#partsAt, 0, this.#headAt, VIRTIO_NET_LENGTH);
    this.#arena.setVector(this.#partsAt, 1, at, link + totalLength);
    // Counted as what it is cut into.
    const packets = Math.ceil((totalLength - headerLength) / (mtuBytes - headerLength));
    const repeated = (packets - 1) * (link + headerLength);
    this.#writer.count(this.#writer.writeParts(this.#partsAt, 2), packets, link + totalLength + repeated);
  }

  #writeVirtioNet(
    gsoType: number,
    checksumOffset: number,
    checksumStart: number,
    headerLength: number,
    gsoSize: number,
  ): void {
    const header = { gsoType, gsoSize, headerLength, checksumStart, checksumOffset };
    writeVirtioNet(header, this.#arena.bytes, this.#headAt);
  }

  /**
   * Length of the datagrams in the message; at least 1. Where the size that the kernel told is smaller than the first
   * inner packet, it is not about datagrams: the message is one (see message-slots.ts).
   */
  #datagramSize(): number {
    const { length, groSize } = this.#slots;
    return groSize < 1 || groSize >= length || this.#firstLength() > groSize ? Math.max(1, length) : groSize;
  }

  /** What the first inner packet says of its own length, with everything before it; 0 where it is no IP packet. */
  #firstLength(): number {
    const { bytes } = this.#arena;
    const { at, length } = this.#slots;
    const before = this.#core.headroom + this.#linkLength;
    if (length < before + 40) return 0;
    const version = (bytes[at + before] as number) >> 4;
    if (version === 4) return before + readU16(bytes, at + before + IPV4.totalLength);
    return version === 6 ? before + ipv6TotalLength(bytes, at + before) : 0;
  }

  #isArp(frameAt: number): boolean {
    return this.#linkLength > 0 && readU16(this.#arena.bytes, frameAt + ETHERNET.type) === ETHERTYPE.arp;
  }
}
