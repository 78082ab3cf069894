// A peer of ours as GoBGP's API shows it: configuration, session, capabilities, counters. Not how it is changed.
//
// The `gobgp` command reads through most of the nested messages without looking whether they are there: they always are.
// END-OF-RIB counts as the UPDATE that it is in BGP.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Any, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { compareAddresses, type Family } from '../../lib/net/address.ts';
import {
  EnhancedRouteRefreshCapabilitySchema,
  FourOctetASNCapabilitySchema,
  FqdnCapabilitySchema,
  GracefulRestartCapabilitySchema,
  type MessageSchema,
  MultiProtocolCapabilitySchema,
  type Peer as PeerMessage,
  PeerSchema,
  PeerState_AdminState,
  PeerState_SessionState,
  PeerType,
  PolicyDirection,
  RouteRefreshCapabilitySchema,
} from '../../proto/gen/apipb/gobgp_pb.ts';
import type { Node } from '../node.ts';
import type { Member, PeerRecord } from '../peer-set.ts';
import { FAMILIES } from '../rib/attributes.ts';
import type { Open } from '../session/message.ts';
import type { MessageCounts, PeerStatus } from '../session/peer.ts';
import { packAny } from './attribute-codec.ts';
import { familyMessage } from './family.ts';
import { Refusal } from './refusal.ts';

const SESSION_STATE = {
  Idle: PeerState_SessionState.IDLE,
  Connect: PeerState_SessionState.CONNECT,
  Active: PeerState_SessionState.ACTIVE,
  OpenSent: PeerState_SessionState.OPENSENT,
  OpenConfirm: PeerState_SessionState.OPENCONFIRM,
  Established: PeerState_SessionState.ESTABLISHED,
} as const;

/** Flags of RFC 4724 section 3 and RFC 8538 section 2, as the high bits of their fields. */
const RESTARTED = 0x08;
const NOTIFICATION = 0x04;
const FORWARDING_PRESERVED = 0x80;

/** What a peer message is made of. */
export type PeerSource = Pick<Node, 'rib' | 'speaker' | 'address'>;

/** The peers at this address or of this name, all for the empty text, by address. */
export function findPeers(node: Pick<Node, 'speaker'>, address: string): readonly Member[] {
  const members = [...node.speaker.peers.members.values()];
  return members
    .filter(({ record }) => address === '' || record.address === address || record.name === address)
    .sort((one, other) => compareAddresses(one.record.address, other.record.address));
}

/** The one peer that a call is about. Throws `Refusal`. */
export function onePeer(node: Pick<Node, 'speaker'>, address: string): Member {
  const [first, second] = findPeers(node, address || '-');
  if (first === undefined) throw new Refusal('NOT_FOUND', `there is no neighbor ${JSON.stringify(address)}`);
  if (second === undefined) return first;
  const names = findPeers(node, address).map(({ record }) => record.name);
  throw new Refusal('FAILED_PRECONDITION', `several neighbors have the address ${address}: ${names.join(', ')}`);
}

export function peerMessage(source: PeerSource, { record, peer }: Member): PeerMessage {
  const { speaker, address } = source;
  const { open: own } = speaker;
  const { name, client = false, isPassive = false } = record;
  const status = peer.status();
  const common = {
    description: name,
    localAsn: own.asn,
    neighborAddress: record.address,
    peerAsn: record.asn,
    peerGroup: record.group ?? '',
    type: record.asn === own.asn ? PeerType.INTERNAL : PeerType.EXTERNAL,
  };
  const isDisabled = speaker.peers.isDisabled(name);
  const theirs = peer.open;
  const routerId = theirs?.routerId ?? '';
  return create(PeerSchema, {
    applyPolicy: {
      importPolicy: { direction: PolicyDirection.IMPORT },
      exportPolicy: { direction: PolicyDirection.EXPORT },
    },
    conf: { ...common, adminDown: isDisabled },
    ebgpMultihop: {},
    routeReflector: { routeReflectorClient: client },
    state: {
      ...common,
      messages: { sent: countsMessage(status.messages.sent), received: countsMessage(status.messages.received) },
      queues: {},
      sessionState: SESSION_STATE[status.state],
      adminState: adminState(status, isDisabled),
      flops: status.sessions - (peer.established ? 1 : 0),
      localCap: capabilities(own),
      ...(theirs !== undefined && { remoteCap: capabilities(theirs), routerId }),
    },
    timers: timersOf(own, status),
    transport: {
      localAddress: address,
      passiveMode: isPassive,
      remoteAddress: record.address,
      remotePort: record.port,
    },
    routeServer: {},
    gracefulRestart: gracefulRestart(own, theirs),
    afiSafis: FAMILIES.map((family) => afiSafi(source, record, family)),
  });
}

