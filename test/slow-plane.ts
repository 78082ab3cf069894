// What the data plane must do with a packet, written down again: slowly, with arrays and text, from the RFCs and the words
// of DROP_REASONS, and without a line of the plane's own code. Whoever disagrees with it has found a bug in one of the two.
//
// Its world is that of plane-fixture.ts: this is node 1; nodes 2 and 3 are peers; node N has 10.55.N.0/24, fd55:N::/32,
// 192.0.2.N and the VTEP MAC 0e:00:00:00:55:0N.

import type { DropReason, PlaneMode } from '../flanneld/dataplane/data-plane.ts';
import { slowChecksum } from './inner-packets.ts';

export type SlowVerdict =
  | { readonly drop: DropReason; readonly answered?: boolean }
  /** `cut`: larger than the MTU, so that what is written is made of it and not it. */
  | { readonly frame: readonly number[]; readonly cut: boolean }
  | { readonly node: number; readonly datagram: readonly number[]; readonly tos: number };

interface Packet {
  readonly family: 4 | 6;
  readonly bytes: number[];
  readonly source: readonly number[];
  readonly destination: readonly number[];
  readonly ttl: number;
  readonly tos: number;
  readonly headerLength: number;
  readonly protocol: number;
}

const PEERS = [2, 3];
const TCP = 6;
const UDP = 17;

/** What comes from the socket. `sender` is the node number of the outer source address. */
export function slowFromSocket(
  mode: PlaneMode,
  mtuBytes: number,
  sender: number,
  datagram: readonly number[],
  outerTos: number,
): SlowVerdict {
  if (!PEERS.includes(sender)) return { drop: 'rx-unknown-sender' };
  if (mode === 'udp')
    return acceptPacket(sender, datagram, versionOf(datagram), outerTos, mtuBytes, 'rx-malformed', []);
  if (mode === 'ipip') {
    const headerLength = ((datagram[0] ?? 0) & 15) * 4;
    if (datagram.length < 20) return { drop: 'rx-truncated' };
    if (headerLength < 20) return { drop: 'rx-malformed' };
    if (headerLength > datagram.length) return { drop: 'rx-truncated' };
    const inner = datagram.slice(headerLength);
    const told = { 4: 4, 41: 6 }[datagram[9] as number];
    if (told === undefined || told !== versionOf(inner)) return { drop: 'rx-malformed' };
    return acceptPacket(sender, inner, told, datagram[1] as number, mtuBytes, 'rx-malformed', []);
  }
  if (datagram.length < 8) return { drop: 'rx-truncated' };
  if (((datagram[0] as number) & 8) === 0) return { drop: 'rx-vxlan-flags' };
  if (String(datagram.slice(4, 7)) !== '0,0,1') return { drop: 'rx-wrong-vni' };
  const frame = datagram.slice(8);
  if (frame.length < 14) return { drop: 'rx-truncated' };
  if (((frame[0] as number) & 1) === 1) return { drop: 'rx-multicast' };
  if (macText(frame) !== '0e:00:00:00:55:01') return { drop: 'rx-foreign-mac' };
  const payload = frame.slice(14);
  const type = hexText(frame.slice(12, 14));
  if (type === '0806') {
    if (!isArp(payload)) return { drop: 'rx-malformed' };
    return nodeOf(payload.slice(14, 18)) === sender ? { frame, cut: false } : { drop: 'rx-spoofed-source' };
  }
  const family = type === '0800' ? 4 : type === '86dd' ? 6 : 0;
  return acceptPacket(sender, payload, family, outerTos, mtuBytes, 'rx-unsupported-type', frame.slice(0, 14));
}

/** What comes from the device. */
export function slowFromDevice(mode: PlaneMode, mtuBytes: number, frame: readonly number[]): SlowVerdict {
  if (mode !== 'vxlan') {
    const packet = parse(frame, versionOf(frame));
    if (packet === undefined) return { drop: 'tx-malformed' };
    const refused = refuse(packet, mtuBytes);
    if (refused !== undefined) return refused;
    if (isMulticast(packet.destination)) return { drop: 'tx-multicast' };
    const node = nodeOf(packet.destination);
    if (!PEERS.includes(node)) return { drop: 'tx-no-route', answered: mayBeAnswered(packet) };
    return { node, datagram: frame, tos: packet.tos };
  }
  if (frame.length < 14) return { drop: 'tx-malformed' };
  if (((frame[0] as number) & 1) === 1) return { drop: 'tx-multicast' };
  const node = PEERS.find((peer) => macText(frame) === `0e:00:00:00:55:0${peer}`);
  if (node === undefined) return { drop: 'tx-unknown-mac' };
  const type = hexText(frame.slice(12, 14));
  const payload = frame.slice(14);
  const datagram = [8, 0, 0, 0, 0, 0, 1, 0, ...frame];
  if (type === '0806') return isArp(payload) ? { node, datagram, tos: 0 } : { drop: 'tx-malformed' };
  if (type !== '0800' && type !== '86dd') return { drop: 'tx-unsupported-type' };
  const packet = parse(payload, type === '0800' ? 4 : 6);
  if (packet === undefined) return { drop: 'tx-malformed' };
  return refuse(packet, mtuBytes) ?? { node, datagram, tos: packet.tos };
}

