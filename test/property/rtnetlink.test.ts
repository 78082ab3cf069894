// rtnetlink, by property: what is written reads back, and no bytes whatsoever make a decoder throw.
// Golden bytes are in test/unit/lib/wire/rtnetlink.test.ts; here they are only what gets damaged.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FdbEntry, LinkAddress, Neighbour, Nexthop, Route, RouteNextHop } from '../../lib/kernel/kernel.ts';
import { type DecodedObject, decodeObject, encodeChange, type PlainChange } from '../../lib/kernel/kernel-requests.ts';
import { type Address, addressFromBytes, type Family } from '../../lib/net/address.ts';
import { type Mac, macFromBytes } from '../../lib/net/mac.ts';
import { type Prefix, prefixOf } from '../../lib/net/prefix.ts';
import { decodeAck, decodeMessage } from '../../lib/wire/netlink.ts';
import { isNetlinkError, type NetlinkError, viewOf } from '../../lib/wire/netlink-attributes.ts';
import { netlinkWriter } from '../../lib/wire/netlink-writer.ts';
import { hexVector } from '../hex-vector.ts';

const VECTORS = [
  'route-onlink',
  'route-multipath',
  'route-ipv6-multipath',
  'route-metrics',
  'neighbour',
  'fdb',
  'nexthop-onlink',
  'nexthop-group',
  'address',
  'link-vxlan',
  'rule',
  'ack-refused',
].map((name) => hexVector(`rtnetlink-${name}`));

const u32 = fc.integer({ min: 1, max: 0xffff_ffff });
const linkIndex = fc.integer({ min: 1, max: 0x7fff_ffff });
const weight = fc.integer({ min: 1, max: 256 });
const protocol = fc.nat(255);
const anyMac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => macFromBytes(bytes) as Mac);

function addresses(family: Family): fc.Arbitrary<Address> {
  const length = family === 4 ? 4 : 16;
  return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => addressFromBytes(bytes) as Address);
}

function hops(family: Family): fc.Arbitrary<RouteNextHop> {
  return fc
    .record({ gateway: fc.oneof(addresses(family), addresses(4), addresses(6)), linkIndex, onlink: fc.boolean() })
    .map(({ onlink, ...hop }) => (onlink ? { ...hop, onlink } : hop));
}

function routes(family: Family): fc.Arbitrary<Route> {
  const weighted = fc
    .tuple(hops(family), weight)
    .map(([hop, value]) => (value === 1 ? hop : { ...hop, weight: value }));
  const several = fc.array(weighted, { minLength: 2, maxLength: 40 });
  return fc
    .record(
      {
        table: u32,
        prefix: fc
          .tuple(addresses(family), fc.nat(family === 4 ? 32 : 128))
          .map(([of, length]) => prefixOf(of, length) as Prefix),
        tos: fc.constantFrom(0, 0x10),
        metric: u32,
        protocol,
        nextHops: fc.oneof(fc.tuple(hops(family)), several, fc.constant([])),
        source: addresses(family),
        mtuBytes: fc.integer({ min: 68, max: 65_535 }),
        nexthopId: u32,
      },
      { requiredKeys: ['table', 'prefix', 'tos', 'metric', 'protocol', 'nextHops'] },
    )
    .map(
      (route) =>
        ({ ...route, type: 'unicast', nextHops: route.nexthopId === undefined ? route.nextHops : [] }) as Route,
    );
}

test('a route that is written reads back', () => {
  fc.assert(
    fc.property(fc.oneof(routes(4), routes(6)), (route) => {
      expect(roundTrip({ op: 'put', kind: 'route', route }).object).toEqual(route);
    }),
  );
});

test('a nexthop object that is written reads back, but for the family of a group', () => {
  const group = fc.array(fc.record({ id: u32, weight }), { minLength: 1, maxLength: 64 });
  const nexthop: fc.Arbitrary<Nexthop> = fc.oneof(
    fc.tuple(u32, protocol, hops(4)).map(([id, proto, hop]): Nexthop => {
      const family: Family = hop.gateway?.includes(':') ? 6 : 4;
      return { id, protocol: proto, family, hop };
    }),
    fc
      .tuple(u32, protocol, group)
      .map(([id, proto, members]): Nexthop => ({ id, protocol: proto, family: 4, group: members })),
    fc.tuple(u32, protocol).map(([id, proto]): Nexthop => ({ id, protocol: proto, family: 6, blackhole: true })),
  );
  fc.assert(
    fc.property(nexthop, (value) => {
      const { family, ...rest } = value;
      const expected = value.group === undefined ? value : rest;
      expect(family).toBeDefined();
      expect(roundTrip({ op: 'put', kind: 'nexthop', nexthop: value }).object).toEqual(expected);
    }),
  );
});

test('addresses, neighbours and FDB entries that are written read back', () => {
  const anyAddress = fc.oneof(addresses(4), addresses(6));
  fc.assert(
    fc.property(linkIndex, anyAddress, anyMac, fc.nat(32), (index, ip, hardware, prefixLength) => {
      const own: LinkAddress = { linkIndex: index, address: ip, prefixLength };
      const neighbour: Neighbour = { linkIndex: index, address: ip, mac: hardware };
      const fdb: FdbEntry = { linkIndex: index, mac: hardware, destination: ip };
      expect(roundTrip({ op: 'put', kind: 'address', address: own }).object).toEqual(own);
      expect(roundTrip({ op: 'put', kind: 'neighbour', neighbour })).toMatchObject({
        kind: 'neighbour',
        object: neighbour,
      });
      expect(roundTrip({ op: 'put', kind: 'fdb', fdb })).toMatchObject({ kind: 'fdb', object: fdb });
    }),
  );
});

test('a message with a few bytes changed, or cut, gives a value or an error value', () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.constantFrom(...VECTORS), damage, fc.option(fc.nat()), (vector, changes, cut) => {
      const bytes = vector.slice(0, cut === null ? vector.length : cut % (vector.length + 1));
      for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
      expect(() => decodeAll(bytes)).not.toThrow();
    }),
    { numRuns: 5000 },
  );
});

test('random bytes give values or error values, and reading them ends', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(() => decodeAll(bytes)).not.toThrow();
    }),
    { numRuns: 2000 },
  );
});

function roundTrip(change: PlainChange): DecodedObject {
  const writer = netlinkWriter(new Uint8Array(4096).fill(0xa5));
  expect(encodeChange(writer, 9, change)).toBe(true);
  const message = decodeMessage(writer.view, 0, writer.length);
  if (isNetlinkError(message)) throw new Error(message.field);
  expect(message).toMatchObject({ sequence: 9, next: writer.length });
  const decoded = decodeObject(writer.bytes, message);
  if (decoded === undefined || isNetlinkError(decoded)) throw new Error(`not read: ${JSON.stringify(decoded)}`);
  return decoded;
}

function decodeAll(bytes: Uint8Array): readonly (DecodedObject | undefined | NetlinkError)[] {
  const decoded: (DecodedObject | undefined | NetlinkError)[] = [];
  for (let at = 0; at < bytes.length; ) {
    const message = decodeMessage(viewOf(bytes), at, bytes.length);
    if (isNetlinkError(message)) return [...decoded, message];
    decodeAck(bytes, message);
    decoded.push(decodeObject(bytes, message));
    at = message.next;
  }
  return decoded;
}
