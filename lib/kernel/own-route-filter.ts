// The socket filter that keeps notifications of our own route changes from our notification socket: 100,000 of them would
// overrun it, and say nothing that the acknowledgements have not said.
//
//   0 load type     1 RTM_NEWROUTE? -> 3     2 RTM_DELROUTE? -> 3, else 6
//   3 load port     4 ours? -> 5, else 6     5 drop     6 take the whole datagram
//
// Classic BPF (Documentation/networking/filter.rst). A notification carries the port id of the socket that asked for the
// change, and each is a datagram of its own. The confusing thing: BPF loads are big endian, netlink is in host order.

import { HEADER } from '../wire/netlink.ts';
import { HOST_IS_LITTLE_ENDIAN } from '../wire/netlink-attributes.ts';
import { RTM } from '../wire/rtnetlink.ts';
import { DROP, encodeProgram, type Instruction, OP, WHOLE } from './filter-program.ts';

/** The program for the socket whose changes are to be left out. */
export function ownRouteFilter(port: number): Uint8Array {
  const program: readonly Instruction[] = [
    [OP.loadHalf, 0, 0, HEADER.type],
    [OP.jumpIfEqual, 1, 0, bigEndian(RTM.newRoute, 2)],
    [OP.jumpIfEqual, 0, 3, bigEndian(RTM.deleteRoute, 2)],
    [OP.loadWord, 0, 0, HEADER.port],
    [OP.jumpIfEqual, 0, 1, bigEndian(port, 4)],
    [OP.return, 0, 0, DROP],
    [OP.return, 0, 0, WHOLE],
  ];
  return encodeProgram(program);
}

/** What a big-endian load makes of a number that lies there in host order. */
function bigEndian(value: number, length: 2 | 4): number {
  const view = new DataView(new ArrayBuffer(4));
  if (length === 2) view.setUint16(0, value, HOST_IS_LITTLE_ENDIAN);
  else view.setUint32(0, value, HOST_IS_LITTLE_ENDIAN);
  return length === 2 ? view.getUint16(0) : view.getUint32(0);
}
