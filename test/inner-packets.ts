// Builds whole IP packets for tests, and checks their transport checksums, slowly and by the book.
// It shares no code with lib/wire, so that the two are evidence for each other.

export type Bytes = readonly number[];

export interface PacketFields {
  readonly source: Bytes;
  readonly destination: Bytes;
  readonly protocol?: number;
  readonly ttl?: number;
  readonly payload?: Bytes;
  /** IPv4 only: identification, flags and fragment offset. */
  readonly id?: number;
  readonly fragment?: number;
}

export const UDP = 17;
export const TCP = 6;
export const ICMP = 1;
export const ICMPV6 = 58;

const be16 = (value: number): Bytes => [(value >> 8) & 255, value & 255];
const be32 = (value: number): Bytes => [...be16((value >>> 16) & 0xffff), ...be16(value & 0xffff)];

/** RFC 1071, one word after the other. */
export function slowChecksum(bytes: Bytes): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] ?? 0) << 8) + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return ~sum & 0xffff;
}

/** An IPv4 or IPv6 packet, by the length of its addresses. */
export function ipPacket(fields: PacketFields): Uint8Array {
  const { source, destination, protocol = UDP, ttl = 64, payload = [], id = 0, fragment = 0x4000 } = fields;
  if (source.length === 16) {
    return Uint8Array.of(0x60, 0, 0, 0, ...be16(payload.length), protocol, ttl, ...source, ...destination, ...payload);
  }
  const before = [0x45, 0, ...be16(20 + payload.length), ...be16(id), ...be16(fragment), ttl, protocol];
  const checksum = slowChecksum([...before, 0, 0, ...source, ...destination]);
  return Uint8Array.of(...before, ...be16(checksum), ...source, ...destination, ...payload);
}

export interface TcpFields {
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly sourcePort?: number;
  readonly options?: Bytes;
  readonly data?: Bytes;
}

/** A TCP packet with a right checksum. */
export function tcpPacket(fields: PacketFields, tcp: TcpFields = {}): Uint8Array {
  const {
    sequence = 1,
    acknowledgment = 2,
    flags = 0x10,
    window = 500,
    sourcePort = 4000,
    options = [],
    data = [],
  } = tcp;
  const offset = ((20 + options.length) / 4) << 4;
  const header = [...be16(sourcePort), ...be16(5201), ...be32(sequence), ...be32(acknowledgment), offset, flags];
  const segment = [...header, ...be16(window), 0, 0, 0, 0, ...options, ...data];
  const checksum = slowChecksum([...pseudoHeader(fields, TCP, segment.length), ...segment]);
  segment.splice(16, 2, ...be16(checksum));
  return ipPacket({ ...fields, protocol: TCP, payload: segment });
}

/** A UDP packet with a right checksum. */
export function udpPacket(fields: PacketFields, data: Bytes = []): Uint8Array {
  const datagram = [...be16(4000), ...be16(4001), ...be16(8 + data.length), 0, 0, ...data];
  const checksum = slowChecksum([...pseudoHeader(fields, UDP, datagram.length), ...datagram]) || 0xffff;
  datagram.splice(6, 2, ...be16(checksum));
  return ipPacket({ ...fields, protocol: UDP, payload: datagram });
}

/** Whether header checksum (IPv4) and the checksum of TCP, UDP or ICMPv6 inside are right. */
export function hasRightChecksums(packet: Uint8Array): boolean {
  const isV6 = (packet[0] as number) >> 4 === 6;
  const headerLength = isV6 ? 40 : ((packet[0] as number) & 15) * 4;
  const all = [...packet];
  if (!isV6 && slowChecksum(all.slice(0, headerLength)) !== 0) return false;
  const fields = isV6
    ? { source: all.slice(8, 24), destination: all.slice(24, 40) }
    : { source: all.slice(12, 16), destination: all.slice(16, 20) };
  const protocol = all[isV6 ? 6 : 9] as number;
  const segment = all.slice(headerLength);
  return slowChecksum([...pseudoHeader(fields, protocol, segment.length), ...segment]) === 0;
}

function pseudoHeader(
  fields: { readonly source: Bytes; readonly destination: Bytes },
  protocol: number,
  length: number,
): Bytes {
  return [...fields.source, ...fields.destination, ...be32(length), ...be32(protocol)];
}
