// A socket that sends whole Ethernet frames out of one interface, with a mark by which nftables knows them: packet(7).
//
// As in syscalls.ts: a result or -errno, no throw.

import { bind, close, MSG, SOCK, SOL_SOCKET, send, setSocketOption, socket } from '../../lib/kernel/syscalls.ts';

const AF_PACKET = 17;
const SO_MARK = 36;
/** struct sockaddr_ll: family, protocol, interface, and what only receivers need. */
const SOCKADDR = { family: 0, interface: 4, length: 20 } as const;

/** A descriptor that sends out of the interface of this index and receives nothing (protocol 0). */
export function openFrameSocket(interfaceIndex: number, mark: number): number {
  const fd = socket(AF_PACKET, SOCK.raw | SOCK.nonBlock | SOCK.closeOnExec, 0);
  if (fd < 0) return fd;
  const address = new Uint8Array(SOCKADDR.length);
  const view = new DataView(address.buffer);
  // In the machine's own order, which is little endian wherever gingham runs.
  view.setUint16(SOCKADDR.family, AF_PACKET, true);
  view.setInt32(SOCKADDR.interface, interfaceIndex, true);
  const code = Math.min(bind(fd, address), setSocketOption(fd, SOL_SOCKET, SO_MARK, mark));
  if (code >= 0) return fd;
  close(fd);
  return code;
}

/** Sends one frame; what does not fit into the interface's queue is lost, as on a link. */
export function sendFrame(fd: number, frame: Uint8Array): number {
  return send(fd, frame, frame.length, MSG.dontWait);
}
