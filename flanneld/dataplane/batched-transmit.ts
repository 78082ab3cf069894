// The sending half of the batched driver: frames from the device, segments to the socket.
//
// A large TCP frame is never cut in memory: each segment's headers are written side by side, and one sendmsg with
// UDP_SEGMENT gathers header, payload, header, payload, ... where they are. A frame that is not large goes as it is.

import { readAt, sendMessageAt } from '../../lib/kernel/packet-syscalls.ts';
import { writeU16 } from '../../lib/wire/bytes.ts';
import { internetChecksum } from '../../lib/wire/checksum.ts';
import { ETHERNET_LENGTH } from '../../lib/wire/ethernet.ts';
import {
  readVirtioField,
  VIRTIO_NET,
  VIRTIO_NET_GSO,
  VIRTIO_NET_LENGTH,
  VIRTIO_NET_NEEDS_CHECKSUM,
} from '../../lib/wire/virtio-net.ts';
import { type Arena, CMSG, MSGHDR, vectorLength } from './arena.ts';
import type { DeviceWriter } from './device-writer.ts';
import type { TableEntry } from './forwarding-table.ts';
import { SOCKADDR_LENGTH, SOL_UDP, socketAddress, UDP_SEGMENT } from './offload-socket.ts';
import type { PlaneCore } from './plane-core.ts';
import { TcpSegmenter } from './tcp-segmenter.ts';

/** Largest frame of a device with its virtio-net header. */
const READ_BYTES = 65_536 + 64;
/** What the kernel takes in one sendmsg: UDP_MAX_SEGMENTS, and the largest UDP payload less some room for options. */
const MAX_SEGMENTS = 64;
const MAX_MESSAGE_BYTES = 65_000;
/** VXLAN, Ethernet, IPv4 or IPv6 and TCP with all their options. */
const HEADERS_BYTES = 160;
/** sizeof(struct cmsghdr) + sizeof(u16), and the space that it takes. */
const SEGMENT_CONTROL = { length: 18, space: 24 } as const;
const EAGAIN = 11;
const EINTR = 4;

export class BatchedTransmit {
  readonly #arena: Arena;
  readonly #core: PlaneCore;
  readonly #writer: DeviceWriter;
  readonly #tun: number;
  readonly #socket: number;
  readonly #family: 4 | 6;
  readonly #linkLength: number;
  readonly #segmenter = new TcpSegmenter();
  readonly #names = new WeakMap<TableEntry, Uint8Array>();
  readonly #frameAt: number;
  readonly #headersAt: number;
  readonly #messageAt: number;
  readonly #vectorAt: number;
  readonly #controlAt: number;
  readonly #nameAt: number;
  #named: TableEntry | undefined;

