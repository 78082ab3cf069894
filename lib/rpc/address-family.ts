// Address families to and from their protobuf form: proto/gingham/net/v1/net.proto.
// What to make of a family that is not known is the caller's business.

import { AddressFamily } from '../../proto/gen/gingham/net/v1/net_pb.ts';
import type { Family } from '../net/address.ts';

const FAMILY_TO_PROTO = { 4: AddressFamily.IPV4, 6: AddressFamily.IPV6 } as const;

export function familyToProto(family: Family): AddressFamily {
  return FAMILY_TO_PROTO[family];
}

/** `undefined` for none, and for one that this version does not know. */
export function familyFromProto(family: AddressFamily): Family | undefined {
  return family === AddressFamily.IPV4 ? 4 : family === AddressFamily.IPV6 ? 6 : undefined;
}
