// The portable I/O driver: a TUN or TAP device through node-tuntap2's fork, and a UDP socket of node:dgram, both in the
// event loop. It is kept simple; speed is the business of the other driver.
//
// What one dgram socket cannot do: choose the outer source port by a hash of the inner flow (RFC 7348 section 5 SHOULD),
// so that all our datagrams to a peer are one flow to the underlay's load balancers; send without UDP checksum (both are
// allowed by the RFC); set or read DSCP and ECN. The outer packet is therefore Not-ECT, which RFC 6040 section 4.3 calls
// compatibility mode: a congested router on the underlay drops where it could have marked.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { type Address, familyOf } from '../../lib/net/address.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import type { PlaneConfig } from './data-plane.ts';
import type { TableEntry } from './forwarding-table.ts';
import type { PlaneIo, PlaneSink } from './plane-io.ts';
import { openTuntapDevice, type TuntapDevice } from './tuntap-device.ts';

/** Largest frame of a device, and room for any headroom. */
const FRAME_BUFFER_BYTES = 65_536 + 64;

/** Frames read per turn of the event loop, before sockets and timers get theirs. */
const FRAMES_PER_TURN = 32;

/** Datagrams that may wait inside dgram when the socket's buffer is full; each holds a frame buffer. */
const SEND_QUEUE_LIMIT = 64;

/** Asked of the kernel, which gives what net.core.rmem_max and wmem_max allow. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** Opens device and socket. Rejects with `ExitError` (environment). */
export async function openTuntapIo(config: PlaneConfig): Promise<PlaneIo> {
  const device = await openTuntapDevice(config.mode === 'vxlan' ? 'tap' : 'tun', config.deviceName);
  try {
    return new TuntapIo(device, await bindSocket(config.localAddress, config.port));
  } catch (error) {
    await device.close();
    throw error;
  }
}

class TuntapIo implements PlaneIo {
  readonly name = 'tuntap';
  readonly #device: TuntapDevice;
  readonly #socket: Socket;
  readonly #family: number;
  /** Buffers that no datagram is waiting in. */
  readonly #spare: Uint8Array[] = [];
  /** Buffers of the datagrams that wait inside dgram, oldest first; it finishes them in order. */
  readonly #waiting: Uint8Array[] = [];
  #buffer: Uint8Array = Buffer.allocUnsafeSlow(FRAME_BUFFER_BYTES);
  #sink: PlaneSink | undefined;
  #headroom = 0;
  #unwatch: (() => void) | undefined;

  constructor(device: TuntapDevice, socket: Socket) {
    this.#device = device;
    this.#socket = socket;
    this.#family = socket.address().family === 'IPv6' ? 6 : 4;
  }

  start(sink: PlaneSink, headroom: number): void {
    this.#sink = sink;
    this.#headroom = headroom;
    this.#unwatch = this.#device.watch(() => this.#readFrames());
    this.#socket.on('message', (message: Buffer, from: RemoteInfo) => {
      this.#sink?.datagram(from.address, message, 0, message.length);
    });
    this.#socket.on('error', (error) => this.#fail(error));
  }

  send(entry: TableEntry, bytes: Uint8Array, at: number, length: number): void {
    if (entry.family !== this.#family || this.#waiting.length >= SEND_QUEUE_LIMIT) {
      this.#sink?.dropped(entry.family === this.#family ? 'tx-queue-full' : 'tx-send-failed');
      return;
    }
    const queued = this.#socket.getSendQueueCount();
    let isQueued = false;
    const { endpoint, port } = entry.peer;
    this.#socket.send(bytes, at, length, port, endpoint, (error) => {
      if (isQueued) this.#spare.push(this.#waiting.shift() as Uint8Array);
      if (error) this.#sink?.dropped('tx-send-failed');
      else this.#sink?.sent(length);
    });
    // Nearly always the kernel has taken the datagram by now. Else dgram keeps the bytes, so the buffer is not ours.
    isQueued = this.#socket.getSendQueueCount() > queued;
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
    await new Promise<void>((resolve) => this.#socket.close(resolve));
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

function bindSocket(localAddress: Address, port: number): Promise<Socket> {
  const isV6 = familyOf(localAddress) === 6;
  const socket = createSocket({
    type: isV6 ? 'udp6' : 'udp4',
    ipv6Only: isV6,
    recvBufferSize: SOCKET_BUFFER_BYTES,
    sendBufferSize: SOCKET_BUFFER_BYTES,
    // Every destination is an address already: answering at once spares a turn of the event loop for each datagram.
    lookup: (hostname, _options, callback) => callback(null, hostname, isV6 ? 6 : 4),
  });
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      reject(
        new ExitError(EXIT.environment, `cannot bind UDP ${localAddress} port ${port}: ${error.code}`, {
          cause: error,
        }),
      );
    });
    socket.bind({ address: localAddress, port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}
