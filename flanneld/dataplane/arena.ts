// One block of memory at a known address, laid out for system calls: packet buffers, struct msghdr, struct iovec, control
// messages. What the kernel reads and writes here is never copied by JavaScript.
//
// Layouts are those of Linux on 64-bit little-endian machines (include/linux/socket.h); `isArenaMachine` says whether this is one.

import { endianness } from 'node:os';
import { addressOf } from '../../lib/kernel/packet-syscalls.ts';
import { useSummingMemory } from '../../lib/wire/checksum.ts';
import { summingMemory } from '../../lib/wire/vector-sum.ts';

/** struct msghdr. */
export const MSGHDR = {
  name: 0,
  nameLength: 8,
  vector: 16,
  vectorCount: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
  length: 56,
} as const;
/** struct mmsghdr: a msghdr, and how much of it was sent or received. */
export const MMSGHDR = { done: 56, length: 64 } as const;
const IOVEC = { address: 0, size: 8, length: 16 } as const;
/** struct cmsghdr, and its data. */
export const CMSG = { size: 0, level: 8, type: 12, data: 16 } as const;

const WORD_BYTES = 8;
const WORD_RANGE = 0x100000000;

export function isArenaMachine(): boolean {
  return endianness() === 'LE' && ['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch);
}

export class Arena {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #base: number;
  /** Lower and higher half of the base address. */
  readonly #baseLow: number;
  readonly #baseHigh: number;
  #used = 0;

  constructor(lengthBytes: number) {
    // Memory of its own (not from node's pool), so that the address is that of the first byte and stays.
    const memory = summingMemory(lengthBytes);
    this.bytes = new Uint8Array(memory === undefined ? new ArrayBuffer(lengthBytes) : memory.buffer);
    if (memory !== undefined) useSummingMemory(this.bytes, memory);
    this.#view = new DataView(this.bytes.buffer);
    this.#base = addressOf(this.bytes);
    this.#baseHigh = Math.floor(this.#base / WORD_RANGE);
    this.#baseLow = this.#base - this.#baseHigh * WORD_RANGE;
  }

  /** Takes `lengthBytes` out of what is free; gives the offset, a multiple of 8. Throws where the arena is too small. */
  take(lengthBytes: number): number {
    const at = this.#used;
    this.#used += Math.ceil(lengthBytes / WORD_BYTES) * WORD_BYTES;
    if (this.#used > this.bytes.length) throw new RangeError('the arena is too small');
    return at;
  }

  /** The address of the byte at `at`. */
  address(at: number): number {
    return this.#base + at;
  }

  /** Writes entry `index` of the vector at `vectorAt`: `lengthBytes` bytes at `at`. */
  setVector(vectorAt: number, index: number, at: number, lengthBytes: number): void {
    const view = this.#view;
    const entry = vectorAt + index * IOVEC.length;
    const low = this.#baseLow + at;
    view.setUint32(entry + IOVEC.address, low, true);
    view.setUint32(entry + IOVEC.address + 4, low < WORD_RANGE ? this.#baseHigh : this.#baseHigh + 1, true);
    view.setUint32(entry + IOVEC.size, lengthBytes, true);
    view.setUint32(entry + IOVEC.size + 4, 0, true);
  }

  /** Writes a pointer or size_t; both are below 2^53. */
  setWord(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
    this.#view.setUint32(at + 4, value / WORD_RANGE, true);
  }

  setInt32(at: number, value: number): void {
    this.#view.setInt32(at, value, true);
  }

  setUint16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  int32(at: number): number {
    return this.#view.getInt32(at, true);
  }

  uint16(at: number): number {
    return this.#view.getUint16(at, true);
  }
}

/** Bytes of a vector of `count` entries. */
export function vectorLength(count: number): number {
  return count * IOVEC.length;
}
