// What a hostile or broken peer may send, message by message, with the verdict that each must get.
//
// One table for whoever sends (a test peer over gRPC) and whoever asserts (the codec's unit test). `withdraw`: the UPDATE's
// prefixes are gone and the session stays; `loop`: the same, and nobody's mistake; a code and subcode: the session ends with this
// NOTIFICATION; `ok`: it is odd but valid.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { MessageSchema, Origin, type RefreshKind } from '../../../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import { AddressFamily } from '../../../../proto/gen/gingham/net/v1/net_pb.ts';

export type HostileVerdict = 'ok' | 'withdraw' | 'loop' | { readonly code: number; readonly subcode: number };

export interface HostileCase {
  readonly name: string;
  readonly message: MessageInitShape<typeof MessageSchema>;
  readonly verdict: HostileVerdict;
}

type UpdateInit = Extract<NonNullable<MessageInitShape<typeof MessageSchema>['body']>, { case: 'update' }>['value'];
type OpenInit = Extract<NonNullable<MessageInitShape<typeof MessageSchema>['body']>, { case: 'open' }>['value'];
type AttributesInit = NonNullable<UpdateInit['attributes']>;

/** 10.5.9.0/24. */
const NLRI = Uint8Array.of(24, 10, 5, 9);
const GOOD: AttributesInit = { origin: Origin.IGP, nextHop: Uint8Array.of(10, 0, 0, 2), localPref: 100 };

const RESET = {
  badMessageLength: { code: 1, subcode: 2 },
  badMessageType: { code: 1, subcode: 3 },
  badRouterId: { code: 2, subcode: 3 },
  optionalAttribute: { code: 3, subcode: 9 },
  invalidNetworkField: { code: 3, subcode: 10 },
  unexpectedInOpenSent: { code: 5, subcode: 1 },
  rejected: { code: 6, subcode: 5 },
} as const;

/** UPDATEs, for an established session. */
export const HOSTILE_UPDATES: readonly HostileCase[] = [
  update('a good one', {}, 'ok'),
  update('nothing in it', { announced: new Uint8Array() }, 'ok'),
  update('attributes without prefixes', { announced: new Uint8Array(), attributes: {} }, 'ok'),
  update('withdrawn and announced at once', { withdrawn: NLRI }, 'ok'),
  update('a prefix with host bits set', { announced: Uint8Array.of(20, 10, 5, 0xff) }, 'ok'),
  update('the default route', { announced: Uint8Array.of(0) }, 'ok'),
  update('the same prefix twice', { announced: Uint8Array.of(...NLRI, ...NLRI) }, 'ok'),
  update('no family', { family: AddressFamily.UNSPECIFIED }, RESET.optionalAttribute),
  update('unknown family', { family: 99 as AddressFamily }, RESET.optionalAttribute),
  update('announced: length above 32', { announced: Uint8Array.of(33, 1, 2, 3, 4, 5) }, RESET.invalidNetworkField),
  update('announced: truncated', { announced: Uint8Array.of(24, 10, 5) }, RESET.invalidNetworkField),
  update('announced: truncated after good ones', { announced: Uint8Array.of(...NLRI, 8) }, RESET.invalidNetworkField),
  update('withdrawn: length above 32', { withdrawn: Uint8Array.of(255) }, RESET.invalidNetworkField),
  update('withdrawn: truncated', { withdrawn: Uint8Array.of(16, 10) }, RESET.invalidNetworkField),
  update(
    'IPv6: length above 128',
    { family: AddressFamily.IPV6, announced: Uint8Array.of(129, ...new Uint8Array(17)) },
    RESET.invalidNetworkField,
  ),
  update('absurdly many prefixes', { announced: new Uint8Array((256 << 10) + 1) }, RESET.badMessageLength),
  { ...update('no attributes', {}, 'withdraw'), message: bare({ family: AddressFamily.IPV4, announced: NLRI }) },
  attributes('no origin', { origin: Origin.UNSPECIFIED }, 'withdraw'),
  attributes('unknown origin', { origin: 9 as Origin }, 'withdraw'),
  attributes('no next hop', { nextHop: new Uint8Array() }, 'withdraw'),
  attributes('next hop of 3 bytes', { nextHop: Uint8Array.of(10, 0, 0) }, 'withdraw'),
  attributes('next hop of 5 bytes', { nextHop: new Uint8Array(5).fill(10) }, 'withdraw'),
  attributes('next hop of 17 bytes', { nextHop: new Uint8Array(17).fill(10) }, 'withdraw'),
  attributes('next hop 0.0.0.0', { nextHop: new Uint8Array(4) }, 'withdraw'),
  attributes('next hop 0.1.2.3', { nextHop: Uint8Array.of(0, 1, 2, 3) }, 'withdraw'),
  attributes('next hop multicast', { nextHop: Uint8Array.of(224, 0, 0, 1) }, 'withdraw'),
  attributes('next hop broadcast', { nextHop: new Uint8Array(4).fill(255) }, 'withdraw'),
  attributes('next hop ::', { nextHop: new Uint8Array(16) }, 'withdraw'),
  attributes('next hop IPv6 multicast', { nextHop: Uint8Array.of(255, 2, ...new Uint8Array(13), 1) }, 'withdraw'),
  attributes('next hop IPv6 for IPv4 prefixes', { nextHop: Uint8Array.of(0xfd, ...new Uint8Array(15)) }, 'ok'),
  attributes('AS 0 in the path', { asPath: [64_513, 0] }, 'withdraw'),
  attributes('AS path of 256', { asPath: new Array(256).fill(64_513) }, 'withdraw'),
  attributes('AS path of 255', { asPath: new Array(255).fill(64_513) }, 'ok'),
  attributes('the largest AS', { asPath: [0xffff_ffff] }, 'ok'),
  attributes('originator id of 3 bytes', { originatorId: new Uint8Array(3) }, 'withdraw'),
  attributes('originator id of 16 bytes', { originatorId: new Uint8Array(16) }, 'withdraw'),
  attributes('cluster id empty', { clusterList: [new Uint8Array()] }, 'withdraw'),
  attributes('cluster id of 5 bytes', { clusterList: [new Uint8Array(4), new Uint8Array(5)] }, 'withdraw'),
  attributes('cluster list of 65', { clusterList: new Array(65).fill(new Uint8Array(4)) }, 'withdraw'),
  attributes('513 communities', { communities: [...new Array(513).keys()] }, 'withdraw'),
  attributes('513 large communities', { largeCommunities: new Array(513).fill({ localData1: 1 }) }, 'withdraw'),
  attributes('a community twice', { communities: [5, 5] }, 'ok'),
  attributes('weight 0', { weight: 0 }, 'withdraw'),
  attributes('weight 257', { weight: 257 }, 'withdraw'),
  attributes('the largest weight', { weight: 256 }, 'ok'),
  attributes('the largest LOCAL_PREF and MED', { localPref: 0xffff_ffff, med: 0xffff_ffff }, 'ok'),
];

