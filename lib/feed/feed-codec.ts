// Feed events to and from protobuf: proto/gingham/routefeed/v1/routefeed.proto. Not the transport (feed-server, feed-client).
//
// What arrives may come from another version or a broken writer: decoding checks every field and gives an error value,
// never an exception. The confusing thing: one event may be many messages, because a message has one address family and
// a bounded number of prefixes (`splitFeedEvent`); one message is always one event.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { AddressFamily, Cause as CauseMessage } from '../../proto/gen/gingham/net/v1/net_pb.ts';
import {
  type Attachment,
  GroupKind,
  type NextHop,
  type PathGroup,
  PathGroupSchema,
  type WatchResponse,
  WatchResponseSchema,
} from '../../proto/gen/gingham/routefeed/v1/routefeed_pb.ts';
import { type Address, addressBytes, addressFromBytes } from '../net/address.ts';
import { type Mac, macBytes, macFromBytes } from '../net/mac.ts';
import { type Prefix, prefixFamily } from '../net/prefix.ts';
import { familyFromProto, familyToProto } from '../rpc/address-family.ts';
import { decodeNlri, packPrefixes } from '../wire/nlri.ts';
import type { Cause, FeedAttachment, FeedEvent, FeedGroup, FeedGroupKind, FeedNextHop } from './feed.ts';

/** Prefixes in one message: at most 70 kB, encoded in a few milliseconds. */
export const MESSAGE_PREFIXES_MAX = 4_096;

/** Largest weight of a next hop: the kernel's `nexthop_grp.weight` is a byte that holds weight - 1. */
export const WEIGHT_MAX = 256;

/** IFNAMSIZ less the final NUL (include/uapi/linux/if.h). */
const DEVICE_NAME_MAX_BYTES = 15;

/** A cause is for people and logs: longer texts are not what any daemon writes. */
const CAUSE_TEXT_MAX = 200;

const KIND_TO_PROTO = {
  unicast: GroupKind.UNICAST,
  blackhole: GroupKind.BLACKHOLE,
  unreachable: GroupKind.UNREACHABLE,
} as const;

/** Why a message is not an event, with the field's name. */
export interface FeedDecodeError {
  readonly error: string;
}

type EventInit = NonNullable<MessageInitShape<typeof WatchResponseSchema>['event']>;

/** The event as events of one message each: one address family and at most `MESSAGE_PREFIXES_MAX` prefixes. */
export function splitFeedEvent(event: FeedEvent): readonly FeedEvent[] {
  if (event.type !== 'routes' && event.type !== 'withdrawn') return [event];
  const { prefixes } = event;
  const mixed = prefixes.some((prefix) => prefixFamily(prefix) !== prefixFamily(prefixes[0] as Prefix));
  if (!mixed && prefixes.length <= MESSAGE_PREFIXES_MAX) return prefixes.length === 0 ? [] : [event];
  const parts: FeedEvent[] = [];
  for (const family of [4, 6] as const) {
    const own = mixed ? prefixes.filter((prefix) => prefixFamily(prefix) === family) : prefixes;
    for (let at = 0; at < own.length; at += MESSAGE_PREFIXES_MAX) {
      parts.push({ ...event, prefixes: own.slice(at, at + MESSAGE_PREFIXES_MAX) });
    }
    if (!mixed) break;
  }
  return parts;
}

/** The message of one event, which must be one that `splitFeedEvent` gave. */
export function encodeFeedEvent(event: FeedEvent): WatchResponse {
  const cause = event.type === 'in-sync' ? undefined : event.cause;
  return create(WatchResponseSchema, { event: eventToProto(event), ...(cause === undefined ? {} : { cause }) });
}

/** The event in a message that somebody else wrote. */
export function decodeFeedEvent(message: WatchResponse): FeedEvent | FeedDecodeError {
  const cause = message.cause === undefined ? undefined : causeFromProto(message.cause);
  if (cause !== undefined && 'error' in cause) return cause;
  const stamp = cause === undefined ? {} : { cause };
  const { event } = message;
  switch (event.case) {
    case 'group': {
      const group = groupFromProto(event.value);
      return 'error' in group ? group : { type: 'group', group, ...stamp };
    }
    case 'groupRemoved':
      return event.value.id === 0
        ? { error: 'group_removed.id is 0' }
        : { type: 'group-removed', id: event.value.id, ...stamp };
    case 'routes': {
      if (event.value.group === 0) return { error: 'routes.group is 0' };
      const prefixes = prefixesFromProto('routes', event.value.family, event.value.prefixes);
      return 'error' in prefixes ? prefixes : { type: 'routes', group: event.value.group, prefixes, ...stamp };
    }
    case 'withdrawn': {
      const prefixes = prefixesFromProto('withdrawn', event.value.family, event.value.prefixes);
      return 'error' in prefixes ? prefixes : { type: 'withdrawn', prefixes, ...stamp };
    }
    case 'inSync':
      return { type: 'in-sync' };
    case undefined:
      return { error: 'no event that this version knows' };
  }
}

function eventToProto(event: FeedEvent): EventInit {
  switch (event.type) {
    case 'group':
      return { case: 'group', value: groupToProto(event.group) };
    case 'group-removed':
      return { case: 'groupRemoved', value: { id: event.id } };
    case 'routes':
      return { case: 'routes', value: { group: event.group, ...packed(event.prefixes) } };
    case 'withdrawn':
      return { case: 'withdrawn', value: packed(event.prefixes) };
    case 'in-sync':
      return { case: 'inSync', value: {} };
  }
}

