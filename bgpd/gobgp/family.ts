// Address families of the GoBGP API to and from ours: IPv4 and IPv6 unicast are all that there is here.
//
// The confusing thing: a request without a family means IPv4 to the `gobgp` command, but "both" where everything is deleted.

import { create } from '@bufbuild/protobuf';
import type { Family } from '../../lib/net/address.ts';
import { Family_Afi, Family_Safi, type Family as FamilyMessage, FamilySchema } from '../../proto/gen/apipb/gobgp_pb.ts';
import { Refusal } from './refusal.ts';

const MESSAGES = {
  4: create(FamilySchema, { afi: Family_Afi.IP, safi: Family_Safi.UNICAST }),
  6: create(FamilySchema, { afi: Family_Afi.IP6, safi: Family_Safi.UNICAST }),
} as const;

/** Shared: not to be changed. */
export function familyMessage(family: Family): FamilyMessage {
  return MESSAGES[family];
}

/** The family asked for; IPv4 where none is named. Throws `Refusal`. */
export function readFamily(message: FamilyMessage | undefined): Family {
  const { afi, safi } = message ?? {};
  if (afi === undefined || (afi === Family_Afi.UNKNOWN && safi === Family_Safi.UNKNOWN)) return 4;
  if (safi === Family_Safi.UNICAST && afi === Family_Afi.IP) return 4;
  if (safi === Family_Safi.UNICAST && afi === Family_Afi.IP6) return 6;
  throw new Refusal('UNIMPLEMENTED', `address family ${afi}/${safi}: bgpd has ipv4 and ipv6 (unicast) only`);
}
