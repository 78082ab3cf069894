// Classic BPF, one instruction after the other, by Documentation/networking/filter.rst and without a line of the code that
// writes programs: what a socket filter makes of a datagram, where no kernel is at hand.

const NET_OFF = -0x100000;
const RANDOM = -0x1000 + 56;

/** What the program returns: bytes to keep. `network` is where SKF_NET_OFF points: the outer IP header. */
export function runFilter(program: Uint8Array, data: Uint8Array, network: Uint8Array, random: number): number {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  const scratch = new Map<number, number>();
  let a = 0;
  let x = 0;
  for (let at = 0; ; at++) {
    if (at < 0 || at * 8 >= program.length) throw new Error(`the program runs out of itself at ${at}`);
    const code = view.getUint16(at * 8, true);
    const [ifTrue, ifFalse] = [view.getUint8(at * 8 + 2), view.getUint8(at * 8 + 3)];
    const k = view.getUint32(at * 8 + 4, true);
    const jump = (condition: boolean): void => {
      at += condition ? ifTrue : ifFalse;
    };
    const load = (length: number): number | undefined => {
      const offset = k | 0;
      if (offset === RANDOM) return random >>> 0;
      const [from, start] = offset < 0 ? [network, offset - NET_OFF] : [data, offset];
      if (start + length > from.length) return undefined;
      return Number.parseInt(Buffer.from(from.subarray(start, start + length)).toString('hex'), 16);
    };
    if ([0x20, 0x28, 0x30, 0xb1].includes(code)) {
      const value = load(code === 0x20 ? 4 : code === 0x28 ? 2 : 1);
      if (value === undefined) return 0;
      if (code === 0xb1) x = (value & 15) * 4;
      else a = value;
    } else if (code === 0x80) a = data.length;
    else if (code === 0x60) a = scratch.get(k) ?? Number.NaN;
    else if (code === 0x02) scratch.set(k, a);
    else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x14) a = (a - k) >>> 0;
    else if (code === 0x74) a >>>= k;
    else if (code === 0x0c) a = (a + x) >>> 0;
    else if (code === 0x07) x = a;
    else if (code === 0x87) a = x;
    else if (code === 0x05) at += k;
    else if (code === 0x15) jump(a === k);
    else if (code === 0x25) jump(a > k);
    else if (code === 0x35) jump(a >= k);
    else if (code === 0x45) jump((a & k) !== 0);
    else if (code === 0x2d) jump(a > x);
    else if (code === 0x3d) jump(a >= x);
    else if (code === 0x06) return k;
    else throw new Error(`instruction ${at} has the unknown code ${code}`);
  }
}
