// An IP-in-IP device over rtnetlink: the attributes that are asked for, by if_link.h and if_tunnel.h, and the way back.
// Kernels without the device are many, so that the bytes are compared here and the effect is not.

import { expect, test } from 'vitest';
import { address } from '../../../../lib/net/address.ts';
import { decodeMessage } from '../../../../lib/wire/netlink.ts';
import { isNetlinkError, viewOf } from '../../../../lib/wire/netlink-attributes.ts';
import { netlinkWriter } from '../../../../lib/wire/netlink-writer.ts';
import { decodeLink, encodeCreateLink } from '../../../../lib/wire/rtnetlink-links.ts';
import { hex } from '../../../hex-vector.ts';

const LINK_INFO = hex(
  `
  2c 00 12 80                       # IFLA_LINKINFO, nested
  09 00 01 00 69 70 69 70 00 00 00 00   # IFLA_INFO_KIND "ipip", padded
  1c 00 02 80                       # IFLA_INFO_DATA, nested
  08 00 02 00 c0 00 02 01           # IFLA_IPTUN_LOCAL 192.0.2.1
  05 00 05 00 01 00 00 00           # IFLA_IPTUN_TOS 1: inherit
  05 00 0a 00 01 00 00 00           # IFLA_IPTUN_PMTUDISC 1
`.replaceAll(/#.*$/gm, ''),
);

function encoded(local: string | undefined): Uint8Array {
  const writer = netlinkWriter(new Uint8Array(512));
  const ipip = local === undefined ? {} : { local: address(local) };
  const spec = { name: 'flannel.ipip', mtuBytes: 1480 };
  expect(encodeCreateLink(writer, 1, spec, { type: 'ipip', ipip })).toBe(true);
  return writer.bytes.subarray(0, writer.length);
}

test('asks for the local address, the TOS of what is inside, and path MTU discovery', () => {
  const bytes = encoded('192.0.2.1');
  const info = Buffer.from(bytes).subarray(-LINK_INFO.length);
  expect(info.toString('hex')).toBe(Buffer.from(LINK_INFO).toString('hex'));
});

test.each([['192.0.2.1'], [undefined]])('reads back what it asked for: local %s', (local) => {
  const bytes = encoded(local);
  const message = decodeMessage(viewOf(bytes), 0, bytes.length);
  if (isNetlinkError(message)) throw new Error('not a message');
  const link = decodeLink(bytes, message);
  expect(link).toMatchObject({ name: 'flannel.ipip', type: 'ipip', mtuBytes: 1480 });
  expect(link).toHaveProperty('ipip', local === undefined ? {} : { local });
});
