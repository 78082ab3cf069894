// Ethernet II frames (IEEE 802.3 section 3), as they come out of a TAP device: no preamble, no frame check sequence.
//
//   0                   6                  12        14
//  +-------------------+------------------+---------+----------
//  | destination MAC   | source MAC       | type    | payload
//  +-------------------+------------------+---------+----------
//
// A tag (802.1Q) is one more type to us, and not one that the overlay carries.

export const ETHERNET = { destination: 0, source: 6, type: 12 } as const;

/** Length of the header, and thus of the shortest frame that can be read; a TAP does not pad to 60 bytes. */
export const ETHERNET_LENGTH = 14;

export const MAC_LENGTH = 6;

/** IEEE 802 numbers of the payloads that the overlay carries. */
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** Whether the address at `at` is a group address: multicast, or broadcast (the I/G bit, first on the wire). */
export function isGroupMac(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at] as number) & 1) === 1;
}