  constructor(arena: Arena, core: PlaneCore, writer: DeviceWriter, tun: number, socket: number, family: 4 | 6) {
    this.#arena = arena;
    this.#core = core;
    this.#writer = writer;
    this.#tun = tun;
    this.#socket = socket;
    this.#family = family;
    this.#linkLength = core.headroom === 0 ? 0 : ETHERNET_LENGTH;
    this.#frameAt = arena.take(READ_BYTES) + VIRTIO_NET_LENGTH;
    this.#headersAt = arena.take(MAX_SEGMENTS * HEADERS_BYTES);
    this.#messageAt = arena.take(MSGHDR.length);
    this.#vectorAt = arena.take(vectorLength(2 * MAX_SEGMENTS));
    this.#controlAt = arena.take(SEGMENT_CONTROL.space);
    this.#nameAt = arena.take(SOCKADDR_LENGTH[6]);
    arena.setWord(this.#messageAt + MSGHDR.name, arena.address(this.#nameAt));
    arena.setInt32(this.#messageAt + MSGHDR.nameLength, SOCKADDR_LENGTH[family]);
    arena.setWord(this.#messageAt + MSGHDR.vector, arena.address(this.#vectorAt));
    arena.setWord(this.#messageAt + MSGHDR.control, arena.address(this.#controlAt));
    arena.setWord(this.#controlAt + CMSG.size, SEGMENT_CONTROL.length);
    arena.setInt32(this.#controlAt + CMSG.level, SOL_UDP);
    arena.setInt32(this.#controlAt + CMSG.type, UDP_SEGMENT);
  }

  /** Moves at most one frame. False where there is none; throws where the device is gone. */
  pump(nowMs: number): boolean {
    const at = this.#frameAt;
    const read = readAt(this.#tun, this.#arena.address(at - VIRTIO_NET_LENGTH), READ_BYTES);
    if (read < 0) {
      if (read === -EAGAIN || read === -EINTR) return false;
      throw new Error(`reading the device failed: errno ${-read}`);
    }
    const { bytes } = this.#arena;
    const length = Math.max(0, read - VIRTIO_NET_LENGTH);
    // Read before the core writes its encapsulation over it.
    const virtio = at - VIRTIO_NET_LENGTH;
    const flags = bytes[virtio + VIRTIO_NET.flags] as number;
    const gsoType = (bytes[virtio + VIRTIO_NET.gsoType] as number) & ~VIRTIO_NET_GSO.ecn;
    const gsoSize = readVirtioField(bytes, virtio + VIRTIO_NET.gsoSize);
    const checksumStart = readVirtioField(bytes, virtio + VIRTIO_NET.checksumStart);
    const checksumOffset = readVirtioField(bytes, virtio + VIRTIO_NET.checksumOffset);
    const verdict = this.#core.fromDevice(bytes, at, length, nowMs, gsoType !== VIRTIO_NET_GSO.none);
    if (typeof verdict === 'string') {
      const reply = this.#core.reply.frame;
      if (reply !== undefined) this.#writer.writeCopy(reply);
      return true;
    }
    if (verdict.family !== this.#family) {
      this.#core.counters.drop('tx-send-failed');
      return true;
    }
    this.#setName(verdict);
    if (gsoType !== VIRTIO_NET_GSO.none) this.#sendSuper(gsoType === VIRTIO_NET_GSO.tcp4 ? 4 : 6, length, gsoSize);
    else {
      if ((flags & VIRTIO_NET_NEEDS_CHECKSUM) !== 0) finish(bytes, at, length, checksumStart, checksumOffset);
      this.#arena.setVector(this.#vectorAt, 0, at - this.#core.headroom, length + this.#core.headroom);
      this.#send(1, 1, length, 0);
    }
    return true;
  }

  /** Cuts the large frame and sends it, as many segments at a time as the kernel takes. */
  #sendSuper(family: 4 | 6, length: number, gsoSize: number): void {
    const { bytes } = this.#arena;
    const inner = this.#frameAt + this.#linkLength;
    const outer = this.#core.headroom + this.#linkLength;
    if (gsoSize === 0 || !this.#segmenter.begin(family, bytes, inner, length, gsoSize)) {
      this.#core.counters.drop('tx-malformed');
      return;
    }
    const headersLength = outer + this.#segmenter.headerLength;
    const size = headersLength + gsoSize;
    const perMessage = Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_MESSAGE_BYTES / size)));
    let count = 0;
    let frameBytes = 0;
    for (;;) {
      const headersAt = this.#headersAt + count * HEADERS_BYTES;
      if (!this.#segmenter.next(bytes, headersAt + outer)) break;
      bytes.copyWithin(headersAt, this.#frameAt - this.#core.headroom, inner);
      this.#arena.setVector(this.#vectorAt, 2 * count, headersAt, headersLength);
      this.#arena.setVector(this.#vectorAt, 2 * count + 1, this.#segmenter.payloadAt, this.#segmenter.payloadLength);
      frameBytes += headersLength - this.#core.headroom + this.#segmenter.payloadLength;
      count++;
      if (count < perMessage) continue;
      this.#send(2 * count, count, frameBytes, size);
      count = 0;
      frameBytes = 0;
    }
    if (count > 0) this.#send(2 * count, count, frameBytes, size);
  }

  #send(vectors: number, packets: number, frameBytes: number, segmentSize: number): void {
    const arena = this.#arena;
    arena.setWord(this.#messageAt + MSGHDR.vectorCount, vectors);
    arena.setWord(this.#messageAt + MSGHDR.controlLength, packets > 1 ? SEGMENT_CONTROL.space : 0);
    if (packets > 1) arena.setUint16(this.#controlAt + CMSG.data, segmentSize);
    const sent = sendMessageAt(this.#socket, arena.address(this.#messageAt), 0);
    const { counters } = this.#core;
    if (sent < 0) {
      counters.drop(sent === -EAGAIN ? 'tx-queue-full' : 'tx-send-failed', packets);
      return;
    }
    counters.tx.packets += packets;
    counters.tx.bytes += frameBytes;
  }

  #setName(entry: TableEntry): void {
    if (this.#named === entry) return;
    let name = this.#names.get(entry);
    if (name === undefined) {
      name = socketAddress(entry.peer.endpoint, entry.peer.port);
      this.#names.set(entry, name);
    }
    this.#arena.bytes.set(name, this.#nameAt);
    this.#named = entry;
  }
}

/** Computes the transport checksum that the kernel left to us: the field holds the sum of the pseudo-header. */
function finish(bytes: Uint8Array, at: number, length: number, start: number, offset: number): void {
  if (start + offset + 2 > length) return;
  // A UDP checksum that comes out as zero is sent as all ones (RFC 768); for TCP the two mean the same.
  writeU16(bytes, at + start + offset, internetChecksum(bytes, at + start, at + length) || 0xffff);
}