/** Well-formed, and refused by what the receiver knows: it is router 127.0.0.2 of AS 64512, and the session is established. */
export const HOSTILE_IN_CONTEXT: readonly HostileCase[] = [
  attributes('our own AS in the path', { asPath: [64_512] }, 'loop'),
  attributes('our own AS far back in the path', { asPath: [64_513, 64_514, 64_512] }, 'loop'),
  attributes('our own ORIGINATOR_ID', { originatorId: Uint8Array.of(127, 0, 0, 2) }, 'loop'),
  attributes('our own cluster id', { clusterList: [Uint8Array.of(127, 0, 0, 2)] }, 'loop'),
  {
    ...update('no LOCAL_PREF', {}, 'withdraw'),
    message: bare({
      family: AddressFamily.IPV4,
      announced: NLRI,
      attributes: { origin: Origin.IGP, nextHop: Uint8Array.of(10, 0, 0, 2) },
    }),
  },
  open('OPEN twice', {}, { code: 5, subcode: 3 }),
];

/** Anything else. */
export const HOSTILE_MESSAGES: readonly HostileCase[] = [
  { name: 'no body', message: {}, verdict: RESET.badMessageType },
  open('a good OPEN', {}, 'ok'),
  open('OPEN with unknown families', { capabilities: { families: [77 as AddressFamily, AddressFamily.IPV4] } }, 'ok'),
  open('a storm of capabilities', { capabilities: { families: new Array(10_000).fill(AddressFamily.IPV6) } }, 'ok'),
  open(
    'graceful restart of absurd time and families',
    {
      capabilities: {
        families: [AddressFamily.IPV4],
        gracefulRestart: { restartTimeSeconds: 0xffff_ffff, families: new Array(10_000).fill(99) },
      },
    },
    'ok',
  ),
  open(
    'long-lived graceful restart of absurd time and families, each often',
    {
      capabilities: {
        families: [AddressFamily.IPV4],
        longLivedGracefulRestart: {
          families: new Array(10_000).fill({ family: AddressFamily.IPV4, staleTimeSeconds: 0xffff_ffff }),
        },
      },
    },
    'ok',
  ),
  family('a good ROUTE-REFRESH', 'routeRefresh', AddressFamily.IPV4, 'ok'),
  {
    name: 'ROUTE-REFRESH of an unknown kind',
    message: { body: { case: 'routeRefresh', value: { family: AddressFamily.IPV4, kind: 9 as RefreshKind } } },
    verdict: RESET.badMessageType,
  },
  open('router id missing', { routerId: new Uint8Array() }, RESET.badRouterId),
  open('router id zero', { routerId: new Uint8Array(4) }, RESET.badRouterId),
  open('router id of 16 bytes', { routerId: new Uint8Array(16).fill(1) }, RESET.badRouterId),
  open('node missing', { node: '' }, RESET.rejected),
  open('node name of 254 characters', { node: 'n'.repeat(254) }, RESET.rejected),
  family('END-OF-RIB', 'endOfRib', AddressFamily.IPV4, 'ok'),
  family('END-OF-RIB without family', 'endOfRib', AddressFamily.UNSPECIFIED, RESET.optionalAttribute),
  family('END-OF-RIB of an unknown family', 'endOfRib', 3 as AddressFamily, RESET.optionalAttribute),
  family('ROUTE-REFRESH without family', 'routeRefresh', AddressFamily.UNSPECIFIED, RESET.optionalAttribute),
  {
    name: 'NOTIFICATION with an absurd text',
    message: { body: { case: 'notification', value: { code: 6, subcode: 2, text: 'é'.repeat(9_999) } } },
    verdict: 'ok',
  },
];

