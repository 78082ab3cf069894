// Netlink messages and attributes: the framing that every netlink family shares. Not rtnetlink's objects (rtnetlink-*.ts),
// not the socket (lib/kernel/netlink-socket.ts). Kernel headers: include/uapi/linux/netlink.h.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |               length, with this header, unpadded              |   messages and attributes start at multiples of 4;
// |             type              |             flags             |   integers are in the host's byte order, unless a
// |                        sequence number                        |   comment says big endian (addresses, UDP ports)
// |                     port id (of a socket)                     |
//
// Nothing here throws.

import {
  attributeCursor,
  HOST_IS_LITTLE_ENDIAN,
  type NetlinkError,
  nextAttribute,
  readText,
  viewOf,
} from './netlink-attributes.ts';

export const NETLINK_HEADER_LENGTH = 16;

/** Offsets in the message header. */
export const HEADER = { length: 0, type: 4, flags: 6, sequence: 8, port: 12 } as const;

/** `nlmsg_type` below NLMSG_MIN_TYPE (16): the messages of netlink itself. */
export const NLMSG = { noop: 1, error: 2, done: 3, overrun: 4 } as const;

export const NLM_F = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  /** The dump met a table that changed while it was read: what was listed may lack or repeat objects. */
  dumpInterrupted: 0x10,
  /** A listing: NLM_F_ROOT and NLM_F_MATCH. */
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  /** In an acknowledgement: the request is not repeated in it. */
  capped: 0x100,
  /** In an acknowledgement: attributes (NLMSGERR_ATTR_*) follow. */
  ackAttributes: 0x200,
} as const;

const NLMSGERR_ATTR_MSG = 1;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  /** Offset of the payload. */
  readonly start: number;
  /** Offset after the payload. */
  readonly end: number;
  /** Of the bytes that it is in. */
  readonly view: DataView;
  /** Offset of the next message. */
  readonly next: number;
}

/** NLMSG_ERROR or NLMSG_DONE: 0 for success, otherwise a positive error number, perhaps with the kernel's own words. */
export interface NetlinkAck {
  readonly errno: number;
  readonly message?: string;
}

/** The message at `offset`, of those in the first `limit` bytes. */
export function decodeMessage(view: DataView, offset: number, limit: number): NetlinkMessage | NetlinkError {
  if (offset + NETLINK_HEADER_LENGTH > limit) return { error: 'truncated', field: 'nlmsghdr' };
  const length = view.getUint32(offset + HEADER.length, HOST_IS_LITTLE_ENDIAN);
  if (length < NETLINK_HEADER_LENGTH) return { error: 'bad-length', field: 'nlmsg_len' };
  const end = offset + length;
  if (end > limit) return { error: 'truncated', field: 'nlmsg_len' };
  return {
    type: view.getUint16(offset + HEADER.type, HOST_IS_LITTLE_ENDIAN),
    flags: view.getUint16(offset + HEADER.flags, HOST_IS_LITTLE_ENDIAN),
    sequence: view.getUint32(offset + HEADER.sequence, HOST_IS_LITTLE_ENDIAN),
    port: view.getUint32(offset + HEADER.port, HOST_IS_LITTLE_ENDIAN),
    start: offset + NETLINK_HEADER_LENGTH,
    end,
    view,
    next: Math.min(limit, (end + 3) & ~3),
  };
}

/**
 * The result in NLMSG_ERROR or NLMSG_DONE. Malformed attributes after it lose the kernel's words, not the result.
 * NLMSG_ERROR repeats the request between the number and the attributes: its header only, where NLM_F_CAPPED is set.
 */
export function decodeAck(bytes: Uint8Array, message: NetlinkMessage): NetlinkAck | NetlinkError {
  const view = viewOf(bytes);
  if (message.start + 4 > message.end) return { error: 'truncated', field: 'nlmsgerr' };
  const errno = 0 - view.getInt32(message.start, HOST_IS_LITTLE_ENDIAN);
  if (errno < 0) return { error: 'bad-value', field: 'nlmsgerr.error' };
  if (!(message.flags & NLM_F.ackAttributes)) return { errno };
  let attributes = message.start + 4;
  if (message.type === NLMSG.error) {
    if (attributes + NETLINK_HEADER_LENGTH > message.end) return { errno };
    const request =
      message.flags & NLM_F.capped ? NETLINK_HEADER_LENGTH : view.getUint32(attributes, HOST_IS_LITTLE_ENDIAN);
    if (request > message.end - attributes) return { errno };
    attributes += (request + 3) & ~3;
  }
  const cursor = attributeCursor(bytes, view, attributes, message.end);
  while (nextAttribute(cursor)) {
    if (cursor.type === NLMSGERR_ATTR_MSG) return { errno, message: readText(cursor) };
  }
  return { errno };
}
