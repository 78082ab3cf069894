// rtnetlink's objects against messages of iproute2 and of the kernel (test/vectors/rtnetlink-*.hex), and each malformed twin.
//
// The vectors are in the byte order of x86-64 and arm64, as netlink is.

import { describe, expect, test } from 'vitest';
import type { KernelChange, Nexthop, Route } from '../../../../lib/kernel/kernel.ts';
import {
  type DecodedObject,
  decodeObject,
  encodeChange,
  type PlainChange,
} from '../../../../lib/kernel/kernel-requests.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { decodeMessage, NLM_F } from '../../../../lib/wire/netlink.ts';
import { isNetlinkError, type NetlinkError, viewOf } from '../../../../lib/wire/netlink-attributes.ts';
import { addFlags, netlinkWriter } from '../../../../lib/wire/netlink-writer.ts';
import { hexVector } from '../../../hex-vector.ts';

const ROUTE: Route = {
  table: 254,
  prefix: prefix('10.5.2.0/24'),
  tos: 0,
  metric: 0,
  protocol: 71,
  type: 'unicast',
  nextHops: [{ gateway: address('10.5.2.0'), linkIndex: 6, onlink: true }],
};
const MULTIPATH: Route = {
  ...ROUTE,
  prefix: prefix('10.5.3.0/24'),
  nextHops: [
    { gateway: address('192.168.10.9'), linkIndex: 3 },
    { gateway: address('192.168.11.9'), linkIndex: 5, weight: 7 },
  ],
};
const IPV6_MULTIPATH: Route = {
  ...ROUTE,
  prefix: prefix('fd00:5:3::/64'),
  metric: 1024,
  nextHops: [
    { gateway: address('fd00:10::9'), linkIndex: 3 },
    { gateway: address('fd00:11::9'), linkIndex: 5, weight: 7 },
  ],
};
const METRICS: Route = {
  ...ROUTE,
  prefix: prefix('10.5.4.0/24'),
  table: 1000,
  metric: 50,
  nextHops: [{ gateway: address('192.168.10.9'), linkIndex: 3 }],
  source: address('192.168.10.1'),
  mtuBytes: 1400,
};
const NEIGHBOUR = { linkIndex: 6, address: address('10.5.2.0'), mac: mac('0e:00:00:00:00:02') };
const FDB = { linkIndex: 6, mac: mac('0e:00:00:00:00:02'), destination: address('192.168.10.9') };
const NEXTHOP: Nexthop = {
  id: 12,
  protocol: 71,
  family: 4,
  hop: { gateway: address('10.77.0.1'), linkIndex: 5, onlink: true },
};
const GROUP = {
  id: 13,
  protocol: 71,
  group: [
    { id: 11, weight: 1 },
    { id: 12, weight: 3 },
  ],
};
const ADDRESS = { linkIndex: 6, address: address('10.5.1.0'), prefixLength: 32 };
const RULE = { family: 4, priority: 7100, table: 1000, protocol: 71 } as const;
const LINK = {
  index: 4,
  name: 'flannel.1',
  type: 'vxlan',
  mac: mac('0e:00:00:00:00:01'),
  mtuBytes: 1450,
  up: true,
  running: true,
  alias: 'gingham',
  vxlan: { vni: 1, local: address('192.168.10.1'), port: 8472, parentIndex: 3, learning: false, gbp: true },
};

describe('messages of others are read', () => {
  test.each([
    ['rtnetlink-route-onlink', 'route', ROUTE],
    ['rtnetlink-route-multipath', 'route', MULTIPATH],
    ['rtnetlink-route-ipv6-multipath', 'route', IPV6_MULTIPATH],
    ['rtnetlink-route-metrics', 'route', METRICS],
    ['rtnetlink-neighbour', 'neighbour', NEIGHBOUR],
    ['rtnetlink-fdb', 'fdb', FDB],
    ['rtnetlink-nexthop-onlink', 'nexthop', NEXTHOP],
    ['rtnetlink-nexthop-group', 'nexthop', GROUP],
    ['rtnetlink-address', 'address', ADDRESS],
    ['rtnetlink-link-vxlan', 'link', LINK],
    ['rtnetlink-rule', 'rule', RULE],
  ])('%s', (name, kind, object) => {
    expect(decode(hexVector(name))).toMatchObject({ kind, gone: false });
    expect((decode(hexVector(name)) as DecodedObject).object).toEqual(object);
  });
});

