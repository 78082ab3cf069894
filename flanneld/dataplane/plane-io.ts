// The small interface between the plane and whatever moves its packets: one device, one socket.
//
// Who owns which buffer: every buffer that a sink sees belongs to the driver, and is valid until the sink returns. The
// sink may write into the headroom before a frame, and may hand the same buffer to `send` or `write` meanwhile; a driver
// that cannot be done with it at once puts another buffer in its place. Nobody keeps a reference.

import type { DropReason, PlaneIoName } from './data-plane.ts';
import type { TableEntry } from './table-entry.ts';

/** What the driver calls; nothing here throws. */
export interface PlaneSink {
  /** One frame from the device, `headroom` free bytes before it. */
  frame(bytes: Uint8Array, at: number, length: number): void;
  /** One datagram from the socket, and the underlay address that it came from. Mode `ipip`: with its outer header. */
  datagram(sender: string, bytes: Uint8Array, at: number, length: number): void;
  /** A datagram given to `send` is on its way; `length` is what was asked. */
  sent(length: number): void;
  /** A packet was lost inside the driver. */
  dropped(reason: DropReason): void;
  /** Nothing will move any more. Called at most once. */
  failed(error: Error): void;
}

export interface PlaneIo {
  readonly name: PlaneIoName;

  /** Begins to call the sink. Called once. `headroom` is what each frame needs before it. */
  start(sink: PlaneSink, headroom: number): void;

  /**
   * Sends bytes [at, at + length) to a peer; the sink is told `sent` or `dropped`, now or later. `outerTos` is DSCP and
   * ECN of the outer packet, where the driver can set them.
   */
  send(entry: TableEntry, bytes: Uint8Array, at: number, length: number, outerTos: number): void;

  /** Writes a frame to the device; false where the kernel did not take it. */
  write(bytes: Uint8Array, at: number, length: number): boolean;

  /** Ends everything; after it resolves the sink is not called any more. */
  close(): Promise<void>;
}
