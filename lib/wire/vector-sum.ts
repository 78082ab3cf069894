// Memory in which Internet checksums are computed 16 bytes at a time, by the vector instructions that JavaScript has only
// through WebAssembly. A few dozen bytes of machine code, written out below; no compiler, no binary file.
//
//   acc = 0                                  four 32-bit lanes
//   while (at != end)                        a multiple of 16 bytes, below 64 KiB: no lane overflows
//     acc += pairwise sums of the eight 16-bit words at `at`;  at += 16
//   return the sum of the lanes              in the byte order of the machine, little-endian always
//
// Opcodes: WebAssembly core specification 2.0, section 5.4 (binary format of instructions).

/** The part of WebAssembly's interface that is used; the standard types come with the DOM, which is not ours. */
interface Engine {
  readonly Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
}

export interface SummingMemory {
  readonly buffer: ArrayBuffer;
  /** Adds the little-endian 16-bit words of bytes [at, end), a multiple of 16 bytes, below 64 KiB; not folded. */
  readonly sum: (at: number, end: number) => number;
}

const PAGE_BYTES = 65_536;

const TYPE = { i32: 0x7f, v128: 0x7b, function: 0x60, block: 0x40 } as const;
const OP = { block: 0x02, loop: 0x03, end: 0x0b, br: 0x0c, brIf: 0x0d, get: 0x20, set: 0x21, tee: 0x22 } as const;
const I32 = { constant: 0x41, eq: 0x46, add: 0x6a } as const;
/** Each after the prefix 0xfd; those above 127 take two bytes. */
const V128_LOAD = [0xfd, 0x00, 0x00, 0x00];
const V128_CONST_ZERO = [0xfd, 0x0c, ...new Array<number>(16).fill(0)];
const I32X4_EXTADD_PAIRWISE_I16X8_U = [0xfd, 0x7f];
const I32X4_ADD = [0xfd, 0xae, 0x01];
const I32X4_EXTRACT_LANE = [0xfd, 0x1b];

/** Locals of the function: its two parameters, and the sum. */
const AT = 0;
const END = 1;
const ACC = 2;

const lane = (index: number): number[] => [OP.get, ACC, ...I32X4_EXTRACT_LANE, index];

const BODY = [
  // One local besides the parameters.
  ...[1, 1, TYPE.v128],
  ...[...V128_CONST_ZERO, OP.set, ACC],
  ...[OP.block, TYPE.block, OP.loop, TYPE.block],
  ...[OP.get, AT, OP.get, END, I32.eq, OP.brIf, 1],
  ...[OP.get, ACC, OP.get, AT, ...V128_LOAD, ...I32X4_EXTADD_PAIRWISE_I16X8_U, ...I32X4_ADD, OP.set, ACC],
  ...[OP.get, AT, I32.constant, 16, I32.add, OP.set, AT, OP.br, 0],
  ...[OP.end, OP.end],
  ...[...lane(0), ...lane(1), I32.add, ...lane(2), I32.add, ...lane(3), I32.add],
  OP.end,
];

/** `\0asm`, version 1; then sections: types, imports (the memory), functions, exports, code. */
function moduleBytes(pages: number): Uint8Array {
  const name = (text: string): number[] => [text.length, ...Array.from(text, (letter) => letter.charCodeAt(0))];
  return Uint8Array.of(
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, TYPE.function, 2, TYPE.i32, TYPE.i32, 1, TYPE.i32]),
    ...section(2, [1, ...name('e'), ...name('m'), 0x02, 0x01, ...unsigned(pages), ...unsigned(pages)]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('sum'), 0x00, 0]),
    ...section(10, [1, ...unsigned(BODY.length), ...BODY]),
  );
}

/** Memory of at least `lengthBytes` that never moves; `undefined` where this machine has no such instructions. */
export function summingMemory(lengthBytes: number): SummingMemory | undefined {
  const engine = (globalThis as unknown as { readonly WebAssembly?: Engine }).WebAssembly;
  if (engine === undefined) return undefined;
  const pages = Math.ceil(lengthBytes / PAGE_BYTES);
  try {
    const memory = new engine.Memory({ initial: pages, maximum: pages });
    const module = new engine.Module(moduleBytes(pages));
    const { exports } = new engine.Instance(module, { e: { m: memory } });
    return { buffer: memory.buffer, sum: exports['sum'] as SummingMemory['sum'] };
  } catch {
    // No vector instructions, or no room in the address space: sums are computed without.
    return undefined;
  }
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