describe('malformed messages are told apart', () => {
  test.each<[string, NetlinkError['error'], string]>([
    ['rtnetlink-route-onlink-truncated', 'truncated', 'nlmsg_len'],
    ['rtnetlink-route-onlink-short-header', 'truncated', 'rtmsg'],
    ['rtnetlink-route-onlink-bad-attribute-length', 'bad-length', 'attribute 5'],
    ['rtnetlink-route-onlink-long-attribute', 'truncated', 'attribute 4'],
    ['rtnetlink-route-onlink-wrong-family', 'bad-value', 'RTA_DST'],
    ['rtnetlink-route-multipath-bad-hop-length', 'bad-length', 'attribute 9'],
    ['rtnetlink-route-multipath-long-hop', 'bad-length', 'attribute 9'],
    ['rtnetlink-route-ipv6-multipath-bad-gateway-length', 'bad-length', 'attribute 5'],
    ['rtnetlink-route-metrics-wrong-prefix-length', 'bad-value', 'rtm_dst_len'],
    ['rtnetlink-route-metrics-bad-mtu-length', 'bad-length', 'attribute 2'],
    ['rtnetlink-neighbour-truncated', 'truncated', 'ndmsg'],
    ['rtnetlink-neighbour-bad-address-length', 'bad-length', 'attribute 1'],
    ['rtnetlink-fdb-truncated', 'truncated', 'nlmsg_len'],
    ['rtnetlink-nexthop-onlink-no-id', 'bad-value', 'NHA_ID'],
    ['rtnetlink-nexthop-onlink-unknown-family', 'bad-value', 'nh_family'],
    ['rtnetlink-nexthop-group-odd-length', 'bad-length', 'attribute 2'],
    ['rtnetlink-address-missing-local', 'bad-value', 'IFA_LOCAL'],
    ['rtnetlink-address-truncated', 'truncated', 'ifaddrmsg'],
    ['rtnetlink-link-vxlan-bad-port-length', 'bad-length', 'attribute 15'],
    ['rtnetlink-link-vxlan-no-name', 'bad-value', 'IFLA_IFNAME'],
    ['rtnetlink-link-vxlan-long-info', 'truncated', 'attribute 2'],
    ['rtnetlink-rule-truncated', 'truncated', 'fib_rule_hdr'],
    ['rtnetlink-rule-bad-protocol-length', 'bad-length', 'attribute 21'],
  ])('%s: %s in %s', (name, error, field) => {
    expect(decode(hexVector(name))).toEqual({ error, field });
  });
});

describe('requests are those of iproute2, byte for byte', () => {
  test.each<[string, KernelChange]>([
    ['rtnetlink-route-onlink', { op: 'put', kind: 'route', route: ROUTE }],
    ['rtnetlink-route-multipath', { op: 'put', kind: 'route', route: MULTIPATH }],
    ['rtnetlink-neighbour', { op: 'put', kind: 'neighbour', neighbour: NEIGHBOUR }],
    ['rtnetlink-nexthop-onlink', { op: 'put', kind: 'nexthop', nexthop: NEXTHOP }],
    ['rtnetlink-nexthop-group', { op: 'put', kind: 'nexthop', nexthop: { ...GROUP, family: 4 } }],
  ])('%s', (name, change) => {
    const writer = netlinkWriter(new Uint8Array(256).fill(0xa5));
    expect(encodeChange(writer, 1, change as PlainChange)).toBe(true);
    addFlags(writer, 0, NLM_F.ack);
    expect(writer.bytes.subarray(0, writer.length)).toEqual(hexVector(name));
    expect(new Set(writer.bytes.subarray(writer.length))).toEqual(new Set([0xa5]));
  });
});

describe('a writer without room', () => {
  const changes: readonly PlainChange[] = [
    { op: 'put', kind: 'route', route: METRICS },
    { op: 'put', kind: 'route', route: IPV6_MULTIPATH },
    { op: 'delete', kind: 'route', route: METRICS },
    { op: 'put', kind: 'nexthop', nexthop: { ...GROUP, family: 4 } },
    { op: 'put', kind: 'neighbour', neighbour: NEIGHBOUR },
    { op: 'delete', kind: 'fdb', fdb: FDB },
    { op: 'put', kind: 'address', address: ADDRESS },
    { op: 'put', kind: 'rule', rule: RULE },
  ];

  test.each(changes)('takes $op $kind as a whole or not at all', (change) => {
    const roomy = netlinkWriter(new Uint8Array(512));
    encodeChange(roomy, 1, change);
    for (let size = 0; size < roomy.length; size++) {
      const writer = netlinkWriter(new Uint8Array(size));
      expect(encodeChange(writer, 1, change)).toBe(false);
      expect(writer.length).toBe(0);
    }
    const exact = netlinkWriter(new Uint8Array(roomy.length));
    expect(encodeChange(exact, 1, change)).toBe(true);
    expect(exact.bytes).toEqual(roomy.bytes.subarray(0, roomy.length));
  });
});

function decode(bytes: Uint8Array): DecodedObject | undefined | NetlinkError {
  const message = decodeMessage(viewOf(bytes), 0, bytes.length);
  return isNetlinkError(message) ? message : decodeObject(bytes, message);
}
