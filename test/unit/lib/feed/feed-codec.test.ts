// Feed events to protobuf and back, through real bytes.
//
// And what a hostile or broken sender gets for its message: an error that names the field, never an exception.

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FeedEvent } from '../../../../lib/feed/feed.ts';
import {
  decodeFeedEvent,
  encodeFeedEvent,
  MESSAGE_PREFIXES_MAX,
  splitFeedEvent,
} from '../../../../lib/feed/feed-codec.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { AddressFamily } from '../../../../proto/gen/gingham/net/v1/net_pb.ts';
import {
  type AttachmentSchema,
  GroupKind,
  WatchResponseSchema,
} from '../../../../proto/gen/gingham/routefeed/v1/routefeed_pb.ts';

const CAUSE = { id: 'flanneld-1-2', kind: 'lease-added', detectedUnixUs: 1_700_000_000_000_001n, decidedUnixUs: 5n };

const EVENTS: readonly FeedEvent[] = [
  {
    type: 'group',
    group: {
      id: 7,
      kind: 'unicast',
      nextHops: [
        { gateway: address('10.5.2.0'), device: 'flannel.1', onlink: true, weight: 256 },
        { gateway: address('fd00::2'), onlink: false, weight: 1 },
        { device: 'flannel0', onlink: false, weight: 1 },
      ],
      endpoint: address('192.0.2.2'),
      local: false,
      node: 'node2',
    },
    cause: CAUSE,
  },
  { type: 'group', group: { id: 1, kind: 'blackhole', nextHops: [], local: true, node: '' } },
  {
    type: 'group',
    group: {
      id: 2,
      kind: 'unicast',
      nextHops: [{ device: 'gh1', onlink: false, weight: 1 }],
      local: true,
      node: 'node1',
      attachment: {
        device: 'gh1',
        addresses: [address('169.254.1.1'), address('fe80::1')],
        neighbours: [{ address: address('10.5.1.9'), mac: mac('0a:58:0a:05:01:09') }],
      },
    },
  },
  { type: 'group-removed', id: 0xffff_ffff, cause: CAUSE },
  { type: 'routes', group: 7, prefixes: [prefix('10.5.2.0/24'), prefix('0.0.0.0/0')], cause: CAUSE },
  { type: 'routes', group: 7, prefixes: [prefix('fd00:5::/48')] },
  { type: 'withdrawn', prefixes: [prefix('10.5.2.0/24')] },
  { type: 'in-sync' },
];

const decode = (init: MessageInitShape<typeof WatchResponseSchema>) =>
  decodeFeedEvent(create(WatchResponseSchema, init));

