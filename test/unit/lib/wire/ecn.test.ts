// DSCP and ECN at both ends of a tunnel, against the table of RFC 6040 written out as the RFC prints it.
// The code has that table as numbers in another order.

import { expect, test } from 'vitest';
import { combineEcn, ECN_DROP, readTos, writeEcn } from '../../../../lib/wire/ecn.ts';
import { faultOfIpv4 } from '../../../../lib/wire/ipv4.ts';
import { hasRightChecksums, udpPacket } from '../../../inner-packets.ts';

const CODE: Readonly<Record<string, number>> = { 'Not-ECT': 0, 'ECT(1)': 1, 'ECT(0)': 2, CE: 3, drop: ECN_DROP };

// RFC 6040 figure 4: arriving inner header, then the outgoing header for each arriving outer header.
const FIGURE_4 = `
  Not-ECT   Not-ECT  Not-ECT  Not-ECT  drop
  ECT(0)    ECT(0)   ECT(0)   ECT(1)   CE
  ECT(1)    ECT(1)   ECT(1)   ECT(1)   CE
  CE        CE       CE       CE       CE`;
const OUTER = ['Not-ECT', 'ECT(0)', 'ECT(1)', 'CE'];

test('coming out of a tunnel: RFC 6040 figure 4, whatever the DSCP', () => {
  const rows = FIGURE_4.trim().split('\n');
  expect(rows).toHaveLength(4);
  for (const row of rows) {
    const [inner = '', ...outgoing] = row.trim().split(/\s+/);
    for (const [column, outer] of OUTER.entries()) {
      const combined = combineEcn(0xb8 | (CODE[inner] as number), 0x28 | (CODE[outer] as number));
      expect([inner, outer, combined]).toEqual([inner, outer, CODE[outgoing[column] as string]]);
    }
  }
});

test.each([
  ['IPv4', udpPacket({ source: [10, 1, 2, 3], destination: [10, 4, 5, 6] }, [1, 2, 3])],
  ['IPv6', udpPacket({ source: new Array(16).fill(0xfd), destination: new Array(16).fill(0xfc) }, [1, 2, 3])],
])('%s: an ECN field is replaced, nothing else changes, and the checksum stays right', (name, packet) => {
  const family = name === 'IPv4' ? 4 : 6;
  for (const before of [0, 1, 2, 3]) {
    for (const after of [0, 1, 2, 3]) {
      const buffer = Uint8Array.of(0xa5, ...packet, 0xa5);
      writeEcn(family, before, buffer, 1);
      expect(readTos(family, buffer, 1)).toBe(before);
      writeEcn(family, after, buffer, 1);
      expect(readTos(family, buffer, 1)).toBe(after);
      expect(hasRightChecksums(buffer.slice(1, -1))).toBe(true);
      if (family === 4) expect(faultOfIpv4(buffer, 1, packet.length)).toBeUndefined();
      writeEcn(family, 0, buffer, 1);
      expect([...buffer.slice(1, -1)]).toEqual([...packet]);
      expect([buffer[0], buffer.at(-1)]).toEqual([0xa5, 0xa5]);
    }
  }
});

test('the DSCP is read with it', () => {
  const packet = udpPacket({ source: new Array(16).fill(0xfd), destination: new Array(16).fill(0xfc) });
  packet.set([0x6b, 0x9a], 0);
  expect(readTos(6, packet, 0)).toBe(0xb9);
  writeEcn(6, 3, packet, 0);
  expect([packet[0], packet[1]]).toEqual([0x6b, 0xba]);
});