/** A session that was stopped without an operator's word hit its prefix limit: nothing else stops one. */
function adminState({ state }: PeerStatus, isDisabled: boolean): PeerState_AdminState {
  if (isDisabled) return PeerState_AdminState.DOWN;
  return state === 'Idle' ? PeerState_AdminState.PFX_CT : PeerState_AdminState.UP;
}

function countsMessage(counts: MessageCounts): MessageInitShape<typeof MessageSchema> {
  const of = (...types: readonly (keyof MessageCounts)[]): bigint =>
    BigInt(types.reduce((sum, type) => sum + (counts[type] ?? 0), 0));
  return {
    open: of('open'),
    update: of('update', 'end-of-rib'),
    keepalive: of('keepalive'),
    notification: of('notification'),
    refresh: of('route-refresh'),
    total: of('open', 'update', 'end-of-rib', 'keepalive', 'notification', 'route-refresh'),
  };
}

function timersOf(own: Open, { holdTimeSeconds, lastUpUnixUs, lastDownUnixUs }: PeerStatus) {
  const third = (seconds: number): bigint => BigInt(Math.floor(seconds / 3));
  return {
    config: { holdTime: BigInt(own.holdTimeSeconds), keepaliveInterval: third(own.holdTimeSeconds) },
    state: {
      keepaliveInterval: third(holdTimeSeconds ?? own.holdTimeSeconds),
      negotiatedHoldTime: BigInt(holdTimeSeconds ?? 0),
      ...(lastUpUnixUs !== undefined && { uptime: timestamp(lastUpUnixUs) }),
      ...(lastDownUnixUs !== undefined && { downtime: timestamp(lastDownUnixUs) }),
    },
  };
}

/** `gobgp` shows whole seconds. */
export function timestamp(unixUs: bigint): MessageInitShape<typeof TimestampSchema> {
  return { seconds: unixUs / 1_000_000n, nanos: Number(unixUs % 1_000_000n) * 1_000 };
}

function gracefulRestart({ capabilities: { gracefulRestart: own } }: Open, theirs: Open | undefined) {
  const remote = theirs?.capabilities.gracefulRestart;
  return {
    enabled: own !== undefined,
    restartTime: own?.restartTimeSeconds ?? 0,
    notificationEnabled: own?.notification ?? false,
    peerRestartTime: remote?.restartTimeSeconds ?? 0,
    peerRestarting: remote?.restarted ?? false,
  };
}

function afiSafi({ rib }: PeerSource, { name, prefixLimit }: PeerRecord, family: Family) {
  const message = familyMessage(family);
  const out = rib.adjOut(name, family);
  const received = BigInt(out === undefined ? 0 : rib.table(family).count(name));
  return {
    config: { family: message, enabled: true },
    // What an import policy refuses is not kept: what was received was accepted.
    state: {
      family: message,
      enabled: out !== undefined,
      received,
      accepted: received,
      advertised: BigInt(out?.size ?? 0),
    },
    ...(prefixLimit !== undefined && {
      prefixLimits: { family: message, maxPrefixes: prefixLimit.max, shutdownThresholdPct: prefixLimit.warnPercent },
    }),
  };
}

function capabilities({
  asn,
  node,
  capabilities: { families, routeRefresh, enhancedRefresh, gracefulRestart: gr },
}: Open): Any[] {
  const list = families.map((family) => packAny(MultiProtocolCapabilitySchema, { family: familyMessage(family) }));
  if (routeRefresh) list.push(packAny(RouteRefreshCapabilitySchema, {}));
  if (gr !== undefined) {
    const tuples = gr.families.map((family) => ({
      family: familyMessage(family),
      flags: gr.preserved.includes(family) ? FORWARDING_PRESERVED : 0,
    }));
    const flags = (gr.restarted ? RESTARTED : 0) | (gr.notification ? NOTIFICATION : 0);
    list.push(packAny(GracefulRestartCapabilitySchema, { flags, time: gr.restartTimeSeconds, tuples }));
  }
  list.push(packAny(FourOctetASNCapabilitySchema, { asn }));
  if (enhancedRefresh === true) list.push(packAny(EnhancedRouteRefreshCapabilitySchema, {}));
  list.push(packAny(FqdnCapabilitySchema, { hostName: node }));
  return list;
}
