// The sending half of the batched driver: frames from the device, datagrams to the socket.
//
// Frames are read one behind the other until there are none or the batch is full, then all datagrams go with one call.
// A large TCP or UDP frame is never cut in memory: each segment's headers are written side by side, and the message
// gathers header, payload, header, payload, ... where they are. A frame that is not large goes as it is.

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
import type { Arena } from './arena.ts';
import type { DeviceWriter } from './device-writer.ts';
import { flowHash } from './flow-hash.ts';
import { BATCH_LIMIT, type MessageBatch } from './message-batch.ts';
import type { PacketCalls } from './packet-calls.ts';
import type { PlaneCore } from './plane-core.ts';
import type { TableEntry } from './table-entry.ts';
import { TcpSegmenter } from './tcp-segmenter.ts';
import { UdpSegmenter } from './udp-segmenter.ts';

/** Largest frame of a device with its virtio-net header. */
const READ_BYTES = 65_536 + 64;
/** Room for the frames of one batch: two of the largest, or as many small ones as a batch takes. */
const FRAMES_BYTES = 2 * READ_BYTES;
/** Frames per batch: each is an answer that waits no longer than it takes to read the others. */
const FRAME_LIMIT = 64;
/** VXLAN, Ethernet, IPv4 or IPv6 and TCP with all their options. */
const HEADERS_BYTES = 160;
/** What stands before a frame where it is read: room for the virtio-net header or for the encapsulation. */
const HEADROOM_BYTES = 16;
const EAGAIN = 11;
const EINTR = 4;

export class BatchedTransmit {
  readonly #arena: Arena;
  readonly #calls: PacketCalls;
  readonly #core: PlaneCore;
  readonly #writer: DeviceWriter;
  /** One for each source port; or, `byFamily`, one for IPv4 and one for IPv6. */
  readonly #batches: readonly MessageBatch[];
  readonly #isByFamily: boolean;
  readonly #tun: number;
  readonly #linkLength: number;
  readonly #tcp = new TcpSegmenter();
  readonly #udp = new UdpSegmenter();
  readonly #framesAt: number;
  readonly #headersAt: number;
  #headersUsed = 0;

  constructor(
    arena: Arena,
    calls: PacketCalls,
    core: PlaneCore,
    out: {
      readonly writer: DeviceWriter;
      readonly batches: readonly MessageBatch[];
      readonly tun: number;
      readonly byFamily?: boolean;
    },
  ) {
    this.#arena = arena;
    this.#calls = calls;
    this.#core = core;
    this.#writer = out.writer;
    this.#batches = out.batches;
    this.#isByFamily = out.byFamily ?? false;
    this.#tun = out.tun;
    this.#linkLength = core.headroom === 0 ? 0 : ETHERNET_LENGTH;
    this.#framesAt = arena.take(FRAMES_BYTES);
    this.#headersAt = arena.take(BATCH_LIMIT * HEADERS_BYTES);
  }

  /** Moves one batch. True where the device may have more; throws where it is gone. */
  pump(nowMs: number): boolean {
    const last = this.#framesAt + FRAMES_BYTES - READ_BYTES;
    let at = this.#framesAt;
    let frames = 0;
    let isEmpty = false;
    while (frames < FRAME_LIMIT && at <= last) {
      const frameAt = at + HEADROOM_BYTES;
      const virtioAt = frameAt - VIRTIO_NET_LENGTH;
      const room = READ_BYTES - HEADROOM_BYTES;
      const read = this.#calls.read(this.#tun, this.#arena.address(virtioAt), room);
      if (read < 0) {
        if (read !== -EAGAIN && read !== -EINTR) throw new Error(`reading the device failed: errno ${-read}`);
        isEmpty = true;
        break;
      }
      frames++;
      const length = Math.max(0, read - VIRTIO_NET_LENGTH);
      if (this.#frame(frameAt, length, nowMs)) at = (frameAt + length + 7) & ~7;
    }
    this.#flush();
    return !isEmpty;
  }

  /** True where the frame's memory is in use until the batch is sent. */
  #frame(at: number, length: number, nowMs: number): boolean {
    const { bytes } = this.#arena;
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
      return false;
    }
    if (gsoType !== VIRTIO_NET_GSO.none) {
      if (gsoSize > 0) return this.#cut(verdict, gsoType, at, length, gsoSize);
      this.#core.counters.drop('tx-malformed');
      return false;
    }
    if ((flags & VIRTIO_NET_NEEDS_CHECKSUM) !== 0) finish(bytes, at, length, checksumStart, checksumOffset);
    const { headroom, outerTos } = this.#core;
    const batch = this.#batchOf(at + this.#linkLength);
    batch.add(verdict, outerTos, at - headroom, headroom + length, at, 0);
    return true;
  }

  /** Cuts the large frame into datagrams of the batch. */
  #cut(entry: TableEntry, gsoType: number, at: number, length: number, gsoSize: number): boolean {
    const { bytes } = this.#arena;
    const inner = at + this.#linkLength;
    const family = (bytes[inner] as number) >> 4 === 6 ? 6 : 4;
    const before = this.#core.headroom + this.#linkLength;
    const isUdp = gsoType === VIRTIO_NET_GSO.udp;
    const segmenter = isUdp ? this.#udp : this.#tcp;
    const begun = isUdp
      ? this.#udp.begin(family, bytes, inner, gsoSize)
      : this.#tcp.begin(family, bytes, inner, length, gsoSize);
    if (!begun) {
      this.#core.counters.drop('tx-malformed');
      return false;
    }
    const headersLength = before + segmenter.headerLength;
    const tos = this.#core.outerTos;
    const batch = this.#batchOf(inner);
    for (;;) {
      // Headers are written where those of no waiting datagram are.
      if (this.#headersUsed === BATCH_LIMIT) this.#flush();
      const headersAt = this.#headersAt + this.#headersUsed * HEADERS_BYTES;
      if (!segmenter.next(bytes, headersAt + before, before)) return true;
      batch.add(entry, tos, headersAt, headersLength, segmenter.payloadAt, segmenter.payloadLength);
      this.#headersUsed++;
    }
  }

  /** The batch of the flow that the packet at `at` belongs to: all its packets leave from one port, in order. */
  #batchOf(at: number): MessageBatch {
    const count = this.#batches.length;
    if (this.#isByFamily) return this.#batches[(this.#arena.bytes[at] as number) >> 4 === 6 ? 1 : 0] as MessageBatch;
    const index = count === 1 ? 0 : flowHash(this.#arena.bytes, at) % count;
    return this.#batches[index] as MessageBatch;
  }

  #flush(): void {
    for (const batch of this.#batches) batch.flush();
    this.#headersUsed = 0;
  }
}

/** Computes the transport checksum that the kernel left to us: the field holds the sum of the pseudo-header. */
function finish(bytes: Uint8Array, at: number, length: number, start: number, offset: number): void {
  if (start + offset + 2 > length) return;
  // A UDP checksum that comes out as zero is sent as all ones (RFC 768); for TCP the two mean the same.
  writeU16(bytes, at + start + offset, internetChecksum(bytes, at + start, at + length) || 0xffff);
}
