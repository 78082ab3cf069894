// Puts the flood filter on the socket while many bad datagrams come, and takes it off when they do not: what is read costs
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
import type { DropReason, IpipPlaneConfig, PlaneConfig } from './data-plane.ts';
import { floodFilter, RANGES_MAX } from './flood-filter.ts';
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
  readonly #socket: number;
  readonly #config: Exclude<PlaneConfig, IpipPlaneConfig>;
  readonly #table: ForwardingTable;
  readonly #core: PlaneCore;
  #isOn = false;
  #lookedMs = 0;
  #busyMs = 0;
  #bad = 0;
  #dropped = 0;
  /** What the kernel said last; it counts modulo 2^32. */
  #told: number;

  /** For the UDP socket of a plane. */
  constructor(socket: number, config: Exclude<PlaneConfig, IpipPlaneConfig>, table: ForwardingTable, core: PlaneCore) {
    this.#socket = socket;
    this.#config = config;
    this.#table = table;
    this.#core = core;
    this.#told = droppedAtSocket(socket);
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Counts what the kernel dropped; now and then looks whether there is a flood. */
  watch(nowMs: number): void {
    const { counters } = this.#core;
    const told = droppedAtSocket(this.#socket);
    // A kernel that does not tell could not say when the flood is over.
    if (told < 0) return;
    const dropped = (told - this.#told) >>> 0;
    this.#told = told;
    this.#dropped += dropped;
    if (dropped > 0) counters.drop('rx-socket', dropped);
    const elapsedMs = nowMs - this.#lookedMs;
    if (elapsedMs < LOOK_MS) return;
    let bad = 0;
    for (const reason of BAD) bad += counters.dropped(reason);
    // A queue that is full is no flood of bad ones by itself.
    const found = bad - this.#bad + (this.#isOn ? this.#dropped : 0);
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
    if (this.#isOn) detachFilter(this.#socket);
    this.#isOn = false;
  }

  #putOn(): void {
    const family = familyOf(this.#config.localAddress);
    const filter = {
      family,
      senders: coverRanges(this.#table.senderRanges(family), RANGES_MAX),
      sources: coverRanges(this.#table.sourceRanges(), RANGES_MAX),
      mtuBytes: this.#core.mtuBytes,
    };
    const vxlan = this.#config.mode === 'vxlan' ? vxlanOf(this.#config.vni, macBytes(this.#config.mac)) : undefined;
    this.#isOn = attachFilter(this.#socket, floodFilter({ ...filter, ...(vxlan && { vxlan }) })) >= 0;
  }
}

function vxlanOf(vni: number, mac: Uint8Array) {
  return { vni, macHigh: readU16(mac, 0), macLow: readI32(mac, 2) };
}