/** Well-formed, and refused as the first message by what the receiver knows: who it is, and that `b` is its only other peer. */
export const HOSTILE_FIRST: readonly HostileCase[] = [
  { ...update('UPDATE before OPEN', {}, RESET.unexpectedInOpenSent) },
  family('END-OF-RIB before OPEN', 'endOfRib', AddressFamily.IPV4, RESET.unexpectedInOpenSent),
  family('ROUTE-REFRESH before OPEN', 'routeRefresh', AddressFamily.IPV4, RESET.unexpectedInOpenSent),
  {
    name: 'KEEPALIVE before OPEN',
    message: { body: { case: 'keepalive', value: {} } },
    verdict: RESET.unexpectedInOpenSent,
  },
  open('OPEN of another version', { version: 2 }, { code: 2, subcode: 1 }),
  open('OPEN of another AS than registered', { asn: 65_001 }, { code: 2, subcode: 2 }),
  open('OPEN of AS 0', { asn: 0 }, { code: 2, subcode: 2 }),
  open('OPEN with our router id', { routerId: Uint8Array.of(127, 0, 0, 2) }, RESET.badRouterId),
  open('OPEN with another router id than registered', { routerId: Uint8Array.of(10, 0, 0, 3) }, RESET.badRouterId),
  open('OPEN with hold time 2', { holdTimeSeconds: 2 }, { code: 2, subcode: 6 }),
  open('OPEN with an absurd hold time', { holdTimeSeconds: 0xffff_ffff }, { code: 2, subcode: 6 }),
  open('OPEN without a family in common', { capabilities: {} }, { code: 2, subcode: 7 }),
  open('OPEN of a node that nobody knows', { node: 'nobody' }, RESET.rejected),
  open('OPEN in our own name', { node: 'node2' }, RESET.rejected),
];

function update(name: string, value: UpdateInit, verdict: HostileVerdict): HostileCase {
  const whole = { family: AddressFamily.IPV4, announced: NLRI, attributes: GOOD, ...value } as UpdateInit;
  return { name, message: { body: { case: 'update', value: whole } }, verdict };
}

function attributes(name: string, value: AttributesInit, verdict: HostileVerdict): HostileCase {
  return update(name, { attributes: { ...GOOD, ...value } as AttributesInit }, verdict);
}

function bare(value: UpdateInit): MessageInitShape<typeof MessageSchema> {
  return { body: { case: 'update', value } };
}

function open(name: string, value: OpenInit, verdict: HostileVerdict): HostileCase {
  const good = { version: 1, asn: 64_512, holdTimeSeconds: 9, routerId: Uint8Array.of(10, 0, 0, 2), node: 'b' };
  const whole = { ...good, capabilities: { families: [AddressFamily.IPV4] }, ...value } as OpenInit;
  return { name, message: { body: { case: 'open', value: whole } }, verdict };
}

function family(
  name: string,
  of: 'endOfRib' | 'routeRefresh',
  value: AddressFamily,
  verdict: HostileVerdict,
): HostileCase {
  return { name, message: create(MessageSchema, { body: { case: of, value: { family: value } } }), verdict };
}
