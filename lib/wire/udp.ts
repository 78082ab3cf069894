// The UDP header (RFC 768): where its fields are.
// Outer headers are the kernel's business; this is for packets inside the tunnel.
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-------------------------------+-------------------------------+
//  |          source port          |       destination port        |
//  +-------------------------------+-------------------------------+
//  |            length             |    checksum (0: none)         |

export const UDP = { sourcePort: 0, destinationPort: 2, length: 4, checksum: 6 } as const;

export const UDP_LENGTH = 8;
