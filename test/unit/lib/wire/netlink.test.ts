// Netlink's own framing: messages, attributes, acknowledgements, and what is wrong with each.
// The objects inside are in rtnetlink.test.ts.

import { describe, expect, test } from 'vitest';
import {
  decodeAck,
  decodeMessage,
  NETLINK_HEADER_LENGTH,
  type NetlinkMessage,
  NLM_F,
  NLMSG,
} from '../../../../lib/wire/netlink.ts';
import {
  attributeCursor,
  isNetlinkError,
  nestedCursor,
  nextAttribute,
  readText,
  readU8,
  readU16BigEndian,
  readU32,
  viewOf,
} from '../../../../lib/wire/netlink-attributes.ts';
import {
  beginMessage,
  beginNested,
  endMessage,
  endNested,
  netlinkWriter,
  putText,
  putU8,
  putU16BigEndian,
  putU32,
} from '../../../../lib/wire/netlink-writer.ts';
import { hex, hexVector } from '../../../hex-vector.ts';

describe('a message', () => {
  test('is written with its length, padded, and read back', () => {
    const writer = netlinkWriter(new Uint8Array(128).fill(0xa5));
    const start = beginMessage(writer, 24, NLM_F.request, 7);
    putU8(writer, 1, 0xfe);
    const nested = beginNested(writer, 2);
    putText(writer, 3, 'vxlan');
    putU16BigEndian(writer, 4, 8472);
    endNested(writer, nested);
    putU32(writer, 5, 0xdeadbeef);
    expect(endMessage(writer, start)).toBe(true);
    expect(writer.bytes.subarray(0, writer.length)).toEqual(
      hex(`38 00 00 00 18 00 01 00 07 00 00 00 00 00 00 00
           05 00 01 00 fe 00 00 00
           18 00 02 80  0a 00 03 00 76 78 6c 61 6e 00 00 00  06 00 04 00 21 18 00 00
           08 00 05 00 ef be ad de`),
    );
    const message = decode(writer.bytes, writer.length);
    expect(message).toMatchObject({ type: 24, flags: 1, sequence: 7, port: 0, start: 16, end: 56, next: 56 });
    expect(message.view.buffer).toBe(writer.bytes.buffer);
    const cursor = attributeCursor(writer.bytes, writer.view, message.start, message.end);
    expect(nextAttribute(cursor) && readU8(cursor)).toBe(0xfe);
    expect(nextAttribute(cursor)).toBe(true);
    const inner = nestedCursor(cursor);
    expect(nextAttribute(inner) && readText(inner)).toBe('vxlan');
    expect(nextAttribute(inner) && readU16BigEndian(inner)).toBe(8472);
    expect(nextAttribute(inner)).toBe(false);
    expect(nextAttribute(cursor) && readU32(cursor)).toBe(0xdeadbeef);
    expect([nextAttribute(cursor), cursor.error, inner.error]).toEqual([false, undefined, undefined]);
  });

  test('that does not fit leaves the writer as it was, and one that does may follow', () => {
    const writer = netlinkWriter(new Uint8Array(60));
    const first = beginMessage(writer, 24, 0, 1);
    expect(endMessage(writer, first)).toBe(true);
    const second = beginMessage(writer, 24, 0, 2);
    putText(writer, 1, 'x'.repeat(40));
    putU8(writer, 2, 1);
    expect(endMessage(writer, second)).toBe(false);
    expect(writer.length).toBe(NETLINK_HEADER_LENGTH);
    const third = beginMessage(writer, 24, 0, 3);
    expect(endMessage(writer, third)).toBe(true);
    expect(writer.length).toBe(2 * NETLINK_HEADER_LENGTH);
  });

  test.each([
    ['fewer bytes than a header', '10 00 00 00 18 00 01 00 00 00 00 00 00 00 00', 'truncated', 'nlmsghdr'],
    ['a length below the header', '0f 00 00 00 18 00 01 00 00 00 00 00 00 00 00 00', 'bad-length', 'nlmsg_len'],
    ['a length beyond the bytes', '14 00 00 00 18 00 01 00 00 00 00 00 00 00 00 00', 'truncated', 'nlmsg_len'],
    ['a length of almost 2^32', 'ff ff ff ff 18 00 01 00 00 00 00 00 00 00 00 00', 'truncated', 'nlmsg_len'],
  ])('with %s is malformed', (_what, text, error, field) => {
    const bytes = hex(text);
    expect(decodeMessage(viewOf(bytes), 0, bytes.length)).toEqual({ error, field });
  });

  test('is read in place: offsets are those of the whole buffer, also of a view into one', () => {
    const whole = hex(`a5 a5 a5 a5  10 00 00 00 18 00 00 00 01 00 00 00 00 00 00 00
                       13 00 00 00 03 00 00 00 02 00 00 00 00 00 00 00 ff ff ff`);
    const bytes = whole.subarray(4);
    const first = decode(bytes, bytes.length);
    const second = decodeMessage(viewOf(bytes), first.next, bytes.length);
    expect(second).toMatchObject({ type: 3, sequence: 2, start: 32, end: 35, next: 35 });
  });
});

