// Messages as the bytes that a stream carries, by the codec of production, one a frame, and back. What HTTP/2, TCP and IP add on top is
// not counted: it depends on how many frames share a segment.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Decoded, decodeMessage, encodeMessage } from '../../bgpd/session/exchange-codec.ts';
import type { Message } from '../../bgpd/session/message.ts';
import { SessionRequestSchema } from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';

/** gRPC's own header of each message: a flag and a length. */
export const GRPC_HEADER_BYTES = 5;

export function encodeFrame(message: Message): Uint8Array {
  return toBinary(SessionRequestSchema, create(SessionRequestSchema, { messages: [encodeMessage(message)] }));
}

export function decodeFrame(bytes: Uint8Array): Decoded {
  const [message] = fromBinary(SessionRequestSchema, bytes).messages;
  if (message === undefined) throw new RangeError('a frame without a message');
  return decodeMessage(message);
}
