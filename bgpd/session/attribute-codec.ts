// Path attributes to and from protobuf, with the checks of RFC 7606 section 7 for what arrives.
//
// A flaw is a value in words ("origin 0"): the caller treats the prefixes as withdrawn. Nothing throws. An attribute that
// only some kind of peer may send (LOCAL_PREF, ORIGINATOR_ID) is taken here and dropped or demanded in route-rules.ts.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Address, addressBytes, addressFromBytes } from '../../lib/net/address.ts';
import {
  type Attributes as AttributesProto,
  type AttributesSchema,
  Origin as OriginProto,
} from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import { type Attributes, type Origin, type RouterId, WEIGHT_MAX } from '../rib/attributes.ts';

/** Longest lists that are believed: an overlay has a few ASes and reflectors, not hundreds. */
const AS_PATH_MAX = 255;
const CLUSTER_LIST_MAX = 64;
const COMMUNITIES_MAX = 512;

const ORIGIN_TO_PROTO = {
  igp: OriginProto.IGP,
  egp: OriginProto.EGP,
  incomplete: OriginProto.INCOMPLETE,
} as const;

/** What is wrong, in words. */
export interface AttributeFlaw {
  readonly flaw: string;
}

/** The protobuf form. */
export function encodeAttributes(attributes: Attributes): MessageInitShape<typeof AttributesSchema> {
  const { origin, asPath, nextHop, localPref, med, originatorId, clusterList, communities, largeCommunities, weight } =
    attributes;
  return {
    origin: ORIGIN_TO_PROTO[origin],
    asPath: [...asPath],
    nextHop: addressBytes(nextHop),
    ...(localPref !== undefined && { localPref }),
    ...(med !== undefined && { med }),
    ...(originatorId !== undefined && { originatorId: addressBytes(originatorId) }),
    clusterList: clusterList.map(addressBytes),
    communities: [...communities],
    largeCommunities: largeCommunities.map((text) => {
      const [globalAdministrator = 0, localData1 = 0, localData2 = 0] = text.split(':').map(Number);
      return { globalAdministrator, localData1, localData2 };
    }),
    ...(weight !== undefined && { weight }),
  };
}

/** The attributes that somebody else wrote. */
export function decodeAttributes(proto: AttributesProto): Attributes | AttributeFlaw {
  const origin = decodeOrigin(proto.origin);
  if (origin === undefined) return { flaw: `origin ${proto.origin}` };
  const nextHop = decodeNextHop(proto.nextHop);
  if (nextHop === undefined) return { flaw: 'next hop is no unicast address' };
  if (proto.asPath.length > AS_PATH_MAX) return { flaw: `AS path of ${proto.asPath.length}` };
  // RFC 7607 section 2.
  if (proto.asPath.includes(0)) return { flaw: 'AS path with AS 0' };
  const originatorId = proto.originatorId.length === 0 ? undefined : decodeRouterId(proto.originatorId);
  if (originatorId === undefined && proto.originatorId.length > 0) return { flaw: 'originator id is not 4 bytes' };
  if (proto.clusterList.length > CLUSTER_LIST_MAX) return { flaw: `cluster list of ${proto.clusterList.length}` };
  const clusterList = proto.clusterList.map(decodeRouterId);
  if (!clusterList.every((id) => id !== undefined)) return { flaw: 'cluster id is not 4 bytes' };
  const communities = proto.communities.length + proto.largeCommunities.length;
  if (communities > COMMUNITIES_MAX) return { flaw: `${communities} communities` };
  if (proto.weight === 0 || (proto.weight ?? 0) > WEIGHT_MAX) return { flaw: `weight ${proto.weight}` };
  return {
    origin,
    asPath: [...proto.asPath],
    nextHop,
    ...(proto.localPref !== undefined && { localPref: proto.localPref }),
    ...(proto.med !== undefined && { med: proto.med }),
    ...(originatorId !== undefined && { originatorId }),
    clusterList,
    communities: [...new Set(proto.communities)].sort((a, b) => a - b),
    largeCommunities: [
      ...new Set(proto.largeCommunities.map((c) => `${c.globalAdministrator}:${c.localData1}:${c.localData2}`)),
    ].sort(),
    ...(proto.weight !== undefined && { weight: proto.weight }),
  };
}

function decodeOrigin(origin: OriginProto): Origin | undefined {
  switch (origin) {
    case OriginProto.IGP:
      return 'igp';
    case OriginProto.EGP:
      return 'egp';
    case OriginProto.INCOMPLETE:
      return 'incomplete';
    default:
      return undefined;
  }
}

/** RFC 4271 section 6.3: a NEXT_HOP must be a host's address; 0/8, multicast and broadcast are not, nor are :: and ff00::/8. */
function decodeNextHop(bytes: Uint8Array): Address | undefined {
  const first = bytes[0] ?? 0;
  if (bytes.length === 4) return first === 0 || first >= 224 ? undefined : addressFromBytes(bytes);
  if (bytes.length !== 16 || first === 0xff || bytes.every((byte) => byte === 0)) return undefined;
  return addressFromBytes(bytes);
}

function decodeRouterId(bytes: Uint8Array): RouterId | undefined {
  return bytes.length === 4 ? addressFromBytes(bytes) : undefined;
}
