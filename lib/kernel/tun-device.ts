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

const ioctl = libcFunction<[number, number, Uint8Array]>('int ioctl(int fd, unsigned long request, void *argument)');

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
