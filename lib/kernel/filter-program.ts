// Classic BPF programs for sockets (Documentation/networking/filter.rst), written as steps and encoded as struct sock_filter.
// No policy: what a filter lets through is its writer's business; `attachFilter` of syscalls.ts gives it to a socket.
//
// The confusing thing: loads are big endian, and a load behind the end of the datagram ends the program with "drop".

import { HOST_IS_LITTLE_ENDIAN } from '../wire/netlink-attributes.ts';

export const OP = {
  ...{ loadWord: 0x20, loadHalf: 0x28, loadByte: 0x30, loadLength: 0x80, loadScratch: 0x60, store: 0x02 },
  ...{ and: 0x54, subtract: 0x14, shiftRight: 0x74, addX: 0x0c, copyToX: 0x07, copyFromX: 0x87 },
  /** X becomes four times the low four bits of a byte: the length of an IPv4 header. */
  loadHeaderLengthX: 0xb1,
  ...{ jump: 0x05, jumpIfEqual: 0x15, jumpIfAbove: 0x25, jumpIfAtLeast: 0x35, jumpIfAny: 0x45 },
  ...{ jumpIfAboveX: 0x2d, jumpIfAtLeastX: 0x3d, return: 0x06 },
} as const;

/** What `return` says: nothing of the datagram, or all of it. */
export const DROP = 0;
export const WHOLE = 0xffff_ffff;

/** Jumps are relative to the next instruction. */
export type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

const INSTRUCTION_LENGTH = 8;

/** The program as the kernel reads it. */
export function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_LENGTH);
  const view = new DataView(bytes.buffer);
  for (const [at, [code, ifTrue, ifFalse, value]] of program.entries()) {
    const start = at * INSTRUCTION_LENGTH;
    view.setUint16(start, code, HOST_IS_LITTLE_ENDIAN);
    view.setUint8(start + 2, ifTrue);
    view.setUint8(start + 3, ifFalse);
    view.setUint32(start + 4, value, HOST_IS_LITTLE_ENDIAN);
  }
  return bytes;
}