describe('feed codec', () => {
  it.each(EVENTS)('gives back a $type event', (event) => {
    const bytes = toBinary(WatchResponseSchema, encodeFeedEvent(event));
    expect(decodeFeedEvent(fromBinary(WatchResponseSchema, bytes))).toEqual(event);
  });

  it('splits by family and by size, and loses nothing', () => {
    const v4 = Array.from({ length: MESSAGE_PREFIXES_MAX + 1 }, (_, i) => prefix(`10.${i >> 8}.${i & 255}.0/24`));
    const parts = splitFeedEvent({ type: 'routes', group: 3, prefixes: [prefix('fd00::/64'), ...v4], cause: CAUSE });
    expect(parts.map((part) => (part.type === 'routes' ? part.prefixes.length : -1))).toEqual([4096, 1, 1]);
    expect(parts.flatMap((part) => (part.type === 'routes' ? part.prefixes : []))).toEqual([...v4, 'fd00::/64']);
    expect(parts.every((part) => part.type === 'routes' && part.group === 3 && part.cause === CAUSE)).toBe(true);
    expect(splitFeedEvent({ type: 'withdrawn', prefixes: [] })).toEqual([]);
  });

  const hop = { gateway: new Uint8Array(4), device: 'eth0', onlink: false, weight: 1 };
  const group = { id: 1, kind: GroupKind.UNICAST as GroupKind, nextHops: [hop] };
  const attached = (
    attachment: MessageInitShape<typeof AttachmentSchema>,
  ): MessageInitShape<typeof WatchResponseSchema> => ({
    event: { case: 'group', value: { ...group, attachment: { device: 'gh1', ...attachment } } },
  });
  it.each<[string, MessageInitShape<typeof WatchResponseSchema>]>([
    ['no event that this version knows', {}],
    ['attachment.device is not an interface name', attached({ device: 'a/b' })],
    ['attachment.device is not an interface name', attached({ device: '' })],
    ['attachment.addresses are not 4 or 16 bytes', attached({ addresses: [new Uint8Array(4), new Uint8Array(5)] })],
    ['attachment.neighbour.address is not 4 or 16 bytes', attached({ neighbours: [{ mac: new Uint8Array(6) }] })],
    ['attachment.neighbour.mac is not 6 bytes', attached({ neighbours: [{ address: new Uint8Array(4) }] })],
    ['group.id is 0', { event: { case: 'group', value: { ...group, id: 0 } } }],
    ['group.kind 9 is unknown', { event: { case: 'group', value: { ...group, kind: 9 as GroupKind } } }],
    ['group.kind 0 is unknown', { event: { case: 'group', value: { ...group, kind: GroupKind.UNSPECIFIED } } }],
    [
      'group.next_hops given for a blackhole group',
      { event: { case: 'group', value: { ...group, kind: GroupKind.BLACKHOLE } } },
    ],
    [
      'group.endpoint is not 4 or 16 bytes',
      { event: { case: 'group', value: { ...group, endpoint: new Uint8Array(5) } } },
    ],
    [
      'next_hop.gateway is not 4 or 16 bytes',
      { event: { case: 'group', value: { ...group, nextHops: [{ ...hop, gateway: new Uint8Array(3) }] } } },
    ],
    [
      'next_hop.device is not an interface name',
      { event: { case: 'group', value: { ...group, nextHops: [{ ...hop, device: '../x' }] } } },
    ],
    [
      'next_hop.device is not an interface name',
      { event: { case: 'group', value: { ...group, nextHops: [{ ...hop, device: 'a'.repeat(16) }] } } },
    ],
    ['next_hop has neither gateway nor device', { event: { case: 'group', value: { ...group, nextHops: [{}] } } }],
    [
      'next_hop.weight 257 is above 256',
      { event: { case: 'group', value: { ...group, nextHops: [{ ...hop, weight: 257 }] } } },
    ],
    ['group_removed.id is 0', { event: { case: 'groupRemoved', value: {} } }],
    ['routes.group is 0', { event: { case: 'routes', value: { family: AddressFamily.IPV4 } } }],
    ['routes.family 0 is unknown', { event: { case: 'routes', value: { group: 1 } } }],
    [
      'routes.prefixes: bad-length at byte 0',
      { event: { case: 'routes', value: { group: 1, family: AddressFamily.IPV4, prefixes: Uint8Array.of(33) } } },
    ],
    [
      'withdrawn.prefixes: truncated at byte 0',
      { event: { case: 'withdrawn', value: { family: AddressFamily.IPV6, prefixes: Uint8Array.of(64) } } },
    ],
    ['cause has an overlong text', { cause: { id: 'x'.repeat(201) }, event: { case: 'inSync', value: {} } }],
  ])('refuses: %s', (error, init) => {
    expect(decode(init)).toEqual({ error });
  });

  it('reads weight 0 as 1', () => {
    const event = decode({ event: { case: 'group', value: { ...group, nextHops: [{ ...hop, weight: 0 }] } } });
    expect(event).toMatchObject({ type: 'group', group: { nextHops: [{ weight: 1 }] } });
  });

  it('never throws on bytes that protobuf accepts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        let message: ReturnType<typeof fromBinary<typeof WatchResponseSchema>>;
        try {
          message = fromBinary(WatchResponseSchema, bytes);
        } catch {
          return;
        }
        expect(decodeFeedEvent(message)).toBeTypeOf('object');
      }),
    );
  });
});
