// Path attributes to and from the `Any`s of the GoBGP API, in the order of their type codes (RFC 4271 section 4.3).
//
// NEXT_HOP is an attribute of its own for IPv4 and part of MP_REACH_NLRI for IPv6 (RFC 4760), which repeats the prefix:
// so all but that one are the same for every prefix of an attribute set, and are packed once.

import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { type Address, familyOf, parseAddress } from '../../lib/net/address.ts';
import { type Prefix, prefixAddress, prefixFamily, prefixLength, prefixOf } from '../../lib/net/prefix.ts';
import {
  AsPathAttributeSchema,
  AsSegment_Type,
  ClusterListAttributeSchema,
  CommunitiesAttributeSchema,
  IPAddressPrefixSchema,
  LargeCommunitiesAttributeSchema,
  LocalPrefAttributeSchema,
  MpReachNLRIAttributeSchema,
  MultiExitDiscAttributeSchema,
  NextHopAttributeSchema,
  OriginAttributeSchema,
  OriginatorIdAttributeSchema,
} from '../../proto/gen/apipb/gobgp_pb.ts';
import { type Attributes, ORIGINS } from '../rib/attributes.ts';
import { familyMessage } from './family.ts';
import { Refusal } from './refusal.ts';

const TYPE_URL = 'type.googleapis.com/';

/** Where NEXT_HOP stands in a packed set: by type code, third. */
const NEXT_HOP_AT = 2;

/** Beyond this nobody means it (RFC 4271 has 255 in one segment). */
const AS_PATH_MAX = 255;

/** Attributes of a path that is added, as far as they were given. */
export type GivenAttributes = Partial<Pick<Attributes, Exclude<keyof Attributes, 'originatorId' | 'clusterList'>>>;

type Draft = { -readonly [K in keyof GivenAttributes]: GivenAttributes[K] };

export function packAny<S extends DescMessage>(schema: S, content: MessageInitShape<S>): Any {
  return create(AnySchema, { typeUrl: TYPE_URL + schema.typeName, value: toBinary(schema, create(schema, content)) });
}

export function packPrefix(prefix: Prefix): Any {
  return packAny(IPAddressPrefixSchema, { prefix: prefixAddress(prefix), prefixLen: prefixLength(prefix) });
}

/** The prefix of an NLRI; bits beyond its length are dropped, as `gobgp` itself does. Throws `Refusal`. */
export function readPrefix(nlri: Any | undefined): Prefix {
  const { prefix, prefixLen } = read(IPAddressPrefixSchema, nlri, 'nlri');
  const address = parseAddress(prefix);
  const found = address && prefixOf(address, prefixLen);
  if (found === undefined) throw wrong('nlri', `${prefix}/${prefixLen}`, 'an IPv4 or IPv6 prefix');
  return found;
}

/** Packs attribute sets, each once: sets are interned, so identity is equality. */
export class AttributePacker {
  readonly #packed = new WeakMap<Attributes, readonly Any[]>();

  pack(attributes: Attributes, prefix: Prefix, nlri: Any): Any[] {
    let packed = this.#packed.get(attributes);
    if (packed === undefined) {
      packed = packSet(attributes);
      this.#packed.set(attributes, packed);
    }
    const { nextHop } = attributes;
    if (prefixFamily(prefix) === 4) return [...packed];
    const reach = { family: familyMessage(6), nextHops: [nextHop], nlris: [nlri] };
    return [...packed.filter((_, i) => i !== NEXT_HOP_AT), packAny(MpReachNLRIAttributeSchema, reach)];
  }
}

/** As for an IPv4 prefix. */
function packSet(attributes: Attributes): readonly Any[] {
  const { origin, asPath, nextHop, med, localPref, communities, originatorId, clusterList, largeCommunities } =
    attributes;
  const segments = asPath.length === 0 ? [] : [{ type: AsSegment_Type.AS_SEQUENCE, numbers: [...asPath] }];
  const large = largeCommunities.map((text) => {
    const [globalAdmin = 0, localData1 = 0, localData2 = 0] = text.split(':').map(Number);
    return { globalAdmin, localData1, localData2 };
  });
  const list = [
    packAny(OriginAttributeSchema, { origin: ORIGINS.indexOf(origin) }),
    packAny(AsPathAttributeSchema, { segments }),
    packAny(NextHopAttributeSchema, { nextHop }),
  ];
  if (med !== undefined) list.push(packAny(MultiExitDiscAttributeSchema, { med }));
  if (localPref !== undefined) list.push(packAny(LocalPrefAttributeSchema, { localPref }));
  if (communities.length > 0) list.push(packAny(CommunitiesAttributeSchema, { communities: [...communities] }));
  if (originatorId !== undefined) list.push(packAny(OriginatorIdAttributeSchema, { id: originatorId }));
  if (clusterList.length > 0) list.push(packAny(ClusterListAttributeSchema, { ids: [...clusterList] }));
  if (large.length > 0) list.push(packAny(LargeCommunitiesAttributeSchema, { communities: large }));
  return list;
}

