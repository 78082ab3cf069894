// The TCP header (RFC 9293 section 3.1): where its fields are, and its flags.
// What a whole segment means is for the kernel to know; here headers are read and cut, never answered.
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-------------------------------+-------------------------------+
//  |          source port          |       destination port        |
//  +-------------------------------+-------------------------------+
//  |                        sequence number                        |
//  |                     acknowledgment number                     |
//  +-------+-------+---------------+-------------------------------+
//  |offset |reserv.|C E U A P R S F|            window             |
//  +-------+-------+---------------+-------------------------------+
//  |           checksum            |        urgent pointer         |

export const TCP = {
  sourcePort: 0,
  destinationPort: 2,
  sequence: 4,
  acknowledgment: 8,
  dataOffset: 12,
  flags: 13,
  window: 14,
  checksum: 16,
  urgentPointer: 18,
} as const;

/** Length of a header without options. */
export const TCP_LENGTH = 20;

export const TCP_FLAG = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const;

/** Length of the header with its options, bytes; may be nonsense where the packet is. */
export function tcpHeaderLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at + TCP.dataOffset] as number) >> 4) * 4;
}
