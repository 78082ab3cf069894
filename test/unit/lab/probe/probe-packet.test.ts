// The probe's packet in and out of an IPv4 packet, and everything that must not be taken for one.
//
// The lists in which a probe remembers packets are here too.

import { expect, it } from 'vitest';
import { HeardList, SentList } from '../../../../lab/probe/probe-lists.ts';
import { decodePacket, encodePacket, PACKET_LENGTH } from '../../../../lab/probe/probe-packet.ts';

const PORT = 7_447;

function ipv4(headerBytes: number, change: (view: DataView) => void = () => undefined): DataView {
  const view = new DataView(new ArrayBuffer(headerBytes + PACKET_LENGTH));
  view.setUint8(0, 0x40 | (headerBytes / 4));
  view.setUint8(8, 62);
  view.setUint8(9, 17);
  encodePacket(new DataView(view.buffer, headerBytes), PORT, 3, 70_000, 123_456.5);
  change(view);
  return view;
}

it.each([20, 24, 60])('reads what it wrote behind a header of %i bytes', (headerBytes) => {
  const view = ipv4(headerBytes);
  expect(decodePacket(view, view.byteLength, PORT)).toEqual({ flow: 3, seq: 70_000, sentUs: 123_456.5, ttl: 62 });
});

it.each([
  ['of another protocol', (view: DataView) => view.setUint8(9, 6)],
  ['to another port', (view: DataView) => view.setUint16(22, 53)],
  ['of somebody else', (view: DataView) => view.setUint32(28, 0)],
  ['with a header that is longer than it', (view: DataView) => view.setUint8(0, 0x4f)],
])('takes no packet %s', (_what, change) => {
  const view = ipv4(20, change);
  expect(decodePacket(view, view.byteLength, PORT)).toBeUndefined();
});

it('takes none that is cut, at whatever byte', () => {
  const view = ipv4(20);
  for (let length = 0; length < view.byteLength; length++) expect(decodePacket(view, length, PORT)).toBeUndefined();
});

it('keeps packets beyond the first room', () => {
  const sent = new SentList();
  const heard = new HeardList();
  for (let i = 0; i < 20_000; i++) {
    sent.add(i);
    heard.add(1, i, i + 0.5, 62);
  }
  const times = new Float64Array(new Uint8Array(Buffer.from(sent.text(), 'base64')).buffer);
  const seqs = new Uint32Array(new Uint8Array(Buffer.from(heard.texts().seq, 'base64')).buffer);
  expect([times.length, times[19_999], seqs.length, seqs[19_999]]).toEqual([20_000, 19_999, 20_000, 19_999]);
});
