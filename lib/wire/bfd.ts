// BFD control packets (RFC 5880 section 4.1), as values. Which packet is right in which state is the session's business.
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
//  |vers |  diag   |sta|P|F|C|A|D|M|  detect mult  |    length     |
//  +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
//  |                      my discriminator                         |
//  |                     your discriminator                        |
//  |               desired min TX interval, us                     |
//  |               required min RX interval, us                    |
//  |             required min echo RX interval, us                 |
//  +---------------------------------------------------------------+
//
// No authentication: a packet that has it is refused (section 6.8.6: A set and none in use). Nothing here throws.

import { readU32, writeU32 } from './bytes.ts';

export const BFD_LENGTH = 24;
export const BFD_VERSION = 1;

export const BFD = {
  versionAndDiagnostic: 0,
  stateAndFlags: 1,
  multiplier: 2,
  length: 3,
  myDiscriminator: 4,
  yourDiscriminator: 8,
  desiredMinTx: 12,
  requiredMinRx: 16,
  requiredMinEchoRx: 20,
} as const;

const FLAG = {
  poll: 0x20,
  final: 0x10,
  independent: 0x08,
  authentication: 0x04,
  demand: 0x02,
  multipoint: 0x01,
} as const;

/** Values of the state field are the places here (section 4.1). */
export const BFD_STATES = ['AdminDown', 'Down', 'Init', 'Up'] as const;
export type BfdState = (typeof BFD_STATES)[number];

/** Diagnostic codes that are used here (section 4.1). */
export const BFD_DIAGNOSTIC = {
  none: 0,
  detectionTimeExpired: 1,
  neighborSignaledDown: 3,
  pathDown: 5,
  administrativelyDown: 7,
} as const;

export interface BfdPacket {
  readonly state: BfdState;
  /** 0 to 31. */
  readonly diagnostic: number;
  readonly poll: boolean;
  readonly final: boolean;
  /** The C bit: the sender's BFD does not share the fate of its control plane. */
  readonly independent: boolean;
  readonly demand: boolean;
  /** 1 to 255. */
  readonly multiplier: number;
  readonly myDiscriminator: number;
  /** 0: not known. */
  readonly yourDiscriminator: number;
  readonly desiredMinTxUs: number;
  /** 0: the sender wants no periodic packets. */
  readonly requiredMinRxUs: number;
}

/** Why bytes are no packet that may be looked at further, by the checks of section 6.8.6 in their order. */
export type BfdFault =
  | 'truncated'
  | 'version'
  | 'length'
  | 'multiplier'
  | 'multipoint'
  | 'my-discriminator'
  | 'your-discriminator'
  | 'authentication';

/** The packet in a UDP payload, or why there is none. */
export function decodeBfd(bytes: Uint8Array): BfdPacket | BfdFault {
  if (bytes.length < BFD_LENGTH) return 'truncated';
  const first = bytes[BFD.versionAndDiagnostic] as number;
  const flags = bytes[BFD.stateAndFlags] as number;
  const length = bytes[BFD.length] as number;
  const multiplier = bytes[BFD.multiplier] as number;
  if (first >> 5 !== BFD_VERSION) return 'version';
  if (length < BFD_LENGTH || length > bytes.length) return 'length';
  if (multiplier === 0) return 'multiplier';
  if ((flags & FLAG.multipoint) !== 0) return 'multipoint';
  const myDiscriminator = readU32(bytes, BFD.myDiscriminator);
  const yourDiscriminator = readU32(bytes, BFD.yourDiscriminator);
  const state = BFD_STATES[flags >> 6] as BfdState;
  if (myDiscriminator === 0) return 'my-discriminator';
  if (yourDiscriminator === 0 && (state === 'Init' || state === 'Up')) return 'your-discriminator';
  if ((flags & FLAG.authentication) !== 0) return 'authentication';
  return {
    state,
    diagnostic: first & 0x1f,
    poll: (flags & FLAG.poll) !== 0,
    final: (flags & FLAG.final) !== 0,
    independent: (flags & FLAG.independent) !== 0,
    demand: (flags & FLAG.demand) !== 0,
    multiplier,
    myDiscriminator,
    yourDiscriminator,
    desiredMinTxUs: readU32(bytes, BFD.desiredMinTx),
    requiredMinRxUs: readU32(bytes, BFD.requiredMinRx),
  };
}

/** Writes `BFD_LENGTH` bytes at the beginning of `into`. No echo is offered (required min echo RX is 0). */
export function writeBfd(packet: BfdPacket, into: Uint8Array): void {
  into[BFD.versionAndDiagnostic] = (BFD_VERSION << 5) | packet.diagnostic;
  into[BFD.stateAndFlags] =
    (BFD_STATES.indexOf(packet.state) << 6) |
    (packet.poll ? FLAG.poll : 0) |
    (packet.final ? FLAG.final : 0) |
    (packet.independent ? FLAG.independent : 0) |
    (packet.demand ? FLAG.demand : 0);
  into[BFD.multiplier] = packet.multiplier;
  into[BFD.length] = BFD_LENGTH;
  writeU32(into, BFD.myDiscriminator, packet.myDiscriminator);
  writeU32(into, BFD.yourDiscriminator, packet.yourDiscriminator);
  writeU32(into, BFD.desiredMinTx, packet.desiredMinTxUs);
  writeU32(into, BFD.requiredMinRx, packet.requiredMinRxUs);
  writeU32(into, BFD.requiredMinEchoRx, 0);
}
