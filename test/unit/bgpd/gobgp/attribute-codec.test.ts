// Attributes and prefixes to and from the `Any`s of the GoBGP API: what is added comes back as it was listed, and what
// cannot be carried is refused with the field's name.

import { create } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import {
  AttributePacker,
  packAny,
  packPrefix,
  readAttributes,
  readPrefix,
} from '../../../../bgpd/gobgp/attribute-codec.ts';
import type { Attributes } from '../../../../bgpd/rib/attributes.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import {
  AsPathAttributeSchema,
  AsSegment_Type,
  IPAddressPrefixSchema,
  LargeCommunitiesAttributeSchema,
  NextHopAttributeSchema,
  OriginAttributeSchema,
} from '../../../../proto/gen/apipb/gobgp_pb.ts';

const OWN_ASN = 64_512;
const FULL: Attributes = {
  origin: 'egp',
  asPath: [10, 4_200_000_000],
  nextHop: address('192.0.2.1'),
  localPref: 200,
  med: 5,
  originatorId: address('192.0.2.7'),
  clusterList: [address('192.0.2.8')],
  communities: [0xfc000009, 0xffffff01],
  largeCommunities: ['1:2:3', '4294967295:0:1'],
};
const { originatorId: _, clusterList: __, ...GIVEN } = FULL;

describe('listed and read again', () => {
  it.each(['10.9.0.0/16', '2001:db8::/32'])('%s', (text) => {
    const of = prefix(text);
    const nlri = packPrefix(of);
    const list = new AttributePacker().pack(FULL, of, nlri);
    const added = list.filter(({ typeUrl }) => !/OriginatorId|ClusterList/.test(typeUrl));
    expect(readPrefix(nlri)).toBe(of);
    expect(readAttributes(added, OWN_ASN)).toEqual(GIVEN);
    expect(list.map(({ typeUrl }) => typeUrl)).toHaveLength(9);
  });

  it('the next hop of IPv6 goes with the prefix, that of IPv4 stands alone (RFC 4760)', () => {
    const names = (text: string) => {
      const of = prefix(text);
      return new AttributePacker()
        .pack(FULL, of, packPrefix(of))
        .map(({ typeUrl }) => typeUrl.replace(/.*apipb\./, ''));
    };
    expect(names('10.9.0.0/16')).toContain('NextHopAttribute');
    expect(names('2001:db8::/32')).toContain('MpReachNLRIAttribute');
    expect(names('2001:db8::/32')).not.toContain('NextHopAttribute');
  });
});

it.each(['0.0.0.0', '::'])('next hop %s stands for this node', (nextHop) => {
  expect(readAttributes([packAny(NextHopAttributeSchema, { nextHop })], OWN_ASN)).toEqual({});
});

it('host bits of a prefix are dropped, as gobgpd does', () => {
  expect(readPrefix(packAny(IPAddressPrefixSchema, { prefix: '10.9.1.1', prefixLen: 16 }))).toBe('10.9.0.0/16');
});

it('communities are sorted and each once', () => {
  const large = { globalAdmin: 2, localData1: 1, localData2: 1 };
  const communities = [large, { ...large, globalAdmin: 1 }, large];
  const given = readAttributes([packAny(LargeCommunitiesAttributeSchema, { communities })], OWN_ASN);
  expect(given.largeCommunities).toEqual(['1:1:1', '2:1:1']);
});

const SEQUENCE = AsSegment_Type.AS_SEQUENCE;
const REFUSED: readonly (readonly [string, Any, RegExp])[] = [
  ['an AS set', path(AsSegment_Type.AS_SET, [1]), /^aspath: .*sequence/],
  ['the AS of this node', path(SEQUENCE, [1, OWN_ASN]), /^aspath: "1 64512" .*loop/],
  ['AS 0', path(SEQUENCE, [0]), /^aspath: /],
  ['a path that is too long', path(SEQUENCE, new Array<number>(256).fill(7)), /^aspath: .*255/],
  ['an unknown origin', packAny(OriginAttributeSchema, { origin: 3 }), /^origin: "3" .*incomplete/],
  ['a next hop that is none', packAny(NextHopAttributeSchema, { nextHop: 'here' }), /^nexthop: "here" .*address/],
  ['an attribute that bgpd lacks', any('apipb.AigpAttribute'), /^attribute Aigp: bgpd carries Origin, AsPath/],
  ['no attribute at all', create(AnySchema), /^attribute \(empty\)/],
  ['bytes that are no message', any('apipb.OriginAttribute', [0xff]), /^origin: "1 bytes"/],
];

it.each(REFUSED)('refused: %s', (_name, given, words) => {
  expect(() => readAttributes([given], OWN_ASN)).toThrow(words);
});

it.each([
  ['nothing', undefined],
  ['another kind', packAny(OriginAttributeSchema, {})],
  ['a length beyond the address', packAny(IPAddressPrefixSchema, { prefix: '10.0.0.0', prefixLen: 33 })],
  ['no address', packAny(IPAddressPrefixSchema, { prefix: 'x', prefixLen: 8 })],
])('refused as prefix: %s', (_name, nlri) => {
  expect(() => readPrefix(nlri)).toThrow(/^nlri: .*is not accepted/);
});

function path(type: AsSegment_Type, numbers: number[]): Any {
  return packAny(AsPathAttributeSchema, { segments: [{ type, numbers }] });
}

function any(name: string, bytes: readonly number[] = []): Any {
  return create(AnySchema, { typeUrl: `type.googleapis.com/${name}`, value: Uint8Array.from(bytes) });
}
