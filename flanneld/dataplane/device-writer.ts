// Writes frames to a device that wants a virtio-net header before each: gathered from where their parts are.
// It knows no packets; what the header says is the caller's business.

import { VIRTIO_NET_LENGTH } from '../../lib/wire/virtio-net.ts';
import { type Arena, vectorLength } from './arena.ts';
import type { PacketCalls } from './packet-calls.ts';
import type { PlaneCounters } from './plane-counters.ts';

/** Room for a frame that is not in the arena: an ICMP answer. */
const COPY_BYTES = 2_048;
/** -errno that say that the device itself is gone: EBADF, EBADFD. */
const GONE: readonly number[] = [-9, -77];

export class DeviceWriter {
  readonly #arena: Arena;
  readonly #calls: PacketCalls;
  readonly #counters: PlaneCounters;
  readonly #tun: number;
  readonly #zeroAt: number;
  readonly #copyAt: number;
  readonly #vectorAt: number;

  constructor(arena: Arena, calls: PacketCalls, counters: PlaneCounters, tun: number) {
    this.#arena = arena;
    this.#calls = calls;
    this.#counters = counters;
    this.#tun = tun;
    this.#zeroAt = arena.take(VIRTIO_NET_LENGTH);
    this.#copyAt = arena.take(COPY_BYTES);
    this.#vectorAt = arena.take(vectorLength(2));
    arena.setVector(this.#vectorAt, 0, this.#zeroAt, VIRTIO_NET_LENGTH);
  }

  /** Writes `count` parts, the first of which begins with a virtio-net header. False where the kernel did not take it. */
  writeParts(vectorAt: number, count: number): boolean {
    const written = this.#calls.writeVector(this.#tun, this.#arena.address(vectorAt), count);
    if (GONE.includes(written)) throw new Error(`writing to the device failed: errno ${-written}`);
    return written >= 0;
  }

  /** Writes the frame at `at` of the arena as it is, and counts it. */
  writeFrame(at: number, length: number): void {
    this.#arena.setVector(this.#vectorAt, 1, at, length);
    this.count(this.writeParts(this.#vectorAt, 2), 1, length);
  }

  /** Writes a frame from elsewhere, of the plane's own: not counted as received. */
  writeCopy(frame: Uint8Array): void {
    this.#arena.bytes.set(frame, this.#copyAt);
    this.#arena.setVector(this.#vectorAt, 1, this.#copyAt, frame.length);
    this.writeParts(this.#vectorAt, 2);
  }

  count(taken: boolean, packets: number, bytes: number): void {
    if (!taken) {
      this.#counters.drop('rx-device-refused', packets);
      return;
    }
    this.#counters.rx.packets += packets;
    this.#counters.rx.bytes += bytes;
  }
}
