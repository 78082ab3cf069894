// Which offloads the batched driver has here: each is asked for by itself, and what is missing is done without.
//
// What goes when one is missing: TSO: the kernel cuts TCP packets before we read them. USO: large UDP packets are not taken
// whole, in neither direction. UDP_SEGMENT: one message per datagram. UDP_GRO: one datagram per message. sendmmsg, recvmmsg:
// one message per call. Only the virtio-net header cannot be done without: that is what the tuntap driver is for.

import { receiveMessagesAt, sendMessagesAt } from '../../lib/kernel/packet-syscalls.ts';
import { setTunOffload, TUN_OFFLOAD } from '../../lib/kernel/tun-device.ts';

export const OFFLOADS = ['tso', 'uso', 'udp-segment', 'udp-gro', 'sendmmsg', 'recvmmsg'] as const;
export type Offload = (typeof OFFLOADS)[number];

const TSO = TUN_OFFLOAD.checksum | TUN_OFFLOAD.tso4 | TUN_OFFLOAD.tso6 | TUN_OFFLOAD.tsoEcn;
const USO = TUN_OFFLOAD.uso4 | TUN_OFFLOAD.uso6;
/** -errno of a call that does not exist, or that a filter of system calls forbids. */
const MISSING: readonly number[] = [-38, -1];

/** Switches on what the device and we both can do, of what is wanted; says what that was. */
export function setDeviceOffloads(tun: number, wanted: (offload: Offload) => boolean): ReadonlySet<Offload> {
  const tso = wanted('tso') ? TSO : 0;
  // Segmentation of any kind needs checksums.
  const uso = wanted('uso') ? USO | TUN_OFFLOAD.checksum : 0;
  if (uso !== 0 && setTunOffload(tun, tso | uso) >= 0) return new Set(tso === 0 ? ['uso'] : ['tso', 'uso']);
  if (tso !== 0 && setTunOffload(tun, tso) >= 0) return new Set(['tso']);
  setTunOffload(tun, 0);
  return new Set();
}

/** Which calls for several messages this kernel has; `socket` is non-blocking and nothing is sent. */
export function findMessageCalls(socket: number, wanted: (offload: Offload) => boolean): ReadonlySet<Offload> {
  const found = new Set<Offload>();
  // With no messages to send or receive the calls do nothing where they exist.
  if (wanted('sendmmsg') && !MISSING.includes(sendMessagesAt(socket, 0, 0, 0))) found.add('sendmmsg');
  if (wanted('recvmmsg') && !MISSING.includes(receiveMessagesAt(socket, 0, 0, 0))) found.add('recvmmsg');
  return found;
}

/** For the log and the status page: what is used, then what is missing. */
export function describeOffloads(taken: ReadonlySet<Offload>): string {
  const missing = OFFLOADS.filter((offload) => !taken.has(offload));
  const used = OFFLOADS.filter((offload) => taken.has(offload));
  const without = missing.length === 0 ? '' : `; without ${missing.join(', ')}`;
  return `virtio-net header${used.map((offload) => `, ${offload}`).join('')}${without}`;
}