/** What was given for a path that is to be added. Throws `Refusal` for what cannot be carried. */
export function readAttributes(list: readonly Any[], ownAsn: number): GivenAttributes {
  const draft: Draft = {};
  for (const any of list) {
    const name = any.typeUrl.slice(TYPE_URL.length);
    const reader = READERS[name];
    if (reader === undefined) {
      const known = Object.keys(READERS).map(shortName).join(', ');
      throw new Refusal('UNIMPLEMENTED', `attribute ${shortName(name) || '(empty)'}: bgpd carries ${known}`);
    }
    reader(draft, any);
  }
  if (draft.asPath?.includes(ownAsn)) {
    throw wrong(
      'aspath',
      draft.asPath.join(' '),
      `one without the AS of this node, ${ownAsn}: peers would take it for a loop`,
    );
  }
  return draft;
}

const READERS: Readonly<Record<string, (draft: Draft, any: Any) => void>> = {
  [OriginAttributeSchema.typeName]: (draft, any) => {
    const { origin } = read(OriginAttributeSchema, any, 'origin');
    const known = ORIGINS[origin];
    if (known === undefined) throw wrong('origin', String(origin), '0 (igp), 1 (egp) or 2 (incomplete)');
    draft.origin = known;
  },
  [AsPathAttributeSchema.typeName]: (draft, any) => {
    const { segments } = read(AsPathAttributeSchema, any, 'aspath');
    if (segments.some(({ type }) => type !== AsSegment_Type.AS_SEQUENCE)) {
      throw wrong('aspath', 'a set or confederation segment', 'AS numbers in sequence');
    }
    draft.asPath = segments.flatMap(({ numbers }) => numbers);
    if (draft.asPath.length > AS_PATH_MAX || draft.asPath.includes(0)) {
      throw wrong('aspath', draft.asPath.slice(0, 8).join(' '), `at most ${AS_PATH_MAX} AS numbers from 1 on`);
    }
  },
  [NextHopAttributeSchema.typeName]: (draft, any) => {
    setNextHop(draft, read(NextHopAttributeSchema, any, 'nexthop').nextHop);
  },
  [MpReachNLRIAttributeSchema.typeName]: (draft, any) => {
    setNextHop(draft, read(MpReachNLRIAttributeSchema, any, 'nexthop').nextHops[0] ?? '');
  },
  [MultiExitDiscAttributeSchema.typeName]: (draft, any) => {
    draft.med = read(MultiExitDiscAttributeSchema, any, 'med').med;
  },
  [LocalPrefAttributeSchema.typeName]: (draft, any) => {
    draft.localPref = read(LocalPrefAttributeSchema, any, 'local-pref').localPref;
  },
  [CommunitiesAttributeSchema.typeName]: (draft, any) => {
    const { communities } = read(CommunitiesAttributeSchema, any, 'community');
    draft.communities = [...new Set(communities)].sort((a, b) => a - b);
  },
  [LargeCommunitiesAttributeSchema.typeName]: (draft, any) => {
    const { communities } = read(LargeCommunitiesAttributeSchema, any, 'large-community');
    const texts = communities.map((each) => `${each.globalAdmin}:${each.localData1}:${each.localData2}`);
    draft.largeCommunities = [...new Set(texts)].sort();
  },
};

/** The unspecified address stands for this node. */
function setNextHop(draft: Draft, text: string): void {
  const nextHop: Address | undefined = parseAddress(text);
  if (nextHop === undefined) throw wrong('nexthop', text, 'an IP address');
  if (nextHop !== (familyOf(nextHop) === 4 ? '0.0.0.0' : '::')) draft.nextHop = nextHop;
}

function read<S extends DescMessage>(schema: S, any: Any | undefined, field: string) {
  if (any?.typeUrl !== TYPE_URL + schema.typeName) throw wrong(field, any?.typeUrl || 'nothing', schema.typeName);
  try {
    return fromBinary(schema, any.value);
  } catch {
    throw wrong(field, `${any.value.length} bytes`, `a message ${schema.typeName}`);
  }
}

function wrong(field: string, value: string, accepted: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', `${field}: ${JSON.stringify(value)} is not accepted: it takes ${accepted}`);
}

/** `apipb.AigpAttribute` is `Aigp` to people. */
function shortName(typeName: string): string {
  return typeName.replace(/^apipb\./, '').replace(/Attribute$/, '');
}
