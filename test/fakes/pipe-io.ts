// A PlaneIo without device or socket: what the plane sends and writes is kept, copied, in two lists.
// A test plays the kernel by calling the sink; `refuseWrites` plays a device that is down.

import type { PlaneIo, PlaneSink } from '../../flanneld/dataplane/plane-io.ts';
import type { TableEntry } from '../../flanneld/dataplane/table-entry.ts';

export class PipeIo implements PlaneIo {
  readonly name = 'tuntap';
  readonly sent: { readonly to: string; readonly bytes: Uint8Array; readonly outerTos: number }[] = [];
  readonly written: Uint8Array[] = [];
  refuseWrites = false;
  refuseSends = false;
  sink: PlaneSink | undefined;
  #headroom = 0;

  start(sink: PlaneSink, headroom: number): void {
    this.sink = sink;
    this.#headroom = headroom;
  }

  send(entry: TableEntry, bytes: Uint8Array, at: number, length: number, outerTos: number): void {
    if (this.refuseSends) {
      this.sink?.dropped('tx-queue-full');
      return;
    }
    this.sent.push({ to: entry.address, bytes: bytes.slice(at, at + length), outerTos });
    this.sink?.sent(length);
  }

  write(bytes: Uint8Array, at: number, length: number): boolean {
    if (!this.refuseWrites) this.written.push(bytes.slice(at, at + length));
    return !this.refuseWrites;
  }

  async close(): Promise<void> {
    this.sink = undefined;
  }

  /** The device hands over a frame, in a buffer that is spoiled elsewhere. */
  frame(frame: Uint8Array): void {
    const buffer = new Uint8Array(this.#headroom + frame.length + 32).fill(0xa5);
    buffer.set(frame, this.#headroom);
    this.sink?.frame(buffer, this.#headroom, frame.length);
  }

  /** The socket hands over a datagram. */
  datagram(sender: string, datagram: Uint8Array): void {
    const buffer = new Uint8Array(datagram.length + 7).fill(0xa5);
    buffer.set(datagram, 3);
    this.sink?.datagram(sender, buffer, 3, datagram.length);
  }
}
