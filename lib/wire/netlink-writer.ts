// Netlink messages and attributes, written into the caller's buffer. Reading: netlink.ts and netlink-attributes.ts.
//
// What does not fit marks the writer instead of throwing, and `endMessage` then takes the whole message back: one look
// at the end of a message is enough, whatever was put into it.

import { HEADER, NETLINK_HEADER_LENGTH } from './netlink.ts';
import { ATTRIBUTE_HEADER_LENGTH, HOST_IS_LITTLE_ENDIAN, viewOf } from './netlink-attributes.ts';

const NESTED = 0x8000;
/** `nla_len` has 16 bits. */
const ATTRIBUTE_MAX_LENGTH = 0xffff;
const UTF8_ENCODER = new TextEncoder();

/** Where messages are written. The caller owns the bytes and looks at `overflow` through `endMessage` only. */
export interface NetlinkWriter {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Bytes in use; the next message starts here. */
  length: number;
  overflow: boolean;
}

/** A writer at the start of these bytes. */
export function netlinkWriter(bytes: Uint8Array): NetlinkWriter {
  return { bytes, view: viewOf(bytes), length: 0, overflow: false };
}

/** Starts a message; the returned offset goes to `endMessage`. */
export function beginMessage(writer: NetlinkWriter, type: number, flags: number, sequence: number): number {
  const start = writer.length;
  writer.overflow = false;
  const at = reserve(writer, NETLINK_HEADER_LENGTH);
  if (at < 0) return start;
  writer.view.setUint32(at + HEADER.length, NETLINK_HEADER_LENGTH, HOST_IS_LITTLE_ENDIAN);
  writer.view.setUint16(at + HEADER.type, type, HOST_IS_LITTLE_ENDIAN);
  writer.view.setUint16(at + HEADER.flags, flags, HOST_IS_LITTLE_ENDIAN);
  writer.view.setUint32(at + HEADER.sequence, sequence, HOST_IS_LITTLE_ENDIAN);
  writer.view.setUint32(at + HEADER.port, 0, HOST_IS_LITTLE_ENDIAN);
  return start;
}

/** Closes the message. False where it did not fit: then nothing of it remains in the writer. */
export function endMessage(writer: NetlinkWriter, start: number): boolean {
  if (writer.overflow) {
    writer.length = start;
    return false;
  }
  writer.view.setUint32(start + HEADER.length, writer.length - start, HOST_IS_LITTLE_ENDIAN);
  return true;
}

/** Sets flags of a message that is already in the writer, such as NLM_F_ACK on the last one of a batch. */
export function addFlags(writer: NetlinkWriter, start: number, flags: number): void {
  const at = start + HEADER.flags;
  writer.view.setUint16(at, writer.view.getUint16(at, HOST_IS_LITTLE_ENDIAN) | flags, HOST_IS_LITTLE_ENDIAN);
}

/** Takes `size` zeroed bytes, padded to 4; their offset, or -1 where they do not fit. */
export function reserve(writer: NetlinkWriter, size: number): number {
  const at = writer.length;
  const end = at + ((size + 3) & ~3);
  if (writer.overflow || end > writer.bytes.length) {
    writer.overflow = true;
    return -1;
  }
  writer.bytes.fill(0, at, end);
  writer.length = end;
  return at;
}

/** Reserves an attribute with `size` bytes of payload; offset of the payload, or -1 where it does not fit. */
export function reserveAttribute(writer: NetlinkWriter, type: number, size: number): number {
  if (ATTRIBUTE_HEADER_LENGTH + size > ATTRIBUTE_MAX_LENGTH) writer.overflow = true;
  const at = reserve(writer, ATTRIBUTE_HEADER_LENGTH + size);
  if (at < 0) return -1;
  writer.view.setUint16(at, ATTRIBUTE_HEADER_LENGTH + size, HOST_IS_LITTLE_ENDIAN);
  writer.view.setUint16(at + 2, type, HOST_IS_LITTLE_ENDIAN);
  return at + ATTRIBUTE_HEADER_LENGTH;
}

export function putU8(writer: NetlinkWriter, type: number, value: number): void {
  const at = reserveAttribute(writer, type, 1);
  if (at >= 0) writer.view.setUint8(at, value);
}

/** A 16-bit value in network byte order, as UDP ports are. */
export function putU16BigEndian(writer: NetlinkWriter, type: number, value: number): void {
  const at = reserveAttribute(writer, type, 2);
  if (at >= 0) writer.view.setUint16(at, value, false);
}

export function putU32(writer: NetlinkWriter, type: number, value: number): void {
  const at = reserveAttribute(writer, type, 4);
  if (at >= 0) writer.view.setUint32(at, value, HOST_IS_LITTLE_ENDIAN);
}

export function putBytes(writer: NetlinkWriter, type: number, value: Uint8Array): void {
  const at = reserveAttribute(writer, type, value.length);
  if (at >= 0) writer.bytes.set(value, at);
}

/** Text with its terminating zero byte. */
export function putText(writer: NetlinkWriter, type: number, value: string): void {
  putBytes(writer, type, UTF8_ENCODER.encode(`${value}\0`));
}

/** Starts an attribute that holds attributes; the returned offset goes to `endNested`. */
export function beginNested(writer: NetlinkWriter, type: number): number {
  return reserveAttribute(writer, type | NESTED, 0) - ATTRIBUTE_HEADER_LENGTH;
}

export function endNested(writer: NetlinkWriter, start: number): void {
  if (writer.length - start > ATTRIBUTE_MAX_LENGTH) writer.overflow = true;
  if (!writer.overflow) writer.view.setUint16(start, writer.length - start, HOST_IS_LITTLE_ENDIAN);
}

/** 16 and 32 bits in host byte order, for the fixed headers of a family (`struct rtmsg` and the like). */
export function setU16(writer: Pick<NetlinkWriter, 'view'>, at: number, value: number): void {
  writer.view.setUint16(at, value, HOST_IS_LITTLE_ENDIAN);
}

export function setU32(writer: Pick<NetlinkWriter, 'view'>, at: number, value: number): void {
  writer.view.setUint32(at, value, HOST_IS_LITTLE_ENDIAN);
}
