// Messages of a session to and from protobuf: proto/gingham/exchange/v1/exchange.proto. Not the transport.
//
// What arrives is hostile: every field is checked and nothing throws. The verdicts are those of RFC 7606: an UPDATE whose
// attributes are wrong is *treated as withdraw* (its prefixes are gone, the session stays); one whose prefixes cannot be
// read, and any other message that is no message, *resets the session* with the NOTIFICATION that says why.
// Whether a well-formed message makes sense here (state, loops, expectations) is for session.ts and route-rules.ts.

import { create, toBinary } from '@bufbuild/protobuf';
import type { Cause } from '../../lib/feed/feed.ts';
import { addressBytes, addressFromBytes, type Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { familyFromProto, familyToProto } from '../../lib/rpc/address-family.ts';
import { decodeNlri, packPrefixes } from '../../lib/wire/nlri.ts';
import {
  type GracefulRestart as GracefulRestartProto,
  type LongLivedGracefulRestart as LongLivedProto,
  type Message as MessageProto,
  MessageSchema,
  type Open as OpenProto,
  RefreshKind as RefreshKindProto,
  SessionRequestSchema,
  type Update as UpdateProto,
} from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import type { AddressFamily, Cause as CauseMessage } from '../../proto/gen/gingham/net/v1/net_pb.ts';
import type { Update } from '../rib/update.ts';
import { decodeAttributes, encodeAttributes } from './attribute-codec.ts';
import type { Capabilities, GracefulRestart, LongLivedFamily, Message, Open } from './message.ts';
import { cutText, type Notification, notification } from './notification.ts';

/** Bytes of packed prefixes in one UPDATE beyond which it is refused; ours have at most a quarter. */
export const NLRI_MAX_BYTES = 256 << 10;

/** Bytes from which on a frame is full: with the largest message on top still far below what a receiver takes. */
const FRAME_BYTES = 64 << 10;

/** Messages in one frame beyond which it is refused: what they ask for is done in one turn of the event loop. */
const FRAME_MESSAGES_MAX = 1_024;

/** Longest node name (a DNS name, RFC 1035 section 2.3.4). */
const NODE_NAME_MAX = 253;

/** More families than exist: what follows is not read. */
const CAPABILITY_FAMILIES_MAX = 64;

/** The field of RFC 4724 section 3 has 12 bits. */
const RESTART_TIME_MAX_SECONDS = 4_095;

/** The field of RFC 9494 section 3.1 has 24 bits. */
export const STALE_TIME_MAX_SECONDS = 0xff_ffff;

/** A cause is for people and logs: longer texts are not what any daemon writes. */
const CAUSE_TEXT_MAX = 200;

/** `flaw`: an UPDATE was treated as withdraw because of this. `reset`: answer with this and end the session. */
export type Decoded = { readonly message: Message; readonly flaw?: string } | { readonly reset: Notification };

const REFRESH_KINDS = ['request', 'begin', 'end'] as const;
const REFRESH_TO_PROTO = {
  request: RefreshKindProto.UNSPECIFIED,
  begin: RefreshKindProto.BEGIN,
  end: RefreshKindProto.END,
} as const;

/** The protobuf form of a message. */
export function encodeMessage(message: Message): MessageProto {
  switch (message.type) {
    case 'open':
      return create(MessageSchema, { body: { case: 'open', value: encodeOpen(message.open) } });
    case 'update':
      return encodeUpdate(message.update);
    case 'keepalive':
      return create(MessageSchema, { body: { case: 'keepalive', value: {} } });
    case 'notification': {
      const { code, subcode, text } = message.notification;
      return create(MessageSchema, { body: { case: 'notification', value: { code, subcode, text } } });
    }
    case 'route-refresh':
      return create(MessageSchema, {
        body: {
          case: 'routeRefresh',
          value: { family: familyToProto(message.family), kind: REFRESH_TO_PROTO[message.kind] },
        },
      });
    case 'end-of-rib':
      return create(MessageSchema, { body: { case: 'endOfRib', value: { family: familyToProto(message.family) } } });
  }
}

/** The message that somebody else wrote. */
export function decodeMessage({ body }: MessageProto): Decoded {
  switch (body.case) {
    case 'open':
      return decodeOpen(body.value);
    case 'update':
      return decodeUpdate(body.value);
    case 'keepalive':
      return { message: { type: 'keepalive' } };
    case 'notification': {
      const { code, subcode, text } = body.value;
      return { message: { type: 'notification', notification: { code, subcode, text: cutText(text) } } };
    }
    case 'endOfRib': {
      const family = familyFromProto(body.value.family);
      if (family === undefined) return unknownFamily(body.case, body.value.family);
      return { message: { type: 'end-of-rib', family } };
    }
    case 'routeRefresh': {
      const family = familyFromProto(body.value.family);
      if (family === undefined) return unknownFamily(body.case, body.value.family);
      const kind = REFRESH_KINDS.find((each) => REFRESH_TO_PROTO[each] === body.value.kind);
      if (kind === undefined) {
        return { reset: notification('badMessageType', `route refresh of kind ${body.value.kind}`) };
      }
      return { message: { type: 'route-refresh', family, kind } };
    }
    default:
      return { reset: notification('badMessageType', 'no message that this version knows') };
  }
}

/** Serialized once, however many peers of an update group get it. */
const frames = new WeakMap<Update, Buffer>();

/**
 * Messages as frames of a stream, each of about `FRAME_BYTES`: a frame costs much more than a message. SessionRequest and
 * SessionResponse have the same bytes, and a frame of several messages is theirs one after another.
 */
export function encodeFrames(messages: readonly Message[]): readonly Buffer[] {
  const [only] = messages;
  if (messages.length === 1 && only !== undefined) return [encodeFrame(only)];
  const frames: Buffer[] = [];
  let together: Buffer[] = [];
  let bytes = 0;
  for (const message of messages) {
    const part = encodeFrame(message);
    together.push(part);
    bytes += part.length;
    if (bytes < FRAME_BYTES && together.length < FRAME_MESSAGES_MAX) continue;
    frames.push(Buffer.concat(together, bytes));
    together = [];
    bytes = 0;
  }
  if (together.length > 0) frames.push(Buffer.concat(together, bytes));
  return frames;
}

/** The messages of a frame that somebody else wrote. */
export function decodeFrame(messages: readonly MessageProto[]): readonly Decoded[] {
  if (messages.length > 0 && messages.length <= FRAME_MESSAGES_MAX) return messages.map(decodeMessage);
  const why = `${messages.length} messages in a frame: 1 to ${FRAME_MESSAGES_MAX}`;
  return [{ reset: notification('badMessageLength', why) }];
}

function encodeFrame(message: Message): Buffer {
  const known = message.type === 'update' ? frames.get(message.update) : undefined;
  if (known !== undefined) return known;
  const bytes = toBinary(SessionRequestSchema, create(SessionRequestSchema, { messages: [encodeMessage(message)] }));
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (message.type === 'update') frames.set(message.update, frame);
  return frame;
}

function encodeUpdate(update: Update): MessageProto {
  const { family, withdrawn, announced, attributes, cause } = update;
  return create(MessageSchema, {
    body: {
      case: 'update',
      value: {
        family: familyToProto(family),
        withdrawn: packPrefixes(withdrawn),
        announced: packPrefixes(announced),
        ...(attributes !== undefined && { attributes: encodeAttributes(attributes) }),
        ...(cause !== undefined && {
          cause: { id: cause.id, kind: cause.kind, detectedUnixUs: cause.detectedUnixUs },
        }),
      },
    },
  });
}

function decodeUpdate(proto: UpdateProto): Decoded {
  const family = familyFromProto(proto.family);
  if (family === undefined) return unknownFamily('update', proto.family);
  const bytes = proto.withdrawn.length + proto.announced.length;
  if (bytes > NLRI_MAX_BYTES) {
    return { reset: notification('badMessageLength', `update: ${bytes} bytes of prefixes: at most ${NLRI_MAX_BYTES}`) };
  }
  const withdrawn = decodePrefixes('withdrawn', family, proto.withdrawn);
  if ('reset' in withdrawn) return withdrawn;
  const announced = decodePrefixes('announced', family, proto.announced);
  if ('reset' in announced) return announced;
  const stamp = decodeCause(proto.cause);
  const cause = stamp === undefined ? {} : { cause: stamp };
  if (announced.length === 0)
    return { message: { type: 'update', update: { family, withdrawn, announced, ...cause } } };
  const attributes = proto.attributes === undefined ? { flaw: 'no attributes' } : decodeAttributes(proto.attributes);
  if ('flaw' in attributes) {
    const update: Update = { family, withdrawn: [...withdrawn, ...announced], announced: [], ...cause };
    return { message: { type: 'update', update }, flaw: attributes.flaw };
  }
  return { message: { type: 'update', update: { family, withdrawn, announced, attributes, ...cause } } };
}

function encodeOpen({ version, asn, holdTimeSeconds, routerId, node, capabilities }: Open) {
  return {
    version,
    asn,
    holdTimeSeconds,
    routerId: addressBytes(routerId),
    node,
    capabilities: encodeCapabilities(capabilities),
  };
}

function encodeCapabilities(capabilities: Capabilities) {
  const { families, routeRefresh, enhancedRefresh = false, gracefulRestart, longLived } = capabilities;
  return {
    families: families.map(familyToProto),
    routeRefresh,
    enhancedRouteRefresh: enhancedRefresh,
    ...(gracefulRestart !== undefined && {
      gracefulRestart: {
        ...gracefulRestart,
        families: gracefulRestart.families.map(familyToProto),
        preserved: gracefulRestart.preserved.map(familyToProto),
      },
    }),
    ...(longLived !== undefined && {
      longLivedGracefulRestart: {
        families: longLived.map(({ family, preserved, staleSeconds }) => {
          return { family: familyToProto(family), preserved, staleTimeSeconds: staleSeconds };
        }),
      },
    }),
  };
}

/** What is out of range here is left for session.ts to refuse, with the code that its RFC names. */
function decodeOpen(proto: OpenProto): Decoded {
  const routerId = proto.routerId.length === 4 ? addressFromBytes(proto.routerId) : undefined;
  if (routerId === undefined || routerId === '0.0.0.0') {
    return { reset: notification('badRouterId', 'router id: 4 bytes, not zero') };
  }
  if (proto.node === '' || proto.node.length > NODE_NAME_MAX) {
    return { reset: notification('connectionRejected', `node: a name of 1 to ${NODE_NAME_MAX} characters`) };
  }
  const { version, asn, holdTimeSeconds, node } = proto;
  const gracefulRestart = decodeGracefulRestart(proto.capabilities?.gracefulRestart);
  const longLived = decodeLongLived(proto.capabilities?.longLivedGracefulRestart);
  const capabilities: Capabilities = {
    families: decodeFamilies(proto.capabilities?.families ?? []),
    routeRefresh: proto.capabilities?.routeRefresh === true,
    ...(proto.capabilities?.enhancedRouteRefresh === true && { enhancedRefresh: true }),
    ...(gracefulRestart !== undefined && { gracefulRestart }),
    ...(longLived !== undefined && { longLived }),
  };
  return { message: { type: 'open', open: { version, asn, holdTimeSeconds, routerId, node, capabilities } } };
}

function decodeGracefulRestart(proto: GracefulRestartProto | undefined): GracefulRestart | undefined {
  if (proto === undefined) return undefined;
  const { restarted, notification: keepsOnNotification } = proto;
  return {
    restarted,
    restartTimeSeconds: Math.min(proto.restartTimeSeconds, RESTART_TIME_MAX_SECONDS),
    families: decodeFamilies(proto.families),
    preserved: decodeFamilies(proto.preserved),
    notification: keepsOnNotification,
  };
}

/** Of a family that is there twice the first counts. */
function decodeLongLived(proto: LongLivedProto | undefined): readonly LongLivedFamily[] | undefined {
  if (proto === undefined) return undefined;
  const known = new Map<Family, LongLivedFamily>();
  for (const { family: number, preserved, staleTimeSeconds } of proto.families.slice(0, CAPABILITY_FAMILIES_MAX)) {
    const family = familyFromProto(number);
    if (family === undefined || known.has(family)) continue;
    known.set(family, { family, preserved, staleSeconds: Math.min(staleTimeSeconds, STALE_TIME_MAX_SECONDS) });
  }
  return [...known.values()];
}

/** Those that this version knows, each once. */
function decodeFamilies(families: readonly AddressFamily[]): readonly Family[] {
  const decoded = families.slice(0, CAPABILITY_FAMILIES_MAX).map(familyFromProto);
  return [...new Set(decoded.filter((family) => family !== undefined))];
}

function decodePrefixes(field: string, family: Family, bytes: Uint8Array): Prefix[] | { readonly reset: Notification } {
  const prefixes = decodeNlri(family, bytes);
  if (!('error' in prefixes)) return prefixes;
  return { reset: notification('invalidNetworkField', `${field}: ${prefixes.error} at byte ${prefixes.offset}`) };
}

function unknownFamily(where: string, family: number): Decoded {
  return { reset: notification('optionalAttributeError', `${where}: unknown address family ${family}`) };
}

/** A cause only measures: one that is not credible is left out. */
function decodeCause(proto: CauseMessage | undefined): Cause | undefined {
  if (proto === undefined || proto.id.length > CAUSE_TEXT_MAX || proto.kind.length > CAUSE_TEXT_MAX) return undefined;
  return { id: proto.id, kind: proto.kind, detectedUnixUs: proto.detectedUnixUs, decidedUnixUs: 0n };
}
