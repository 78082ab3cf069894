// The UDP socket of the batched driver: bound, with segmentation on send and coalescing on receipt, and room to queue.
//
// UDP_SEGMENT takes one large buffer and a size, and makes datagrams of it below the socket layer; UDP_GRO gives many
// datagrams of one size as one, and says the size. Since Linux 4.18 and 5.0; without one of them the other still serves.

import { errnoName } from '../../lib/kernel/errno.ts';
import { bind, close, SOCK, SOL_SOCKET, setSocketOption, socket } from '../../lib/kernel/syscalls.ts';
import { type Address, familyOf } from '../../lib/net/address.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { AF_INET, AF_INET6, socketAddress } from './socket-address.ts';

const SOCK_DGRAM = 2;
const SO_NO_CHECK = 11;
const SO_REUSEPORT = 15;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IPV6_V6ONLY = 26;
export const SOL_IP = 0;
export const SOL_IPV6 = 41;
export const IP_TOS = 1;
const IP_RECVTOS = 13;
export const IPV6_TCLASS = 67;
const IPV6_RECVTCLASS = 66;
export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

/** What the kernel may hold for us; net.core.rmem_max does not bind CAP_NET_ADMIN. */
const SOCKET_BUFFER_BYTES = 8 * 1024 * 1024;

/** An open socket, and which offloads it has. */
export interface OffloadSocket {
  readonly fd: number;
  readonly udpSegment: boolean;
  readonly udpGro: boolean;
}

export interface SocketWish {
  readonly udpSegment: boolean;
  readonly udpGro: boolean;
  /** The port is shared with other sockets of ours, among which the kernel spreads what arrives by its outer flow. */
  readonly isShared: boolean;
  readonly zeroChecksum: boolean;
}

/** A bound, non-blocking socket; tries the offloads that are `wanted`. Throws `ExitError` (environment). */
export function openOffloadSocket(localAddress: Address, port: number, wanted: SocketWish): OffloadSocket {
  const isV6 = familyOf(localAddress) === 6;
  const fd = socket(isV6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK.nonBlock | SOCK.closeOnExec, 0);
  if (fd < 0) throw new ExitError(EXIT.environment, `cannot open a UDP socket: ${errnoName(-fd)}`);
  if (isV6) setSocketOption(fd, SOL_IPV6, IPV6_V6ONLY, 1);
  // Where the outer ECN field cannot be told, a mark of the underlay is lost (RFC 6040 section 4.3: compatibility mode).
  if (isV6) setSocketOption(fd, SOL_IPV6, IPV6_RECVTCLASS, 1);
  else setSocketOption(fd, SOL_IP, IP_RECVTOS, 1);
  const udpGro = wanted.udpGro && setSocketOption(fd, SOL_UDP, UDP_GRO, 1) >= 0;
  // Asked only: the size goes with each message.
  // The kernel makes no segments without checksums: udp_send_skb refuses them with EINVAL.
  const isPlain = wanted.zeroChecksum && !isV6 && setSocketOption(fd, SOL_SOCKET, SO_NO_CHECK, 1) >= 0;
  const udpSegment = wanted.udpSegment && !isPlain && setSocketOption(fd, SOL_UDP, UDP_SEGMENT, 0) >= 0;
  if (wanted.isShared) setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  // Without the privilege the default buffer has to do.
  setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
  const code = bind(fd, socketAddress(localAddress, port));
  if (code >= 0) return { fd, udpSegment, udpGro };
  close(fd);
  throw new ExitError(EXIT.environment, `cannot bind UDP ${localAddress} port ${port}: ${errnoName(-code)}`);
}
