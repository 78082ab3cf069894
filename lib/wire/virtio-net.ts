// The virtio-net header that stands before each frame of a TUN or TAP device with IFF_VNET_HDR (include/uapi/linux/virtio_net.h).
//
//   0        1          2          4          6            8             10
//  +--------+----------+----------+----------+------------+-------------+------
//  | flags  | GSO type | hdr len  | GSO size | csum start | csum offset | frame
//  +--------+----------+----------+----------+------------+-------------+------
//
// The 16-bit fields are in the machine's own byte order; gingham runs on little-endian machines only where it uses this.
// "hdr len" is a hint from the kernel and not the length of the headers: never trust it.

export const VIRTIO_NET = {
  flags: 0,
  gsoType: 1,
  headerLength: 2,
  gsoSize: 4,
  checksumStart: 6,
  checksumOffset: 8,
} as const;

/** Without the field for merged buffers, which a TUN device has no use for unless TUNSETVNETHDRSZ asks for it. */
export const VIRTIO_NET_LENGTH = 10;

/** The checksum at start + offset holds the sum of the pseudo-header only. */
export const VIRTIO_NET_NEEDS_CHECKSUM = 1;

/** In the field `gsoType`; `udp` (VIRTIO_NET_HDR_GSO_UDP_L4) is of both families, `ecn` is a flag beside the type. */
export const VIRTIO_NET_GSO = { none: 0, tcp4: 1, tcp6: 4, udp: 5, ecn: 0x80 } as const;

export interface VirtioNetHeader {
  readonly gsoType: number;
  readonly gsoSize: number;
  readonly headerLength: number;
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

/** Reads a little-endian 16-bit field. */
export function readVirtioField(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

/** Writes the header of a frame whose transport checksum is left to the kernel. */
export function writeVirtioNet(header: VirtioNetHeader, into: Uint8Array, at: number): void {
  into[at + VIRTIO_NET.flags] = VIRTIO_NET_NEEDS_CHECKSUM;
  into[at + VIRTIO_NET.gsoType] = header.gsoType;
  writeField(into, at + VIRTIO_NET.headerLength, header.headerLength);
  writeField(into, at + VIRTIO_NET.gsoSize, header.gsoSize);
  writeField(into, at + VIRTIO_NET.checksumStart, header.checksumStart);
  writeField(into, at + VIRTIO_NET.checksumOffset, header.checksumOffset);
}

function writeField(into: Uint8Array, at: number, value: number): void {
  into[at] = value;
  into[at + 1] = value >>> 8;
}
