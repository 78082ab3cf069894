// Netlink attributes, read: type, length, value, padded to 4; some hold attributes themselves. Writing: netlink-writer.ts.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |  length, with these 4 bytes   |N|O|           type            |   N nested, O network byte order: hints that the kernel
//                                                                     does not set reliably, so they are masked away
// Nothing here throws: a read past the end, or of another length than the type has, marks the cursor.

export const ATTRIBUTE_HEADER_LENGTH = 4;

/** Netlink is in host byte order; every platform that we know of with Node.js is little endian, but it costs nothing. */
export const HOST_IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Flag bits of `nla_type` that are not part of the type. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;

const UTF8 = new TextDecoder();

/** Why bytes are not what they should be: `field` names the header or attribute. */
export interface NetlinkError {
  readonly error: 'truncated' | 'bad-length' | 'bad-value';
  readonly field: string;
}

/** Walks the attributes between two offsets; `error` stays set once something was malformed. */
export interface AttributeCursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly limit: number;
  next: number;
  /** Of the attribute at hand: its type and where its payload starts and ends. */
  type: number;
  start: number;
  end: number;
  error: NetlinkError | undefined;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function isNetlinkError(value: object): value is NetlinkError {
  return 'error' in value;
}

export function getU16(view: DataView, at: number): number {
  return view.getUint16(at, HOST_IS_LITTLE_ENDIAN);
}

export function getU32(view: DataView, at: number): number {
  return view.getUint32(at, HOST_IS_LITTLE_ENDIAN);
}

/** A cursor before the first attribute of `start` to `end`. */
export function attributeCursor(bytes: Uint8Array, view: DataView, start: number, end: number): AttributeCursor {
  const error: NetlinkError | undefined = start > end ? { error: 'truncated', field: 'attributes' } : undefined;
  return { bytes, view, limit: end, next: start, type: 0, start, end: start, error };
}

/** Moves to the next attribute. False at the end, and where the rest is malformed: then `error` is set. */
export function nextAttribute(cursor: AttributeCursor): boolean {
  const at = cursor.next;
  // Up to three bytes of padding may be missing after the last attribute, and may also be all that is left.
  if (cursor.error !== undefined || at >= cursor.limit) return false;
  if (at + ATTRIBUTE_HEADER_LENGTH > cursor.limit) return fail(cursor, 'truncated', 'nlattr');
  const length = cursor.view.getUint16(at, HOST_IS_LITTLE_ENDIAN);
  cursor.type = cursor.view.getUint16(at + 2, HOST_IS_LITTLE_ENDIAN) & ATTRIBUTE_TYPE_MASK;
  if (length < ATTRIBUTE_HEADER_LENGTH) return fail(cursor, 'bad-length', `attribute ${cursor.type}`);
  if (at + length > cursor.limit) return fail(cursor, 'truncated', `attribute ${cursor.type}`);
  cursor.start = at + ATTRIBUTE_HEADER_LENGTH;
  cursor.end = at + length;
  cursor.next = at + ((length + 3) & ~3);
  return true;
}

/** A cursor over the attributes inside the attribute at hand; its error is the caller's to look at. */
export function nestedCursor(cursor: AttributeCursor): AttributeCursor {
  return attributeCursor(cursor.bytes, cursor.view, cursor.start, cursor.end);
}

/** The payload as a number; 0, and an error in the cursor, where it has another length. */
export function readU8(cursor: AttributeCursor): number {
  return hasLength(cursor, 1) ? cursor.view.getUint8(cursor.start) : 0;
}

export function readU16BigEndian(cursor: AttributeCursor): number {
  return hasLength(cursor, 2) ? cursor.view.getUint16(cursor.start, false) : 0;
}

export function readU32(cursor: AttributeCursor): number {
  return hasLength(cursor, 4) ? cursor.view.getUint32(cursor.start, HOST_IS_LITTLE_ENDIAN) : 0;
}

/** The payload up to its terminating zero byte. */
export function readText(cursor: AttributeCursor): string {
  let end = cursor.start;
  while (end < cursor.end && cursor.bytes[end] !== 0) end++;
  return UTF8.decode(cursor.bytes.subarray(cursor.start, end));
}

/** The payload, in place: valid as long as the buffer is. */
export function readBytes(cursor: AttributeCursor): Uint8Array {
  return cursor.bytes.subarray(cursor.start, cursor.end);
}

/** Notes that the payload at hand is malformed. */
export function markBadLength(cursor: AttributeCursor): void {
  fail(cursor, 'bad-length', `attribute ${cursor.type}`);
}

function hasLength(cursor: AttributeCursor, length: number): boolean {
  return cursor.end - cursor.start === length || fail(cursor, 'bad-length', `attribute ${cursor.type}`);
}

function fail(cursor: AttributeCursor, error: NetlinkError['error'], field: string): false {
  cursor.error = { error, field };
  return false;
}
