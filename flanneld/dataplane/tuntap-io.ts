// The portable I/O driver: a TUN or TAP device through node-tuntap2's fork, and a socket (tuntap-socket.ts for UDP,
// tuntap-raw-socket.ts for IP in IP), both in the event loop. It is kept simple; speed is the business of the other driver.

import type { PlaneConfig } from './data-plane.ts';
import type { PlaneIo, PlaneSink } from './plane-io.ts';
import type { TableEntry } from './table-entry.ts';
import { openTuntapDevice, type TuntapDevice } from './tuntap-device.ts';
import { openIpipSocket } from './tuntap-raw-socket.ts';
import { openUdpSocket, type PlaneSocket } from './tuntap-socket.ts';

/** Largest frame of a device, and room for any headroom. */
const FRAME_BUFFER_BYTES = 65_536 + 64;

/** Frames read per turn of the event loop, before sockets and timers get theirs. */
const FRAMES_PER_TURN = 32;

/** Datagrams that may wait inside the socket when the kernel's buffer is full; each holds a frame buffer. */
const SEND_QUEUE_LIMIT = 64;

/** Opens device and socket. Rejects with `ExitError` (environment). */
export async function openTuntapIo(config: PlaneConfig): Promise<PlaneIo> {
  const device = await openTuntapDevice(config.mode === 'vxlan' ? 'tap' : 'tun', config.deviceName);
  try {
    const { mode, localAddress, port } = config;
    const socket = mode === 'ipip' ? openIpipSocket(localAddress) : await openUdpSocket(localAddress, port);
    return new TuntapIo(device, socket);
  } catch (error) {
    await device.close();
    throw error;
  }
}

class TuntapIo implements PlaneIo {
  readonly name = 'tuntap';
  readonly #device: TuntapDevice;
  readonly #socket: PlaneSocket;
  /** Buffers that no datagram is waiting in. */
  readonly #spare: Uint8Array[] = [];
  /** Buffers of the datagrams that wait inside the socket, oldest first; it finishes them in order. */
  readonly #waiting: Uint8Array[] = [];
  #buffer: Uint8Array = Buffer.allocUnsafeSlow(FRAME_BUFFER_BYTES);
  #sink: PlaneSink | undefined;
  #headroom = 0;
  #unwatch: (() => void) | undefined;

  constructor(device: TuntapDevice, socket: PlaneSocket) {
    this.#device = device;
    this.#socket = socket;
  }

  start(sink: PlaneSink, headroom: number): void {
    this.#sink = sink;
    this.#headroom = headroom;
    this.#unwatch = this.#device.watch(() => this.#readFrames());
    this.#socket.listen(
      (sender, bytes, at, length) => this.#sink?.datagram(sender, bytes, at, length),
      (error) => this.#fail(error),
    );
  }

  send(entry: TableEntry, bytes: Uint8Array, at: number, length: number, outerTos: number): void {
    const isReachable = entry.family === this.#socket.family;
    if (!isReachable || this.#waiting.length >= SEND_QUEUE_LIMIT) {
      this.#sink?.dropped(isReachable ? 'tx-queue-full' : 'tx-send-failed');
      return;
    }
    let isQueued = false;
    isQueued = this.#socket.send(entry, bytes, at, length, outerTos, (outcome) => {
      if (isQueued) this.#spare.push(this.#waiting.shift() as Uint8Array);
      if (outcome === 'sent') this.#sink?.sent(length);
      else this.#sink?.dropped(outcome === 'full' ? 'tx-queue-full' : 'tx-send-failed');
    });
    // The socket keeps the bytes, so the buffer is not ours.
    if (!isQueued) return;
    this.#waiting.push(this.#buffer);
    this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(FRAME_BUFFER_BYTES);
  }

  write(bytes: Uint8Array, at: number, length: number): boolean {
    try {
      return this.#device.write(bytes, at, length);
    } catch (error) {
      this.#fail(error as Error);
      return false;
    }
  }

  async close(): Promise<void> {
    this.#sink = undefined;
    this.#stop();
    await this.#socket.close();
    await this.#device.close();
  }

  #readFrames(): void {
    try {
      for (let i = 0; i < FRAMES_PER_TURN; i++) {
        const length = this.#device.read(this.#buffer, this.#headroom);
        if (length === 0) return;
        this.#sink?.frame(this.#buffer, this.#headroom, length);
      }
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#stop();
    sink?.failed(error);
  }

  #stop(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
  }
}