/** Whether an ICMP packet answers this one, as RFC 1812 and RFC 4443 have it: addresses, quote and checksums. */
export function isAnswerTo(answer: readonly number[], culprit: readonly number[]): boolean {
  const asked = parse(culprit, versionOf(culprit));
  const packet = parse(answer, versionOf(answer));
  if (asked === undefined || packet === undefined) return false;
  const quote = packet.bytes.slice(packet.headerLength + 8);
  const isQuoted = quote.length > 0 && quote.every((byte, i) => byte === asked.bytes[i]);
  const isRight =
    packet.family === 4 ? packet.protocol === 1 && slowChecksum(body(packet)) === 0 : checksumIsRight(packet);
  return isRight && isQuoted && String(packet.destination) === String(asked.source);
}

function acceptPacket(
  sender: number,
  bytes: readonly number[],
  family: number,
  outerTos: number,
  mtuBytes: number,
  otherwise: DropReason,
  before: readonly number[],
): SlowVerdict {
  if (family !== 4 && family !== 6) return { drop: otherwise };
  const packet = parse(bytes, family);
  if (packet === undefined) return { drop: 'rx-malformed' };
  if (nodeOf(packet.source) !== sender) return { drop: 'rx-spoofed-source' };
  if (isMulticast(packet.destination)) return { drop: 'rx-multicast' };
  if (packet.ttl === 0) return { drop: 'rx-ttl-expired' };
  const ecn = outgoingEcn(packet.tos & 3, outerTos & 3);
  if (ecn === 'drop') return { drop: 'rx-congestion-unmarkable' };
  const marked = withEcn(packet, ecn);
  // Of a frame the padding stays; a bare packet has none.
  const padding = before.length === 0 ? [] : bytes.slice(packet.bytes.length);
  const cut = packet.bytes.length > mtuBytes;
  return { frame: [...before, ...(cut ? marked.bytes : finished(marked)), ...padding], cut };
}

/** RFC 6040 section 4.2. */
function outgoingEcn(inner: number, outer: number): number | 'drop' {
  if (outer === 3) return inner === 0 ? 'drop' : 3;
  return inner === 2 && outer === 1 ? 1 : inner;
}

function withEcn(packet: Packet, ecn: number): Packet {
  const bytes = [...packet.bytes];
  if (packet.family === 6) {
    bytes[1] = ((bytes[1] as number) & 0xcf) | (ecn << 4);
  } else if ((packet.tos & 3) !== ecn) {
    bytes[1] = (packet.tos & 0xfc) | ecn;
    const header = bytes.slice(0, packet.headerLength).map((byte, i) => (i === 10 || i === 11 ? 0 : byte));
    const checksum = slowChecksum(header);
    bytes.splice(10, 2, checksum >> 8, checksum & 255);
  }
  return { ...packet, bytes };
}

/** A transport checksum that is the sum of the pseudo-header only waits to be computed. */
function finished(packet: Packet): number[] {
  const segment = body(packet);
  const isWhole = packet.family === 6 || ((packet.bytes[6] as number) & 0x3f) + (packet.bytes[7] as number) === 0;
  const at = packet.protocol === TCP ? 16 : 6;
  const isLongEnough = segment.length >= (packet.protocol === TCP ? 20 : 8);
  if ((packet.protocol !== TCP && packet.protocol !== UDP) || !isWhole || !isLongEnough) return packet.bytes;
  const pseudo = ~slowChecksum(pseudoHeader(packet, segment.length)) & 0xffff;
  if (((segment[at] as number) << 8) + (segment[at + 1] as number) !== pseudo) return packet.bytes;
  segment.splice(at, 2, 0, 0);
  const checksum = slowChecksum([...pseudoHeader(packet, segment.length), ...segment]) || 0xffff;
  segment.splice(at, 2, checksum >> 8, checksum & 255);
  return [...packet.bytes.slice(0, packet.headerLength), ...segment];
}