function packed(prefixes: readonly Prefix[]): { family: AddressFamily; prefixes: Uint8Array<ArrayBuffer> } {
  const first = prefixes[0];
  const family = familyToProto(first === undefined ? 4 : prefixFamily(first));
  return { family, prefixes: packPrefixes(prefixes) };
}

function groupToProto(group: FeedGroup): PathGroup {
  return create(PathGroupSchema, {
    id: group.id,
    kind: KIND_TO_PROTO[group.kind],
    nextHops: group.nextHops.map((hop) => ({
      gateway: bytesOf(hop.gateway),
      device: hop.device ?? '',
      onlink: hop.onlink,
      weight: hop.weight,
    })),
    endpoint: bytesOf(group.endpoint),
    local: group.local,
    node: group.node,
    ...(group.attachment && { attachment: attachmentToProto(group.attachment) }),
  });
}

function attachmentToProto({ device, addresses, neighbours }: FeedAttachment) {
  return {
    device,
    addresses: addresses.map(bytesOf),
    neighbours: neighbours.map(({ address, mac }) => ({ address: bytesOf(address), mac: macBytes(mac) })),
  };
}

function groupFromProto(group: PathGroup): FeedGroup | FeedDecodeError {
  if (group.id === 0) return { error: 'group.id is 0' };
  const kind = kindFromProto(group.kind);
  if (kind === undefined) return { error: `group.kind ${group.kind} is unknown` };
  if (kind !== 'unicast' && group.nextHops.length > 0) return { error: `group.next_hops given for a ${kind} group` };
  const nextHops: FeedNextHop[] = [];
  for (const each of group.nextHops) {
    const hop = nextHopFromProto(each);
    if ('error' in hop) return hop;
    nextHops.push(hop);
  }
  const endpoint = group.endpoint.length === 0 ? undefined : addressFromBytes(group.endpoint);
  if (group.endpoint.length > 0 && endpoint === undefined) return { error: 'group.endpoint is not 4 or 16 bytes' };
  const attachment = group.attachment && attachmentFromProto(group.attachment);
  if (attachment !== undefined && 'error' in attachment) return attachment;
  const { id, local, node } = group;
  return { id, kind, nextHops, local, node, ...(endpoint && { endpoint }), ...(attachment && { attachment }) };
}

function attachmentFromProto({ device, addresses, neighbours }: Attachment): FeedAttachment | FeedDecodeError {
  if (device === '' || !isDeviceName(device)) return { error: 'attachment.device is not an interface name' };
  const own = addresses.map(addressFromBytes);
  if (!own.every((address) => address !== undefined)) return { error: 'attachment.addresses are not 4 or 16 bytes' };
  const others: { address: Address; mac: Mac }[] = [];
  for (const each of neighbours) {
    const [address, mac] = [addressFromBytes(each.address), macFromBytes(each.mac)];
    if (address === undefined) return { error: 'attachment.neighbour.address is not 4 or 16 bytes' };
    if (mac === undefined) return { error: 'attachment.neighbour.mac is not 6 bytes' };
    others.push({ address, mac });
  }
  return { device, addresses: own, neighbours: others };
}

function nextHopFromProto(hop: NextHop): FeedNextHop | FeedDecodeError {
  const gateway = hop.gateway.length === 0 ? undefined : addressFromBytes(hop.gateway);
  if (hop.gateway.length > 0 && gateway === undefined) return { error: 'next_hop.gateway is not 4 or 16 bytes' };
  if (hop.device !== '' && !isDeviceName(hop.device)) return { error: 'next_hop.device is not an interface name' };
  if (gateway === undefined && hop.device === '') return { error: 'next_hop has neither gateway nor device' };
  if (hop.weight > WEIGHT_MAX) return { error: `next_hop.weight ${hop.weight} is above ${WEIGHT_MAX}` };
  return {
    onlink: hop.onlink,
    weight: hop.weight || 1,
    ...(gateway === undefined ? {} : { gateway }),
    ...(hop.device === '' ? {} : { device: hop.device }),
  };
}

function kindFromProto(kind: GroupKind): FeedGroupKind | undefined {
  switch (kind) {
    case GroupKind.UNICAST:
      return 'unicast';
    case GroupKind.BLACKHOLE:
      return 'blackhole';
    case GroupKind.UNREACHABLE:
      return 'unreachable';
    default:
      return undefined;
  }
}

/** As the kernel's dev_valid_name (net/core/dev.c): no slash, colon or white space, not `.` or `..`. */
function isDeviceName(name: string): boolean {
  return !/[\s/:]/.test(name) && name !== '.' && name !== '..' && Buffer.byteLength(name) <= DEVICE_NAME_MAX_BYTES;
}

function causeFromProto({ id, kind, detectedUnixUs, decidedUnixUs }: CauseMessage): Cause | FeedDecodeError {
  if (id.length > CAUSE_TEXT_MAX || kind.length > CAUSE_TEXT_MAX) return { error: 'cause has an overlong text' };
  return { id, kind, detectedUnixUs, decidedUnixUs };
}

function prefixesFromProto(field: string, family: AddressFamily, bytes: Uint8Array): Prefix[] | FeedDecodeError {
  const known = familyFromProto(family);
  if (known === undefined) return { error: `${field}.family ${family} is unknown` };
  const prefixes = decodeNlri(known, bytes);
  if (!('error' in prefixes)) return prefixes;
  return { error: `${field}.prefixes: ${prefixes.error} at byte ${prefixes.offset}` };
}

function bytesOf(value: Address | undefined): Uint8Array {
  return value === undefined ? new Uint8Array() : addressBytes(value);
}
