// What a TUN or TAP device needs and node has no call for. The device itself is opened by the I/O driver that uses it.
//
// Renaming is here and not in `Kernel` because it is part of making the device: between the two calls it has a name that
// nobody asked for, and no other part of gingham may see it.

import { close, libcFunction, result, SOCK, socket } from './syscalls.ts';

/** include/uapi/linux/sockios.h. */
const SIOCSIFNAME = 0x8923;
const AF_INET = 2;
const SOCK_DGRAM = 2;

/** struct ifreq: a name, then a union; IFNAMSIZ is 16 with the final zero. */
const IFREQ = { name: 0, newName: 16, length: 40 } as const;
export const LINK_NAME_MAX_LENGTH = 15;

/** include/uapi/linux/if_tun.h. */
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const IFF = {
  tun: 0x0001,
  tap: 0x0002,
  multiQueue: 0x0100,
  noPacketInfo: 0x1000,
  vnetHeader: 0x4000,
  exclusive: 0x8000,
} as const;
export const TUN_OFFLOAD = { checksum: 0x01, tso4: 0x02, tso6: 0x04, tsoEcn: 0x08, uso4: 0x20, uso6: 0x40 } as const;
const O_RDWR = 2;
const IFREQ_FLAGS = 16;

const ioctl = libcFunction<[number, number, Uint8Array]>('int ioctl(int fd, unsigned long request, void *argument)');

const open = libcFunction<[string, number]>('int open(const char *path, int flags)');
const ioctlNumber = libcFunction<[number, number, number]>(
  'int ioctl(int fd, unsigned long request, unsigned long argument)',
);

/** How a device is opened: made anew; taken over where a persistent one is there; or one more queue of one that is open. */
export type TunOpening = 'make' | 'adopt' | 'join';

/**
 * Opens a device of this name, with a virtio-net header before each frame and no other framing; a non-blocking descriptor
 * that is its life, unless it is persistent. -errno where that fails: -EBUSY or -EEXIST where the name is taken, -EINVAL
 * where the kernel has no virtio-net header, or the device that is to be taken over is of another kind.
 */
export function openOffloadedTun(
  kind: 'tun' | 'tap',
  name: string,
  { opening, isMultiQueue }: { readonly opening: TunOpening; readonly isMultiQueue: boolean },
): number {
  const fd = result(open('/dev/net/tun', O_RDWR | SOCK.nonBlock | SOCK.closeOnExec));
  if (fd < 0) return fd;
  const request = new Uint8Array(IFREQ.length);
  new TextEncoder().encodeInto(name, request.subarray(IFREQ.name, IFREQ.name + LINK_NAME_MAX_LENGTH));
  const exclusive = opening === 'make' ? IFF.exclusive : 0;
  const flags = IFF[kind] | IFF.noPacketInfo | IFF.vnetHeader | exclusive | (isMultiQueue ? IFF.multiQueue : 0);
  new Uint8Array(request.buffer).set([flags & 0xff, flags >> 8], IFREQ_FLAGS);
  const code = result(ioctl(fd, TUNSETIFF, request));
  if (code >= 0) return fd;
  close(fd);
  return code;
}

/** Whether the device stays when its last descriptor is closed. 0 or -errno. */
export function setTunPersistent(fd: number, isPersistent: boolean): number {
  return result(ioctlNumber(fd, TUNSETPERSIST, isPersistent ? 1 : 0));
}

/** Removes a persistent device that nobody has open; of another one, or of none, is nothing. */
export function removePersistentTun(kind: 'tun' | 'tap', name: string): void {
  for (const isMultiQueue of [false, true]) {
    const fd = openOffloadedTun(kind, name, { opening: 'adopt', isMultiQueue });
    if (fd < 0) continue;
    setTunPersistent(fd, false);
    close(fd);
    return;
  }
}

/** Says which large frames the reader of `fd` takes: bits of `TUN_OFFLOAD`. 0 or -errno. */
export function setTunOffload(fd: number, offload: number): number {
  return result(ioctlNumber(fd, TUNSETOFFLOAD, offload));
}

/** Renames a link that is down. 0, or -errno: -EEXIST where the new name is taken. */
export function renameLink(name: string, newName: string): number {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK.closeOnExec, 0);
  if (fd < 0) return fd;
  const request = new Uint8Array(IFREQ.length);
  const encoder = new TextEncoder();
  encoder.encodeInto(name, request.subarray(IFREQ.name, IFREQ.name + LINK_NAME_MAX_LENGTH));
  encoder.encodeInto(newName, request.subarray(IFREQ.newName, IFREQ.newName + LINK_NAME_MAX_LENGTH));
  const code = result(ioctl(fd, SIOCSIFNAME, request));
  close(fd);
  return code;
}
