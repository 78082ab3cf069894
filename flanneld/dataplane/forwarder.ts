// Joins the core to a driver: each packet goes through the core, and where the core says.
// Knows no system call, and holds no packet: what it is given it has passed on, cut or dropped when it returns.

import { type Address, addressBytes, type Family } from '../../lib/net/address.ts';
import { ETHERNET_LENGTH } from '../../lib/wire/ethernet.ts';
import type { DropReason, PlaneConfig, PlanePeer, PlaneRoute, PlaneStats } from './data-plane.ts';
import { ForwardingTable } from './forwarding-table.ts';
import { finishChecksum, mayRenewChecksum } from './offloaded-checksum.ts';
import { PlaneCore } from './plane-core.ts';
import type { PlaneIo, PlaneSink } from './plane-io.ts';
import { TableChanges } from './table-changes.ts';
import { TcpSegmenter } from './tcp-segmenter.ts';

/** Senders whose address bytes are kept. */
const SENDER_CACHE_LIMIT = 10_000;
/** The largest IP packet with its Ethernet header. */
const PIECE_BYTES = 65_535 + ETHERNET_LENGTH;

export class Forwarder implements PlaneSink {
  readonly #core: PlaneCore;
  readonly #table: ForwardingTable;
  readonly #changes = new TableChanges();
  readonly #senders = new Map<string, Uint8Array>();
  readonly #io: PlaneIo;
  readonly #nowMs: () => number;
  readonly #onFailure: (error: Error) => void;
  readonly #segmenter = new TcpSegmenter();
  readonly #piece = new Uint8Array(PIECE_BYTES);
  readonly #linkHeaderLength: number;

  /** `nowMs` is monotonic milliseconds, for the ICMP rate limit. Begins at once. */
  constructor(config: PlaneConfig, io: PlaneIo, nowMs: () => number, onFailure: (error: Error) => void) {
    this.#table = new ForwardingTable(config.ownSubnets);
    this.#core = new PlaneCore(config, this.#table);
    this.#io = io;
    this.#nowMs = nowMs;
    this.#onFailure = onFailure;
    this.#linkHeaderLength = config.mode === 'vxlan' ? ETHERNET_LENGTH : 0;
    io.start(this, this.#core.headroom);
  }

  frame(bytes: Uint8Array, at: number, length: number): void {
    const verdict = this.#core.fromDevice(bytes, at, length, this.#nowMs());
    if (typeof verdict !== 'string') {
      const headroom = this.#core.headroom;
      this.#io.send(verdict, bytes, at - headroom, length + headroom, this.#core.outerTos);
      return;
    }
    const reply = this.#core.reply.frame;
    if (reply !== undefined) this.#io.write(reply, 0, reply.length);
  }

  datagram(sender: string, bytes: Uint8Array, at: number, length: number): void {
    const core = this.#core;
    if (core.fromSocket(this.#endpointOf(sender), bytes, at, length) !== undefined) return;
    if (core.oversize !== undefined) this.#writeCut(core.oversize, bytes, core.frameAt, core.frameLength);
    else this.#write(bytes, core.frameAt, core.frameLength);
  }

  sent(length: number): void {
    this.#core.counters.tx.packets++;
    this.#core.counters.tx.bytes += length - this.#core.headroom;
  }

  dropped(reason: DropReason): void {
    this.#core.counters.drop(reason);
  }

  failed(error: Error): void {
    this.#onFailure(error);
  }

  setPeer(peer: PlanePeer): void {
    this.#apply(this.#changes.setPeer(peer));
  }

  removePeer(node: string): void {
    this.#apply(this.#changes.removePeer(node));
  }

  setRoutes(routes: readonly PlaneRoute[]): void {
    for (const route of routes) this.#apply(this.#changes.setRoute(route));
  }

  setMtu(mtuBytes: number): void {
    this.#core.setMtu(mtuBytes);
  }

  stats(): PlaneStats {
    return {
      ...this.#core.counters.snapshot(),
      peers: this.#table.peerCount,
      prefixes: this.#table.prefixCount,
    };
  }

  #apply(changes: readonly number[]): void {
    this.#table.apply(Int32Array.from(changes));
  }

  #endpointOf(sender: string): number {
    let bytes = this.#senders.get(sender);
    if (bytes === undefined) {
      bytes = addressBytes(sender as Address);
      if (this.#senders.size < SENDER_CACHE_LIMIT) this.#senders.set(sender, bytes);
    }
    return this.#table.findSender(bytes.length === 4 ? 4 : 6, bytes, 0);
  }

  #write(bytes: Uint8Array, at: number, length: number): void {
    const { counters } = this.#core;
    if (!this.#io.write(bytes, at, length)) {
      counters.drop('rx-device-refused');
      return;
    }
    counters.rx.packets++;
    counters.rx.bytes += length;
  }

  /** Writes a frame that is larger than the MTU in pieces where it can be cut, else as it is. */
  #writeCut(family: Family, bytes: Uint8Array, at: number, length: number): void {
    const link = this.#linkHeaderLength;
    const inner = at + link;
    if (!this.#segmenter.begin(family, bytes, inner, this.#core.mtuBytes) || !mayRenewChecksum(family, bytes, inner)) {
      finishChecksum(family, bytes, inner);
      this.#write(bytes, at, length);
      return;
    }
    this.#piece.set(bytes.subarray(at, at + link));
    const payload = link + this.#segmenter.headerLength;
    while (this.#segmenter.next(this.#piece, link)) {
      const { payloadAt, payloadLength } = this.#segmenter;
      this.#piece.set(bytes.subarray(payloadAt, payloadAt + payloadLength), payload);
      this.#write(this.#piece, 0, payload + payloadLength);
    }
  }
}