function refuse(packet: Packet, mtuBytes: number): SlowVerdict | undefined {
  if (packet.ttl === 0) return { drop: 'tx-ttl-expired', answered: mayBeAnswered(packet) };
  const mayFragment = packet.family === 4 && ((packet.bytes[6] as number) & 0x40) === 0;
  if (packet.bytes.length <= mtuBytes || mayFragment) return undefined;
  return { drop: 'tx-too-big', answered: mayBeAnswered(packet) };
}

function parse(bytes: readonly number[], family: number): Packet | undefined {
  if (bytes.length < (family === 4 ? 20 : 40) || versionOf(bytes) !== family) return undefined;
  const at = (i: number): number => bytes[i] as number;
  if (family === 6) {
    const total = 40 + at(4) * 256 + at(5);
    if (total > bytes.length) return undefined;
    const tos = (at(0) & 15) * 16 + (at(1) >> 4);
    const addresses = { source: bytes.slice(8, 24), destination: bytes.slice(24, 40) };
    return { family, bytes: bytes.slice(0, total), ...addresses, ttl: at(7), tos, headerLength: 40, protocol: at(6) };
  }
  const headerLength = (at(0) & 15) * 4;
  const total = at(2) * 256 + at(3);
  if (headerLength < 20 || headerLength > bytes.length || total < headerLength || total > bytes.length)
    return undefined;
  if (slowChecksum(bytes.slice(0, headerLength)) !== 0) return undefined;
  const addresses = { source: bytes.slice(12, 16), destination: bytes.slice(16, 20) };
  return {
    family: 4,
    bytes: bytes.slice(0, total),
    ...addresses,
    ttl: at(8),
    tos: at(1),
    headerLength,
    protocol: at(9),
  };
}

/** RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e). */
function mayBeAnswered(packet: Packet): boolean {
  if (packet.family === 6) return mayBeAnswered6(packet);
  const isHost = ([first]: readonly number[]): boolean => first !== 0 && first !== 127 && (first as number) < 224;
  if (!isHost(packet.source) || !isHost(packet.destination)) return false;
  if (((packet.bytes[6] as number) & 0x1f) + (packet.bytes[7] as number) > 0) return false;
  if (packet.protocol !== 1) return true;
  const [type] = body(packet);
  return type !== undefined && ![3, 4, 5, 11, 12].includes(type);
}

function mayBeAnswered6(packet: Packet): boolean {
  const isHost = (bytes: readonly number[]): boolean => bytes[0] !== 0xff && !/^(0,){15}[01]$/.test(String(bytes));
  if (!isHost(packet.source) || !isHost(packet.destination)) return false;
  let { protocol } = packet;
  let rest = body(packet);
  while ([0, 43, 44, 51, 60].includes(protocol)) {
    if (rest.length < 8) return false;
    const [next = 0, size = 0, high = 0, low = 0] = rest;
    if (protocol === 44 && high * 32 + (low >> 3) > 0) return false;
    const length = protocol === 44 ? 8 : protocol === 51 ? (size + 2) * 4 : (size + 1) * 8;
    if (length > rest.length) return false;
    rest = rest.slice(length);
    protocol = next;
  }
  if (protocol !== 58) return true;
  const [type] = rest;
  return type !== undefined && type >= 128 && type !== 137;
}

function body({ bytes, headerLength }: Packet): number[] {
  return bytes.slice(headerLength);
}

function checksumIsRight(packet: Packet): boolean {
  const segment = body(packet);
  return slowChecksum([...pseudoHeader(packet, segment.length), ...segment]) === 0;
}

function pseudoHeader({ source, destination, protocol }: Packet, length: number): number[] {
  return [...source, ...destination, 0, 0, length >> 8, length & 255, 0, 0, 0, protocol];
}

function versionOf(bytes: readonly number[]): number {
  return (bytes[0] ?? 0) >> 4;
}

/** The node to which an inner address belongs, 0 for none. */
function nodeOf(address: readonly number[]): number {
  const text = String(address);
  return Number((address.length === 4 ? /^10,55,(\d+),/ : /^253,85,0,(\d+),/).exec(text)?.[1] ?? 0);
}

/** Classes D and E and limited broadcast; ff00::/8. */
function isMulticast(address: readonly number[]): boolean {
  return (address[0] as number) >= (address.length === 4 ? 224 : 255);
}

function isArp(bytes: readonly number[]): boolean {
  return bytes.length >= 28 && hexText(bytes.slice(0, 6)) === '000108000604';
}

function macText(bytes: readonly number[]): string {
  return bytes
    .slice(0, 6)
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(':');
}

function hexText(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