describe('attributes', () => {
  test.each([
    ['a length below its header', '03 00 01 00', 'bad-length', 'attribute 1'],
    ['a length beyond the end', '09 00 01 00 00 00 00 00', 'truncated', 'attribute 1'],
    ['fewer bytes than a header', '04 00 01', 'truncated', 'nlattr'],
  ])('with %s are malformed, and nothing is read after that', (_what, text, error, field) => {
    const bytes = hex(text);
    const cursor = attributeCursor(bytes, viewOf(bytes), 0, bytes.length);
    expect(nextAttribute(cursor)).toBe(false);
    expect(cursor.error).toEqual({ error, field });
    expect(nextAttribute(cursor)).toBe(false);
  });

  test('may lack the padding after the last one', () => {
    const bytes = hex('05 00 01 00 07');
    const cursor = attributeCursor(bytes, viewOf(bytes), 0, bytes.length);
    expect(nextAttribute(cursor) && readU8(cursor)).toBe(7);
    expect([nextAttribute(cursor), cursor.error]).toEqual([false, undefined]);
  });

  test('of another length than was asked for read as 0, and say so', () => {
    for (const read of [readU8, readU16BigEndian, readU32]) {
      const bytes = hex('07 00 01 00 01 02 03 00');
      const cursor = attributeCursor(bytes, viewOf(bytes), 0, bytes.length);
      nextAttribute(cursor);
      expect(read(cursor)).toBe(0);
      expect(cursor.error).toEqual({ error: 'bad-length', field: 'attribute 1' });
    }
  });

  test('that start after the end of the message are malformed', () => {
    const bytes = new Uint8Array(8);
    expect(attributeCursor(bytes, viewOf(bytes), 8, 4).error).toEqual({ error: 'truncated', field: 'attributes' });
  });
});

describe('an acknowledgement', () => {
  test('of success is 0', () => {
    const bytes = hex(`24 00 00 00 02 00 00 01 01 00 00 00 00 00 00 00  00 00 00 00
                       34 00 00 00 18 00 05 05 01 00 00 00 00 00 00 00`);
    expect(decodeAck(bytes, decode(bytes, bytes.length))).toEqual({ errno: 0 });
  });

  test('of failure has the number and the words of the kernel', () => {
    const bytes = hexVector('rtnetlink-ack-refused');
    expect(decodeAck(bytes, decode(bytes, bytes.length))).toEqual({
      errno: 101,
      message: 'Nexthop has invalid gateway',
    });
  });

  test('at the end of a listing has no request in it', () => {
    const bytes = hex(`20 00 00 00 03 00 02 02 01 00 00 00 00 00 00 00  fe ff ff ff
                       0c 00 01 00 6e 6f 20 77 61 79 21 00`);
    expect(decodeAck(bytes, decode(bytes, bytes.length))).toEqual({ errno: 2, message: 'no way!' });
    expect(decode(bytes, bytes.length).type).toBe(NLMSG.done);
  });

  test.each([
    ['rtnetlink-ack-refused-truncated', { error: 'truncated', field: 'nlmsgerr' }],
    ['rtnetlink-ack-refused-wrong-sign', { error: 'bad-value', field: 'nlmsgerr.error' }],
    ['rtnetlink-ack-refused-bad-request-length', { errno: 101 }],
  ])('%s', (name, expected) => {
    const bytes = hexVector(name);
    expect(decodeAck(bytes, decode(bytes, bytes.length))).toEqual(expected);
  });
});

function decode(bytes: Uint8Array, length: number): NetlinkMessage {
  const message = decodeMessage(viewOf(bytes), 0, length);
  if (isNetlinkError(message)) throw new Error(`${message.field}: ${message.error}`);
  return message;
}
