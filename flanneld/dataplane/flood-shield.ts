// Puts the flood filter on what receives while many bad datagrams come, and takes it off when they do not: what is read costs
// a share of a core, what the kernel drops before it is queued nearly nothing.
//
// The filter is as the table was when it was made: any command takes it off at once, and where the flood lasts the next
// look puts a new one on. Drops at the socket are counted whether it is on or off: a full queue is one of them.

import { droppedAtSocket } from '../../lib/kernel/packet-syscalls.ts';
import { attachFilter, detachFilter } from '../../lib/kernel/syscalls.ts';
import { familyOf } from '../../lib/net/address.ts';
import { macBytes } from '../../lib/net/mac.ts';
import { readI32, readU16 } from '../../lib/wire/bytes.ts';
import { coverRanges } from './address-ranges.ts';
import type { DropReason, PlaneConfig } from './data-plane.ts';
import { floodFilter, RANGES_MAX, SAMPLED } from './flood-filter.ts';
import type { ForwardingTable } from './forwarding-table.ts';
import type { PlaneCore } from './plane-core.ts';

/** Bad datagrams per second from which on the filter is put on, and below which it is taken off after a while. */
const FLOOD_PER_SECOND = 5_000;
const CALM_PER_SECOND = 1_000;
const CALM_MS = 1_000;
const LOOK_MS = 40;
/** What the filter could have dropped. */
const BAD: readonly DropReason[] = [
  ...(['rx-unknown-sender', 'rx-truncated', 'rx-vxlan-flags', 'rx-wrong-vni', 'rx-malformed'] as const),
  ...(['rx-unsupported-type', 'rx-multicast', 'rx-foreign-mac', 'rx-spoofed-source'] as const),
];

export class FloodShield {
  /** The UDP socket; of `ipip` that for IPv4 inside, then that for IPv6 inside. */
  readonly #sockets: readonly number[];
  readonly #config: PlaneConfig;
  readonly #table: ForwardingTable;
  readonly #core: PlaneCore;
  #isOn = false;
  #lookedMs = 0;
  #busyMs = 0;
  #bad = 0;
  #dropped = 0;
  /** What the kernel said last of each socket; it counts modulo 2^32. */
  readonly #told: number[];

  /** For the sockets by which a plane receives. */
  constructor(sockets: readonly number[], config: PlaneConfig, table: ForwardingTable, core: PlaneCore) {
    this.#sockets = sockets;
    this.#config = config;
    this.#table = table;
    this.#core = core;
    this.#told = sockets.map(droppedAtSocket);
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Counts what the kernel dropped; now and then looks whether there is a flood. */
  watch(nowMs: number): void {
    const { counters } = this.#core;
    for (let i = 0; i < this.#sockets.length; i++) {
      const told = droppedAtSocket(this.#sockets[i] as number);
      // A kernel that does not tell could not say when the flood is over.
      if (told < 0) return;
      const dropped = (told - (this.#told[i] as number)) >>> 0;
      this.#told[i] = told;
      this.#dropped += dropped;
      if (dropped > 0) counters.drop('rx-socket', dropped);
    }
    const elapsedMs = nowMs - this.#lookedMs;
    if (elapsedMs < LOOK_MS) return;
    let bad = 0;
    for (const reason of BAD) bad += counters.dropped(reason);
    // The kernel does not count what a filter drops at a raw socket: there what passes says how much comes.
    const weight = this.#isOn && this.#config.mode === 'ipip' ? SAMPLED : 1;
    // A queue that is full is no flood of bad ones by itself.
    const found = (bad - this.#bad) * weight + (this.#isOn ? this.#dropped : 0);
    this.#lookedMs = nowMs;
    this.#bad = bad;
    this.#dropped = 0;
    const perSecond = (found * 1000) / elapsedMs;
    if (perSecond > CALM_PER_SECOND) this.#busyMs = nowMs;
    if (!this.#isOn && perSecond > FLOOD_PER_SECOND) this.#putOn();
    else if (this.#isOn && nowMs - this.#busyMs > CALM_MS) this.takeOff();
  }

  /** The filter may not be right any more. */
  takeOff(): void {
    if (this.#isOn) for (const socket of this.#sockets) detachFilter(socket);
    this.#isOn = false;
  }

  #putOn(): void {
    const config = this.#config;
    const family = familyOf(config.localAddress);
    const filter = {
      family,
      senders: coverRanges(this.#table.senderRanges(family), RANGES_MAX),
      sources: coverRanges(this.#table.sourceRanges(), RANGES_MAX),
      mtuBytes: this.#core.mtuBytes,
      ...(config.mode === 'vxlan' && { vxlan: vxlanOf(config.vni, macBytes(config.mac)) }),
    };
    for (const [i, socket] of this.#sockets.entries()) {
      const inside = i === 0 ? 4 : 6;
      const program = floodFilter({ ...filter, ...(config.mode === 'ipip' && { ipip: inside }) });
      if (attachFilter(socket, program) >= 0) this.#isOn = true;
    }
  }
}

function vxlanOf(vni: number, mac: Uint8Array) {
  return { vni, macHigh: readU16(mac, 0), macLow: readI32(mac, 2) };
}
