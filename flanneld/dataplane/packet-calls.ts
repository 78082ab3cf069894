// What the batched driver asks of the kernel for each packet, as an interface: the real calls, or those of a test.
//
// Addresses are those of the arena (`Arena.address`); every call gives what the system call gives, or -errno. None waits.

import {
  readAt,
  receiveMessageAt,
  receiveMessagesAt,
  sendMessageAt,
  sendMessagesAt,
  writeVectorAt,
} from '../../lib/kernel/packet-syscalls.ts';

export interface PacketCalls {
  /** One frame from the device: its length. */
  read(fd: number, address: number, length: number): number;
  /** One frame to the device, gathered from `count` struct iovec. */
  writeVector(fd: number, address: number, count: number): number;
  /** `count` struct mmsghdr; how many were sent. An error is told only where the first was not. */
  sendMessages(fd: number, address: number, count: number): number;
  /** Fills in up to `count` struct mmsghdr; how many. */
  receiveMessages(fd: number, address: number, count: number): number;
}

/** What may be missing, and is then done one message at a time. */
export interface CallFeatures {
  readonly sendmmsg: boolean;
  readonly recvmmsg: boolean;
}

/** Where struct mmsghdr has the length of what was received. */
export const MESSAGE_LENGTH_AT = 56;

/** The real calls; `setLength` writes a message's length where the kernel does not, at an address. */
export function kernelCalls(
  { sendmmsg, recvmmsg }: CallFeatures,
  setLength: (address: number, length: number) => void,
): PacketCalls {
  return {
    read: readAt,
    writeVector: writeVectorAt,
    sendMessages(fd, address, count) {
      if (sendmmsg && count > 1) return sendMessagesAt(fd, address, count, 0);
      const sent = sendMessageAt(fd, address, 0);
      return sent < 0 ? sent : 1;
    },
    receiveMessages(fd, address, count) {
      if (recvmmsg && count > 1) return receiveMessagesAt(fd, address, count, 0);
      const length = receiveMessageAt(fd, address, 0);
      if (length < 0) return length;
      setLength(address + MESSAGE_LENGTH_AT, length);
      return 1;
    },
  };
}
